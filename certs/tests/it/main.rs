//! TLS identity over real sockets: each way in that must be shut, and the one that must be open.

// clippy grants tests their unwraps below `cfg(test)` only.
#[cfg(test)]
mod crafty;
#[cfg(test)]
mod lab;

#[cfg(test)]
mod access;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod server;
