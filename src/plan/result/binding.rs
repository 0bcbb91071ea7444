//! What lineage says of a result, met with what the server says of it: a rule for each column.

use std::collections::{BTreeMap, BTreeSet};

use super::Protection;
use super::rows::{Layout, PlannedRows, ResultPlan};
use crate::access_log::{How, RevealedColumn};
use crate::catalog::{Oid, ValueType};
use crate::mask::{CellRule, HiddenForm};
use crate::plan::encryption::{Holds, OpenedColumn, Opening, PlannedCell};
use crate::plan::entities::KeyPlan;
use crate::plan::lifted::{Lift, Limited};
use crate::plan::own::is_own;
use crate::plan::permit::RevealPermit;
use crate::plan::{Caller, Held, Observation, Reach, RestrictiveReason, Snapshot};
use crate::policy::{Decision, Sight, TaggedColumnId};
use crate::sql::lineage::{Flow, Origin, Source, Taint, Unknown};
use crate::wire::backend::Field;

/// Rules for the columns of a result that are being made.
pub(in crate::plan) struct Binding<'a> {
    pub(in crate::plan) snapshot: &'a Snapshot,
    caller: &'a Caller,
    held: Option<(&'a Held, bool)>,
    pub(super) permits: BTreeMap<TaggedColumnId, Decision>,
    /// Whether values of unknown origin are shown.
    opens_unknown: bool,
    observations: Vec<Observation>,
    /// The column that is at hand, and from which columns the caller's grant lifts the mask.
    pub(super) at: usize,
    pub(super) lifts: Vec<Lift>,
    lifted: BTreeSet<TaggedColumnId>,
}

impl<'a> Binding<'a> {
    pub(in crate::plan) fn new(protection: &'a Protection, snapshot: &'a Snapshot, caller: &'a Caller) -> Self {
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
    pub(super) fn reconciled(&mut self, origin: Origin, field: &Field) -> Origin {
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
    pub(super) fn opening(&self, origin: &Origin, field: &Field, value_type: &ValueType) -> Option<Opening> {
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

    pub(super) fn contradiction(&mut self) -> Origin {
        self.restrict(RestrictiveReason::Contradiction);
        Origin::Value(Taint::unknown(Unknown::Contradiction))
    }

    pub(super) fn rule(&mut self, origin: &Origin, value_type: &ValueType) -> CellRule {
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

    pub(super) fn value_rule(&mut self, reach: &Reach, value_type: &ValueType) -> CellRule {
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

    pub(in crate::plan) fn finish(
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
        let rows = PlannedRows::of((cells, layout), permits, (keys, limited));
        ResultPlan { rows, observations, opens }
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
