//! Text as TOML writes it.

/// The text as a TOML string.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
