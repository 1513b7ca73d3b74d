//! The authority: the keys, pinned outside every server, whose threshold signs rosters.
//! Guarantee: two sets with the same keys and threshold have one id, whatever their order.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::{KeyError, PublicKey};
use crate::length::to_usize;
use crate::text::decimal;

use super::RosterType;

/// Most authority keys: as many as a document has signatures.
pub(crate) const AUTHORITY_KEYS_MAX: usize = crate::signed::SIGNATURES_MAX;

/// The threshold and keys of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySet {
    /// How many distinct keys must sign.
    pub threshold: u32,
    pub keys: Vec<PublicKey>,
}

impl AuthoritySet {
    /// A set whose rules were checked.
    ///
    /// # Errors
    /// [`AuthorityError::Rules`] unless 1 ≤ threshold ≤ number of keys ≤ 16 and no key occurs twice.
    pub fn new(threshold: u32, keys: Vec<PublicKey>) -> Result<Self, AuthorityError> {
        let set = Self { threshold, keys };
        set.validate().map_err(|message| AuthorityError::Rules { message })?;
        Ok(set)
    }

    /// Checks the numbers.
    pub fn validate(&self) -> Result<(), &'static str> {
        let threshold = to_usize(u64::from(self.threshold));
        if self.keys.len() > AUTHORITY_KEYS_MAX || !(1..=self.keys.len()).contains(&threshold) {
            return Err("an authority has 1 to 16 keys and a threshold between 1 and their number");
        }
        if self.sorted().windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err("an authority key occurs twice");
        }
        Ok(())
    }

    /// The id that tokens and endpoints pin.
    pub fn id(&self) -> Digest {
        let mut text = format!("exhibit-authority-v1\n{}\n", self.threshold);
        for key in self.sorted() {
            text.push_str(&key);
            text.push('\n');
        }
        Digest::of(text.as_bytes())
    }

    /// The `authority` file of a trust directory: the threshold, then a line of allowed_signers a key.
    pub fn to_trust_file(&self) -> String {
        let mut text = format!("# threshold {}\n", self.threshold);
        for key in self.sorted() {
            text.push_str(&allowed_line(&key));
        }
        text
    }

    /// Reads an `authority` file.
    ///
    /// # Errors
    /// [`AuthorityError`] for any other line, option, principal or namespace.
    pub fn from_trust_file(text: &str) -> Result<Self, AuthorityError> {
        let body = text.strip_suffix('\n').ok_or(AuthorityError::Line { line: 1 })?;
        let mut lines = body.split('\n');
        let threshold = lines.next().and_then(|line| line.strip_prefix("# threshold ")).and_then(decimal);
        let threshold = threshold.and_then(|number| u32::try_from(number).ok());
        let threshold = threshold.ok_or(AuthorityError::Line { line: 1 })?;
        let mut keys = Vec::new();
        for (line, text) in (2..).zip(lines) {
            if keys.len() == AUTHORITY_KEYS_MAX {
                return Err(AuthorityError::Line { line });
            }
            let key = text.strip_prefix(&allowed_prefix()).ok_or(AuthorityError::Line { line })?;
            keys.push(key.parse().map_err(|source| AuthorityError::Key { line, source })?);
        }
        Self::new(threshold, keys)
    }

    fn sorted(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    }

    /// The lines of allowed_signers.
    pub(super) fn allowed_lines(&self, out: &mut String) {
        for key in self.sorted() {
            out.push_str(&allowed_line(&key));
        }
    }
}

fn allowed_prefix() -> String {
    format!("authority namespaces=\"{}\" ", RosterType::TEXT)
}

fn allowed_line(key: &str) -> String {
    allowed_prefix() + key + "\n"
}

/// An authority set that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A key that cannot be read.
    #[error("authority file, line {line}")]
    Key {
        line: usize,
        #[source]
        source: KeyError,
    },
    /// A line of another form.
    #[error(
        "authority file, line {line}: not `# threshold <k>` first, then `authority namespaces=\"exhibit-roster-v1\" <key>`, each line ended by LF"
    )]
    Line { line: usize },
    /// Numbers that do not fit.
    #[error("{message}")]
    Rules { message: &'static str },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn keys(count: u8) -> Vec<PublicKey> {
        (1..=count).map(|number| SigningKey::from_seed(&[number; 32]).public()).collect()
    }

    #[test]
    fn the_id_depends_on_keys_and_threshold_only() {
        let set = AuthoritySet::new(2, keys(3)).unwrap();
        let mut reversed = keys(3);
        reversed.reverse();
        assert_eq!(AuthoritySet::new(2, reversed).unwrap().id(), set.id());
        assert_ne!(AuthoritySet::new(3, keys(3)).unwrap().id(), set.id());
        assert_ne!(AuthoritySet::new(2, keys(4)).unwrap().id(), set.id());
    }

    #[test]
    fn the_trust_file_round_trips_and_nothing_else_is_read() {
        let set = AuthoritySet::new(2, keys(3)).unwrap();
        let text = set.to_trust_file();
        assert_eq!(AuthoritySet::from_trust_file(&text).unwrap().id(), set.id());
        let (first, rest) = text.split_once('\n').unwrap();
        for wrong in [
            rest.to_owned(),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{first}\n"),
            text.replace("threshold 2", "threshold 4"),
            text.replace("threshold 2", "threshold 0"),
            text.replace("threshold 2", "threshold 02"),
            text.replacen("exhibit-roster-v1", "exhibit-order-v1", 1),
            text.replacen("exhibit-roster-v1", "exhibit-roster-v1,exhibit-order-v1", 1),
            text.replacen("authority ", "* ", 1),
            text.replacen("namespaces", "cert-authority,namespaces", 1),
            text.replace('\n', "\r\n"),
            format!("{text}{}\n", text.lines().last().unwrap()),
        ] {
            assert!(AuthoritySet::from_trust_file(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distinct_keys_are_counted() {
        let set = AuthoritySet::new(2, keys(3)).unwrap();
        let all = keys(4);
        assert!(set.check(&all[..2]).is_ok());
        assert!(set.check(&[all[0].clone(), all[3].clone(), all[2].clone()]).is_ok());
        assert!(set.check(&[all[0].clone(), all[0].clone()]).is_err());
        assert!(set.check(&[all[0].clone(), all[3].clone()]).is_err());
        assert!(set.check(&[]).is_err());
        let unchecked = AuthoritySet { threshold: 0, keys: vec![] };
        assert!(unchecked.check(&all).is_err(), "a set that was never validated admits nothing");
    }
}
