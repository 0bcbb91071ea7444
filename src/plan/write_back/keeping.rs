//! How a statement keeps what is stored, and whether it is the same statement but for that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Analyses;
use super::assignment::{Kept, assignments};
use super::spots::{self, Given};
use super::watched::{Deed, Level, Watched};
use crate::plan::Refusal;
use crate::sql::lineage::{Flow, Lineage, Source};
use crate::sql::statement::{Analysis, Reading, Statement};

/// Find out how each can be kept: in its own place where that is the same statement but for that, else by the whole
/// expression. `None`: an analysis has to be made first.
pub(super) fn levels(own: &str, lineage: &Lineage, all: &mut [Watched], analyses: &mut Analyses<'_>) -> Option<()> {
    let stored = |watched: &Watched| watched.stored().next().is_some();
    if !all.iter().any(stored) {
        return Some(());
    }
    for watched in all.iter_mut().filter(|watched| watched.reference_in_place().is_some()) {
        watched.level = Level::Spot;
    }
    if !is_kept(own, lineage, all, analyses)? {
        all.iter_mut().for_each(|watched| watched.level = Level::None);
    }
    let assignments = assignments(own);
    let of = |watched: &Watched| assignments.iter().find(|assignment| watched.may_be_kept_by(assignment));
    let lacks = |watched: &Watched| match watched.level {
        Level::None => true,
        Level::Spot | Level::Whole(_) => watched.stored().any(|(_, flow)| flow == Flow::Derived),
    };
    let wanted: BTreeSet<usize> =
        all.iter().filter(|watched| lacks(watched)).filter_map(|watched| Some(of(watched)?.span.start)).collect();
    if wanted.is_empty() {
        return Some(());
    }
    let mut other = all.to_vec();
    for watched in &mut other {
        watched.level = match of(watched) {
            Some(assignment) if wanted.contains(&assignment.span.start) => Level::Whole(assignment.clone()),
            Some(_) | None if watched.reference_in_place().is_some() => Level::Spot,
            Some(_) | None => Level::None,
        };
    }
    if is_kept(own, lineage, &other, analyses)? {
        all.clone_from_slice(&other);
    }
    Some(())
}

/// Whether a statement with the column in the place of all that can be kept is the same but for that.
fn is_kept(own: &str, lineage: &Lineage, all: &[Watched], analyses: &mut Analyses<'_>) -> Option<bool> {
    let kept: Vec<&Watched> = all.iter().filter(|watched| !matches!(watched.level, Level::None)).collect();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for watched in &kept {
        let Some(reference) = watched.reference() else { return Some(false) };
        let edit = match &watched.level {
            Level::None => continue,
            Level::Spot => (watched.spot.span.clone(), reference),
            Level::Whole(assignment) => {
                let Some(expression) = own.get(assignment.span.clone()) else { return Some(false) };
                let whole = format!("(CASE WHEN ({expression}) IS NULL THEN {reference} ELSE {expression} END)");
                (assignment.span.clone(), whole)
            }
        };
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    if edits.is_empty() {
        return Some(true);
    }
    let analysis = analyses(&spots::edited(own, edits))?;
    Some(alone(&analysis).is_some_and(|edited| is_same_but_kept(lineage, edited, &kept)))
}

/// The edits that keep what is stored.
pub(super) fn edits(text: &str, kept: &[(Watched, Deed)]) -> Result<Vec<(Range<usize>, String)>, Refusal> {
    let mut edits = Vec::new();
    // Values that share an expression, by its place.
    let mut wholes: BTreeMap<usize, (&Watched, Range<usize>, Vec<_>)> = BTreeMap::new();
    for (watched, deed) in kept {
        match &watched.level {
            Level::None => return Err(watched.not_kept()),
            Level::Spot => edits.push(watched.edit(text, *deed).ok_or_else(|| watched.not_kept())?),
            Level::Whole(assignment) => {
                let given = match &watched.spot.given {
                    Given::Literal(None) => None,
                    Given::Literal(Some(_)) | Given::Parameter(_) => {
                        Some(text.get(watched.spot.span.clone()).ok_or_else(|| watched.not_kept())?)
                    }
                };
                let entry = wholes.entry(assignment.span.start);
                entry.or_insert_with(|| (watched, assignment.span.clone(), Vec::new())).2.push((*deed, given));
            }
        }
    }
    for (watched, span, given) in wholes.into_values() {
        let edit = || {
            let (written, _) = watched.stored().next()?;
            let expression = text.get(span.clone())?;
            Kept { written, given }.expression(expression, &watched.reference()?)
        };
        let edit = edit().ok_or_else(|| watched.not_kept())?;
        edits.push((span, edit));
    }
    Ok(edits)
}

/// The lineage of the only statement of a text.
pub(in crate::plan) fn alone(analysis: &Analysis) -> Option<&Lineage> {
    match analysis {
        Analysis::Statements(statements) => match statements.as_slice() {
            [Statement { reading: Reading::Understood(lineage), .. }] => Some(lineage),
            _ => None,
        },
        Analysis::Opaque(..) => None,
    }
}

pub(super) fn same_writes(one: &Lineage, other: &Lineage) -> bool {
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
        let reached = kept.iter().flat_map(|watched| watched.stored()).filter(|(written, _)| written.number == at);
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
