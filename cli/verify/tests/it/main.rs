//! Tests of `exhibit-verify`: a complete bundle made in process, then everything that a clumsy or a skilled hand may do to it.

mod bundle_builder;
mod flips;
mod forge;
mod forged;
mod good;
mod stamps;
mod stock_tools;
