//! Why a response is not a stamp over the data. The text begins with the rule of docs/spec/rules.md.

/// Why a response is not a stamp over the data, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StampError {
    /// The time-stamp info breaks RFC 3161.
    #[error("stamp-7: its time-stamp info is malformed")]
    Info,
    /// Some element is spelt otherwise than DER asks.
    #[error("stamp-5: it is not strict DER")]
    NotStrict,
    /// The authority stamped other data.
    #[error("stamp-7: it is about other data")]
    OtherData,
    /// The signature covers a digest of something else than the time-stamp info.
    #[error("stamp-7: its signature is about other content")]
    OtherContent,
    /// The signature covers something else than time-stamp info.
    #[error("stamp-7: its signature is about another kind of content")]
    OtherContentType,
    /// The stamp answers another request, or does not say which.
    #[error("it has another nonce than the request, or none")]
    OtherNonce,
    /// The authority refused.
    #[error("the authority refused (status {status:?})")]
    Refused {
        /// The content of the INTEGER `PKIStatus`.
        status: Vec<u8>,
        /// The authority's own words, cut and without control characters.
        words: String,
    },
    /// The bytes are no granted response.
    #[error("stamp-7: it is no time-stamp response")]
    Shape,
    /// A certificate in the response is neither the signer's nor one of its issuers'.
    #[error("stamp-6: it carries a certificate that its signer's chain does not use")]
    SpareCertificate,
    /// The response has more bytes than any needs.
    #[error("stamp-4: it is over {max} bytes")]
    TooLong { max: usize },
    /// No certificate in the response signed it.
    #[error("stamp-7: it is not signed by a certificate in it")]
    Unsigned,
}
