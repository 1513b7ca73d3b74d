//! A complete bundle with fixed keys and times, made step by step by somebody who holds every private key there is.
//!
//! Each step has a hook that may change what it made before anything that follows is hashed, signed, logged and exported: so a
//! test breaks one rule, and all that stands behind it is right again. This is the skilled hand.
//!
//! The world of a [`Recipe::default`] is the world as it is met: five endpoints in an order that is not that of their names, one of them
//! in two generations (2 and 10), two rosters, two incidents, collectors dialled by name, IPv4 and IPv6, endpoints whose clocks are set
//! to local time, a title, a purpose and a file name that are no ASCII. [`Recipe::one_endpoint`] is the small bundle of
//! docs/spec/vectors.
//!
//! | file | what it makes |
//! |---|---|
//! | `documents` | rosters, tokens, plans, manifests before anybody signs them |
//! | `machines` | the endpoints beside web-03, each with an order and a collection of its own |
//! | `drafts` | the entries of the log in their order |
//! | `steps` | the bundle: all of the above, signed, logged, exported |
//! | `logged` | the log behind it |
//! | `produce` | a partial production of it |
//! | `mirror`, `disposal` | a mirror's statements; the end of the incident and its evidence |
//! | `files` | what a test does to the files of a bundle; folders with names that scripts trip over |

#![expect(
    missing_docs,
    reason = "fields and constants are named for what they are; what a name does not say stands beside it"
)]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test that cannot build its world has failed")]

use std::collections::BTreeMap;

use evidence::enrolment::{EnrolmentRequest, Token};
use evidence::entry::Entry;
use evidence::entry::act::Act;
use evidence::manifest::Manifest;
use evidence::order::{Approval, Order};
use evidence::roster::Roster;
use evidence::seal::delegation::Delegation;

use crate::containers::forge::{Built as Container, Forge};

mod disposal;
mod documents;
mod drafts;
mod files;
mod logged;
mod machines;
mod mirror;
mod produce;
mod steps;

pub use disposal::*;
pub use documents::*;
pub use drafts::{genesis, published};
pub use files::*;
pub use logged::*;
pub use machines::*;
pub use mirror::*;
pub use produce::*;

pub use crate::chains::{Draft, act, at, own};
pub use crate::people::{key, sign};

pub const AUTHORITY: u8 = 1;
pub const ALICE: u8 = 10;
pub const BOB: u8 = 12;
pub const CAT: u8 = 13;
pub const DAN: u8 = 14;
pub const EVE: u8 = 15;
pub const EVIDENCE: u8 = 20;
pub const TOKEN: u8 = 22;
pub const SEALER: u8 = 23;
pub const LOG: u8 = 40;
pub const MALLORY: u8 = 66;

pub const INCIDENT: &str = "INC-2026-0007";
/// Where the `files` hook finds the log's entries that are no part of the bundle.
pub const ELSEWHERE: &str = "elsewhere/";

/// The title of the incident: German, Chinese, a mark that turns the direction of writing, what looks like a field of JSON.
pub const TITLE: &str = "verdächtige Anmeldungen – 案件 7 \u{202e}☃ \"by\":\"person:bob\" web\\mail";
/// A file in every container.
pub const ODD_FILE: &str = "/etc/dïr ☃ 案件";

pub type Files = BTreeMap<String, Vec<u8>>;
pub type Hook<'a, T> = Box<dyn Fn(&mut T) + Send + Sync + 'a>;

/// A document and the keys that sign it.
pub struct Paper<T> {
    pub document: T,
    pub keys: Vec<u8>,
}

/// One collection before its container is cut.
pub struct Collected {
    pub attempt: u32,
    pub delegation: Paper<Delegation>,
    pub forge: Forge,
}

/// The steps, each with its hook. All do nothing by default.
pub struct Recipe<'a> {
    pub roster: Hook<'a, Paper<Roster>>,
    pub token: Hook<'a, Paper<Token>>,
    pub enrolment: Hook<'a, Paper<EnrolmentRequest>>,
    pub order: Hook<'a, Paper<Order>>,
    pub approval: Hook<'a, Paper<Approval>>,
    pub collected: Hook<'a, Collected>,
    /// After the segments are sealed.
    pub container: Hook<'a, (u32, Container)>,
    pub manifest: Hook<'a, Paper<Manifest>>,
    /// All entries of the log, in its order, before they are numbered.
    pub drafts: Hook<'a, Vec<Draft>>,
    /// Each entry when it is numbered, with its place in the log, before it is hashed.
    pub entry: Hook<'a, (usize, Entry)>,
    /// Bytes of each entry before they are hashed.
    pub leaf: Hook<'a, (usize, Vec<u8>)>,
    /// The bundle's files before they are summed.
    pub files: Hook<'a, Files>,
    /// The export's act.
    pub export: Hook<'a, Paper<Act>>,
    /// Everything, at the very end.
    pub after: Hook<'a, Files>,
    pub sums_key: u8,
    pub log: u8,
    /// The log's name.
    pub origin: &'a str,
    /// Keys that cosign every checkpoint, and their names.
    pub cosigners: Vec<(u8, &'static str)>,
    pub sealer: u8,
    /// The long file of the stored collection, and the frames in each of its segments but the last.
    pub long: Vec<u8>,
    pub cuts: Vec<usize>,
    /// How many rosters were published before the order, at least two; eve leaves with the second.
    pub roster_versions: u64,
    /// The incident's title, and a file of every container.
    pub title: &'a str,
    pub odd_file: &'a str,
    pub purpose: &'a str,
    /// What the manifests say of themselves.
    pub limitation: &'a str,
    /// The endpoints beside web-03. No hook but `roster`, `drafts`, `entry`, `leaf` and `files` sees what they sign.
    pub machines: Vec<Machine>,
}

impl Default for Recipe<'_> {
    fn default() -> Self {
        Self {
            roster: Box::new(|_| ()),
            token: Box::new(|_| ()),
            enrolment: Box::new(|_| ()),
            order: Box::new(|_| ()),
            approval: Box::new(|_| ()),
            collected: Box::new(|_| ()),
            container: Box::new(|_| ()),
            manifest: Box::new(|_| ()),
            drafts: Box::new(|_| ()),
            entry: Box::new(|_| ()),
            leaf: Box::new(|_| ()),
            files: Box::new(|_| ()),
            export: Box::new(|_| ()),
            after: Box::new(|_| ()),
            sums_key: ALICE,
            log: LOG,
            origin: "exhibit/acme",
            cosigners: Vec::new(),
            sealer: SEALER,
            long: vec![0; 1_100_000],
            cuts: vec![1],
            roster_versions: 2,
            title: TITLE,
            odd_file: ODD_FILE,
            purpose: "Türprotokoll – 案件 7 \"issuer\":\"bob\"",
            limitation: "größer \"collection\":\"nothing\" als erlaubt",
            machines: MACHINES.to_vec(),
        }
    }
}

impl Recipe<'_> {
    /// The bundle of docs/spec/vectors: web-03 is the only endpoint, and all names are plain.
    pub fn one_endpoint() -> Self {
        Self::default().of_one_endpoint()
    }

    /// The same recipe in the world of docs/spec/vectors.
    pub fn of_one_endpoint(self) -> Self {
        Self {
            title: "suspicious logins on the mail front end",
            odd_file: "/etc/other",
            purpose: "suspicious logins",
            limitation: "the kernel was not asked to stop writers",
            machines: vec![],
            ..self
        }
    }
}

/// A finished bundle.
pub struct Bundle {
    pub files: Files,
}
