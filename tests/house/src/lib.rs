//! Reads the source tree as text and reports every place that breaks a rule of ARCHITECTURE.md on its shape: circles of modules, re-exports
//! that hide a circle, crowded folders, long files, wide lines. The rules need no compiler, so this package builds in a second.
//!
//! Guarantee: a violation has a name that does not change when unrelated lines move. Not here: who may depend on which crate (`cargo tree`
//! answers that; see the package `system-tests`).

pub mod allowed;
mod circles;
mod imports;
pub mod rules;
mod tokens;
pub mod tree;
mod width;
