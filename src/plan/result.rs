//! From a protected statement to its rewritten rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;

use super::budget::Look;
use super::column_rule::{Beside, ColumnRule, RowError};
use super::copy::CopyRows;
use super::encryption::{Holds, OpenedColumn, Opening, PlannedCell, RowTenants};
use super::entities::{KeyPlan, Seen, Shown};
use super::grant::Grant;
use super::lifted::{Lift, Limited, subject_keys};
use super::own::is_own;
use super::permit::{Execution, Opener, RevealPermit, spend};
use super::{Caller, Held, Observation, Own, Reach, RestrictiveReason, Snapshot, WriteBack};
use crate::access_log::{Endpoint, Fingerprint, How, Record, RevealedColumn};
use crate::catalog::{Name, Oid, ValueType};
use crate::mask::{CellRule, HiddenForm, TextEncoding};
use crate::policy::{Decision, Sight, TaggedColumnId};
use crate::sql::copy::CopyStatement;
use crate::sql::lineage::{Flow, Lineage, Origin, Output, Source, Taint, Unknown};
use crate::value::TextForms;
use crate::wire::backend::{Field, RowDescription};
use crate::wire::{Format, Malformed, Reader, frame};

/// What a statement shows, as its lineage says.
#[derive(Clone, Debug)]
pub struct Protection {
    outputs: Outputs,
    /// What relations of the session hold, and whether they are the first that a name means.
    held: Option<(Arc<Held>, bool)>,
    /// The statement's shape, for its access events.
    pub fingerprint: Fingerprint,
    /// What the application says of itself beside it.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Whether errors and notices may quote what the caller does not see in clear.
    pub scrub: bool,
    /// Set where it copies its rows to the client, or rows from the client that have to be looked at.
    pub copy: Option<Arc<CopyStatement>>,
    /// Whether it shows tagged columns in clear by what its lineage says: if the guard lets none out, it need not run.
    pub reveals: bool,
    /// What its filters look at, in each execution, of columns that the caller does not see in clear.
    pub looks: Arc<[Look]>,
    /// What becomes of masks among the values that the statement gives.
    pub write_back: Arc<WriteBack>,
    /// Whose the encrypted values are that it shows; `None`: they are bound to nobody.
    pub tenants: Option<Arc<RowTenants>>,
    /// Names that stand once in it, where it is one plain query and somebody may ask for a subject's rows.
    pub(super) single: Arc<BTreeSet<Name>>,
    /// The setting of pgveil's own that it shows in the place of what the server says.
    pub shows: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Outputs {
    /// What the statement's lineage says.
    Known(Arc<Lineage>),
    /// Nothing is known of them.
    Unknown(Unknown),
    /// All of them are computed from these columns, as far as is known.
    Computed(Reach),
    /// The text of a query plan, whose conditions are the statement's own.
    PlanText,
    /// Nothing tagged, unless the database has changed since the catalog was read.
    Clean,
}

impl Outputs {
    /// What is known of the result column at that position.
    fn at(&self, position: usize) -> Option<&Output> {
        match self {
            Self::Known(lineage) if !lineage.open_ended => lineage.outputs.get(position),
            Self::Known(_) | Self::Unknown(_) | Self::Computed(_) | Self::PlanText | Self::Clean => None,
        }
    }
}

impl Protection {
    fn new(outputs: Outputs, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self {
            outputs,
            held: None,
            fingerprint,
            endpoint: None,
            scrub,
            copy: None,
            reveals: false,
            looks: Arc::default(),
            write_back: Arc::default(),
            single: Arc::default(),
            shows: None,
            tenants: None,
        }
    }

    /// A statement whose lineage is known.
    pub fn known(lineage: Arc<Lineage>, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Known(lineage), fingerprint, scrub)
    }

    /// It names relations of the session.
    pub(super) fn of_session(self, own: &Own) -> Self {
        Self { held: Some((Arc::clone(own.held()), own.is_first())), ..self }
    }

    /// A statement of which nothing is known but that it may touch tagged data.
    pub fn unknown(reason: Unknown, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Unknown(reason), fingerprint, scrub)
    }

    /// A statement that may show anything computed from these columns: CALL.
    pub fn computed(from: Reach, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Computed(from), fingerprint, scrub)
    }

    /// EXPLAIN.
    pub fn plan_text(fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::PlanText, fingerprint, scrub)
    }

    /// A COPY that touches nothing tagged, as far as the catalog says.
    pub fn clean(fingerprint: Fingerprint) -> Self {
        Self::new(Outputs::Clean, fingerprint, false)
    }

    /// The same, asked for by this part of an application.
    pub(super) fn asked_by(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(Arc::new(endpoint)), ..self }
    }

    /// It shows a setting of pgveil's own.
    pub fn showing(setting: &str) -> Self {
        Self { shows: Some(setting.into()), ..Self::clean(0) }
    }

    /// Whether nothing of it needs protection, unless the server says otherwise.
    pub fn is_clean(&self) -> bool {
        matches!(self.outputs, Outputs::Clean)
    }

    /// The same, of COPY.
    pub fn copying(self, copy: &Arc<CopyStatement>) -> Self {
        Self { copy: Some(Arc::clone(copy)), ..self }
    }

    /// The same, with what becomes of the values that the statement gives.
    pub fn with_write_back(&self, write_back: WriteBack) -> Self {
        Self { write_back: Arc::new(write_back), ..self.clone() }
    }

    /// The same, where it is known whose the encrypted values are that it shows.
    #[must_use]
    pub fn with_tenants(self, tenants: Option<Arc<RowTenants>>) -> Self {
        Self { tenants, ..self }
    }

    /// Meet the lineage with the server's own description of the result; the stricter wins.
    pub fn bind(
        &self,
        description: &RowDescription,
        snapshot: &Snapshot,
        caller: &Caller,
        (encoding, forms): (TextEncoding, &TextForms),
    ) -> ResultPlan {
        let mut binding = Binding::new(self, snapshot, caller);
        let rules = self.rules(description, &mut binding);
        let fields: Vec<&Field> = description.fields.iter().collect();
        let beside = Beside { fields: &fields, tenants: self.tenants.as_deref(), format: None };
        let cells = |rules: Vec<ColumnRule>| -> Vec<PlannedCell> {
            let cells = rules.into_iter().zip(&description.fields);
            cells.map(|(rule, field)| rule.cell(field, field.format, (encoding, forms), (snapshot, &beside))).collect()
        };
        match self.lifting(description, &rules, snapshot, caller, true) {
            Some((binding, clear, lift)) => {
                let limited = lift.limiting(cells(rules));
                let keys = self.keys(&fields, None, &binding);
                binding.finish(cells(clear), Layout::DataRow, (keys, Some(Box::new(limited))))
            }
            None => {
                let keys = self.keys(&fields, None, &binding);
                binding.finish(cells(rules), Layout::DataRow, (keys, None))
            }
        }
    }

    /// The rules of a result from which the caller's grant lifts masks; `None`: it has none, or there is nothing to lift.
    /// `rules`: without it; `by_key`: whether the keys of subjects can be seen in its rows.
    pub(super) fn lifting<'a>(
        &'a self,
        description: &RowDescription,
        rules: &[ColumnRule],
        snapshot: &'a Snapshot,
        caller: &'a Caller,
        by_key: bool,
    ) -> Option<(Binding<'a>, Vec<ColumnRule>, Lifting)> {
        let grant = caller.grant.as_ref()?;
        let (lifts, keys) = subject_keys(grant, self, description, snapshot);
        if grant.left() == Some(0) || (grant.subject.is_some() && !by_key) {
            return None;
        }
        let mut binding = Binding::new(self, snapshot, caller);
        binding.lifts = lifts;
        let clear = self.rules(description, &mut binding);
        if clear == rules {
            return None;
        }
        // A column that it is not about is the same in all rows.
        let lifts = std::mem::take(&mut binding.lifts);
        let lifts = lifts.into_iter().zip(clear.iter().zip(rules));
        let lifts = lifts.map(|(lift, (clear, masked))| if clear == masked { Lift::Never } else { lift }).collect();
        Some((binding, clear, Lifting { grant: Arc::clone(grant), lifts, keys }))
    }

    /// The result's description as the client gets it, where that is another: columns that are encrypted have the type that the
    /// policy declares.
    pub fn announced(
        &self,
        description: &RowDescription,
        snapshot: &Snapshot,
        caller: &Caller,
    ) -> Option<RowDescription> {
        if !snapshot.policy.encrypts() {
            return None;
        }
        let rules = self.rules(description, &mut Binding::new(self, snapshot, caller));
        if rules.iter().all(|rule| rule.opening.is_none()) {
            return None;
        }
        let fields = description.fields.iter().zip(rules).map(|(field, rule)| match rule.opening {
            Some(opening) => opening.announced(field),
            None => field.clone(),
        });
        Some(RowDescription { fields: fields.collect() })
    }

    /// Where keys of the rows stand whose columns are shown in clear.
    pub(super) fn keys(&self, fields: &[&Field], format: Option<Format>, binding: &Binding<'_>) -> KeyPlan {
        if binding.permits.is_empty() {
            return KeyPlan::default();
        }
        let lineage = match &self.outputs {
            Outputs::Known(lineage) => Some(&**lineage),
            Outputs::Unknown(_) | Outputs::Computed(_) | Outputs::PlanText | Outputs::Clean => None,
        };
        KeyPlan::of(&Shown { lineage, fields, format }, binding.permits.keys().copied(), binding.snapshot)
    }

    /// The rule for each column of a result.
    pub fn cell_rules(&self, description: &RowDescription, snapshot: &Snapshot, caller: &Caller) -> Vec<ColumnRule> {
        let mut binding = Binding::new(self, snapshot, caller);
        self.rules(description, &mut binding)
    }

    /// The rule for each column of a result, and its type.
    pub(super) fn rules(&self, description: &RowDescription, binding: &mut Binding<'_>) -> Vec<ColumnRule> {
        let mut rules = Vec::with_capacity(description.fields.len());
        let counts_agree = match &self.outputs {
            Outputs::Known(lineage) => lineage.open_ended || lineage.outputs.len() == description.fields.len(),
            Outputs::Unknown(_) | Outputs::Computed(_) | Outputs::PlanText | Outputs::Clean => true,
        };
        for (position, field) in description.fields.iter().enumerate() {
            binding.at = position;
            let value_type = ValueType::of(&binding.snapshot.catalog, field.type_oid);
            let origin = match &self.outputs {
                Outputs::Clean => {
                    rules.push(ColumnRule::stored(CellRule::Keep, value_type));
                    continue;
                }
                Outputs::PlanText => Origin::Value(Taint::clean()),
                Outputs::Unknown(reason) => Origin::Value(Taint::unknown(*reason)),
                Outputs::Computed(from) => {
                    let mut reach = Reach::default();
                    reach.absorb(from, Flow::Derived);
                    rules.push(ColumnRule::stored(binding.value_rule(&reach, &value_type), value_type));
                    continue;
                }
                Outputs::Known(lineage) if counts_agree && named_alike(lineage, position, field) => {
                    lineage.origin_at(position)
                }
                // Whatever the server says of it besides: the two do not speak of the same column.
                Outputs::Known(_) => {
                    let origin = binding.contradiction();
                    rules.push(ColumnRule::stored(binding.rule(&origin, &value_type), value_type));
                    continue;
                }
            };
            let origin = binding.reconciled(origin, field);
            let opening = binding.opening(&origin, field, &value_type);
            let opening = opening.map(|opening| match self.outputs.at(position) {
                Some(output) => Opening {
                    unlimited: output.unlimited || opening.unlimited,
                    as_text: output.as_text || opening.as_text,
                    ..opening
                },
                None => opening,
            });
            let plain = opening.as_ref().and_then(Opening::value_type);
            let value_type = plain.unwrap_or(value_type);
            let rule = binding.rule(&origin, &value_type);
            rules.push(ColumnRule { rule, value_type, opening });
        }
        rules
    }
}

/// What is to be done with the rows of one result.
pub struct ResultPlan {
    /// How they are delivered.
    pub rows: PlannedRows,
    /// What there is to count when at least one row is delivered.
    pub observations: Vec<Observation>,
    /// The keys that its values are opened with, each with the column that they are of.
    pub opens: Vec<KeyOfColumn>,
}

/// A key's name, and the column, as `schema.table.column`, that it is used for.
pub type KeyOfColumn = (Arc<str>, Arc<str>);

/// How rows are delivered.
pub enum PlannedRows {
    /// Byte by byte as they come.
    Untouched,
    /// Rewritten, nothing clear among them.
    Masked(OpenedRows),
    /// With clear values of tagged columns: nothing leaves before [`SealedRows::open`].
    Sealed(SealedRows),
}

/// Rows that hold clear values of tagged columns, whose events are not written yet.
pub struct SealedRows {
    cells: Vec<PlannedCell>,
    layout: Layout,
    permits: Vec<RevealPermit>,
    keys: Box<KeyPlan>,
    limited: Option<Box<Limited>>,
}

impl SealedRows {
    /// How many tagged columns they show in clear.
    pub fn columns(&self) -> u64 {
        u64::try_from(self.permits.len()).unwrap_or(u64::MAX)
    }

    /// What there is to say of whose rows they are before any was seen.
    pub fn seen(&self) -> Seen {
        self.keys.begin()
    }

    /// Take the keys of a row, as it came.
    pub fn note(&self, body: &[u8], seen: &mut Seen) {
        self.keys.note(&self.layout, body, seen);
    }

    /// Spend the permits: the records to be written first, and the rows. `rows`: how many there are, where all of them are there.
    pub fn open(self, execution: &Execution, rows: Option<u64>, seen: &mut Seen) -> (Vec<Record>, OpenedRows) {
        let columns = self.permits.iter().map(RevealPermit::shown).collect();
        let (records, opener) = spend(self.permits, execution, rows, seen);
        let Self { cells, layout, keys, limited, .. } = self;
        (records, OpenedRows { cells, layout, opened: Some((opener, columns)), keys, limited })
    }

    /// Whether a row of which this is the body shows a tagged value in clear. `before`: how many of those that are held
    /// back do.
    pub fn shows(&self, body: &[u8], before: u64) -> bool {
        match &self.limited {
            // Something is shown by the caller's roles, in every row.
            _ if self.permits.iter().any(|permit| permit.grounds.is_none()) => true,
            Some(limited) => limited.grant.left().is_none_or(|left| before < left) && limited.is_meant(body),
            None => true,
        }
    }

    /// Rewrite a row that shows nothing, as [`OpenedRows::rewrite`] does.
    pub fn rewrite_masked(&self, body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let masked = self.limited.as_ref().map_or(&[][..], |limited| &limited.masked);
        rewrite(&self.layout, masked, None, body, out)
    }

    /// Go on with an execution that was opened before (a cursor that is read in several pieces): no event is due where it
    /// has shown the same columns already.
    pub fn go_on(self, earlier: OpenedRows) -> Result<OpenedRows, Box<Self>> {
        match earlier.opened {
            Some((opener, columns)) if self.permits.iter().all(|permit| columns.contains(&permit.shown())) => {
                let opened = Some((opener, columns));
                let Self { cells, layout, keys, limited, .. } = self;
                Ok(OpenedRows { cells, layout, opened, keys, limited })
            }
            Some(_) | None => Err(Box::new(self)),
        }
    }
}

/// Rows that may leave, rewritten by [`OpenedRows::rewrite`].
pub struct OpenedRows {
    cells: Vec<PlannedCell>,
    layout: Layout,
    /// The proof that events were written, and for which columns; `None`: nothing clear is among the rows.
    opened: Option<(Opener, BTreeSet<ShownBy>)>,
    keys: Box<KeyPlan>,
    limited: Option<Box<Limited>>,
}

/// A column that is shown in clear, and the number of the grant by which it is.
pub(super) type ShownBy = (Option<TaggedColumnId>, Option<Arc<str>>);

impl OpenedRows {
    /// Take the keys of a row, as it came.
    pub fn note(&self, body: &[u8], seen: &mut Seen) {
        self.keys.note(&self.layout, body, seen);
    }

    /// Whether rows leave as they are.
    pub fn is_keep(&self) -> bool {
        self.limited.is_none() && self.cells.iter().all(PlannedCell::is_keep)
    }

    /// Whether a row of which this is the body counts as one that shows a tagged value in clear.
    pub fn counts(&self, body: &[u8]) -> bool {
        match &self.limited {
            Some(limited) => limited.grant.left() != Some(0) && limited.is_meant(body),
            None => true,
        }
    }

    /// Rewrite the body of one row's message (DataRow, or CopyData of COPY) into a whole frame at the end of `out`. A row
    /// with another number of cells than was announced is an error, and so is an encrypted value that does not open: nothing of it
    /// is written.
    pub fn rewrite(&self, body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        rewrite(&self.layout, &self.cells, self.limited.as_deref(), body, out)
    }
}

fn rewrite(
    layout: &Layout,
    cells: &[PlannedCell],
    limited: Option<&Limited>,
    body: &[u8],
    out: &mut BytesMut,
) -> Result<(), RowError> {
    let start = out.len();
    let (message, written) = match (layout, limited) {
        (Layout::DataRow, limited) => {
            out.extend_from_slice(b"D\0\0\0\0");
            let written = match limited {
                Some(limited) => limited.rewrite(cells, body, out),
                None => rewrite_fields(cells, body, out),
            };
            ("DataRow", written)
        }
        (Layout::Copy(rows), limited) => {
            out.extend_from_slice(b"d\0\0\0\0");
            let written = match limited {
                Some(limited) => limited.rewrite_copied(rows, cells, body, out),
                None => rows.rewrite(cells, body, out),
            };
            ("CopyData", written)
        }
    };
    let length = out.len().saturating_sub(start).saturating_sub(1);
    if let Err(RowError::Spoiled(spoiled)) = written {
        out.truncate(start);
        return Err(RowError::Spoiled(spoiled));
    }
    if written.is_err() || length > frame::BODY_BYTES_MAX {
        out.truncate(start);
        return Err(Malformed(message).into());
    }
    let length = u32::try_from(length).unwrap_or_default().to_be_bytes();
    if let Some(place) = out.get_mut(start.saturating_add(1)..start.saturating_add(5)) {
        place.copy_from_slice(&length);
    }
    Ok(())
}

/// Rewrite fields with their lengths before them, as DataRow and binary COPY have them, the number of fields first.
pub(super) fn rewrite_fields(cells: &[PlannedCell], body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
    let mut reader = Reader::new(body, "DataRow");
    if reader.count()? != cells.len() {
        return Err(Malformed("DataRow").into());
    }
    out.extend_from_slice(body.get(..2).unwrap_or_default());
    let mut beside: Vec<Option<&[u8]>> = Vec::new();
    if cells.iter().any(PlannedCell::looks_beside) {
        let mut reader = Reader::new(body, "DataRow");
        reader.count()?;
        for _ in cells {
            beside.push(reader.value()?);
        }
    }
    for cell in cells {
        cell.apply(reader.value()?, &|place| beside.get(place).copied().flatten(), out)?;
    }
    reader.end()?;
    Ok(())
}

/// How the cells of a row are put together.
pub(super) enum Layout {
    /// DataRow.
    DataRow,
    /// CopyData.
    Copy(CopyRows),
}

/// Where a grant lifts masks from a result.
pub(super) struct Lifting {
    grant: Arc<Grant>,
    lifts: Vec<Lift>,
    keys: Vec<(usize, Vec<u8>)>,
}

impl Lifting {
    /// The same, with what is shown where it does not.
    pub(super) fn limiting(self, masked: Vec<PlannedCell>) -> Limited {
        Limited { grant: self.grant, masked, lifts: self.lifts, keys: self.keys }
    }
}

/// Rules for the columns of a result that are being made.
pub(super) struct Binding<'a> {
    pub(super) snapshot: &'a Snapshot,
    caller: &'a Caller,
    held: Option<(&'a Held, bool)>,
    permits: BTreeMap<TaggedColumnId, Decision>,
    /// Whether values of unknown origin are shown.
    opens_unknown: bool,
    observations: Vec<Observation>,
    /// The column that is at hand, and from which columns the caller's grant lifts the mask.
    at: usize,
    lifts: Vec<Lift>,
    lifted: BTreeSet<TaggedColumnId>,
}

impl<'a> Binding<'a> {
    pub(super) fn new(protection: &'a Protection, snapshot: &'a Snapshot, caller: &'a Caller) -> Self {
        let held = protection.held.as_ref().map(|(held, first)| (&**held, *first));
        Self {
            snapshot,
            caller,
            held,
            permits: BTreeMap::new(),
            opens_unknown: false,
            observations: Vec::new(),
            at: 0,
            lifts: Vec::new(),
            lifted: BTreeSet::new(),
        }
    }

    /// The origin of a column as lineage and server agree on it.
    fn reconciled(&mut self, origin: Origin, field: &Field) -> Origin {
        if field.table == Oid(0) {
            return origin;
        }
        let taint = origin.taint();
        let unknown = taint.unknown.is_some();
        let Some(relation) = self.snapshot.catalog.relation(field.table) else {
            // A relation that this session may have made since the catalog was read.
            return match self.of_session(&taint, field) {
                Some(own) => own,
                None if unknown => origin,
                None => self.contradiction(),
            };
        };
        if relation.schema.as_str().starts_with("pg_temp")
            && let Some(own) = self.of_session(&taint, field)
        {
            return own;
        }
        let column = |attnum| Source::Column { relation: relation.oid, attnum };
        if field.attnum == 0 {
            // A whole row.
            let fields = || relation.columns.iter().map(|field| column(field.attnum));
            return match &origin {
                Origin::Row(parts) if parts.len() == relation.columns.len() => {
                    let mut pairs = parts.iter().zip(fields());
                    let agree = pairs.all(|(part, source)| part.taint().sources.contains_key(&source));
                    if agree { origin } else { self.contradiction() }
                }
                Origin::Value(_) if unknown => {
                    Origin::Row(fields().map(|source| Origin::Value(Taint::of(source, Flow::Direct))).collect())
                }
                Origin::Row(_) | Origin::Value(_) => self.contradiction(),
            };
        }
        if field.attnum < 0 {
            // A system column: `ctid`, `xmin`, `tableoid`.
            return if taint.sources.is_empty() { Origin::Value(Taint::clean()) } else { self.contradiction() };
        }
        if relation.attribute(field.attnum).is_none() {
            // A column that came after the catalog was read: nobody knows what it holds.
            return if unknown { origin } else { self.contradiction() };
        }
        let source = column(field.attnum);
        match (&origin, taint.sources.get(&source)) {
            // The server says which of the candidates it is, and that it is that column and nothing else.
            (Origin::Value(_), Some(&flow)) => Origin::Value(Taint::of(source, flow.max(Flow::Direct))),
            // Nothing is known from the statement, but the server knows.
            (Origin::Value(_), None) if unknown => Origin::Value(Taint::of(source, Flow::Direct)),
            // A column of composite type: its fields are told apart no further.
            (Origin::Value(_) | Origin::Row(_), _) => self.contradiction(),
        }
    }

    /// The origin of a column of which the server says that it is one of a temporary relation, or one that the catalog
    /// does not have; `None`: it is not one of this session's that the lineage speaks of.
    fn of_session(&self, taint: &Taint, field: &Field) -> Option<Origin> {
        let (_, first) = self.held?;
        if field.attnum < 0 {
            return taint.sources.is_empty().then(|| Origin::Value(Taint::clean()));
        }
        let mut own = Taint { unknown: taint.unknown, ..Taint::default() };
        for (&source, &flow) in &taint.sources {
            if let Source::Column { relation, attnum } = source
                && is_own(relation)
                && attnum == field.attnum
            {
                own.sources.insert(source, flow.max(Flow::Direct));
            }
        }
        if own.sources.is_empty() {
            return None;
        }
        // Where another relation of the name may be meant, it counts as well.
        Some(Origin::Value(if first { own } else { taint.clone() }))
    }

    fn resolve(&self, taint: &Taint) -> Reach {
        match self.held {
            Some((held, _)) => held.resolve(taint, &self.snapshot.inventory),
            None => self.snapshot.inventory.resolve(taint),
        }
    }

    /// How the values of a column are opened; `None`: they are not encrypted.
    fn opening(&self, origin: &Origin, field: &Field, value_type: &ValueType) -> Option<Opening> {
        if !self.snapshot.policy.encrypts() {
            return None;
        }
        let Origin::Value(taint) = origin else { return None };
        let (mut columns, mut others) = (Vec::new(), false);
        let (mut unlimited, mut as_text) = (false, false);
        for (&source, &flow) in taint.sources.iter().filter(|(_, flow)| **flow != Flow::Counted) {
            match self.snapshot.holds(source) {
                Holds::Envelopes(encryption, id) if flow == Flow::Direct => {
                    let relation = match source {
                        Source::Column { relation, .. } => relation,
                        Source::Function(_) | Source::Field { .. } => Oid(0),
                    };
                    columns.push(OpenedColumn { encryption, name: self.snapshot.column_name(id), relation });
                }
                Holds::Envelopes(..) | Holds::Plain | Holds::Index(_) | Holds::Computed(_) => {
                    // A union with `text` is `text`, and one with another length has none.
                    (others, unlimited) = (true, unlimited || flow == Flow::Direct);
                    as_text |= flow == Flow::Direct && self.is_text(source);
                }
            }
        }
        // Of a single column the server says so; else constants may stand in its place.
        let array = matches!(value_type, ValueType::Array(..));
        let mixed = others || field.table == Oid(0);
        (!columns.is_empty()).then_some(Opening { columns, mixed, array, unlimited, as_text })
    }

    /// Whether a source is a column of type `text`.
    fn is_text(&self, source: Source) -> bool {
        let Source::Column { relation, attnum } = source else { return false };
        let column = self.snapshot.catalog.relation(relation).and_then(|relation| relation.attribute(attnum));
        column.is_some_and(|column| column.type_oid == crate::value::Scalar::Text.oid())
    }

    fn contradiction(&mut self) -> Origin {
        self.restrict(RestrictiveReason::Contradiction);
        Origin::Value(Taint::unknown(Unknown::Contradiction))
    }

    fn rule(&mut self, origin: &Origin, value_type: &ValueType) -> CellRule {
        match (origin, row_type(value_type)) {
            (Origin::Row(fields), Some(RowType::Composite(types))) if fields.len() == types.len() => {
                let rules = fields.iter().zip(types).map(|(field, (_, field_type))| self.rule(field, field_type));
                let rules: Vec<_> = rules.collect();
                joined(rules)
            }
            (Origin::Row(fields), Some(RowType::Record)) => {
                // The types of an anonymous record's fields are not announced: text is what a mask of it sees.
                let rules: Vec<_> = fields.iter().map(|field| self.rule(field, &ValueType::Text)).collect();
                joined(rules)
            }
            (Origin::Row(_), _) => {
                let reach = self.resolve(&origin.taint().derived());
                self.value_rule(&reach, value_type)
            }
            (Origin::Value(taint), _) => {
                let reach = self.resolve(taint);
                self.value_rule(&reach, value_type)
            }
        }
    }

    fn value_rule(&mut self, reach: &Reach, value_type: &ValueType) -> CellRule {
        if reach.unknown.is_some() {
            if !self.snapshot.access_log_ready || !self.caller.sees_whatever(self.snapshot) {
                self.restrict(RestrictiveReason::UnknownOrigin);
                return CellRule::Redact;
            }
            self.opens_unknown = true;
        }
        let flowing: Vec<_> = reach
            .columns
            .iter()
            .filter(|(_, flow)| **flow != Flow::Counted)
            .map(|(&id, &flow)| (id, flow, self.shown(id)))
            .collect();
        if flowing.is_empty() {
            return CellRule::Keep;
        }
        let covered: Vec<_> = flowing.iter().filter(|(_, _, decision)| decision.sight != Sight::Clear).collect();
        let lifted = |(id, flow, _): &&(TaggedColumnId, Flow, Decision)| match self.lifts.get(self.at) {
            None | Some(Lift::Never) => false,
            Some(Lift::Always) => self.caller.is_lifted(self.snapshot, *id),
            // Only of the column itself is known that it is of that row.
            Some(Lift::Where(_)) => *flow == Flow::Direct && self.caller.is_lifted(self.snapshot, *id),
        };
        if covered.is_empty() || (covered.iter().copied().all(|column| lifted(&column)) && reach.unknown.is_none()) {
            if !self.snapshot.access_log_ready {
                return CellRule::Redact;
            }
            for (id, _, decision) in flowing {
                let clear = decision.sight == Sight::Clear;
                let decision = if clear { decision } else { self.caller.shown(self.snapshot, id) };
                if !clear {
                    self.lifted.insert(id);
                }
                self.permits.entry(id).or_insert(decision);
            }
            return CellRule::Keep;
        }
        for (id, _, _) in &covered {
            if let Some(column) = self.snapshot.policy.column(*id) {
                let observation = Observation::ColumnMasked(column.tag.name.clone());
                if !self.observations.contains(&observation) {
                    self.observations.push(observation);
                }
            }
        }
        if *value_type == ValueType::Unknown {
            self.restrict(RestrictiveReason::UnknownType);
        }
        if covered.iter().any(|(_, flow, _)| *flow == Flow::Derived) {
            return CellRule::Redact;
        }
        // A mask is chosen for the column's own type: as text, `show_last` of a number would show digits of it.
        if covered
            .iter()
            .any(|(id, _, _)| self.snapshot.type_of(*id).is_some_and(|own| own.element() != value_type.element()))
        {
            return CellRule::Redact;
        }
        let mut sights = covered.iter().map(|(_, _, decision)| &decision.sight);
        let first = sights.next();
        match (first, sights.all(|sight| Some(sight) == first)) {
            (Some(Sight::Masked(mask)), true) if mask.fits(value_type) => CellRule::Mask(mask.clone()),
            (Some(Sight::Masked(_)), true) => CellRule::Hide(HiddenForm::Empty),
            (Some(Sight::Hidden(form)), true) => CellRule::Hide(*form),
            (Some(Sight::Denied | Sight::Clear) | None, _) | (Some(_), false) => CellRule::Redact,
        }
    }

    /// What the caller sees of a column. Nobody is shown a blind index.
    fn shown(&self, id: TaggedColumnId) -> Decision {
        let decision = self.snapshot.policy.decide(&self.caller.roles, id);
        match (self.snapshot.policy.index_of(id), &decision.sight) {
            (Some(_), Sight::Clear) => Decision { sight: Sight::Hidden(HiddenForm::Null), ..decision },
            (Some(_) | None, _) => decision,
        }
    }

    fn restrict(&mut self, reason: RestrictiveReason) {
        self.observations.push(Observation::RestrictiveDefault(reason));
    }

    pub(super) fn finish(
        self,
        cells: Vec<PlannedCell>,
        layout: Layout,
        (keys, limited): (KeyPlan, Option<Box<Limited>>),
    ) -> ResultPlan {
        let grounds = self.caller.grant.as_ref().map(|grant| &grant.grounds);
        let mut observations = self.observations;
        let mut permits = Vec::with_capacity(self.permits.len());
        for (id, decision) in self.permits {
            let Some(column) = self.snapshot.policy.column(id) else { continue };
            observations.push(Observation::ColumnRevealed(column.tag.name.clone()));
            permits.push(RevealPermit {
                id: Some(id),
                column: Some(RevealedColumn {
                    schema: column.schema.clone(),
                    table: column.table.clone(),
                    column: column.column.clone(),
                    tag: column.tag.name.clone(),
                }),
                role: decision.role,
                rule: decision.rule,
                how: if column.encryption.is_some() { How::Decrypted } else { How::Clear },
                grounds: grounds.filter(|_| self.lifted.contains(&id)).cloned(),
            });
        }
        if self.opens_unknown {
            observations.push(Observation::UnknownRevealed);
            let (role, rule) = self.caller.why_everything(self.snapshot);
            permits.push(RevealPermit { id: None, column: None, role, rule, how: How::Clear, grounds: None });
        }
        let opens = cells.iter().flat_map(PlannedCell::opens).collect();
        let rows = if !permits.is_empty() {
            PlannedRows::Sealed(SealedRows { cells, layout, permits, keys: keys.into(), limited })
        } else if cells.iter().all(PlannedCell::is_keep) {
            PlannedRows::Untouched
        } else {
            PlannedRows::Masked(OpenedRows { cells, layout, opened: None, keys: Box::default(), limited: None })
        };
        ResultPlan { rows, observations, opens }
    }
}

/// A name that the lineage predicts and the server does not confirm says that the two do not read the same. Names that
/// are not of ASCII alone may be in another encoding and are not compared; an empty one is that of a column of COPY which
/// the server was not asked about.
fn named_alike(lineage: &Lineage, position: usize, field: &Field) -> bool {
    let predicted = lineage.outputs.get(position).and_then(|output| output.name.as_ref());
    match predicted {
        Some(name) if !lineage.open_ended && field.name.is_ascii() && !field.name.is_empty() => {
            name.as_str().as_bytes() == field.name
        }
        Some(_) | None => true,
    }
}

fn joined(rules: Vec<CellRule>) -> CellRule {
    if rules.iter().all(|rule| *rule == CellRule::Keep) { CellRule::Keep } else { CellRule::Row(rules) }
}

enum RowType<'a> {
    Composite(&'a [(Oid, ValueType)]),
    Record,
}

/// The row type of a value, or of an array's elements.
fn row_type(value_type: &ValueType) -> Option<RowType<'_>> {
    match value_type {
        ValueType::Composite(fields) => Some(RowType::Composite(fields)),
        ValueType::Record => Some(RowType::Record),
        ValueType::Array(_, element) => row_type(element),
        _ => None,
    }
}
