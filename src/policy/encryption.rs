//! `encrypted: { ... }` of a column: how its values are kept in the database.

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::document::{ENCRYPTION_KEYS, EncryptionEntry};
use super::form::Reader;
use super::node::{Node, Word};
use crate::crypto::Mode;
use crate::value::PlainType;

/// How an encrypted column is kept. The server has it as text (or `bytea`), clients see the type that is declared here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The type that clients see.
    pub plain: PlainType,
    /// Whether equal values are stored equal, and so can be found.
    pub mode: Mode,
    /// The name of the key.
    pub key: Arc<str>,
    /// What a value is bound to: it does not open as one of another domain. Columns of one domain can be compared.
    pub domain: Arc<str>,
    /// What may stand in the column.
    pub stored: Stored,
}

/// What may stand in an encrypted column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// Envelopes alone: what is none is an error.
    #[default]
    Encrypted,
    /// Plaintext too: it is being converted. What is written is encrypted.
    Mixed,
}

/// Bytes of the name of a domain or a key.
const NAME_BYTES_MAX: usize = 255;

pub(super) const MODE_WORDS: &[(&str, Mode)] =
    &[("randomized", Mode::Randomized), ("deterministic", Mode::Deterministic)];
pub(super) const STORED_WORDS: &[(&str, Stored)] = &[("encrypted", Stored::Encrypted), ("mixed", Stored::Mixed)];

impl Encryption {
    /// Whether two columns hold equal values where what is stored is equal.
    pub fn compares_with(&self, other: &Self) -> bool {
        self.mode == Mode::Deterministic
            && other.mode == Mode::Deterministic
            && (&self.key, &self.domain) == (&other.key, &other.domain)
            && self.plain.scalar == other.plain.scalar
            && (self.stored, other.stored) == (Stored::Encrypted, Stored::Encrypted)
    }

    /// Whether what is stored in one column may be stored in the other.
    pub fn may_hold_values_of(&self, other: &Self) -> bool {
        (self.mode, &self.key, &self.domain, &self.plain) == (other.mode, &other.key, &other.domain, &other.plain)
            && (other.stored == Stored::Encrypted || self.stored == Stored::Mixed)
    }
}

impl Reader<'_> {
    /// `encrypted: { type: text, mode: deterministic, key: customer, domain: email }`.
    pub(super) fn encryption(&mut self, key: &Word, node: &Node, column: &str) -> Option<EncryptionEntry> {
        let what = format!("`encrypted` of {column}");
        let mut fields = self.fields(node, &key.place, &what, ENCRYPTION_KEYS)?;
        let mut required = |reader: &mut Self, name: &str, wanted: &str, help: &str| match fields.take(name) {
            Some((word, node)) => reader.word(&node, &word.place, &format!("`{name}` of {what}"), wanted),
            None => {
                let missing = Diagnostic::error(&key.place, format!("{what} does not say its {name}"));
                reader.report(missing.with_help(help));
                None
            }
        };
        let plain =
            required(self, "type", "a type", "add `type:`, the type that applications see: `type: varchar(60)`");
        let of_key =
            required(self, "key", "the name of a key", "add `key:`, the name of a key of `pgveil keys create`");
        let domain = required(
            self,
            "domain",
            "a name",
            "add `domain:`, a name of your choice that stays when table or column are renamed: values are bound to it, and columns \
             of one domain can be compared",
        );
        let mode = match fields.take("mode") {
            Some((key, node)) => self.one_of(&node, &key.place, &format!("`mode` of {what}"), MODE_WORDS)?,
            None => Mode::Randomized,
        };
        let stored = match fields.take("stored") {
            Some((key, node)) => self.one_of(&node, &key.place, &format!("`stored` of {what}"), STORED_WORDS)?,
            None => Stored::Encrypted,
        };
        let (plain, of_key, domain) = (plain?, of_key?, domain?);
        for word in [&of_key, &domain] {
            if word.text.len() > NAME_BYTES_MAX {
                let long = Diagnostic::error(&word.place, format!("a name of more than {NAME_BYTES_MAX} bytes"));
                self.report(long.with_help("names of keys and domains are short"));
                return None;
            }
        }
        let known = match PlainType::parse(&plain.text) {
            Ok(known) => known,
            Err(unknown) => {
                let help = "encrypted columns have one of PostgreSQL's own scalar types: text, varchar(60), int, numeric(10, 2), date, ...";
                self.report(Diagnostic::error(&plain.place, unknown.to_string()).with_help(help));
                return None;
            }
        };
        if mode == Mode::Deterministic && !known.compares_by_bytes() {
            let message = format!(
                "values of type `{known}` may be equal and written differently, so they can not be deterministic"
            );
            let help = "leave `mode` out (`randomized`): such a column can not be searched by value";
            self.report(Diagnostic::error(&plain.place, message).with_help(help));
            return None;
        }
        let encryption = Encryption { plain: known, mode, key: of_key.text.into(), domain: domain.text.into(), stored };
        Some(EncryptionEntry { encryption: Arc::new(encryption), place: key.place.clone() })
    }
}
