//! Answers as a table for people, as JSON lines or as CSV (RFC 4180).

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Map, Value};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// A JSON object a line
    Json,
    /// With a header (RFC 4180)
    Csv,
}

/// An answer: the names of its columns, and its rows.
pub(super) struct Table {
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Table => self.aligned(),
            Format::Json => self.json(),
            Format::Csv => self.csv(),
        }
    }

    fn aligned(&self) -> String {
        let head = self.columns.iter().map(|name| (*name).to_owned()).collect();
        let lines: Vec<Vec<String>> =
            std::iter::once(head).chain(self.rows.iter().map(|row| row.iter().map(printable).collect())).collect();
        let width = |at: usize| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let mut written = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(written, "{cell:width$}  ");
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let fields = self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
            let _ = writeln!(text, "{}", Value::Object(Map::from_iter(fields)));
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = format!("{}\r\n", self.columns.join(","));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|value| quoted(&shown(value))).collect();
            let _ = write!(text, "{}\r\n", cells.join(","));
        }
        text
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// For a terminal: names come from clients, and no control character of theirs gets there.
fn printable(value: &Value) -> String {
    let text = shown(value);
    if text.is_empty() { "-".to_owned() } else { text.chars().flat_map(escaped).collect() }
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    escape.into_iter().flatten().chain((!character.is_control()).then_some(character))
}

/// A field of CSV. A text that spreadsheets would take for a formula gets an apostrophe before it.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_have_named_can_not_break_out_of_a_cell() {
        let rows = vec![vec![json!("a\u{1b}[2J\nb"), json!(null)], vec![json!("=1+1,\"x\""), json!(7)]];
        let table = Table { columns: &["name", "count"], rows };
        assert_eq!(
            table.write(Format::Table),
            concat!("name           count\n", "a\\u{1b}[2J\\nb  -\n", "=1+1,\"x\"       7\n")
        );
        assert_eq!(table.write(Format::Csv), "name,count\r\n\"a\u{1b}[2J\nb\",\r\n\"'=1+1,\"\"x\"\"\",7\r\n");
        assert_eq!(table.write(Format::Json).lines().count(), 2);
    }
}
