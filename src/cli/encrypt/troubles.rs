//! Rows that can not be converted, or are not what they should be: counted, and the first of them named.

use std::collections::BTreeMap;

use super::convert::Trouble;

/// Rows that are named.
const NAMED_MAX: usize = 100;

/// What was found. Rows are named by their primary keys, never by a value.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    counts: BTreeMap<(String, String, Trouble), u64>,
    named: Vec<(String, String, String, Trouble)>,
}

impl Troubles {
    /// Add one.
    pub(super) fn add(&mut self, table: &str, column: &str, key: String, trouble: Trouble) {
        *self.counts.entry((table.to_owned(), column.to_owned(), trouble)).or_default() += 1;
        let again = |named: &(String, String, String, Trouble)| named.0 == table && named.1 == column && named.2 == key;
        if self.named.len() < NAMED_MAX && !self.named.iter().any(again) {
            self.named.push((table.to_owned(), column.to_owned(), key, trouble));
        }
    }

    /// Take in those of another.
    pub(super) fn extend(&mut self, other: Self) {
        for (place, count) in other.counts {
            *self.counts.entry(place).or_default() += count;
        }
        self.named.extend(other.named);
        self.named.truncate(NAMED_MAX);
    }

    /// Forget all: what is still so is found again by the next pass.
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.named.clear();
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// One line for each row that is named, and one for each sort.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .named
            .iter()
            .map(|(table, column, key, trouble)| format!("{}, row {key}: {trouble}", place(table, column)))
            .collect();
        let all: u64 = self.counts.values().sum();
        if all > u64::try_from(self.named.len()).unwrap_or(u64::MAX) {
            lines.push(format!("... {all} in all"));
        }
        lines
    }
}

fn place(table: &str, column: &str) -> String {
    if column.is_empty() { table.to_owned() } else { format!("{table}.{column}") }
}
