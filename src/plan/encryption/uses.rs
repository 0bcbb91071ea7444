//! What a statement does with encrypted columns, and whether they can do that.

use std::sync::Arc;

use super::shown::{self, IN_NEW_TABLE, derived, envelopes};
use super::target::Target;
use super::{Holds, TenantSource, called};
use crate::catalog::{Name, Oid};
use crate::crypto::Mode;
use crate::plan::own::is_own;
use crate::plan::{Own, Refusal, Snapshot};
use crate::policy::{Encryption, Stored, TaggedColumnId, Tenant};
use crate::sql::lineage::{Counterpart, FilterKind, Flow, Lineage, Source, Taint, WritePlace};
use crate::sql::statement::{Statement, StatementKind};
use crate::value::Scalar;

/// What a statement does with encrypted columns.
pub(super) struct Uses {
    /// Whether values are stored in them or compared with them.
    pub takes_values: bool,
    /// One of them.
    column: Arc<str>,
}

/// Where a statement that was not understood seems to name an encrypted column: its name.
pub(super) fn named(statement: &Statement, snapshot: &Snapshot) -> Option<Arc<str>> {
    let touched = snapshot.inventory.touched(&statement.words);
    let encrypted =
        |id: &&TaggedColumnId| snapshot.policy.column(**id).is_some_and(|column| column.encryption.is_some());
    let named = touched.reach.columns.keys().find(encrypted).copied();
    let named = named.or_else(|| snapshot.inventory.stored_by_names(statement.words.iter()));
    named.map(|id| snapshot.column_name(id))
}

/// Whether a probe is the same statement as the one that it was made of.
pub(super) fn is_same(one: &Lineage, probe: &Lineage) -> bool {
    let written = |lineage: &Lineage| -> Vec<_> {
        lineage.writes.iter().map(|write| (write.relation, write.attnum, write.place.clone())).collect()
    };
    one.relations == probe.relations && one.outputs.len() == probe.outputs.len() && written(one) == written(probe)
}

pub(super) const HINT_COMPUTED: &str =
    "The database only has the encrypted value. Select the column itself and compute in the application.";
const HINT_TYPE: &str =
    "The policy has it (`type`), and so have descriptions of results and the catalog as clients see it.";
const HINT_FILTER: &str =
    "Only `=`, `<>`, IN, = ANY and joins within its domain find values of a deterministic column.";
const HINT_RANDOMIZED: &str = "Its mode is `randomized`: no value can be found in it. Filter by another column, or ask the owner of the policy for \
                               the mode `deterministic`.";
const HINT_INDEXED: &str = "It has a blind index, by which `=`, `<>`, IN and = ANY find given values. Ask the owner of the policy for the mode \
                            `deterministic` for joins, grouping and unique keys of the column itself.";
const HINT_INDEX: &str = "Compare the column itself with the value: pgveil looks for it by the blind index.";
const HINT_STORE: &str =
    "Give the value as a literal or parameter: pgveil encrypts it on its way. What the database computes can not be.";
const HINT_ELSEWHERE: &str =
    "Read the values in the application and write them from there, or store them in a column of the same domain.";
const HINT_MIXED: &str =
    "The column is being converted. Wait until that is done (`stored: mixed` is gone from the policy).";

/// How a lineage has the values that its statement gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// As they are written: what compares columns with them is judged by the probe.
    Written,
    /// As parameters, each with a number of its own.
    Numbered,
}

/// What a statement does with encrypted columns. `explained`: its result is a plan.
///
/// # Errors
/// They can not do that.
pub(super) fn check(
    statement: &Statement,
    lineage: &Lineage,
    snapshot: &Snapshot,
    explained: bool,
    values: Values,
) -> Result<Uses, Refusal> {
    let mut uses = Uses { takes_values: false, column: "".into() };
    let plain_groups = !["rollup", "cube", "sets", "with"].iter().any(|word| statement.words.contains(*word));
    for output in &lineage.outputs {
        if let Some((_, id)) = derived(&output.origin.taint(), snapshot) {
            uses.takes_values = true;
            uses.column = snapshot.column_name(id);
        }
    }
    if !explained {
        for output in &lineage.outputs {
            let beside = (output.made_up > 0).then(|| envelopes(&output.origin.taint(), snapshot)).flatten();
            if let Some((_, id)) = beside {
                uses.takes_values = true;
                uses.column = snapshot.column_name(id);
                if values == Values::Written {
                    continue;
                }
            }
            if values == Values::Written && derived(&output.origin.taint(), snapshot).is_some() {
                // What it is computed by is seen in the probe.
                continue;
            }
            shown::result_column(&output.origin, output.unaltered, snapshot)?;
        }
    }
    for &source in &lineage.recast {
        // To the server each of them is text; a date that is cast to text is not that one any more.
        if let Holds::Envelopes(encryption, id) = snapshot.holds(source)
            && !matches!(encryption.plain.scalar, Scalar::Text | Scalar::Varchar)
        {
            return Err(Refusal::encrypted(&snapshot.column_name(id), "casting it to another type is", HINT_COMPUTED));
        }
    }
    for &source in &lineage.typed {
        // To the server it is the type of what is stored.
        if let (Holds::Envelopes(encryption, id), Source::Column { relation, attnum }) =
            (snapshot.holds(source), source)
            && let Some(column) = snapshot.catalog.relation(relation).and_then(|relation| relation.attribute(attnum))
            && column.type_oid != encryption.plain.oid()
        {
            return Err(Refusal::encrypted(&snapshot.column_name(id), "asking for the name of its type is", HINT_TYPE));
        }
    }
    for output in lineage.into.iter().flatten() {
        uses.note(stays(&output.origin.taint(), IN_NEW_TABLE, snapshot)?, snapshot);
    }
    for filter in &lineage.filters {
        let with_values =
            matches!(filter.kind, FilterKind::Equality | FilterKind::Any(_) | FilterKind::MadeUp | FilterKind::Other);
        if with_values && values == Values::Written {
            uses.takes_values |= !matches!(snapshot.holds(filter.source), Holds::Plain);
            continue;
        }
        let (encryption, id) = match snapshot.holds(filter.source) {
            Holds::Plain => continue,
            Holds::Envelopes(encryption, id) => (encryption, id),
            Holds::Index(_) | Holds::Computed(_) if filter.kind == FilterKind::NullTest => continue,
            // Of ON CONFLICT. What compares it with anything is found as a comparison.
            Holds::Index(_) if matches!(filter.kind, FilterKind::Equality | FilterKind::Gathering) => continue,
            Holds::Index(id) => return Err(of_index(id, snapshot)),
            Holds::Computed(id) => return Err(computed(id, snapshot)),
        };
        let column = snapshot.column_name(id);
        let what = match filter.kind {
            FilterKind::NullTest | FilterKind::Gathering => continue,
            FilterKind::Grouping if plain_groups && !lineage.grouped.contains(&filter.source) => continue,
            FilterKind::Grouping | FilterKind::Join(_)
                if encryption.stored == Stored::Mixed && encryption.mode != Mode::Indexed =>
            {
                return Err(Refusal::encrypted(
                    &column,
                    "while it is being converted, grouping by it and joining with it are",
                    HINT_MIXED,
                ));
            }
            // Whether `char(n)` is compared there as such or as text, with the blanks at its end, is in the types of all rows.
            FilterKind::MadeUp if encryption.plain.scalar == Scalar::Bpchar => "a comparison with a list of rows is",
            FilterKind::MadeUp if encryption.mode == Mode::Deterministic => {
                uses.takes_values = true;
                uses.column = column;
                continue;
            }
            FilterKind::Equality if encryption.mode == Mode::Indexed && lineage.conflicts.contains(&filter.source) => {
                let index = encryption.blind_index.as_ref().map(Name::as_str).unwrap_or_default();
                let hint =
                    format!("Name the column of its blind index: ON CONFLICT ({index}), which needs a unique index.");
                return Err(Refusal::encrypted(&column, "ON CONFLICT by it is", &hint));
            }
            FilterKind::Equality | FilterKind::Any(_) if encryption.mode.is_comparable() => {
                uses.takes_values = true;
                uses.column = column;
                continue;
            }
            // Computed from whether it equals given values, or many of these.
            FilterKind::Other if encryption.mode.is_comparable() && !lineage.looked_into.contains(&filter.source) => {
                uses.takes_values = true;
                uses.column = column;
                continue;
            }
            FilterKind::Grouping | FilterKind::Join(_) if encryption.mode == Mode::Deterministic => continue,
            FilterKind::Grouping => "grouping and comparing its values is",
            FilterKind::Join(_) => "a join with it is",
            FilterKind::Equality | FilterKind::Any(_) | FilterKind::MadeUp => "a comparison with it is",
            FilterKind::Like(_) | FilterKind::Prefix | FilterKind::Pattern => "a search by pattern in it is",
            FilterKind::Range => "a comparison by order with it is",
            FilterKind::Sort => "sorting by it is",
            FilterKind::Conversion | FilterKind::Other => "a condition that computes with it is",
        };
        let hint = match encryption.mode {
            Mode::Randomized => HINT_RANDOMIZED,
            Mode::Deterministic => HINT_FILTER,
            Mode::Indexed => HINT_INDEXED,
        };
        return Err(Refusal::encrypted(&column, what, hint));
    }
    for write in &lineage.writes {
        let target = match write.relation.zip(write.attnum) {
            Some((relation, attnum)) => snapshot.holds(Source::Column { relation, attnum }),
            None => Holds::Plain,
        };
        match target {
            Holds::Plain | Holds::Index(_) => {
                let what = "storing its values in a column that is not encrypted, or handing them to a function, is";
                uses.note(stays(&write.taint, what, snapshot)?, snapshot);
            }
            Holds::Computed(id) => return Err(computed(id, snapshot)),
            Holds::Envelopes(encryption, id) => {
                uses.column = snapshot.column_name(id);
                uses.takes_values = true;
                copied(&write.taint, &encryption, &uses.column, snapshot)?;
            }
        }
    }
    uses.note(called::called(lineage, snapshot)?, snapshot);
    for relation in lineage.writes.iter().filter_map(|write| write.relation) {
        called::triggered(relation, snapshot)?;
    }
    defaulted(statement, lineage, snapshot)?;
    for &function in &lineage.functions {
        called(function, snapshot)?;
    }
    for given in lineage.given.values().chain([&lineage.given_in_doubt]) {
        uses.note(stays(given, "handing its values to a function is", snapshot)?, snapshot);
    }
    Ok(uses)
}

/// Whether new rows get values of their own in encrypted columns that have defaults, which the server would store as they are.
fn defaulted(statement: &Statement, lineage: &Lineage, snapshot: &Snapshot) -> Result<(), Refusal> {
    let says_default = statement.words.contains("default");
    for &relation in &lineage.relations {
        let new =
            || lineage.writes.iter().filter(|write| write.relation == Some(relation) && write.place == WritePlace::New);
        let written = || lineage.writes.iter().any(|write| write.relation == Some(relation));
        if says_default && (statement.kind == StatementKind::Insert || written()) {
            fills_defaults(relation, |_| false, snapshot)?;
        } else if new().next().is_some() {
            fills_defaults(relation, |attnum| new().any(|write| write.attnum == Some(attnum)), snapshot)?;
        }
    }
    Ok(())
}

/// Whether a relation's rows can be made with values for these columns only.
///
/// # Errors
/// An encrypted column would get its default.
pub(super) fn fills_defaults(relation: Oid, given: impl Fn(i16) -> bool, snapshot: &Snapshot) -> Result<(), Refusal> {
    let columns = snapshot.catalog.relation(relation).map(|relation| relation.columns.as_slice());
    for column in columns.into_iter().flatten().filter(|column| column.defaulted && !given(column.attnum)) {
        if let Holds::Envelopes(_, id) = snapshot.holds(Source::Column { relation, attnum: column.attnum }) {
            let hint = "Give it a value in the statement; or drop the default, as the server would store it as it is.";
            return Err(Refusal::encrypted(&snapshot.column_name(id), "a row with its default is", hint));
        }
    }
    Ok(())
}

/// What a value for that column is encrypted for, as an array of values or not, to be stored or to be compared; `None`: it is not.
pub(super) fn target_of(
    relation: Oid,
    attnum: i16,
    (elements, stores): (bool, bool),
    snapshot: &Snapshot,
) -> Option<Target> {
    const BYTEA: Oid = Oid(17);
    let Holds::Envelopes(encryption, id) = snapshot.holds(Source::Column { relation, attnum }) else { return None };
    let column = snapshot.catalog.relation(relation)?.attribute(attnum)?;
    let (bytes, column) = (column.type_oid == BYTEA, snapshot.column_name(id));
    let tenant = encryption.tenant.as_ref().map(|tenant| match tenant {
        Tenant::Setting(setting) => TenantSource::Setting(Arc::clone(setting)),
        Tenant::Column(_) => TenantSource::Values(Arc::default()),
    });
    Some(Target { encryption, column, bytes, elements, stores, shows: false, one_form: false, relation, tenant })
}

/// A function that was made since the catalog was read is not followed.
pub(super) fn made_function(statement: &Statement, own: &Own, snapshot: &Snapshot) -> Result<(), Refusal> {
    let Some(id) = own.stores(statement.words.iter()) else { return Ok(()) };
    let what = "calling a function that this session has just made, and that may store into it, is";
    Err(Refusal::encrypted(&snapshot.column_name(id), what, "Call it when what made it is committed."))
}

/// What the session has made of encrypted columns is not followed: neither what is read from it nor what is written to it.
pub(super) fn made_by_session(lineage: &Lineage, own: &Own, snapshot: &Snapshot) -> Result<(), Refusal> {
    if own.is_empty() {
        return Ok(());
    }
    let taints = lineage.outputs.iter().map(|output| output.origin.taint());
    let taints = taints.chain(lineage.writes.iter().map(|write| write.taint.clone()));
    let mut sources: Vec<Source> = taints.flat_map(|taint| taint.sources.into_keys()).collect();
    sources.extend(lineage.filters.iter().map(|filter| filter.source));
    for write in &lineage.writes {
        sources.extend(write.relation.zip(write.attnum).map(|(relation, attnum)| Source::Column { relation, attnum }));
    }
    for source in sources {
        let Source::Column { relation, .. } = source else { continue };
        if !is_own(relation) {
            continue;
        }
        let reach = own.held().resolve(&Taint::of(source, Flow::Direct), &snapshot.inventory);
        let encrypted = |id: &&TaggedColumnId| {
            let column = snapshot.policy.column(**id);
            column.is_some_and(|column| column.encryption.is_some() || column.index_of.is_some())
        };
        if let Some(id) = reach.columns.keys().find(encrypted) {
            let what = "reading or writing it through what this session has just made is";
            let hint = "Use the table itself, or wait until what was made is committed.";
            return Err(Refusal::encrypted(&snapshot.column_name(*id), what, hint));
        }
    }
    Ok(())
}

/// A function that does more than return something, and may do it with encrypted values.
fn called(function: Oid, snapshot: &Snapshot) -> Result<(), Refusal> {
    let holds = match snapshot.inventory.acts(function) {
        true => snapshot.holds(Source::Function(function)),
        false => Holds::Plain,
    };
    match holds {
        Holds::Plain => Ok(()),
        Holds::Envelopes(_, id) | Holds::Index(id) | Holds::Computed(id) => {
            let name = snapshot.catalog.function(function).map(|known| known.name.to_string()).unwrap_or_default();
            let what = format!("calling function {name}, which may store or hand on its values, is");
            Err(Refusal::encrypted(&snapshot.column_name(id), &what, HINT_ELSEWHERE))
        }
    }
}

pub(super) fn computed(id: TaggedColumnId, snapshot: &Snapshot) -> Refusal {
    Refusal::encrypted(&snapshot.column_name(id), "computing with its values is", HINT_COMPUTED)
}

/// The blind index itself is asked for.
fn of_index(id: TaggedColumnId, snapshot: &Snapshot) -> Refusal {
    Refusal::encrypted(&snapshot.column_name(id), "a condition on the column of its blind index is", HINT_INDEX)
}

/// A value that may not be made of envelopes. A column of such that decides which one it is, by a comparison with given values.
pub(super) fn stays(taint: &Taint, what: &str, snapshot: &Snapshot) -> Result<Option<TaggedColumnId>, Refusal> {
    let mut compared = None;
    for (&source, &flow) in &taint.sources {
        match snapshot.holds(source) {
            Holds::Envelopes(encryption, id) if decides(source, &encryption, taint) => compared = Some(id),
            Holds::Envelopes(encryption, id)
                if encryption.mode == Mode::Randomized && taint.compared.contains(&source) =>
            {
                return Err(Refusal::encrypted(&snapshot.column_name(id), "a comparison with it is", HINT_RANDOMIZED));
            }
            Holds::Envelopes(_, id) | Holds::Index(id) | Holds::Computed(id) if flow != Flow::Counted => {
                return Err(Refusal::encrypted(&snapshot.column_name(id), what, HINT_ELSEWHERE));
            }
            Holds::Plain | Holds::Envelopes(..) | Holds::Index(_) | Holds::Computed(_) => {}
        }
    }
    Ok(compared)
}

/// Whether all that a column tells there is which of several values is meant, and that by whether it equals given ones.
fn decides(source: Source, encryption: &Encryption, taint: &Taint) -> bool {
    encryption.mode.is_comparable() && taint.deciding.contains(&source) && taint.compared.contains(&source)
}

/// Stored values that go into an encrypted column have to be envelopes that open there.
pub(super) fn copied(taint: &Taint, into: &Encryption, column: &str, snapshot: &Snapshot) -> Result<(), Refusal> {
    if taint.unknown.is_some() {
        return Err(Refusal::encrypted(column, "storing a value of unknown origin in it is", HINT_STORE));
    }
    for (&source, &flow) in &taint.sources {
        let what = match snapshot.holds(source) {
            _ if flow == Flow::Counted => continue,
            Holds::Plain if taint.deciding.contains(&source) => continue,
            Holds::Envelopes(encryption, _) if decides(source, &encryption, taint) => continue,
            Holds::Envelopes(encryption, _) if flow == Flow::Direct && into.may_hold_values_of(&encryption) => continue,
            Holds::Envelopes(..) if flow == Flow::Derived => {
                "storing a value in it that is computed from encrypted values, or chosen by them, is"
            }
            Holds::Plain | Holds::Envelopes(..) | Holds::Index(_) | Holds::Computed(_) => {
                "storing values of another column in it is"
            }
        };
        return Err(Refusal::encrypted(column, what, HINT_STORE));
    }
    Ok(())
}

impl Uses {
    /// Values are compared with that column.
    fn note(&mut self, column: Option<TaggedColumnId>, snapshot: &Snapshot) {
        if let Some(id) = column {
            self.takes_values = true;
            self.column = snapshot.column_name(id);
        }
    }

    /// Whether all values that are stored in encrypted columns, and all that are compared with them, are given as they are.
    ///
    /// # Errors
    /// They are not.
    pub fn are_exact(&self, probed: &Lineage, snapshot: &Snapshot) -> Result<(), Refusal> {
        for write in &probed.writes {
            let Some((relation, attnum)) = write.relation.zip(write.attnum) else {
                let encrypted = write.relation.is_some_and(|relation| self.has_encrypted(relation, snapshot));
                if encrypted {
                    return Err(Refusal::encrypted(
                        &self.column,
                        "storing into a column that pgveil does not know is",
                        HINT_STORE,
                    ));
                }
                continue;
            };
            if let Holds::Envelopes(_, id) = snapshot.holds(Source::Column { relation, attnum })
                && !write.as_given
            {
                return Err(Refusal::encrypted(
                    &snapshot.column_name(id),
                    "storing a value that the database computes in it is",
                    HINT_STORE,
                ));
            }
        }
        for &source in &probed.inexact {
            if let Holds::Index(id) = snapshot.holds(source) {
                return Err(of_index(id, snapshot));
            }
            if let Holds::Envelopes(_, id) | Holds::Computed(id) = snapshot.holds(source) {
                let what = "a comparison with anything but plain values and columns of its domain is";
                return Err(Refusal::encrypted(&snapshot.column_name(id), what, HINT_FILTER));
            }
        }
        for comparison in &probed.comparisons {
            if let Holds::Index(id) = snapshot.holds(comparison.source) {
                return Err(of_index(id, snapshot));
            }
            let Counterpart::Column(other) = comparison.with else { continue };
            let id = match (snapshot.holds(comparison.source), snapshot.holds(other)) {
                (Holds::Plain, Holds::Plain) => continue,
                (Holds::Envelopes(one, _), Holds::Envelopes(two, _)) if one.compares_with(&two) => continue,
                (Holds::Envelopes(_, id) | Holds::Index(id) | Holds::Computed(id), _)
                | (_, Holds::Envelopes(_, id) | Holds::Index(id) | Holds::Computed(id)) => id,
            };
            let what = "comparing it with a column that is not encrypted in the same domain is";
            return Err(Refusal::encrypted(&snapshot.column_name(id), what, HINT_FILTER));
        }
        Ok(())
    }

    fn has_encrypted(&self, relation: Oid, snapshot: &Snapshot) -> bool {
        let Some(known) = snapshot.catalog.relation(relation) else { return false };
        let holds = |attnum| snapshot.holds(Source::Column { relation, attnum });
        known.columns.iter().any(|column| !matches!(holds(column.attnum), Holds::Plain))
    }

    /// The values of a statement can not be followed.
    pub fn unfollowed(&self) -> Refusal {
        Refusal::encrypted(&self.column, "a statement whose values pgveil can not follow is", super::HINT_READ)
    }

    /// COPY of a query that looks for values, prepared by the protocol.
    pub fn in_copy(&self) -> Refusal {
        let hint = "Send it as a simple query, select the rows, or copy without a condition on the column.";
        Refusal::encrypted(&self.column, "preparing a COPY of a query that compares it with values is", hint)
    }
}
