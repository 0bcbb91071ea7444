//! Masks that come back: a caller is shown masks, and an edit form or an ORM sends them back in an UPDATE or INSERT.
//! They are never stored over what they stand for.
//!
//! Every parameter, and every literal that looks like what the caller is shown of a column that the statement writes, is
//! a [`Spot`]. Lineage tells which of them reach which column: where it can not be seen from the statement itself, a probe
//! is analysed in which each spot is a parameter of its own. An UPDATE of a spot's column keeps the stored value: in the
//! place of the spot the statement reads the column. Everything else is refused. The statement that does so has to have
//! the same lineage but for that.

mod column;
mod spots;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Caller, Observation, Refusal, Snapshot};
use crate::catalog::ValueType;
use crate::mask::{Format, Resemblance, TextEncoding};
use crate::sql::lineage::{Flow, Lineage, Source, WritePlace};
use crate::sql::statement::{Analysis, Detail, Reading, Statement};
pub use column::Written;
use spots::{Given, Spot};

/// What becomes of the values that a statement gives.
#[derive(Clone, Debug, Default)]
pub struct WriteBack {
    /// The statement's parameters that reach columns of which the caller is shown masks.
    spots: Vec<Watched>,
    /// What the client is told when the statement has run: literals were not stored.
    pub told: Option<Arc<str>>,
    /// What there is to count of literals.
    pub observations: Vec<Observation>,
}

/// A parameter where it reaches a column.
#[derive(Clone, Debug)]
struct Watched {
    spot: Spot,
    /// The columns, and how it gets there.
    reaches: Vec<(Arc<Written>, Flow)>,
    /// Whether the column can be read in its place.
    keeps: bool,
}

/// How a text has to be changed, or that it may not run.
pub enum Change {
    /// Not at all.
    None,
    /// To this.
    To(String),
}

/// Asks for the analysis of a text; `None`: it has to be made elsewhere first.
pub type Analyses<'a> = dyn FnMut(&str) -> Option<Arc<Analysis>> + 'a;

/// What a parameter's value is, as Bind gives it.
pub struct GivenValue<'a> {
    /// The cell; `None` is NULL.
    pub cell: Option<&'a [u8]>,
    /// Its format.
    pub format: Format,
    /// Its type where that is known.
    pub value_type: Option<ValueType>,
}

/// What runs in the place of a statement whose values hold masks.
pub struct Bound {
    /// The text.
    pub text: String,
    /// The columns that keep what is stored for certain, for the client to read.
    pub told: Option<Arc<str>>,
}

/// What has to be done with one spot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Store,
    Keep,
    Compare,
}

/// The write-back of one statement of `text`; `Ok(None)`: an analysis has to be made first. The change is one of the
/// statement's own text (`statement.span`).
///
/// # Errors
/// The statement may not run: it would store a mask.
pub fn write_back(
    text: &str,
    statement: &Statement,
    snapshot: &Snapshot,
    caller: &Caller,
    analyses: &mut Analyses<'_>,
) -> Result<Option<(WriteBack, Change)>, Refusal> {
    let nothing = || Ok(Some((WriteBack::default(), Change::None)));
    let Reading::Understood(lineage) = &statement.reading else { return nothing() };
    if matches!(statement.detail, Detail::Copy(_)) {
        // Its values come later, and its literals are no values.
        return nothing();
    }
    let written = column::written(lineage, snapshot, caller);
    if written.is_empty() {
        return nothing();
    }
    let own = text.get(statement.span.clone()).unwrap_or_default();
    let spots = spots::spots(own, &written);
    if spots.is_empty() {
        return nothing();
    }
    let flows = if spots::are_told_apart(&spots) {
        flows(lineage, &spots, |spot| match spot.given {
            Given::Parameter(number) => Some(number),
            Given::Literal(_) => None,
        })
    } else {
        let probe = spots::probe(own, &spots);
        let Some(analysis) = analyses(&probe) else { return Ok(None) };
        let Some(probed) = alone(&analysis).filter(|probed| same_writes(lineage, probed)) else {
            return unfollowed(&spots, &written).map(|()| Some((WriteBack::default(), Change::None)));
        };
        let mut numbers = 0_u32;
        flows(probed, &spots, |_| {
            numbers = numbers.saturating_add(1);
            Some(numbers)
        })
    };
    let start = statement.span.start;
    Ok(decided(own, lineage, &written, spots, &flows, analyses)?.map(|(mut found, change)| {
        // From the statement's own text to that of the message.
        for watched in &mut found.spots {
            let span = &mut watched.spot.span;
            *span = span.start.saturating_add(start)..span.end.saturating_add(start);
        }
        (found, change)
    }))
}

/// For each spot: the writes that it reaches, by their number.
fn flows(
    lineage: &Lineage,
    spots: &[Spot],
    mut number: impl FnMut(&Spot) -> Option<u32>,
) -> Vec<BTreeMap<usize, Flow>> {
    let reached = |number: u32| {
        let writes = lineage.writes.iter().enumerate();
        writes.filter_map(|(at, write)| Some((at, *write.taint.parameters.get(&number)?))).collect()
    };
    spots.iter().map(|spot| number(spot).map(reached).unwrap_or_default()).collect()
}

fn decided(
    own: &str,
    lineage: &Lineage,
    written: &BTreeMap<usize, Arc<Written>>,
    spots: Vec<Spot>,
    flows: &[BTreeMap<usize, Flow>],
    analyses: &mut Analyses<'_>,
) -> Result<Option<(WriteBack, Change)>, Refusal> {
    let mut found = WriteBack::default();
    let mut kept: Vec<(Watched, Deed)> = Vec::new();
    for (spot, flows) in spots.into_iter().zip(flows) {
        let reaches: Vec<_> =
            flows.iter().filter_map(|(at, flow)| Some((Arc::clone(written.get(at)?), *flow))).collect();
        if reaches.is_empty() {
            continue;
        }
        let watched = Watched { spot, reaches, keeps: true };
        match &watched.spot.given {
            Given::Parameter(_) => found.spots.push(watched),
            Given::Literal(value) => {
                let resemblance = |written: &Written, flow| written.literal(value.as_deref(), flow);
                let deed = watched.deed(resemblance, &mut found.observations)?;
                if deed != Deed::Store {
                    kept.push((watched, deed));
                }
            }
        }
    }
    if found.spots.is_empty() && kept.is_empty() {
        return Ok(Some((found, Change::None)));
    }
    // With every spot kept that can be, it has to be the same statement.
    let all = found.spots.iter().chain(kept.iter().map(|(watched, _)| watched));
    let all: Vec<_> = all.filter(|watched| watched.reference().is_some()).collect();
    if all.is_empty() {
        return Ok(Some((found, Change::None)));
    }
    let edits = all.iter().filter_map(|watched| Some((watched.spot.span.clone(), watched.reference()?)));
    let Some(analysis) = analyses(&spots::edited(own, edits.collect())) else { return Ok(None) };
    let same = alone(&analysis).is_some_and(|edited| is_same_but_kept(lineage, edited, &all));
    if !same {
        if let Some((watched, _)) = kept.first() {
            return Err(watched.not_kept());
        }
        found.spots.iter_mut().for_each(|watched| watched.keeps = false);
        return Ok(Some((found, Change::None)));
    }
    if kept.is_empty() {
        return Ok(Some((found, Change::None)));
    }
    found.told = told(&kept);
    let edits: Vec<_> = kept.iter().filter_map(|(watched, deed)| watched.edit(own, *deed)).collect();
    let changed = spots::edited(own, edits.clone());
    // What is left are parameters, whose places have moved.
    for watched in &mut found.spots {
        let moved = |at: usize| spots::moved(at, &edits);
        watched.spot.span = moved(watched.spot.span.start)..moved(watched.spot.span.end);
    }
    Ok(Some((found, Change::To(changed))))
}

impl WriteBack {
    /// Whether there is nothing to be done with the values that come with it.
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }

    /// Whether there is nothing to be done or told at all.
    pub fn is_nothing(&self) -> bool {
        self.spots.is_empty() && self.told.is_none()
    }

    /// What has to run in the place of the statement of that text with these values. `value` gives the value of each
    /// parameter by its number.
    ///
    /// # Errors
    /// It may not run: it would store a mask.
    pub fn bound<'v>(
        &self,
        text: &str,
        encoding: TextEncoding,
        value: impl Fn(u32) -> Option<GivenValue<'v>>,
        observations: &mut Vec<Observation>,
    ) -> Result<Option<Bound>, Refusal> {
        let mut kept = Vec::new();
        for watched in &self.spots {
            let Given::Parameter(number) = &watched.spot.given else { continue };
            let Some(value) = value(*number) else { continue };
            let deed = watched.deed(|written, flow| written.parameter(&value, flow, encoding), observations)?;
            if deed != Deed::Store {
                if !watched.keeps {
                    return Err(watched.not_kept());
                }
                kept.push((watched.clone(), deed));
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let edits = kept.iter().filter_map(|(watched, deed)| watched.edit(text, *deed)).collect();
        Ok(Some(Bound { text: spots::edited(text, edits), told: told(&kept) }))
    }

    /// Values that come with `EXECUTE`: what is in the place of the parameters can not be changed there.
    ///
    /// # Errors
    /// It may not run: it would store a mask.
    pub fn executed(&self, text: &str) -> Result<(), Refusal> {
        let Some(values) = spots::literals(text) else { return Ok(()) };
        for watched in &self.spots {
            for value in &values {
                let mut ignored = Vec::new();
                let deed = watched.deed(|written, flow| written.literal(value.as_deref(), flow), &mut ignored)?;
                if deed != Deed::Store {
                    return Err(watched.not_kept());
                }
            }
        }
        Ok(())
    }
}

impl Watched {
    /// What is to be done with the spot, where it resembles what is shown of its columns as the closure says.
    fn deed(
        &self,
        resemblance: impl Fn(&Written, Flow) -> Resemblance,
        observations: &mut Vec<Observation>,
    ) -> Result<Deed, Refusal> {
        let mut deed = Deed::Store;
        for (written, flow) in &self.reaches {
            let stored = matches!(written.place, WritePlace::Stored(_));
            let resemblance = resemblance(written, *flow);
            if !stored {
                match written.refused_in_new_row(resemblance) {
                    Some(refusal) => return Err(refusal),
                    None => continue,
                }
            }
            let one = match resemblance {
                Resemblance::No => continue,
                Resemblance::Surely if written.refuses => return Err(self.refused(written)),
                Resemblance::Surely => Deed::Keep,
                Resemblance::Partly => return Err(Refusal::mask_edited(&written.column, &written.tag)),
                Resemblance::Perhaps if *flow == Flow::Direct && written.condition("", "").is_some() => Deed::Compare,
                Resemblance::Perhaps => return Err(Refusal::mask_or_value(&written.column, &written.tag)),
            };
            if self.reference().is_none() {
                return Err(self.not_kept());
            }
            deed = match (deed, one) {
                (Deed::Store, one) => one,
                (before, one) if before == one => before,
                (_, _) => return Err(self.not_kept()),
            };
            let observation = match one {
                Deed::Compare => Observation::MaskCompared(Arc::clone(&written.tag)),
                Deed::Keep | Deed::Store => Observation::MaskKept(Arc::clone(&written.tag)),
            };
            if !observations.contains(&observation) {
                observations.push(observation);
            }
        }
        Ok(deed)
    }

    fn refused(&self, written: &Written) -> Refusal {
        Refusal::mask_refused(&written.column, &written.tag)
    }

    fn not_kept(&self) -> Refusal {
        let names = self.reaches.first().map(|(written, _)| (written.column.clone(), Arc::clone(&written.tag)));
        let (column, tag) = names.unwrap_or_else(|| ("?".into(), "?".into()));
        Refusal::mask_not_kept(&column, &tag)
    }

    /// How the statement reads the column that the spot reaches; `None`: it can not, or there are several.
    fn reference(&self) -> Option<String> {
        let mut references = self.reaches.iter().map(|(written, _)| written.reference());
        let first = references.next()??;
        references.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// The text that goes into the place of the spot.
    fn edit(&self, text: &str, deed: Deed) -> Option<(Range<usize>, String)> {
        let reference = self.reference()?;
        let given = text.get(self.spot.span.clone())?;
        let edit = match (deed, &self.spot.given) {
            (Deed::Store, _) => return None,
            (Deed::Keep, Given::Literal(_)) => reference,
            // The parameter stays a parameter of the statement, and of its type.
            (Deed::Keep, Given::Parameter(_)) => format!("(CASE WHEN false THEN {given} ELSE {reference} END)"),
            (Deed::Compare, _) => {
                let (written, _) = self.reaches.first()?;
                let condition = written.condition(given, &reference)?;
                format!("(CASE WHEN {condition} THEN {reference} ELSE {given} END)")
            }
        };
        Some((self.spot.span.clone(), edit))
    }
}

/// What is said of columns that were kept for certain.
fn told(kept: &[(Watched, Deed)]) -> Option<Arc<str>> {
    let columns: BTreeSet<&str> = kept
        .iter()
        .filter(|(_, deed)| *deed == Deed::Keep)
        .flat_map(|(watched, _)| watched.reaches.iter().map(|(written, _)| &*written.column))
        .collect();
    if columns.is_empty() {
        return None;
    }
    Some(columns.into_iter().collect::<Vec<_>>().join(", ").into())
}

/// A statement whose spots can not be followed: it may run if none of them looks like a mask.
fn unfollowed(spots: &[Spot], written: &BTreeMap<usize, Arc<Written>>) -> Result<(), Refusal> {
    match written.values().next() {
        // Parameters can not be looked at here; they count as masks where literals are mixed with them.
        Some(written) if !spots.is_empty() => Err(Refusal::mask_not_kept(&written.column, &written.tag)),
        Some(_) | None => Ok(()),
    }
}

/// The lineage of the only statement of a text.
fn alone(analysis: &Analysis) -> Option<&Lineage> {
    match analysis {
        Analysis::Statements(statements) => match statements.as_slice() {
            [Statement { reading: Reading::Understood(lineage), .. }] => Some(lineage),
            _ => None,
        },
        Analysis::Opaque(..) => None,
    }
}

fn same_writes(one: &Lineage, other: &Lineage) -> bool {
    one.relations == other.relations
        && one.writes.len() == other.writes.len()
        && one
            .writes
            .iter()
            .zip(&other.writes)
            .all(|(one, other)| (one.relation, one.attnum, &one.place) == (other.relation, other.attnum, &other.place))
}

/// Whether a statement does the same as another, but that each spot's columns are read in its place.
fn is_same_but_kept(before: &Lineage, after: &Lineage, kept: &[&Watched]) -> bool {
    let outputs = before.outputs.iter().zip(&after.outputs);
    let mut outputs = outputs.map(|(one, other)| (one.origin.taint().sources, other.origin.taint().sources));
    let expected = |at: usize, sources: &BTreeMap<Source, Flow>| {
        let mut sources = sources.clone();
        let reached = kept.iter().flat_map(|watched| &watched.reaches).filter(|(written, _)| written.number == at);
        for (written, _) in reached {
            let column = Source::Column { relation: written.relation, attnum: written.attnum };
            sources.entry(column).or_insert(Flow::Direct);
        }
        sources
    };
    same_writes(before, after)
        && before.outputs.len() == after.outputs.len()
        && outputs.all(|(one, other)| one == other)
        && after.functions.is_subset(&before.functions)
        && before.unresolved == after.unresolved
        && before.forbidden == after.forbidden
        && before.writes.iter().zip(&after.writes).enumerate().all(|(at, (one, other))| {
            one.taint.unknown == other.taint.unknown && other.taint.sources == expected(at, &one.taint.sources)
        })
}
