//! Enumerations in which each variant is one word.
//! Guarantee: a variant has the same word in documents, on the wire, in the database and in reports. Any other text is an error.

/// Declares such an enumeration. The text after `of` says in errors what the word should have been.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident of $of:literal { $($(#[$why:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$why])* $variant,)*
        }

        impl $name {
            /// Every variant.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The variant's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, out: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::text::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, $crate::text::words::UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::text::words::UnknownWord { of: $of }),
                }
            }
        }
    };
}
pub(crate) use words;

/// A word that is no variant, perhaps because a newer version wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {of} that this version knows")]
pub struct UnknownWord {
    pub(crate) of: &'static str,
}
