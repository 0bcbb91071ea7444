//! `encrypted: { ... }` of a column: how its values are kept in the database.

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::document::{ENCRYPTION_KEYS, EncryptionEntry, TENANT_KEYS};
use super::form::Reader;
use super::node::{Node, Word};
use crate::catalog::{Name, Oid};
use crate::crypto::Mode;
use crate::value::{PlainType, Scalar};

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
    /// Whose its values are, where they are bound to that as well; `None`: they are not.
    pub tenant: Option<Tenant>,
    /// The column beside it that has its blind index: there where the mode is [`Mode::Indexed`].
    pub blind_index: Option<Name>,
}

/// Where the tenant of a value is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// In another column of the same row.
    Column(Name),
    /// In a setting of the session (`SET app.tenant_id = ...`).
    Setting(Arc<str>),
}

/// The type of a column that can say whose a value is, by its OID: those of which two values are equal just where they are
/// written alike; `None`: it can not.
pub fn tenant_type(oid: Oid) -> Option<PlainType> {
    let scalars = [Scalar::Int2, Scalar::Int4, Scalar::Int8, Scalar::Uuid, Scalar::Text, Scalar::Varchar];
    let scalar = scalars.into_iter().find(|scalar| scalar.oid() == oid)?;
    Some(PlainType { scalar, modifier: -1 })
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
            && self.is_bound_like(other)
            && (self.stored, other.stored) == (Stored::Encrypted, Stored::Encrypted)
    }

    /// Whether what is stored in one column may be stored in the other.
    pub fn may_hold_values_of(&self, other: &Self) -> bool {
        (self.mode, &self.key, &self.domain, &self.plain) == (other.mode, &other.key, &other.domain, &other.plain)
            && self.is_bound_like(other)
            && (other.stored == Stored::Encrypted || self.stored == Stored::Mixed)
    }

    /// Whether values of both are bound to tenants in the same way. Columns of different tables may call the tenant differently.
    pub fn is_bound_like(&self, other: &Self) -> bool {
        match (&self.tenant, &other.tenant) {
            (None, None) | (Some(Tenant::Column(_)), Some(Tenant::Column(_))) => true,
            (Some(Tenant::Setting(one)), Some(Tenant::Setting(two))) => one == two,
            (None | Some(_), None | Some(_)) => false,
        }
    }

    /// The column of the same table that says whose a value is.
    pub fn tenant_column(&self) -> Option<&Name> {
        match &self.tenant {
            Some(Tenant::Column(column)) => Some(column),
            Some(Tenant::Setting(_)) | None => None,
        }
    }

    /// The setting that says whose a value is.
    pub fn tenant_setting(&self) -> Option<&Arc<str>> {
        match &self.tenant {
            Some(Tenant::Setting(setting)) => Some(setting),
            Some(Tenant::Column(_)) | None => None,
        }
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
        let tenant = match fields.take("tenant") {
            Some((key, node)) => Some(self.tenant(&key, &node, &what)?),
            None => None,
        };
        let (plain, of_key, domain) = (plain?, of_key?, domain?);
        let (blind_index, index_place) = match fields.take("blind_index") {
            Some((key, node)) => {
                let word = self.word(&node, &key.place, &format!("`blind_index` of {what}"), "the name of a column")?;
                (Some(Name::exact(&word.text)), Some(word.place))
            }
            None => (None, None),
        };
        let mode = match (mode, &index_place) {
            (mode, None) => mode,
            (Mode::Randomized | Mode::Indexed, Some(_)) => Mode::Indexed,
            (Mode::Deterministic, Some(place)) => {
                let message = "a deterministic column needs no blind index";
                let help = "leave `blind_index` out, or `mode: deterministic`: what is stored of such a value is found as it is";
                self.report(Diagnostic::error(place, message).with_help(help));
                return None;
            }
        };
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
        if mode.is_comparable() && !known.compares_by_bytes() {
            let (be, out) = match mode {
                Mode::Randomized | Mode::Deterministic => ("be deterministic", "`mode` out (`randomized`)"),
                Mode::Indexed => ("have a blind index", "`blind_index` out"),
            };
            let message =
                format!("values of type `{known}` may be equal and written differently, so they can not {be}");
            let help = format!("leave {out}: such a column can not be searched by value");
            self.report(Diagnostic::error(&plain.place, message).with_help(help));
            return None;
        }
        let (of_key, domain) = (of_key.text.into(), domain.text.into());
        let encryption = Encryption { plain: known, mode, key: of_key, domain, stored, tenant, blind_index };
        Some(EncryptionEntry { encryption: Arc::new(encryption), place: key.place.clone(), index_place })
    }

    /// `tenant: { column: tenant_id }` or `tenant: { setting: app.tenant_id }`.
    fn tenant(&mut self, key: &Word, node: &Node, of: &str) -> Option<Tenant> {
        let what = format!("`tenant` of {of}");
        let mut fields = self.fields(node, &key.place, &what, TENANT_KEYS)?;
        match (fields.take("column"), fields.take("setting")) {
            (Some((key, node)), None) => {
                let column =
                    self.word(&node, &key.place, &format!("`column` of {what}"), "a column of the same table")?;
                Some(Tenant::Column(Name::exact(&column.text)))
            }
            (None, Some((key, node))) => {
                let setting = self.word(&node, &key.place, &format!("`setting` of {what}"), "the name of a setting")?;
                if !is_custom_setting(&setting.text) {
                    let wrong = format!("`{}` is not the name of a setting of an application", setting.text);
                    let help = "such names have two parts of letters, digits and `_`: `app.tenant_id`";
                    self.report(Diagnostic::error(&setting.place, wrong).with_help(help));
                    return None;
                }
                // The names of settings are the same in upper and lower case.
                Some(Tenant::Setting(setting.text.to_ascii_lowercase().into()))
            }
            (None, None) | (Some(_), Some(_)) => {
                let wrong = Diagnostic::error(&key.place, format!("{what} has to be one of `column` and `setting`"));
                self.report(
                    wrong.with_help("write `tenant: { column: tenant_id }` or `tenant: { setting: app.tenant_id }`"),
                );
                None
            }
        }
    }
}

/// Whether a name is that of a setting that applications may make: two words or more with dots between
/// (`valid_custom_variable_name` of PostgreSQL, without what has to be quoted).
fn is_custom_setting(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    name.contains('.') && name.split('.').all(is_word) && name.len() <= NAME_BYTES_MAX
}
