//! TLS identity over real sockets: every wrong way in must be shut, and the right one must be open.

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
mod requests;
#[cfg(test)]
mod server;
