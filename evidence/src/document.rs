//! The parts that all signed documents share: a type name, which is also their signature's namespace, and rules of their own.
//! Guarantee: a struct can only be read from a document whose `type` field names it.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A signed document.
pub trait Document: Serialize + DeserializeOwned {
    /// Value of its `type` field, and the namespace of its signatures.
    const TYPE: &'static str;

    /// Checks the rules that the types of its fields do not enforce already.
    fn validate(&self) -> Result<(), &'static str>;
}

/// Defines the unit type of a `type` field: it writes one text and reads nothing else.
macro_rules! document_type {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            pub const TEXT: &'static str = $text;
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, out: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                out.write_str(Self::TEXT)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::document::WrongType;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text == Self::TEXT { Ok(Self) } else { Err($crate::document::WrongType { expected: Self::TEXT }) }
            }
        }

        $crate::text::serde_as_text!($name);
    };
}
pub(crate) use document_type;

/// A document of another type or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("document type is not {expected}")]
pub struct WrongType {
    /// The type that was asked for.
    pub expected: &'static str,
}
