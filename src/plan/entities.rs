//! Whose rows a result shows: where keys of its tables stand in it, and those that were seen.
//!
//! A key is taken out of a result where the server says of columns that they are those of the key as they are, and the table stands
//! in the statement once: then what stands beside them in a row is of the row that they name. Whatever does not hold that is told
//! as incomplete, not left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Snapshot;
use super::copy::CopyRows;
use super::result::Layout;
use crate::access_log::{Entities, KEY_BYTES_MAX, KEYS_MAX, composed};
use crate::catalog::{Oid, Relation, TypeKind};
use crate::policy::TaggedColumnId;
use crate::sql::lineage::{Flow, Lineage, Source};
use crate::value::{PlainType, Scalar, TextForms, read, write};
use crate::wire::backend::Field;
use crate::wire::{Format, Reader};

/// The most keys that are written of one execution.
const KEYS_OF_EXECUTION_MAX: usize = 100_000;
/// How many views of views are followed.
const VIEWS_MAX: usize = 16;

/// Where keys stand in the rows of a result.
#[derive(Debug, Default)]
pub(super) struct KeyPlan {
    sorts: Vec<Sort>,
}

/// One sort of key of one table.
#[derive(Debug)]
struct Sort {
    kind: Arc<str>,
    table: Arc<str>,
    /// Where its columns are; `None`: not all of them are there.
    parts: Option<Vec<Part>>,
    /// Whether every row has its key there.
    complete: bool,
}

#[derive(Debug)]
struct Part {
    position: usize,
    form: Form,
}

/// How a value is written.
#[derive(Debug)]
enum Form {
    /// As text.
    Text,
    /// As a value of this type in binary form.
    Binary(PlainType),
}

/// Keys that were seen of one execution, and are in no record yet.
#[derive(Debug, Default)]
pub struct Seen {
    sorts: Vec<Entities>,
    /// Those that a record is full of.
    full: Vec<Vec<Entities>>,
    /// How many there were.
    count: usize,
}

/// What is known of a result whose keys are looked for.
pub(super) struct Shown<'a> {
    /// What the statement's text says; `None`: it is not known.
    pub lineage: Option<&'a Lineage>,
    /// What the server says.
    pub fields: &'a [&'a Field],
    /// The format of all values, where the fields do not say it.
    pub format: Option<Format>,
}

impl KeyPlan {
    /// Where the keys are of the tables that these columns are of.
    pub(super) fn of(shown: &Shown<'_>, columns: impl Iterator<Item = TaggedColumnId>, snapshot: &Snapshot) -> Self {
        let mut tables: BTreeMap<Oid, Vec<TaggedColumnId>> = BTreeMap::new();
        for id in columns {
            let binding = snapshot.inventory.bindings().iter().find(|binding| binding.id == id);
            if let Some(binding) = binding {
                tables.entry(binding.relation).or_default().push(id);
            }
        }
        let places: Vec<_> = shown.fields.iter().map(|field| shown.place(field, snapshot)).collect();
        let mut sorts = Vec::new();
        for (oid, ids) in tables {
            let Some(table) = snapshot.catalog.relation(oid) else { continue };
            let is_there = |place: &Option<(Oid, i16)>| place.is_some_and(|(relation, _)| relation == oid);
            let alone = shown.lineage.is_some_and(|lineage| {
                lineage.relations.iter().filter(|&&named| shows_rows_of(named, oid, snapshot)).count() == 1
            });
            let beside = ids.iter().all(|&id| shown.stands_beside(id, oid, &places, snapshot));
            for (kind, key) in keys_of(table, snapshot) {
                let tagged = key.iter().any(|&attnum| snapshot.inventory.column(oid, attnum).is_some());
                let part = |attnum: &i16| {
                    let wanted =
                        |place: &Option<(Oid, i16)>| is_there(place) && place.map(|(_, at)| at) == Some(*attnum);
                    let position = places.iter().position(wanted)?;
                    let field = shown.fields.get(position)?;
                    let form = form_of(field.type_oid, shown.format.unwrap_or(field.format), snapshot)?;
                    Some(Part { position, form })
                };
                let parts: Option<Vec<Part>> = if tagged || !alone { None } else { key.iter().map(part).collect() };
                let complete = parts.is_some() && beside;
                let named = format!("{}.{}", table.schema, table.name);
                sorts.push(Sort { kind, table: named.into(), parts, complete });
            }
        }
        Self { sorts }
    }

    /// What there is to say before any row was seen.
    pub(super) fn begin(&self) -> Seen {
        let mut seen = Seen::default();
        for sort in &self.sorts {
            seen.of(sort);
        }
        seen
    }

    /// Take the keys of a row.
    pub(super) fn note(&self, layout: &Layout, body: &[u8], seen: &mut Seen) {
        let Some(last) =
            self.sorts.iter().filter_map(|sort| sort.parts.as_ref()).flatten().map(|part| part.position).max()
        else {
            return;
        };
        let values = match layout {
            Layout::DataRow => fields_of(body, last),
            Layout::Copy(rows) => copied(rows, body, last),
        };
        for sort in &self.sorts {
            let Some(parts) = &sort.parts else { continue };
            let value = |part: &Part| values.as_ref()?.get(part.position).cloned();
            let key: Option<Vec<Option<Vec<u8>>>> = parts.iter().map(value).collect();
            match key.map(|key| written(parts, key)) {
                Some(Ok(Some(key))) => seen.add(sort, key),
                // An outer join has no row of it here.
                Some(Ok(None)) => {}
                Some(Err(Unwritten)) | None => seen.of(sort).complete = false,
            }
        }
    }
}

impl Seen {
    /// Batches of keys that fill a record.
    pub fn take_full(&mut self) -> Vec<Vec<Entities>> {
        std::mem::take(&mut self.full)
    }

    /// All that is in no record yet: the first of them says what there is to say also where there is no key.
    pub fn take(&mut self) -> Vec<Vec<Entities>> {
        let mut batches = self.take_full();
        let rest: Vec<Entities> = self.sorts.iter_mut().map(Entities::emptied).collect();
        if !rest.is_empty() {
            batches.push(rest);
        }
        batches
    }

    /// Whether there is any key.
    pub fn has_keys(&self) -> bool {
        !self.full.is_empty() || self.sorts.iter().any(|sort| !sort.keys.is_empty())
    }

    fn of(&mut self, sort: &Sort) -> &mut Entities {
        let is_it = |known: &Entities| known.kind == sort.kind && known.table == sort.table;
        let at = self.sorts.iter().position(is_it).unwrap_or_else(|| {
            self.sorts.push(Entities {
                kind: Arc::clone(&sort.kind),
                table: Arc::clone(&sort.table),
                keys: Default::default(),
                complete: sort.complete,
            });
            self.sorts.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "it was found there, or pushed")]
        &mut self.sorts[at]
    }

    fn add(&mut self, sort: &Sort, key: String) {
        let count = self.count;
        let known = self.of(sort);
        if known.keys.contains(key.as_str()) {
            return;
        }
        if count >= KEYS_OF_EXECUTION_MAX {
            known.complete = false;
            return;
        }
        known.keys.insert(key.into());
        let full = (known.keys.len() >= KEYS_MAX).then(|| known.emptied());
        self.count = count.saturating_add(1);
        self.full.extend(full.map(|full| vec![full]));
    }
}

impl Shown<'_> {
    /// The table and column that a column of the result is, as it is; `None`: it is none, or that of one of several rows.
    fn place(&self, field: &Field, snapshot: &Snapshot) -> Option<(Oid, i16)> {
        let lineage = self.lineage?;
        if field.attnum <= 0 || !lineage.single.contains(&field.table) {
            return None;
        }
        stored(field.table, field.attnum, snapshot)
    }

    /// Whether all values of a tagged column in a row are of that row of its table that the key beside them names.
    fn stands_beside(
        &self,
        id: TaggedColumnId,
        table: Oid,
        places: &[Option<(Oid, i16)>],
        snapshot: &Snapshot,
    ) -> bool {
        let Some(lineage) = self.lineage else { return false };
        if lineage.open_ended {
            return false;
        }
        lineage.outputs.iter().zip(places).all(|(output, place)| {
            if place.is_some_and(|(relation, _)| relation == table) {
                return true;
            }
            let taint = output.origin.taint();
            taint.sources.iter().filter(|(_, flow)| **flow != Flow::Counted).all(|(&source, _)| {
                let reaches = snapshot.inventory.source(source).is_some_and(|reach| reach.columns.contains_key(&id));
                let of_row = match source {
                    Source::Column { relation, attnum } => {
                        lineage.single.contains(&relation)
                            && stored(relation, attnum, snapshot).is_some_and(|(found, _)| found == table)
                    }
                    Source::Function(_) | Source::Field { .. } => false,
                };
                !reaches || (of_row && !lineage.mixes)
            })
        })
    }
}

/// The table's column that a relation's is: its own, that of the parent that the policy names, or what a view shows.
fn stored(relation: Oid, attnum: i16, snapshot: &Snapshot) -> Option<(Oid, i16)> {
    let (mut relation, mut attnum) = (relation, attnum);
    for _ in 0..VIEWS_MAX {
        let Some(within) = snapshot.inventory.stored_in(relation, attnum) else { break };
        (relation, attnum) = within;
    }
    let bound = |oid: Oid| snapshot.inventory.bindings().iter().any(|binding| binding.relation == oid);
    let mut own = snapshot.catalog.relation(relation)?;
    let name = &own.attribute(attnum)?.name;
    for _ in 0..VIEWS_MAX {
        if bound(own.oid) {
            break;
        }
        let parents = own.parents.iter().filter_map(|&parent| snapshot.catalog.relation(parent));
        let Some(parent) = parents.into_iter().find(|parent| parent.column(name.as_str()).is_some()) else { break };
        own = parent;
    }
    Some((own.oid, own.column(name.as_str())?.attnum))
}

/// Whether rows of a table come by a relation: itself, a child of it or a view.
fn shows_rows_of(relation: Oid, table: Oid, snapshot: &Snapshot) -> bool {
    let known = snapshot.catalog.relation(relation);
    known.is_some_and(|known| {
        let mut columns = known.columns.iter().filter_map(|column| stored(relation, column.attnum, snapshot));
        columns.any(|(found, _)| found == table)
    })
}

/// The keys of a table, each with the name of its sort.
fn keys_of(table: &Relation, snapshot: &Snapshot) -> Vec<(Arc<str>, Vec<i16>)> {
    let mut keys: Vec<(Arc<str>, Vec<i16>)> = Vec::new();
    for (subject, column) in snapshot.policy.subjects_of(&table.schema, &table.name) {
        let column = table.column(column.as_str());
        keys.extend(column.map(|column| (Arc::clone(subject), vec![column.attnum])));
    }
    if !table.primary_key.is_empty() && !keys.iter().any(|(_, key)| *key == table.primary_key) {
        keys.push((format!("{}.{}", table.schema, table.name).into(), table.primary_key.clone()));
    }
    keys
}

fn form_of(type_oid: Oid, format: Format, snapshot: &Snapshot) -> Option<Form> {
    let known = snapshot.catalog.type_of(type_oid);
    match format {
        Format::Text => Some(Form::Text),
        Format::Binary if known.is_some_and(|known| matches!(known.kind, TypeKind::Enum(_))) => Some(Form::Text),
        Format::Binary => Some(Form::Binary(PlainType { scalar: Scalar::of(type_oid)?, modifier: -1 })),
    }
}

/// A key that can not be written.
struct Unwritten;

/// A key as text; `None`: a part of it is NULL.
fn written(parts: &[Part], values: Vec<Option<Vec<u8>>>) -> Result<Option<String>, Unwritten> {
    let Some(values) = values.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let text = |(part, value): (&Part, Vec<u8>)| {
        let value = match &part.form {
            Form::Text => value,
            Form::Binary(plain) => {
                let forms = TextForms::default();
                let plaintext = read(plain, Oid(0), Format::Binary, &value, &forms).map_err(|_| Unwritten)?;
                let mut text = bytes::BytesMut::new();
                write(plain, &plaintext, Format::Text, &forms, &mut text).map_err(|_| Unwritten)?;
                text.to_vec()
            }
        };
        if value.len() > KEY_BYTES_MAX {
            return Err(Unwritten);
        }
        String::from_utf8(value).map_err(|_| Unwritten)
    };
    let texts = parts.iter().zip(values).map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(composed(texts.iter().map(String::as_str))))
}

/// The values of a DataRow up to that one.
fn fields_of(body: &[u8], last: usize) -> Option<Vec<Option<Vec<u8>>>> {
    let mut reader = Reader::new(body, "DataRow");
    reader.count().ok()?;
    (0..=last).map(|_| Some(reader.value().ok()?.map(<[u8]>::to_vec))).collect()
}

/// The same of a row of COPY.
fn copied(rows: &CopyRows, body: &[u8], last: usize) -> Option<Vec<Option<Vec<u8>>>> {
    match rows.binary_row(body) {
        Some(row) => fields_of(row.ok()?, last),
        None => rows.values(body, last),
    }
}
