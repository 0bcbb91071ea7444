//! How an encrypted column is stored, and what tells its envelopes apart in SQL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::table::{ColumnFacts, literal, quoted};
use crate::crypto::{KeyId, Mode};
use crate::policy::Encryption;

/// `pg_type.oid` of what is stored or is as good as it.
const BYTEA: u32 = 17;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;

/// What all envelopes of this version begin with, in either form: `pgveil:` and the digits of the first three bytes.
pub(super) const TEXT_PREFIX: &str = "pgveil:UFYB";
pub(super) const BYTES_PREFIX: [u8; 3] = *b"PV\x01";

/// Bytes of `pgveil:`.
const TEXT_MARK_BYTES: i64 = 7;

/// The type that holds the envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredType {
    /// `text`.
    Text,
    /// `character varying` without a length: what applications ask the catalog for changes least.
    Varchar,
    /// `bytea`.
    Bytea,
}

/// What has to be done to a column's type before it can hold envelopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TypeChange {
    /// Nothing.
    None,
    /// A change of the catalog alone, quick once the lock is there.
    Quick(StoredType),
    /// The table is written anew under ACCESS EXCLUSIVE, which keeps readers out too.
    Rewrite(StoredType),
}

impl StoredType {
    /// Which it is for a column as it is now.
    pub(super) fn of(facts: &ColumnFacts) -> Self {
        match facts.base_type {
            BYTEA => Self::Bytea,
            VARCHAR => Self::Varchar,
            _ => Self::Text,
        }
    }

    /// Its name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Varchar => "character varying",
            Self::Bytea => "bytea",
        }
    }

    /// Whether envelopes are stored as bytes.
    pub(super) fn is_bytes(self) -> bool {
        match self {
            Self::Bytea => true,
            Self::Text | Self::Varchar => false,
        }
    }

    /// Bytes of the envelope of a plaintext of so many bytes.
    pub(super) fn envelope_bytes(self, plaintext: i64, mode: Mode) -> i64 {
        let bytes = plaintext.saturating_add(i64::try_from(mode.overhead_bytes()).unwrap_or(i64::MAX));
        if self.is_bytes() { bytes } else { bytes.saturating_mul(4).saturating_add(2) / 3 + TEXT_MARK_BYTES }
    }

    /// The SQL condition that a column's value is an envelope, of whatever key.
    pub(super) fn is_envelope(self, column: &str) -> String {
        match self {
            Self::Text | Self::Varchar => {
                format!("pg_catalog.\"left\"({}, {}) = {}", quoted(column), TEXT_PREFIX.len(), literal(TEXT_PREFIX))
            }
            Self::Bytea => format!(
                "pg_catalog.\"substring\"({}, 1, {}) = {}",
                quoted(column),
                BYTES_PREFIX.len(),
                bytes_literal(&BYTES_PREFIX)
            ),
        }
    }

    /// The SQL condition that a column's value is an envelope that this key writes in this mode.
    pub(super) fn is_of_key(self, column: &str, key: KeyId, mode: Mode) -> String {
        match self {
            Self::Text | Self::Varchar => {
                let prefix = key.text_prefix(mode);
                format!("pg_catalog.\"left\"({}, {}) = {}", quoted(column), prefix.len(), literal(&prefix))
            }
            Self::Bytea => {
                let prefix = bytes_prefix(key, mode);
                let (length, prefix) = (prefix.len(), bytes_literal(&prefix));
                format!("pg_catalog.\"substring\"({}, 1, {length}) = {prefix}", quoted(column))
            }
        }
    }

    /// The condition of the constraint by which the server itself refuses plaintext. Values of a deterministic column are
    /// all of one key, as those with a blind index are.
    pub(super) fn check(self, column: &str, key: KeyId, mode: Mode) -> String {
        match (self, mode) {
            (Self::Text | Self::Varchar, Mode::Deterministic | Mode::Indexed) => {
                format!("{} LIKE {}", quoted(column), literal(&format!("{}%", key.text_prefix(mode))))
            }
            (Self::Text | Self::Varchar, Mode::Randomized) => {
                format!("{} LIKE {}", quoted(column), literal(&format!("{TEXT_PREFIX}%")))
            }
            (Self::Bytea, Mode::Deterministic | Mode::Indexed) => self.is_of_key(column, key, mode),
            (Self::Bytea, Mode::Randomized) => self.is_envelope(column),
        }
    }
}

impl TypeChange {
    /// What a column needs. Text types are of one storage: only a length has to go.
    pub(super) fn needed(facts: &ColumnFacts) -> Self {
        let stored = StoredType::of(facts);
        match facts.base_type {
            TEXT | VARCHAR | BYTEA if facts.type_name == stored.name() => Self::None,
            TEXT | VARCHAR | BYTEA => Self::Quick(stored),
            _ => Self::Rewrite(stored),
        }
    }

    /// What ALTER TABLE has to do for it. Other types are written as the server writes them under ISO dates, UTC, hex.
    pub(super) fn action(&self, facts: &ColumnFacts) -> Option<String> {
        let column = quoted(&facts.name.column);
        match self {
            Self::None => None,
            Self::Quick(stored) => Some(format!("ALTER COLUMN {column} TYPE {}", stored.name())),
            Self::Rewrite(stored) => Some(format!("ALTER COLUMN {column} TYPE {} USING {column}::text", stored.name())),
        }
    }
}

/// What ALTER TABLE has to do so that a column of plaintext has its declared type again; `None`: it has that type.
pub(super) fn back(facts: &ColumnFacts, encryption: &Encryption) -> Option<String> {
    let declared = encryption.plain.to_string();
    if facts.type_name == declared {
        return None;
    }
    let column = quoted(&facts.name.column);
    // Texts go by assignment, which refuses what is too long; a cast that is written would cut it off.
    let using = match declared.split('(').next().unwrap_or_default() {
        "text" | "character varying" | "character" | "name" => String::new(),
        _ => format!(" USING {column}::{declared}"),
    };
    Some(format!("ALTER COLUMN {column} TYPE {declared}{using}"))
}

/// One ALTER TABLE for all that is to be done to a table's columns, so that it is written anew once if at all.
pub(super) fn alter(facts: &ColumnFacts, actions: &[String]) -> Option<String> {
    (!actions.is_empty()).then(|| format!("ALTER TABLE {} {}", facts.table_name(), actions.join(", ")))
}

/// The name of the constraint by which the server refuses plaintext in a column.
pub(super) fn constraint_name(column: &str) -> String {
    format!("pgveil_encrypted_{column}")
}

/// What the envelopes of a key begin with as bytes: the same as in text, whose digits are of whole bytes.
fn bytes_prefix(key: KeyId, mode: Mode) -> Vec<u8> {
    let text = key.text_prefix(mode);
    STANDARD_NO_PAD.decode(text.trim_start_matches("pgveil:")).unwrap_or_default()
}

fn bytes_literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{digits}'::bytea")
}
