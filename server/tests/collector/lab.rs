//! The collector of testkit, with the program of this package.

use std::path::Path;

use evidence::document::Document;
use evidence::keys::SigningKey;
use evidence::signed::Signed;
pub use testkit::clock::now;
pub use testkit::collector::*;
pub use testkit::wait::{self, PATIENCE};

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exhibit-server"))
}

pub fn start() -> Collector {
    Collector::new(program())
}

pub fn sign<T: Document>(document: &T, keys: &[&SigningKey]) -> Signed {
    Signed::sign(document, keys).unwrap()
}
