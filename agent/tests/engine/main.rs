//! Reader and sealer against real kernels: real files, mounts, processes and sockets. Tests that need root say so in
//! their first line and are skipped by name without it. Not here: the warden and its orders (`it`).
#![cfg(test)]

mod acquisition;
mod bench;
mod changing;
mod denials;
mod journal;
mod processes;
mod sandbox;
mod tree;
mod untouched;
