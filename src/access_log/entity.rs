//! Whose rows were seen: keys of the rows of tagged tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// The most keys that one record has; more of them come in records of their own.
pub const KEYS_MAX: usize = 1_000;
/// The longest key that is written down, in bytes.
pub const KEY_BYTES_MAX: usize = 200;

/// Keys of one sort in the rows that an execution has shown of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entities {
    /// The subject's name in the policy (`customer`), or the table itself (`public.customer`).
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// The tagged table whose rows were seen, as `schema.table`.
    pub table: Arc<str>,
    /// The keys, each once in a record, as PostgreSQL writes them. Parts of a key of several columns stand between `/`, and
    /// in them `%25` and `%2F` for `%` and `/`.
    pub keys: BTreeSet<Arc<str>>,
    /// Whether the key of every row that was seen is here or in another record of the execution.
    pub complete: bool,
}

impl Entities {
    /// The keys that are there, which are then no more.
    pub fn emptied(&mut self) -> Self {
        let keys = std::mem::take(&mut self.keys);
        Self { kind: Arc::clone(&self.kind), table: Arc::clone(&self.table), keys, complete: self.complete }
    }
}

/// A key of several columns, as it is written.
pub fn composed<'p>(parts: impl ExactSizeIterator<Item = &'p str>) -> String {
    if parts.len() == 1 {
        return parts.collect();
    }
    let parts: Vec<String> = parts.map(|part| part.replace('%', "%25").replace('/', "%2F")).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_can_be_told_apart() {
        for (parts, expected) in [
            (&["42"][..], "42"),
            (&["a/b%"], "a/b%"),
            (&["42", "7"], "42/7"),
            (&["a/b", "c"], "a%2Fb/c"),
            (&["a", "b/c"], "a/b%2Fc"),
            (&["50%", "2F"], "50%25/2F"),
            (&["", ""], "/"),
        ] {
            assert_eq!(composed(parts.iter().copied()), expected);
        }
    }
}
