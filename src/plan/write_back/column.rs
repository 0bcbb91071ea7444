//! Columns that a statement writes and of which the caller is shown masks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::GivenValue;
use crate::catalog::{Catalog, Name, Oid, Relation, ValueType};
use crate::mask::{CellRule, Format, HiddenForm, Mask, Resemblance, TextEncoding};
use crate::plan::encryption::Holds;
use crate::plan::{Caller, Reach, Refusal, Snapshot};
use crate::policy::Sight;
use crate::sql::lineage::{Flow, Lineage, Source, WritePlace};

/// A column that a statement writes and of which the caller is shown a mask.
#[derive(Debug)]
pub struct Written {
    /// Which of the statement's writes it is, from 0. What functions may write is counted behind these.
    pub(super) number: usize,
    /// The function that may write it with what it is given; `None`: the statement does.
    pub(super) by: Option<Oid>,
    pub(super) relation: Oid,
    pub(super) attnum: i16,
    pub(super) place: WritePlace,
    /// Schema, table and column.
    pub(super) column: Arc<str>,
    pub(super) tag: Arc<str>,
    /// Whether a mask that comes back is refused rather than kept.
    pub(super) refuses: bool,
    pub(super) name: Name,
    rule: CellRule,
    value_type: ValueType,
    /// What values are cast to, to be compared in the server; `None`: they can not be.
    type_name: Option<String>,
}

/// The columns that a statement writes and of which this caller is shown masks, by the number of the write.
pub(super) fn written(lineage: &Lineage, snapshot: &Snapshot, caller: &Caller) -> BTreeMap<usize, Arc<Written>> {
    let writes = lineage.writes.iter().enumerate();
    let mut written: BTreeMap<usize, Arc<Written>> = writes
        .filter_map(|(number, write)| {
            let (relation, attnum) = (snapshot.catalog.relation(write.relation?)?, write.attnum?);
            let written = Written::of(relation, attnum, write.place.clone(), snapshot, caller)?;
            Some((number, Arc::new(Written { number, ..written })))
        })
        .collect();
    // What functions are given gets to all that they store into.
    let called: BTreeSet<Oid> = lineage.calls.iter().map(|call| call.function).collect();
    let filled = called
        .into_iter()
        .flat_map(|function| snapshot.inventory.filled_by(function).map(move |column| (function, column)));
    written.extend(filled.zip(lineage.writes.len()..).filter_map(|((function, (relation, attnum)), number)| {
        let relation = snapshot.catalog.relation(relation)?;
        let written = Written::of(relation, attnum, WritePlace::New, snapshot, caller)?;
        Some((number, Arc::new(Written { number, by: Some(function), ..written })))
    }));
    written
}

/// What a caller is shown of a column, by which tag, and whether masks of it are refused; `None`: the values, or nothing at
/// all.
fn shown(
    reach: &Reach,
    value_type: &ValueType,
    snapshot: &Snapshot,
    caller: &Caller,
) -> Option<(CellRule, Arc<str>, bool)> {
    let mut rules: Vec<CellRule> = Vec::new();
    let (mut tag, mut refuses) = (None, false);
    for (&id, &flow) in reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted) {
        let rule = match snapshot.policy.decide(&caller.roles, id).sight {
            Sight::Clear | Sight::Denied => continue,
            _ if flow == Flow::Derived => CellRule::Redact,
            Sight::Masked(mask) if mask.fits(value_type) => CellRule::Mask(mask),
            Sight::Masked(_) => CellRule::Hide(HiddenForm::Empty),
            Sight::Hidden(form) => CellRule::Hide(form),
        };
        let column = snapshot.policy.column(id)?;
        refuses |= column.tag.write_back == crate::policy::WriteBackMode::Refuse;
        tag.get_or_insert_with(|| Arc::clone(&column.tag.name));
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    let tag = tag?;
    match <[CellRule; 1]>::try_from(rules) {
        Ok([rule]) => Some((rule, tag, refuses)),
        Err(_) => Some((CellRule::Redact, tag, refuses)),
    }
}

impl Written {
    /// A column that is written; `None`: this caller is shown no masks of it.
    pub(in crate::plan) fn of(
        relation: &Relation,
        attnum: i16,
        place: WritePlace,
        snapshot: &Snapshot,
        caller: &Caller,
    ) -> Option<Self> {
        let catalog = &snapshot.catalog;
        let described = relation.attribute(attnum)?;
        let reach = snapshot.inventory.column(relation.oid, attnum)?;
        // Of an encrypted column the server can not compute what is shown of a value, to compare it.
        let (value_type, type_name) = match snapshot.holds(Source::Column { relation: relation.oid, attnum }) {
            Holds::Envelopes(encryption, _) => (encryption.plain.value_type(), None),
            Holds::Plain | Holds::Index(_) | Holds::Computed(_) => {
                (ValueType::of(catalog, described.type_oid), type_name(catalog, described.type_oid))
            }
        };
        let (rule, tag, refuses) = shown(reach, &value_type, snapshot, caller)?;
        Some(Self {
            number: 0,
            by: None,
            relation: relation.oid,
            attnum,
            place,
            column: format!("{}.{}.{}", relation.schema, relation.name, described.name).into(),
            tag,
            refuses,
            name: described.name.clone(),
            rule,
            value_type,
            type_name,
        })
    }

    /// Why a value that resembles what is shown of the column so much may not be stored in a new row; `None`: it may. A
    /// new row has no value that could be lost, and values that may as well be real are ordinary ones.
    pub(in crate::plan) fn refused_in_new_row(&self, resemblance: Resemblance) -> Option<Refusal> {
        let refused = match resemblance {
            Resemblance::No | Resemblance::Perhaps => false,
            Resemblance::Surely => !self.shows_blank(),
            Resemblance::Partly => true,
        };
        refused.then(|| Refusal::mask_inserted(&self.column, &self.tag))
    }

    /// How the statement reads the column; `None`: it can not where the value stands.
    pub(super) fn reference(&self) -> Option<String> {
        match &self.place {
            WritePlace::Stored(Some(table)) => Some(format!("{}.{}", quoted(table), quoted(&self.name))),
            WritePlace::Stored(None) | WritePlace::New => None,
        }
    }

    /// Whether what is shown of the column is what columns of new rows hold anyway: NULL, 0, false, an empty text.
    pub(super) fn shows_blank(&self) -> bool {
        let scalar = !matches!(self.value_type, ValueType::Text | ValueType::Array(..) | ValueType::Composite(_));
        match &self.rule {
            CellRule::Hide(_) => true,
            CellRule::Mask(mask) => matches!(**mask, Mask::Nullify) || (scalar && matches!(**mask, Mask::Full)),
            CellRule::Redact => scalar,
            CellRule::Keep | CellRule::Row(_) => false,
        }
    }

    /// A condition that is true where an expression yields one of these values, which stand in the statement.
    pub(super) fn is_one_of(&self, expression: &str, values: &BTreeSet<&str>) -> Option<String> {
        let type_name = self.type_name.as_deref()?;
        let listed =
            |value: &dyn Fn(&str) -> String| values.iter().map(|given| value(given)).collect::<Vec<_>>().join(", ");
        Some(match self.value_type {
            ValueType::Text => format!(
                "(pg_catalog.rtrim(({expression})::pg_catalog.text) IN ({}))",
                listed(&|given| format!("pg_catalog.rtrim((CAST({given} AS {type_name}))::pg_catalog.text)"))
            ),
            _ => format!("(({expression}) IN ({}))", listed(&|given| format!("CAST({given} AS {type_name})"))),
        })
    }

    /// Whether an expression that casts values, to texts of `cut` characters, yields this one unchanged, so that it can be
    /// known again. `text`: the value, where it is a text.
    pub(super) fn is_known_again(&self, value: Option<&[u8]>, format: Format, cut: Option<usize>) -> bool {
        let Some(value) = value else { return true };
        match self.value_type {
            ValueType::Text => cut.is_none_or(|cut| value.len() <= cut),
            ValueType::Bool
            | ValueType::Int2
            | ValueType::Int4
            | ValueType::Int8
            | ValueType::Date
            | ValueType::Uuid
            | ValueType::Timestamp
            | ValueType::TimestampTz
            | ValueType::Inet
            | ValueType::Cidr => true,
            // A scale rounds.
            ValueType::Numeric | ValueType::Float4 | ValueType::Float8 => {
                format == Format::Text && value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
            }
            _ => false,
        }
    }

    /// A condition that is true where `new` is what is shown of the stored value.
    pub(super) fn condition(&self, new: &str, stored: &str) -> Option<String> {
        let type_name = self.type_name.as_deref()?;
        self.rule.shown_sql(&format!("CAST({new} AS {type_name})"), stored, type_name, &self.value_type)
    }

    /// Whether a literal that gets here is what is shown of the column.
    pub(super) fn literal(&self, value: Option<&[u8]>, flow: Flow) -> Resemblance {
        self.resembles(value, &self.value_type, Format::Text, flow, TextEncoding::Utf8)
    }

    /// Whether a parameter's value is what is shown of the column.
    pub(in crate::plan) fn parameter(&self, given: &GivenValue<'_>, flow: Flow, encoding: TextEncoding) -> Resemblance {
        match given.format {
            // The server reads the text as one of the column's type, or of one that is made into that.
            Format::Text => self.resembles(given.cell, &self.value_type, Format::Text, flow, encoding),
            Format::Binary => {
                let value_type = given.value_type.as_ref().unwrap_or(&self.value_type);
                self.resembles(given.cell, value_type, Format::Binary, flow, encoding)
            }
        }
    }

    fn resembles(
        &self,
        value: Option<&[u8]>,
        value_type: &ValueType,
        format: Format,
        flow: Flow,
        encoding: TextEncoding,
    ) -> Resemblance {
        if value.is_none() && flow == Flow::Derived {
            return Resemblance::No;
        }
        let whole = match value_type {
            // Of another type than the column: a text, number or date that the server makes into one of the column's.
            other if *other != self.value_type && format == Format::Binary => {
                self.of_other_type(value, other, encoding)
            }
            _ => self.rule.resemblance(value, value_type, format, encoding),
        };
        let Some(value) = value.filter(|_| whole < Resemblance::Partly) else { return whole };
        let parts = self.parts(value, value_type, format, encoding);
        // A list is no number or date that might be one.
        let whole = if parts.is_empty() || self.value_type == ValueType::Text { whole } else { Resemblance::No };
        let parts = Resemblance::of_parts(parts);
        // A list of values each of which may be real is as real as they are.
        whole.max(if parts == Resemblance::Surely { Resemblance::Partly } else { parts })
    }

    /// Values in a value that is no value of the column: elements of an array, strings of a document.
    fn parts(&self, value: &[u8], value_type: &ValueType, format: Format, encoding: TextEncoding) -> Vec<Resemblance> {
        let own_is_document = matches!(
            self.value_type,
            ValueType::Json | ValueType::Jsonb | ValueType::Array(..) | ValueType::Composite(_)
        );
        if own_is_document {
            return Vec::new();
        }
        let text = value.strip_prefix(&[1]).filter(|_| *value_type == ValueType::Jsonb).unwrap_or(value);
        if matches!(text.first(), Some(b'{' | b'[')) {
            if let Ok(document) = serde_json::from_slice::<serde_json::Value>(text) {
                let mut found = Vec::new();
                self.in_document(&document, encoding, &mut found);
                return found;
            }
            if format == Format::Text {
                let array = ValueType::Array(Oid(0), Box::new(self.value_type.clone()));
                return vec![self.rule_of_elements().resemblance(Some(value), &array, format, encoding)];
            }
        }
        Vec::new()
    }

    /// The rule as arrays of values have it.
    fn rule_of_elements(&self) -> CellRule {
        match &self.rule {
            rule @ (CellRule::Mask(_) | CellRule::Row(_) | CellRule::Keep) => rule.clone(),
            CellRule::Hide(_) | CellRule::Redact => CellRule::Row(vec![self.rule.clone()]),
        }
    }

    fn in_document(&self, document: &serde_json::Value, encoding: TextEncoding, found: &mut Vec<Resemblance>) {
        match document {
            serde_json::Value::String(text) => {
                found.push(self.rule.resemblance(Some(text.as_bytes()), &self.value_type, Format::Text, encoding));
            }
            serde_json::Value::Array(values) => {
                values.iter().for_each(|value| self.in_document(value, encoding, found))
            }
            serde_json::Value::Object(values) => {
                values.values().for_each(|value| self.in_document(value, encoding, found));
            }
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) | serde_json::Value::Null => {}
        }
    }

    /// A binary value of another type than the column's.
    fn of_other_type(&self, value: Option<&[u8]>, value_type: &ValueType, encoding: TextEncoding) -> Resemblance {
        let as_text = |value: &[u8]| self.rule.resemblance(Some(value), &self.value_type, Format::Text, encoding);
        match (value, value_type) {
            (None, _) => self.rule.resemblance(None, &self.value_type, Format::Text, encoding),
            (Some(text), ValueType::Text | ValueType::Unknown | ValueType::Json | ValueType::Jsonb) => as_text(text),
            (Some(bytes), ValueType::Int2 | ValueType::Int4 | ValueType::Int8) => match integer(bytes) {
                Some(number) => as_text(number.to_string().as_bytes()),
                None => Resemblance::Perhaps,
            },
            (Some(bytes), ValueType::Float4) => match bytes.try_into() {
                Ok(bytes) => as_text(f32::from_be_bytes(bytes).to_string().as_bytes()),
                Err(_) => Resemblance::Perhaps,
            },
            (Some(bytes), ValueType::Float8) => match bytes.try_into() {
                Ok(bytes) => as_text(f64::from_be_bytes(bytes).to_string().as_bytes()),
                Err(_) => Resemblance::Perhaps,
            },
            // `unnest($1)` and the like: of the elements one or the other may be stored.
            (Some(bytes), ValueType::Array(_, element)) => {
                if **element != self.value_type {
                    return Resemblance::Perhaps;
                }
                self.rule_of_elements().resemblance(Some(bytes), value_type, Format::Binary, encoding)
            }
            (Some(bytes), other) => match self.rule.resemblance(Some(bytes), other, Format::Binary, encoding) {
                Resemblance::No => Resemblance::No,
                _ => Resemblance::Perhaps,
            },
        }
    }
}

fn integer(bytes: &[u8]) -> Option<i64> {
    if let Ok(bytes) = <[u8; 2]>::try_from(bytes) {
        return Some(i16::from_be_bytes(bytes).into());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(i32::from_be_bytes(bytes).into());
    }
    <[u8; 8]>::try_from(bytes).ok().map(i64::from_be_bytes)
}

/// A name as SQL writes it whatever it is.
fn quoted(name: &Name) -> String {
    format!("\"{}\"", name.as_str().replace('"', "\"\""))
}

fn type_name(catalog: &Catalog, oid: Oid) -> Option<String> {
    let described = catalog.type_of(oid)?;
    Some(format!("{}.{}", quoted(&described.schema), quoted(&described.name)))
}
