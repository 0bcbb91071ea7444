//! Rows from which a grant lifts masks: those of its subject, as far as its quota goes.

use std::sync::Arc;

use bytes::BytesMut;

use super::Snapshot;
use super::column_rule::RowError;
use super::copy::CopyRows;
use super::encryption::PlannedCell;
use super::grant::Grant;
use super::result::{Protection, rewrite_fields};
use crate::catalog::{Name, Oid};
use crate::sql::lexer::{Lexer, Mark};
use crate::wire::backend::{Field, RowDescription};
use crate::wire::{Format, Malformed, Reader};

/// In which rows a column is shown in clear by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lift {
    /// In none: it is shown as the caller's roles have it.
    Never,
    /// In all.
    Always,
    /// In those where the column at this position holds the subject's key.
    Where(usize),
}

/// What is shown of rows where the grant does not reach.
pub(super) struct Limited {
    pub(super) grant: Arc<Grant>,
    pub(super) masked: Vec<PlannedCell>,
    /// One for each column.
    pub(super) lifts: Vec<Lift>,
    /// The columns that hold keys of subjects, and how the one that counts is written in each.
    pub(super) keys: Vec<(usize, Vec<u8>)>,
}

impl Limited {
    /// Whether a row would show something by the grant, were there enough left of its quota.
    pub(super) fn is_meant(&self, row: &[u8]) -> bool {
        if self.lifts.contains(&Lift::Always) {
            return true;
        }
        let values = |row| -> Option<Vec<Option<&[u8]>>> {
            let mut reader = Reader::new(row, "DataRow");
            let count = reader.count().ok()?;
            (0..count).map(|_| reader.value().ok()).collect()
        };
        values(row).is_some_and(|values| self.lifts.iter().any(|lift| self.holds(*lift, &values)))
    }

    fn holds(&self, lift: Lift, values: &[Option<&[u8]>]) -> bool {
        match lift {
            Lift::Never => false,
            Lift::Always => true,
            Lift::Where(at) => {
                let expected = self.keys.iter().find(|(key, _)| *key == at).map(|(_, expected)| expected.as_slice());
                expected.is_some() && values.get(at).copied().flatten() == expected
            }
        }
    }

    /// Rewrite the fields of a DataRow.
    pub(super) fn rewrite(&self, clear: &[PlannedCell], body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        if !self.is_meant(body) || !self.grant.take_row() {
            return rewrite_fields(&self.masked, body, out);
        }
        let fault = || Malformed("DataRow");
        let mut reader = Reader::new(body, "DataRow");
        if reader.count()? != clear.len() || clear.len() != self.masked.len() {
            return Err(fault().into());
        }
        let values = clear.iter().map(|_| reader.value()).collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        out.extend_from_slice(body.get(..2).unwrap_or_default());
        for (((clear, masked), lift), value) in clear.iter().zip(&self.masked).zip(&self.lifts).zip(&values) {
            // Columns that it is not about look the same in both.
            let shown = if self.holds(*lift, &values) { clear } else { masked };
            shown.apply(*value, &|place| values.get(place).copied().flatten(), out)?;
        }
        Ok(())
    }

    /// Rewrite a row of COPY.
    pub(super) fn rewrite_copied(
        &self,
        rows: &CopyRows,
        clear: &[PlannedCell],
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), RowError> {
        // Keys are not looked for in these.
        let meant = self.lifts.contains(&Lift::Always) && self.grant.take_row();
        rows.rewrite(if meant { clear } else { &self.masked }, body, out)
    }
}

/// Where the key of a grant's subject stands beside each column of a result, and how it is written there.
pub(super) fn subject_keys(
    grant: &Grant,
    protection: &Protection,
    description: &RowDescription,
    snapshot: &Snapshot,
) -> (Vec<Lift>, Vec<(usize, Vec<u8>)>) {
    let fields = &description.fields;
    let Some(subject) = &grant.subject else {
        return (vec![Lift::Always; fields.len()], Vec::new());
    };
    let keys_of = |field: &Field| {
        let relation = snapshot.catalog.relation(field.table)?;
        let named = snapshot.policy.subject_key(&subject.name, &relation.schema, &relation.name)?;
        // The table stands once in the statement: else the key may be that of another row of it.
        if field.attnum <= 0 || !protection.single.contains(&relation.name) {
            return None;
        }
        let key = relation.column(named.as_str())?;
        if snapshot.inventory.column(relation.oid, key.attnum).is_some() {
            return None;
        }
        fields.iter().position(|other| other.table == field.table && other.attnum == key.attnum)
    };
    let lifts: Vec<Lift> = fields.iter().map(|field| keys_of(field).map_or(Lift::Never, Lift::Where)).collect();
    let mut keys: Vec<(usize, Vec<u8>)> = Vec::new();
    for (at, field) in fields.iter().enumerate().filter(|(at, _)| lifts.contains(&Lift::Where(*at))) {
        if let Some(written) = written(&subject.key, field) {
            keys.push((at, written));
        }
    }
    (lifts, keys)
}

/// How a key is written in a column; `None`: it is no value of that type.
fn written(key: &str, field: &Field) -> Option<Vec<u8>> {
    const INT8: Oid = Oid(20);
    const INT2: Oid = Oid(21);
    const INT4: Oid = Oid(23);
    const UUID: Oid = Oid(2950);
    const TEXTS: [Oid; 3] = [Oid(25), Oid(1043), Oid(1042)];
    let binary = field.format == Format::Binary;
    let integer = || key.parse::<i64>().ok();
    match field.type_oid {
        INT2 if binary => Some(i16::try_from(integer()?).ok()?.to_be_bytes().into()),
        INT4 if binary => Some(i32::try_from(integer()?).ok()?.to_be_bytes().into()),
        INT8 if binary => Some(integer()?.to_be_bytes().into()),
        INT2 | INT4 | INT8 => Some(integer()?.to_string().into_bytes()),
        UUID => {
            let value = uuid::Uuid::try_parse(key).ok()?;
            Some(if binary { value.as_bytes().to_vec() } else { value.hyphenated().to_string().into_bytes() })
        }
        known if TEXTS.contains(&known) => Some(key.as_bytes().to_vec()),
        _ => None,
    }
}

/// The names that stand once in a statement, where that is one plain query: a table of such a name has one row of its own in
/// each row of the result. What a name means elsewhere in it is not looked at; more names only mean fewer single ones.
pub(super) fn single_names(text: &str) -> std::collections::BTreeSet<Name> {
    const OTHERS: [&str; 12] = [
        "union",
        "intersect",
        "except",
        "insert",
        "update",
        "delete",
        "merge",
        "table",
        "values",
        "lateral",
        "copy",
        "window",
    ];
    let mut seen: std::collections::BTreeMap<Name, usize> = std::collections::BTreeMap::new();
    let mut selects = 0_usize;
    let mut tokens = Lexer::new(text).peekable();
    while let Some(token) = tokens.next() {
        let Ok(token) = token else { return Default::default() };
        if token.is("select") {
            selects = selects.saturating_add(1);
        }
        if token.is_any(&OTHERS) {
            return Default::default();
        }
        let qualifies = matches!(tokens.peek(), Some(Ok(next)) if next.is_mark(Mark::Dot));
        if let Some(name) = token.name().filter(|_| !qualifies) {
            let times = seen.entry(name).or_default();
            *times = times.saturating_add(1);
        }
    }
    if selects != 1 {
        return Default::default();
    }
    seen.into_iter().filter(|(_, times)| *times == 1).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_once_in_one_plain_query_or_nobody_knows() {
        for (text, expected) in [
            ("SELECT customer.id, customer.email FROM customer", true),
            ("SELECT id FROM public.customer c WHERE c.id = 1", true),
            ("SELECT a.id, b.email FROM customer a, customer b", false),
            ("SELECT a.id, b.email FROM customer a JOIN public.customer b ON true", false),
            ("SELECT a.id, b.email FROM customer a JOIN \"customer\" b ON true", false),
            ("WITH c AS (SELECT * FROM customer) SELECT x.id, y.email FROM c x, c y", false),
            ("WITH c AS (TABLE customer) SELECT x.id, y.email FROM c x, c y", false),
            ("SELECT id, email FROM (SELECT * FROM customer) x", false),
            ("SELECT id, email FROM customer UNION ALL TABLE other", false),
            ("UPDATE customer SET id = 42 RETURNING id, email", false),
            ("DECLARE c CURSOR FOR SELECT id, email FROM customer", true),
            ("SELECT 'open", false),
        ] {
            assert_eq!(single_names(text).contains("customer"), expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_written_as_the_column_has_it() {
        let field = |oid: u32, format| Field {
            name: Default::default(),
            table: Oid(1),
            attnum: 1,
            type_oid: Oid(oid),
            size: -1,
            modifier: -1,
            format,
        };
        for (key, oid, format, expected) in [
            ("42", 23, Format::Text, Some(b"42".to_vec())),
            ("042", 23, Format::Text, Some(b"42".to_vec())),
            ("42", 23, Format::Binary, Some(vec![0, 0, 0, 42])),
            ("42", 20, Format::Binary, Some(vec![0, 0, 0, 0, 0, 0, 0, 42])),
            ("70000", 21, Format::Binary, None),
            ("x", 23, Format::Text, None),
            ("K-7", 25, Format::Binary, Some(b"K-7".to_vec())),
            ("42", 1700, Format::Binary, None),
        ] {
            assert_eq!(written(key, &field(oid, format)), expected, "{key} {oid}");
        }
    }
}
