//! Enrolment: how a machine becomes an endpoint and renews its certificate, and how persons log in. Format: docs/spec/enrolment.md.
//! Guarantee: each Ed25519 key of a request signs it, so nobody registers a key that is not theirs. TLS keys prove themselves in the
//! PKCS#10 request, whose digest and nonce the document names. The endpoint believes
//! nothing that its token does not name. Not here: certificates (crate `certs`), the one-use rule (server).

mod accept;
mod address;
mod login;
mod request;
mod token;
mod token_string;

pub use accept::{Accepted, Offer, accept};
pub use address::{Address, AddressError};
pub use login::{Login, LoginType};
pub use request::{AgentBuild, EnrolmentRequest, EnrolmentType, Renewal, RenewalType};
pub use token::{Token, TokenType};
pub use token_string::TokenString;

use crate::roster::RosterError;
use crate::signed::SignedError;

/// Why an enrolment, renewal or login is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// A value differs from the one that was pinned or asked for.
    #[error("{what} is not the one that was asked for")]
    Differs { what: &'static str },
    /// The bytes are not a signed document of its type.
    #[error("signed document")]
    Document {
        #[source]
        source: SignedError,
    },
    /// The entry that should record it cannot be read.
    #[error("ledger entry of the enrolment")]
    Entry {
        #[source]
        source: crate::entry::EntryError,
    },
    /// Outside its time.
    #[error("token is valid from {issued} to {not_after} only; ask for a new one")]
    Expired { issued: crate::time::Time, not_after: crate::time::Time },
    /// The log's key cannot be used.
    #[error("log key of the token")]
    LogKey {
        #[source]
        source: ledger::policy::PolicyError,
    },
    /// The line of keys from the token's log key to the one that signs now is wrong.
    #[error("changes of the log key since the token was made")]
    LogKeys {
        /// Why it is not believed.
        #[source]
        source: crate::log_key::LogKeyError,
    },
    /// The enrolment is not proven to be logged.
    #[error("proof that the enrolment is logged")]
    Proof {
        #[source]
        source: ledger::proof_file::ProofFileError,
    },
    /// The roster is not in force.
    #[error("roster of the deployment")]
    Roster {
        #[source]
        source: RosterError,
    },
    /// The signatures are by others, too few or too many, or in another order.
    #[error("{what} is not signed by {by}, in this order and by nobody else")]
    Signers {
        what: &'static str,
        /// The required signers.
        by: &'static str,
    },
    /// The text is not a token string.
    #[error("not a token: exhibit1.<document>.<signature>.<seed>, copied whole and without blanks")]
    TokenString,
}

fn open<T: crate::document::Document>(
    signed: &crate::signed::Signed,
) -> Result<(T, Vec<crate::keys::PublicKey>), EnrolmentError> {
    signed.open().map_err(|source| EnrolmentError::Document { source })
}
