//! Durable writes, seen from outside the process.

// clippy grants tests their unwraps below `cfg(test)` only.
#[cfg(test)]
mod faults;
#[cfg(test)]
mod writers;
