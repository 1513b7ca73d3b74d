//! Containers and seals: round trips, other people's tools as oracles, one damaged fixture per defect, vectors.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a test that cannot go on fails; helpers of tests are not seen as tests"
)]

mod damaged;
mod oracles;
mod round_trip;
mod speed;
mod vectors;
