//! What keeps stored evidence whole, and what removes it when two persons say so.

pub mod disposal;
pub mod legal_holds;
pub mod locks;
pub mod repair;
pub mod repairs;
pub mod scrub;
pub mod sweep;
pub mod wants;
