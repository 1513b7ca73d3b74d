//! TLS identity over real sockets: each way in that must be shut, and the one that must be open.

mod lab;

mod access;
mod ends;
mod listener;
mod refused;
mod server;
