//! A policy file as a tree of YAML nodes that know where they stand.
//!
//! serde-saphyr reads the YAML. The tree between it and the document lets all mistakes of a file be reported in one go
//! (a derived `Deserialize` stops at the first), and lets a repeated key be shown at both of its places.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::diagnostic::{Diagnostic, Place, PolicyFile};

/// How deep mappings and lists may be nested: twice what a policy needs.
const DEPTH_MAX: usize = 16;

/// A word of the policy: a key or a plain value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// The text, without YAML's quotes.
    pub(super) text: String,
    /// Where.
    pub(super) place: Place,
}

/// A YAML node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands. Of a mapping or sequence only the start.
    pub(super) place: Place,
    /// What it is.
    pub(super) value: Value,
}

/// What a YAML node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null` without quotes.
    Null,
    /// `true` or `false` without quotes.
    Bool(bool),
    /// A number without quotes, as written.
    Number(String),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping; repeated keys are kept.
    Map(Vec<(Word, Node)>),
}

impl Node {
    /// Read the one YAML document of a file.
    pub(super) fn parse(file: &Arc<PolicyFile>) -> Result<Self, Box<Diagnostic>> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::Error,
            // `no` and `on` are names like any other.
            strict_booleans: true,
            reject_unsupported_tags: true,
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(file.text(), options) {
            Ok(raw) => Ok(Self::located(raw, file)),
            Err(error) => {
                let error = error.without_snippet();
                let place = match error.location() {
                    Some(location) => place_of(location, file),
                    None => Place::start_of(file),
                };
                Err(Box::new(explained(error, &place, file.text())))
            }
        }
    }

    fn located(raw: Spanned<Raw>, file: &Arc<PolicyFile>) -> Self {
        let place = place_of(raw.defined, file);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number => Value::Number(place.text().trim().to_owned()),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(|item| Self::located(item, file)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = Word { text: key.value, place: place_of(key.defined, file) };
                        (key, Self::located(value, file))
                    })
                    .collect(),
            ),
        };
        Self { place, value }
    }

    /// What it is, for messages.
    pub(super) fn sort(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a word",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn explained(error: &serde_saphyr::Error, place: &Place, text: &str) -> Diagnostic {
    match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            let several = Diagnostic::error(place, "a second YAML document begins in this file");
            several.with_help("put it in a file of its own: a policy may have several files")
        }
        serde_saphyr::Error::MergeKeyNotAllowed { .. } => {
            let merge = Diagnostic::error(place, "merge keys (`<<`) are not read in policies");
            merge.with_help("write the keys out, or use an alias (`*name`) for a whole value")
        }
        error => {
            let message = UserMessageFormatter.format_message(error).into_owned();
            let found = Diagnostic::error(place, format!("not valid YAML: {message}"));
            match tab_in_indentation(text) {
                Some(line) => found.with_help(format!("line {line} is indented with a tab: use spaces")),
                None => found,
            }
        }
    }
}

/// The first line that has a tab in its indentation: YAML's messages for it seldom say so.
fn tab_in_indentation(text: &str) -> Option<usize> {
    let indented_by_tab = |line: &str| line.chars().take_while(|char| char.is_whitespace()).any(|char| char == '\t');
    text.lines().position(indented_by_tab).map(|index| index + 1)
}

fn place_of(location: Location, file: &Arc<PolicyFile>) -> Place {
    let span = location.span();
    let range = match (span.byte_offset(), span.byte_len()) {
        (Some(offset), Some(length)) => byte_range(offset, length),
        _ => None,
    };
    let range = range.unwrap_or_else(|| {
        let index = |from_one: u64| usize::try_from(from_one.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut lines = file.text().split_inclusive('\n');
        let line_start: usize = lines.by_ref().take(index(location.line())).map(str::len).sum();
        let in_line: usize =
            lines.next().unwrap_or_default().chars().take(index(location.column())).map(char::len_utf8).sum();
        line_start + in_line..line_start + in_line
    });
    // The span of a plain scalar may take in the line break behind it.
    let text = file.text().get(range.clone()).unwrap_or_default();
    let end = range.start + text.trim_end().len();
    Place::new(file, range.start..end)
}

fn byte_range(offset: u64, length: u64) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// A node as serde hands it over.
enum Raw {
    Null,
    Bool(bool),
    /// Its text is taken from the file: `0.10` must not become `0.1`.
    Number,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML node")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, _value: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E: de::Error>(self, _value: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_i128<E: de::Error>(self, _value: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u128<E: de::Error>(self, _value: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            entries.push((key, access.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PolicySource;
    use super::*;

    fn file(text: &str) -> Arc<PolicyFile> {
        PolicyFile::new(&PolicySource { path: "p.yaml".into(), text: text.into() })
    }

    #[test]
    fn nodes_know_their_text_and_place() {
        let file = file("a: 0.10\n'b é': [no, true, \"1\"]  # note\nc:\n  d: ~\n");
        let Value::Map(entries) = Node::parse(&file).unwrap().value else { panic!("a mapping") };
        let [(a, ten), (b, list), (c, inner)] = entries.as_slice() else { panic!("three entries") };
        assert_eq!((a.text.as_str(), a.place.text()), ("a", "a"));
        assert!(matches!(&ten.value, Value::Number(text) if text == "0.10"), "{ten:?}");
        assert_eq!((b.text.as_str(), b.place.text(), b.place.line()), ("b é", "'b é'", 2));
        let Value::List(items) = &list.value else { panic!("a list") };
        assert!(
            matches!(items.as_slice(), [Node { value: Value::Text(no), .. }, Node { value: Value::Bool(true), .. },
            Node { value: Value::Text(one), .. }] if no == "no" && one == "1")
        );
        assert_eq!(items[2].place.text(), "\"1\"");
        assert_eq!(c.place.line(), 3);
        let Value::Map(inner) = &inner.value else { panic!("a mapping") };
        assert!(matches!(inner.as_slice(), [(key, Node { value: Value::Null, .. })] if key.text == "d"));
    }

    #[test]
    fn repeated_keys_are_kept_for_the_reader_to_refuse() {
        let Value::Map(entries) = Node::parse(&file("a: 1\na: 2\n")).unwrap().value else { panic!("a mapping") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn line_breaks_of_windows_and_byte_order_marks_do_not_shift_places() {
        for (text, line, shown) in [("a: 1\r\nbc: d e\r\n", 2, "d e"), ("\u{feff}a: é\nbc: d e\n", 2, "d e")] {
            let Value::Map(entries) = Node::parse(&file(text)).unwrap().value else { panic!("a mapping") };
            let (key, value) = &entries[1];
            assert_eq!((key.place.text(), value.place.text(), value.place.line()), ("bc", shown, line), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for open in ["[", "{a: ", "- "] {
            let found = Node::parse(&file(&open.repeat(100_000))).unwrap_err();
            assert_eq!(found.line, 1);
        }
    }

    #[test]
    fn broken_yaml_is_a_diagnostic_with_a_place() {
        for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: 1\n\tb: 2\n", 1), ("a: *x\n", 1), ("a: !secret x\n", 1)] {
            let found = Node::parse(&file(text)).unwrap_err();
            assert_eq!(found.line, line, "{found}");
        }
        let found = Node::parse(&file("a: 1\n\tb: 2\n")).unwrap_err();
        assert_eq!(found.help.as_deref(), Some("line 2 is indented with a tab: use spaces"));
    }
}
