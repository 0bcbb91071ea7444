//! A value that reaches columns of which the caller is shown masks, and what is to be done with it.

use std::ops::Range;
use std::sync::Arc;

use super::Written;
use super::assignment::Assignment;
use super::spots::{Given, Spot};
use crate::mask::{Format, Resemblance};
use crate::plan::{Observation, Refusal};
use crate::sql::lineage::{Flow, WritePlace};

/// A parameter where it reaches a column.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub spot: Spot,
    /// The columns, and how it gets there.
    pub reaches: Vec<(Arc<Written>, Flow)>,
    /// How what is stored can be kept where a mask comes back there.
    pub level: Level,
}

/// What the column is read in the place of.
#[derive(Clone, Debug)]
pub(super) enum Level {
    /// Nothing: it can not be kept.
    None,
    /// The value.
    Spot,
    /// The whole expression that is assigned to the column.
    Whole(Assignment),
}

/// What has to be done with one spot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Store,
    Keep,
    Compare,
}

impl Watched {
    /// What is to be done with the spot, where it resembles what is shown of its columns as the closure says.
    pub(super) fn deed(
        &self,
        value: Option<&[u8]>,
        format: Format,
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
                Resemblance::Perhaps if self.compares(*flow) && written.condition("", "").is_some() => Deed::Compare,
                Resemblance::Perhaps => return Err(Refusal::mask_or_value(&written.column, &written.tag)),
            };
            let known = match &self.level {
                Level::None => false,
                Level::Spot => true,
                Level::Whole(assignment) => {
                    one == Deed::Compare || written.is_known_again(value, format, assignment.cut)
                }
            };
            if !known {
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

    pub(super) fn not_kept(&self) -> Refusal {
        let names = self.reaches.first().map(|(written, _)| (written.column.clone(), Arc::clone(&written.tag)));
        let (column, tag) = names.unwrap_or_else(|| ("?".into(), "?".into()));
        Refusal::mask_not_kept(&column, &tag)
    }

    /// The columns of stored rows that it reaches.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&Arc<Written>, Flow)> {
        let reaches = self.reaches.iter().map(|(written, flow)| (written, *flow));
        reaches.filter(|(written, _)| matches!(written.place, WritePlace::Stored(_)))
    }

    /// Whether a value that may be real can be compared with what is stored.
    fn compares(&self, flow: Flow) -> bool {
        match self.level {
            Level::None | Level::Spot => flow == Flow::Direct,
            // What the expression yields is compared, whatever it is made of.
            Level::Whole(_) => true,
        }
    }

    /// How the statement reads the column of stored rows that the spot reaches; `None`: it can not, or there are several.
    pub(super) fn reference(&self) -> Option<String> {
        let mut references = self.stored().map(|(written, _)| written.reference());
        let first = references.next()??;
        references.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// The same, if it can be read in the spot's own place: that is none of a new row as well.
    pub(super) fn reference_in_place(&self) -> Option<String> {
        self.reference().filter(|_| self.stored().count() == self.reaches.len())
    }

    /// Whether the spot reaches the column of that assignment and no other, so that what the expression yields is its
    /// value or another one: it stands in the expression itself, which does no more than to choose, or gets there as it
    /// is.
    pub(super) fn may_be_kept_by(&self, assignment: &Assignment) -> bool {
        let inside = assignment.span.start <= self.spot.span.start && self.spot.span.end <= assignment.span.end;
        self.reference().is_some()
            && self
                .stored()
                .all(|(written, flow)| written.name == assignment.column && (inside || flow == Flow::Direct))
    }

    /// Its places have moved.
    pub(super) fn shift(&mut self, moved: impl Fn(usize) -> usize) {
        let shift = |span: &mut Range<usize>| *span = moved(span.start)..moved(span.end);
        shift(&mut self.spot.span);
        if let Level::Whole(assignment) = &mut self.level {
            shift(&mut assignment.span);
        }
    }

    /// The text that goes into the place of the spot.
    pub(super) fn edit(&self, text: &str, deed: Deed) -> Option<(Range<usize>, String)> {
        let reference = self.reference()?;
        let given = text.get(self.spot.span.clone())?;
        let edit = match (deed, &self.spot.given) {
            (Deed::Store, _) => return None,
            (Deed::Keep, Given::Literal(_)) => reference,
            // The parameter stays a parameter of the statement, and of its type.
            (Deed::Keep, Given::Parameter(_)) => format!("(CASE WHEN false THEN {given} ELSE {reference} END)"),
            (Deed::Compare, _) => {
                let (written, _) = self.stored().next()?;
                let condition = written.condition(given, &reference)?;
                format!("(CASE WHEN {condition} THEN {reference} ELSE {given} END)")
            }
        };
        Some((self.spot.span.clone(), edit))
    }
}
