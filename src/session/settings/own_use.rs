//! What a statement says of pgveil's settings, and the text that the server gets in its place.

use std::ops::Range;

use bytes::Bytes;

use crate::sql::{OwnSetting, PREFIX, SettingValue};
use crate::wire::compose;
use crate::wire::frontend::BindValues;

/// What a statement says of these settings, and where it stands in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct OwnUse {
    pub span: Range<usize>,
    pub uses: Vec<OwnSetting>,
}

impl OwnUse {
    /// The setting that it shows.
    pub fn shows(&self) -> Option<&str> {
        match self.uses.as_slice() {
            [OwnSetting::Show { name, .. }] => Some(name),
            _ => None,
        }
    }

    pub fn changes_nothing(&self) -> bool {
        self.shows().is_some()
    }

    /// Whether the server may be told something else than the client says.
    pub fn is_rewritten(&self) -> bool {
        self.uses.iter().any(|one| matches!(one, OwnSetting::Set { .. } | OwnSetting::Show { .. }))
    }

    /// What stands in the place of the statement's values, with their places in the message.
    pub fn replaced(&self, instead: &[Option<String>]) -> Vec<(Range<usize>, String)> {
        let mut edits = Vec::new();
        if let [OwnSetting::Show { name, column }] = self.uses.as_slice() {
            let column = column.clone().unwrap_or_else(|| format!("{PREFIX}{name}"));
            let query = format!("SELECT NULL::pg_catalog.text AS \"{}\"", column.replace('"', "\"\""));
            return vec![(self.span.clone(), query)];
        }
        for (one, instead) in self.uses.iter().zip(instead) {
            if let (OwnSetting::Set { value: SettingValue::Constant(_, span), .. }, Some(instead)) = (one, instead) {
                let start = self.span.start.saturating_add(span.start);
                let end = self.span.start.saturating_add(span.end);
                edits.push((start..end, literal(instead)));
            }
        }
        edits
    }
}

fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A text with other pieces in these places.
pub(super) fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut edited = text.to_owned();
    for (span, instead) in edits.into_iter().rev() {
        if edited.get(span.clone()).is_some() {
            edited.replace_range(span, &instead);
        }
    }
    edited
}

/// A Bind with other values for some parameters, which are texts.
pub(super) fn bind_with(portal: &[u8], statement: &[u8], values: &BindValues<'_>, instead: &[(usize, &str)]) -> Bytes {
    let rest = values.rest;
    let formats =
        rest.len().min(2 + 2 * usize::from(rest.first_chunk::<2>().map_or(0, |count| u16::from_be_bytes(*count))));
    let mut out = [portal, b"\0", statement, b"\0", rest.get(..formats).unwrap_or_default()].concat();
    out.extend_from_slice(&u16::try_from(values.count()).unwrap_or(u16::MAX).to_be_bytes());
    for number in 1..=values.count() {
        let other = instead.iter().find(|(known, _)| *known == number).map(|(_, text)| text.as_bytes());
        match other.or_else(|| values.value(number).and_then(|(value, _)| value)) {
            Some(value) => {
                out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(value);
            }
            None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    out.extend_from_slice(values.results);
    compose::raw(b'B', &out)
}
