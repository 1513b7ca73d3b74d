//! Stores as their users see them: the contract, faults of a disk, and real S3 servers.

// clippy grants tests their unwraps below `cfg(test)` only.
#[cfg(test)]
mod directory;
#[cfg(test)]
mod scrub;
#[cfg(test)]
#[cfg(feature = "buckets")]
mod servers;
