//! Encrypted columns: values on their way into them, what is compared with them, and what is asked of them that can not be.
//!
//! A statement that gives values to encrypted columns, or compares them with values, goes to the server in another form: each
//! such literal is an envelope there, and each such parameter has a place of its own ([`Sealing`]), which the values of Bind
//! are put into ([`Slots::bound`]). Which literal and which parameter that is, lineage tells: a probe is analysed in which each
//! of them is a parameter of its own. What an encrypted column can not do (sorting, patterns, functions) is refused to
//! everyone: the server would do it with the ciphertext, and nobody would notice.

mod called;
mod casts;
mod cells;
mod copied;
mod edits;
mod executed;
mod given;
mod holds;
mod indexed;
mod introspection;
mod shown;
mod slots;
mod target;
mod tenancy;
mod tenants;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::write_back::{Analyses, alone, edited};
use super::{KeyOfColumn, Own, Refusal, Snapshot};
use crate::crypto::{KeyRing, Mode, NonceSource};
use crate::sql::lineage::{Counterpart, Flow, Lineage, Source};
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};
use crate::value::{Scalar, TextForms};
pub use cells::Unopened;
pub(super) use cells::{OpenedColumn, Opening, PlannedCell, SealedCell};
pub(super) use copied::{CopiedSeals, RowOfTenants, fills_encrypted};
use edits::sealed;
pub use executed::table_of_prepared;
use given::Given;
pub(super) use given::literals;
pub(super) use holds::Holds;
use indexed::indexed;
pub use introspection::introspection;
pub use slots::{BoundValue, Slots};
use target::Target;
use tenancy::Tenancy;
use tenants::TenantSource;
pub use tenants::{RowTenants, TenantSettings};
use uses::{Values, check, target_of};

/// What runs in the place of a statement.
#[derive(Debug)]
pub struct Sealing {
    /// Its text, with envelopes in the place of literals.
    pub text: String,
    /// The same without what the envelopes are: it is the same each time.
    pub shape: String,
    /// What becomes of the values of Bind; `None`: they go on as they are.
    pub slots: Option<Arc<Slots>>,
    /// Whether it is `PREPARE`: the values come with EXECUTE, not with Bind.
    pub prepares: bool,
}

/// What becomes of a statement.
#[derive(Debug, Default)]
pub struct Sealed {
    /// What runs in its place; `None`: it runs as it is.
    pub sealing: Option<Sealing>,
    /// Whose the values are that it shows; `None`: they are bound to nobody.
    pub tenants: Option<RowTenants>,
}

/// What values are made with.
pub struct Means<'a> {
    /// The keys.
    pub ring: &'a KeyRing,
    /// Settings that the text of values is read by.
    pub forms: &'a TextForms,
    /// Fresh random numbers.
    pub nonces: &'a mut NonceSource,
    /// The settings that values are bound to.
    pub settings: &'a TenantSettings,
    /// The setting that would have to be known, and is not: what was made is of no use.
    pub missing: Option<Arc<str>>,
    /// Whether a setting counts at all.
    pub used: bool,
    /// The keys that were used, each with the column.
    pub keys: Vec<KeyOfColumn>,
    /// Whether what is sealed is to run later, as often as the client likes.
    pub later: bool,
}

impl<'a> Means<'a> {
    /// With these, for what runs at once; nothing is used yet.
    pub fn new(
        ring: &'a KeyRing,
        forms: &'a TextForms,
        nonces: &'a mut NonceSource,
        settings: &'a TenantSettings,
    ) -> Self {
        Self { ring, forms, nonces, settings, missing: None, used: false, keys: Vec::new(), later: false }
    }
}

/// What has to run in the place of one statement of a message; `Ok(None)`: an analysis has to be made first. `own`: the
/// statement's own text; `session`: what its session has made.
///
/// # Errors
/// The statement may not run: it would store plaintext, or ask what can not be asked of encrypted values.
pub fn sealing(
    own: &str,
    statement: &Statement,
    (snapshot, session): (&Snapshot, &Own),
    means: &mut Means<'_>,
    analyses: &mut Analyses<'_>,
) -> Result<Option<Sealed>, Refusal> {
    if !snapshot.policy.encrypts() {
        return Ok(Some(Sealed::default()));
    }
    if let Detail::Copy(copy) = &statement.detail
        && copy.inward
    {
        // The rows that a client sends are encrypted as they come.
        for table in copy.table.iter() {
            for relation in snapshot.catalog.relations_named(table.schema.as_ref(), &table.name) {
                called::triggered(relation.oid, snapshot)?;
                let named = |attnum| {
                    let column = relation.attribute(attnum).map(|column| &column.name);
                    copy.columns.is_empty() || column.is_some_and(|name| copy.columns.contains(name))
                };
                uses::fills_defaults(relation.oid, named, snapshot)?;
            }
        }
        let column = uses::named(statement, snapshot).filter(|_| copy.server_side);
        if column.is_none() && !copy.server_side {
            copied::settings(copy, snapshot, means);
        }
        return column.map_or(Ok(Some(Sealed::default())), |column| {
            Err(Refusal::encrypted(&column, "COPY from a file of the server is", HINT_READ))
        });
    }
    let lineage = match &statement.reading {
        Reading::Understood(lineage) => lineage,
        Reading::NotUnderstood(_) => {
            return match uses::named(statement, snapshot) {
                Some(column) => Err(Refusal::encrypted(&column, "a statement that pgveil can not read is", HINT_READ)),
                None => Ok(Some(Sealed::default())),
            };
        }
        Reading::NoQuery => {
            let what = match (statement.kind, &statement.detail) {
                (StatementKind::Do | StatementKind::Call, _) => {
                    uses::made_function(statement, session, snapshot)?;
                    "code that pgveil does not read is"
                }
                _ => return Ok(Some(Sealed::default())),
            };
            return match uses::named(statement, snapshot) {
                Some(column) => Err(Refusal::encrypted(&column, what, HINT_READ)),
                None => Ok(Some(Sealed::default())),
            };
        }
    };
    uses::made_function(statement, session, snapshot)?;
    uses::made_by_session(lineage, session, snapshot)?;
    let explained = matches!(statement.detail, Detail::Explain { .. });
    let mut given = given::given(own);
    let Some(casts) = casts::around(own, &mut given, (lineage, snapshot), analyses) else { return Ok(None) };
    let edits = || numbered(&given).into_iter().chain(casts.iter().cloned()).collect();
    let analysis;
    // What casts change is not what the server does, where they are around values for encrypted columns.
    let (lineage, values) = match (casts.is_empty(), given.is_empty()) {
        (true, true) => (&**lineage, Values::Numbered),
        (true, false) => (&**lineage, Values::Written),
        (false, _) => {
            let Some(made) = analyses(&edited(own, edits())) else { return Ok(None) };
            analysis = made;
            match alone(&analysis).filter(|probed| uses::is_same(lineage, probed)) {
                Some(probed) => (probed, Values::Numbered),
                None => (&**lineage, Values::Written),
            }
        }
    };
    let uses = check(statement, lineage, snapshot, explained, values)?;
    if matches!(statement.kind, StatementKind::CreateTableAs) {
        shown::made(lineage, snapshot)?;
    }
    if !uses.takes_values {
        uses.are_exact(lineage, snapshot)?;
    } else if matches!(statement.detail, Detail::Copy(_)) && means.later {
        // What it will send is asked when it runs, of a text that is not kept.
        return Err(uses.in_copy());
    }
    let prepares = statement.kind == StatementKind::Prepare;
    let tenancy = Tenancy::of(lineage, &[], snapshot);
    if !uses.takes_values {
        if !tenancy.concerns() {
            return Ok(Some(Sealed::default()));
        }
        ask_for(&tenancy, means);
        if lineage.rows.is_empty() && (explained || tenancy.is_beside()) {
            let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
            return Ok(Some(Sealed { sealing: None, tenants }));
        }
    }
    let probed;
    let probed: &Lineage = if values == Values::Numbered {
        lineage
    } else {
        let Some(analysis) = analyses(&edited(own, edits())) else { return Ok(None) };
        probed = analysis;
        match alone(&probed).filter(|probed| uses::is_same(lineage, probed)) {
            Some(probed) => probed,
            None => return Err(uses.unfollowed()),
        }
    };
    let tenancy = Tenancy::of(probed, &given, snapshot);
    if !uses.takes_values {
        tenancy.of_values(&mut [])?;
        let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
        return Ok(Some(Sealed { sealing: None, tenants }));
    }
    ask_for(&tenancy, means);
    let uses = check(statement, probed, snapshot, explained, Values::Numbered)?;
    uses.are_exact(probed, snapshot)?;
    let mut targets = targets(probed, given.len(), snapshot)?;
    tenancy.of_values(&mut targets)?;
    let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
    let Some(indexed) = indexed(own, (&given, &targets), edits(), (probed, snapshot), analyses)? else {
        return Ok(None);
    };
    let mut found = sealed(own, (&given, &targets), &indexed, (means, prepares))?;
    if statement.kind == StatementKind::Prepare
        && let Some(Sealing { text, shape, slots: Some(slots), .. }) = &mut found
    {
        for text in [text, shape] {
            if let Some((span, types)) = executed::types(text, slots) {
                text.replace_range(span, &types);
            }
        }
    }
    Ok(Some(Sealed { sealing: found, tenants }))
}

/// The settings have to be known that values are bound to which a statement shows.
fn ask_for(tenancy: &Tenancy<'_>, means: &mut Means<'_>) {
    let settings = tenancy.settings();
    means.used |= !settings.is_empty();
    if !means.later {
        means.missing = settings.into_iter().find(|setting| means.settings.known(setting).is_none());
    }
}

const HINT_READ: &str = "Write the statement in another way, or leave the encrypted column out.";

/// A parameter of its own in the place of each value, numbered from 1.
fn numbered(given: &[Given]) -> Vec<(Range<usize>, String)> {
    given.iter().zip(1_u32..).map(|(given, number)| (given.span.clone(), format!("${number}"))).collect()
}

/// What each of the given values is encrypted for.
fn targets(probed: &Lineage, count: usize, snapshot: &Snapshot) -> Result<Vec<Option<Target>>, Refusal> {
    // By the number of the value: what it is for, and whether it is for something else as well.
    let mut found: BTreeMap<u32, (Option<Target>, bool)> = BTreeMap::new();
    let mut conflict: Option<Arc<str>> = None;
    let mut note = |number: u32, target: Option<Target>| {
        let entry = found.entry(number).or_default();
        match (target, &mut entry.0) {
            (None, _) => entry.1 = true,
            (Some(target), slot @ None) => *slot = Some(target),
            (Some(target), Some(known)) => {
                // What is looked for by its index is another thing than what is stored.
                let alike = target.encryption.mode != Mode::Indexed
                    || (known.stores, known.shows) == (target.stores, target.shows);
                let same = known.encryption == target.encryption
                    && (known.bytes, known.elements) == (target.bytes, target.elements)
                    && alike;
                if !same {
                    conflict = Some(Arc::clone(&target.column));
                }
                // One that is stored is encrypted for the column that it is stored in, and found there as such.
                known.one_form |= target.one_form || known.stores != target.stores;
                known.stores |= target.stores;
            }
        }
    };
    let arguments = called::arguments(probed, snapshot)?;
    let handed: BTreeSet<u32> = arguments.iter().flat_map(|argument| argument.parameters.keys().copied()).collect();
    for called::Argument { parameters, target } in &arguments {
        for &number in parameters.keys() {
            note(number, target.clone());
        }
    }
    for write in &probed.writes {
        let column = write.relation.zip(write.attnum);
        let target =
            column.and_then(|(relation, attnum)| target_of(relation, attnum, (write.elements, true), snapshot));
        for (number, flow) in &write.taint.parameters {
            // What is handed to a function is noted above.
            if *flow != Flow::Counted && (write.relation.is_some() || !handed.contains(number)) {
                note(*number, target.clone());
            }
        }
    }
    for output in probed.outputs.iter().chain(probed.into.iter().flatten()) {
        let taint = output.origin.taint();
        let target = shown::beside(&taint, snapshot).filter(|_| output.unaltered);
        // In the probe each stands in one place.
        let elsewhere = |(number, _): &(&u32, &Flow)| !probed.compared_given.contains(number);
        for (number, flow) in taint.parameters.iter().filter(elsewhere) {
            match flow {
                Flow::Direct => note(*number, target.clone()),
                Flow::Derived => note(*number, None),
                Flow::Counted => {}
            }
        }
    }
    for comparison in &probed.comparisons {
        let (number, elements) = match comparison.with {
            Counterpart::Parameter(number) => (number, false),
            Counterpart::Elements(number) => (number, true),
            Counterpart::Column(_) => continue,
        };
        let target = match comparison.source {
            Source::Column { relation, attnum } => target_of(relation, attnum, (elements, false), snapshot),
            Source::Function(_) | Source::Field { .. } => None,
        };
        let one_form = probed.compared_in_rows.contains(&number);
        if let Some(target) =
            target.as_ref().filter(|target| one_form && target.encryption.plain.scalar == Scalar::Bpchar)
        {
            // Whether it is compared there as such or as text, with the blanks at its end, is in the types of all rows.
            let hint = "Compare it with the value itself: `column = value`.";
            return Err(Refusal::encrypted(&target.column, "a comparison with a list of rows is", hint));
        }
        note(number, target.map(|target| Target { one_form, ..target }));
    }
    let mixed = found.values().find_map(|(target, plain)| target.as_ref().filter(|_| *plain));
    if let Some(column) = conflict.or_else(|| mixed.map(|target| Arc::clone(&target.column))) {
        return Err(Refusal::encrypted(
            &column,
            "one value for this column and for one that is not encrypted like it is",
            "Give the value twice, once for each column; say the schema of a table whose name there is in several.",
        ));
    }
    let given = |number: &u32| found.get(number).and_then(|(target, _)| target.as_ref());
    let grouped = probed.grouped_given.iter().filter_map(given);
    let grouped = grouped.filter(|target| target.encryption.mode != Mode::Deterministic);
    let looked_at = probed.looked_at.difference(&probed.compared_given);
    if let Some(target) = looked_at.filter_map(given).chain(grouped).next() {
        return Err(Refusal::encrypted(
            &target.column,
            "a value that the statement also sorts, filters or computes with is",
            "Give the value twice, once for the column.",
        ));
    }
    let target = |at: usize| {
        found.remove(&u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX)).and_then(|(target, _)| target)
    };
    let mut target = target;
    Ok((0..count).map(&mut target).collect())
}
