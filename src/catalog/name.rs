//! Identifiers as PostgreSQL holds them.

use std::fmt;
use std::sync::Arc;

/// `NAMEDATALEN - 1`: what is left of a longer identifier, in bytes
/// (PostgreSQL manual, section 4.1.1 "Identifiers and Key Words").
pub const NAME_BYTES_MAX: usize = 63;

/// An identifier after folding and truncation: two names are equal exactly when PostgreSQL takes them for the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// An identifier that was written without quotes: ASCII letters are folded to lower case. (In a multi-byte
    /// encoding such as UTF-8 the server folds ASCII only: `downcase_identifier` in `scansup.c`.)
    pub fn folded(raw: &str) -> Self {
        let kept = truncated(raw);
        if kept.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(kept.to_ascii_lowercase().into())
        } else {
            Self(kept.into())
        }
    }

    /// An identifier that was written in quotes (already unescaped), or that comes from the catalog.
    pub fn exact(raw: &str) -> Self {
        Self(truncated(raw).into())
    }

    /// The identifier's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Cut to [`NAME_BYTES_MAX`] bytes at a character boundary, as `truncate_identifier` does.
fn truncated(raw: &str) -> &str {
    if raw.len() <= NAME_BYTES_MAX {
        return raw;
    }
    let end = (0..=NAME_BYTES_MAX).rev().find(|&at| raw.is_char_boundary(at)).unwrap_or(0);
    raw.get(..end).unwrap_or(raw)
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_names_fold_ascii_only() {
        assert_eq!(Name::folded("EMail").as_str(), "email");
        assert_eq!(Name::folded("Ünïcode").as_str(), "Ünïcode");
        assert_eq!(Name::exact("EMail").as_str(), "EMail");
    }

    #[test]
    fn long_names_are_cut_at_a_character_boundary() {
        assert_eq!(Name::exact(&"a".repeat(70)).as_str().len(), 63);
        let wide = format!("{}é", "a".repeat(62));
        assert_eq!(Name::exact(&wide).as_str().len(), 62);
    }
}
