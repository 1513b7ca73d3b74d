//! The warden with real children: this very agent as reader and sealer, and a link played by the tests, which says to the
//! warden whatever a taken-over collector could make it say.

mod collecting;
mod enrolling;
mod lab;
mod refusing;
