//! Segments in: judged in a cage, made durable on the replicas, acknowledged; in this order and no other.
//!
//! Guarantee: nothing is acknowledged before it is verified and durable (I4); nothing hostile is parsed in this process
//! but headers of a few hundred bytes; overload slows senders down and drops nothing.
//!
//! In reading order: [`upload`] takes a call's messages; [`begin`] judges whose they are; [`budget`] bounds what it may
//! hold; [`slots`] lets one call work on a collection; [`segment`] takes one segment with what [`warm`] knows;
//! [`verifier`] drives a caged process, in which [`child`] runs, and [`pipe`] is what they speak; [`quarantine`] keeps
//! what is no evidence; [`finish`] and [`interrupt`] end a collection; [`fixity`] says what was lost.

pub mod begin;
pub mod budget;
pub mod child;
pub mod ended;
pub mod finish;
pub mod fixity;
pub mod interrupt;
pub mod pipe;
pub mod quarantine;
pub mod segment;
pub mod slots;
pub mod upload;
pub mod verifier;
pub mod warm;
