//! Masks that come back: a caller is shown masks, and an edit form or an ORM sends them back in an UPDATE or INSERT.
//! They are never stored over what they stand for.
//!
//! Every parameter, and every literal that looks like what the caller is shown of a column that the statement writes, is
//! a [`Spot`]. Lineage tells which of them reach which column: where it can not be seen from the statement itself, a probe
//! is analysed in which each spot is a parameter of its own. An UPDATE of a spot's column keeps the stored value: in the
//! place of the spot the statement reads the column. Everything else is refused. The statement that does so has to have
//! the same lineage but for that.

mod assignment;
mod column;
mod keeping;
mod spots;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Caller, Observation, Refusal, Snapshot};
use crate::catalog::ValueType;
use crate::mask::{Format, Resemblance, TextEncoding};
use crate::sql::lineage::{Flow, Lineage};
use crate::sql::statement::{Analysis, Detail, Reading, Statement};
pub use column::Written;
pub(super) use keeping::alone;
use keeping::{edits, levels, same_writes};
use spots::{Given, Spot};
pub(super) use spots::{edited, literal};
use watched::{Deed, Level, Watched};

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
        flows(lineage, &written, &spots, |spot| match spot.given {
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
        flows(probed, &written, &spots, |_| {
            numbers = numbers.saturating_add(1);
            Some(numbers)
        })
    };
    let start = statement.span.start;
    Ok(decided(own, lineage, &written, spots, &flows, analyses)?.map(|(mut found, change)| {
        // From the statement's own text to that of the message.
        for watched in &mut found.spots {
            watched.shift(|at| at.saturating_add(start));
        }
        (found, change)
    }))
}

/// For each spot: the writes that it reaches, by their number.
fn flows(
    lineage: &Lineage,
    written: &BTreeMap<usize, Arc<Written>>,
    spots: &[Spot],
    mut number: impl FnMut(&Spot) -> Option<u32>,
) -> Vec<BTreeMap<usize, Flow>> {
    let reached = |number: u32| {
        let flow = |(at, written): (&usize, &Arc<Written>)| {
            let flow = match written.by {
                None => lineage.writes.get(*at)?.taint.parameters.get(&number)?,
                Some(function) => {
                    let mut calls = lineage.calls.iter().filter(|call| call.function == function);
                    calls.any(|call| call.may_get(number)).then_some(&Flow::Derived)?
                }
            };
            Some(match flow {
                Flow::Direct => (*at, Flow::Direct),
                // A function may have made anything of it.
                Flow::Counted | Flow::Derived => (*at, Flow::Derived),
            })
        };
        written.iter().filter_map(flow).collect()
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
    let mut all: Vec<Watched> = Vec::new();
    for (spot, flows) in spots.into_iter().zip(flows) {
        let reaches: Vec<_> =
            flows.iter().filter_map(|(at, flow)| Some((Arc::clone(written.get(at)?), *flow))).collect();
        let looks_real = |value: &Option<Box<[u8]>>| {
            let mut reaches = reaches.iter();
            reaches.all(|(written, flow)| written.literal(value.as_deref(), *flow) == Resemblance::No)
        };
        let stored_as_it_is = match &spot.given {
            Given::Parameter(_) => false,
            Given::Literal(value) => looks_real(value),
        };
        if !reaches.is_empty() && !stored_as_it_is {
            all.push(Watched { spot, reaches, level: Level::None });
        }
    }
    if levels(own, lineage, &mut all, analyses).is_none() {
        return Ok(None);
    }
    let mut kept: Vec<(Watched, Deed)> = Vec::new();
    for watched in all {
        match &watched.spot.given {
            Given::Parameter(_) => found.spots.push(watched),
            Given::Literal(value) => {
                let resemblance = |written: &Written, flow| written.literal(value.as_deref(), flow);
                let deed = watched.deed(value.as_deref(), Format::Text, resemblance, &mut found.observations)?;
                if deed != Deed::Store {
                    kept.push((watched, deed));
                }
            }
        }
    }
    if kept.is_empty() {
        return Ok(Some((found, Change::None)));
    }
    found.told = told(&kept);
    let edits = edits(own, &kept)?;
    let changed = spots::edited(own, edits.clone());
    // What is left are parameters, whose places have moved.
    for watched in &mut found.spots {
        let within = |span: &Range<usize>| span.start < watched.spot.span.end && watched.spot.span.start < span.end;
        if edits.iter().any(|(span, _)| within(span)) {
            // They stand in an expression that was put together anew.
            watched.level = Level::None;
        }
        watched.shift(|at| spots::moved(at, &edits));
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
            let resemblance = |written: &Written, flow| written.parameter(&value, flow, encoding);
            let deed = watched.deed(value.cell, value.format, resemblance, observations)?;
            if deed != Deed::Store {
                kept.push((watched.clone(), deed));
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        Ok(Some(Bound { text: spots::edited(text, edits(text, &kept)?), told: told(&kept) }))
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
                let resemblance = |written: &Written, flow| written.literal(value.as_deref(), flow);
                let deed = watched.deed(value.as_deref(), Format::Text, resemblance, &mut ignored)?;
                if deed != Deed::Store {
                    return Err(watched.not_kept());
                }
            }
        }
        Ok(())
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
