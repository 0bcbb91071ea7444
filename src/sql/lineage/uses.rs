//! Uses of columns by filters: which kind a look at a value is for the columns that it is made of.

use super::value::{Table, Value, flows};
use super::walk::Walk;
use super::{Comparison, Counterpart, FilterKind, FilterUse, Flow, Source, Standing, Taint};
use crate::sql::NotUnderstood;

/// Pairs of sources that one comparison may name before it counts as [`FilterKind::Other`].
const JOIN_PAIRS_MAX: usize = 256;

impl Walk<'_> {
    /// Two values that are compared for equality, neither of them a constant of the statement.
    pub(super) fn filter_equal(&mut self, left: &Value, right: &Value) {
        let (one, two) = (left.taint(), right.taint());
        let direct = |value: &Value, taint: &super::Taint| -> Vec<Source> {
            let plain = flows(taint).filter(|(_, flow)| *flow == Flow::Direct && !value.traits.ordered);
            plain.map(|(source, _)| source).collect()
        };
        let (ones, twos) = (direct(left, &one), direct(right, &two));
        let joined = |walk: &mut Self| {
            walk.joined_to(left, &one, right, &two, &twos);
            walk.joined_to(right, &two, left, &one, &ones);
        };
        if self.compared_as_stored(left, right) { self.exactly(joined) } else { joined(self) }
    }

    /// Account for a comparison of stored values with each other, both as they are; `false`: they are not, or too many to tell.
    pub(super) fn compared_as_stored(&mut self, left: &Value, right: &Value) -> bool {
        let (one, two) = (left.taint(), right.taint());
        let given = !(one.parameters.is_empty() && two.parameters.is_empty());
        let direct = |taint: &Taint| -> Vec<Source> {
            flows(taint).filter(|(_, flow)| *flow == Flow::Direct).map(|(source, _)| source).collect()
        };
        let (ones, twos) = (direct(&one), direct(&two));
        if given
            || !(self.is_exact(left) && self.is_exact(right))
            || ones.len().saturating_mul(twos.len()) > JOIN_PAIRS_MAX
        {
            return false;
        }
        for source in ones {
            let others = twos.iter().map(|other| Comparison { source, with: Counterpart::Column(*other) });
            self.found.comparisons.extend(others);
        }
        true
    }

    /// What looks at values in there is accounted for.
    pub(super) fn exactly<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.exact, true);
        let result = look(self);
        self.exact = before;
        result
    }

    /// Whether a value is one that is compared as it was stored or given.
    pub(super) fn is_exact(&self, value: &Value) -> bool {
        value.is_as_given() && !value.traits.nested && value.fields.is_none()
    }

    /// Account for a comparison of stored values with what the caller gives, both as they are; `elements`: with the elements
    /// of that parameter; `standing`: of which entry of FROM the column is.
    pub(super) fn compared_with_given(
        &mut self,
        stored: &Value,
        given: &Value,
        elements: Option<u32>,
        standing: Option<&Standing>,
    ) {
        let (given, element) = (given.taint(), given.traits.element);
        let casts = |number: &u32| given.casts.get(number).cloned().unwrap_or_default();
        self.found.compared_casts.extend(given.parameters.keys().map(|number| (*number, casts(number))));
        let counterpart = |number: &u32| match element {
            true => Counterpart::Elements(*number),
            false => Counterpart::Parameter(*number),
        };
        for with in given.parameters.keys().map(counterpart).chain(elements.map(Counterpart::Elements)) {
            // One that is compared in several places stands nowhere for certain.
            let known = self.found.standings.entry(with).or_insert_with(|| standing.cloned());
            *known = known.take().filter(|known| Some(known) == standing);
        }
        for (source, _) in flows(&stored.taint()) {
            let with = given.parameters.keys().map(counterpart).chain(elements.map(Counterpart::Elements));
            self.found.comparisons.extend(with.map(|with| Comparison { source, with }));
        }
    }

    /// The same where what the caller gives has become a value of a row.
    pub(super) fn compared_with_row(&mut self, stored: &Value, given: &Value) {
        self.compared_with_given(stored, given, None, None);
        self.found.compared_in_rows.extend(given.taint().parameters.keys());
    }

    fn joined_to(
        &mut self,
        side: &Value,
        taint: &super::Taint,
        other: &Value,
        other_taint: &super::Taint,
        columns: &[Source],
    ) {
        let pure = columns.len() == other_taint.sources.len()
            && !columns.is_empty()
            && other_taint.unknown.is_none()
            && !other.traits.varying
            && other.traits.constants <= self.limits.equality_list_max
            && columns.len().saturating_mul(taint.sources.len()) <= JOIN_PAIRS_MAX;
        if !pure {
            // compared with something that is computed, or that the caller made up
            self.look_at(side, FilterKind::Other, FilterKind::Other);
            return;
        }
        for column in columns {
            self.look_at(side, FilterKind::Join(*column), FilterKind::Other);
        }
        if other.traits.constants > 0 {
            self.look_at(side, FilterKind::Equality, FilterKind::Other);
        }
    }

    /// A key of sorting.
    pub(super) fn sort(&mut self, value: &Value) {
        let mut value = value.clone();
        value.traits.ordered = false;
        let kind = if value.traits.varying { FilterKind::Other } else { FilterKind::Sort };
        self.look_at(&value, FilterKind::Sort, kind);
    }

    /// A key of grouping. Where values that the caller made up are among the stored ones, falling into one group with
    /// them is equality.
    pub(super) fn group(&mut self, value: &Value) {
        let kind = if value.traits.varying || value.traits.constants > self.limits.equality_list_max {
            FilterKind::Other
        } else if value.traits.constants > 0 {
            FilterKind::Equality
        } else {
            FilterKind::Grouping
        };
        let looked_at = self.found.looked_at.clone();
        self.look_at(value, kind, kind);
        if value.is_as_given() {
            self.found.looked_at = looked_at;
            self.found.grouped_given.extend(value.taint().parameters.keys());
        }
        if kind == FilterKind::Equality {
            // each of them is one probe, as in a list
            for (source, _) in flows(&value.taint()) {
                *self.equalities.entry(source).or_default() += value.traits.constants - 1;
                *self.found.looks.entry(source).or_default() += value.traits.constants - 1;
            }
        }
    }

    /// State that a filter looks at a value. `direct`: what it does with columns that are in it unchanged; `faithful`:
    /// with those that were put together or changed in case only. Other computed values are looked at as
    /// [`FilterKind::Other`].
    pub(super) fn look_at(&mut self, value: &Value, direct: FilterKind, faithful: FilterKind) {
        let traits = value.traits;
        let given = value.taint().parameters.into_iter();
        let given = given.filter(|(_, flow)| match flow {
            Flow::Counted => false,
            Flow::Direct => direct != FilterKind::NullTest,
            Flow::Derived => true,
        });
        self.found.looked_at.extend(given.map(|(number, _)| number));
        self.look(value, |source, flow| {
            Some(match flow {
                Flow::Counted => FilterKind::NullTest,
                Flow::Direct if traits.ordered && direct != FilterKind::NullTest => FilterKind::Other,
                Flow::Direct => direct,
                // what a function without arguments returns is as good as a column
                Flow::Derived if traits.faithful && matches!(source, Source::Function(_) | Source::Field { .. }) => {
                    direct
                }
                Flow::Derived if traits.faithful && !traits.ordered => faithful,
                Flow::Derived => FilterKind::Other,
            })
        });
    }

    /// State that something looks at a value: `kind` says what that is for each of its sources, if anything.
    pub(super) fn look(&mut self, value: &Value, kind: impl Fn(Source, Flow) -> Option<FilterKind>) {
        let taint = value.taint();
        if let Some(reason) = taint.unknown {
            self.found.filters_unknown.get_or_insert(reason);
        }
        let mut grouped: Option<Source> = None;
        for (source, flow) in flows(&taint) {
            let Some(kind) = kind(source, flow) else { continue };
            let accounted = match kind {
                FilterKind::Grouping => self.is_exact(value) && taint.parameters.is_empty(),
                FilterKind::Equality
                | FilterKind::Any(_)
                | FilterKind::Like(_)
                | FilterKind::Join(_)
                | FilterKind::MadeUp => self.exact,
                FilterKind::NullTest
                | FilterKind::Conversion
                | FilterKind::Gathering
                | FilterKind::Prefix
                | FilterKind::Pattern
                | FilterKind::Range
                | FilterKind::Sort
                | FilterKind::Other => true,
            };
            if !accounted {
                self.found.inexact.insert(source);
            }
            if kind == FilterKind::Grouping && !self.beside_key {
                self.found.grouped.insert(source);
            }
            if kind == FilterKind::Grouping
                && let Some(before) = grouped.replace(source)
            {
                // values of several columns fall into one group
                self.found.comparisons.insert(Comparison { source, with: Counterpart::Column(before) });
            }
            if kind == FilterKind::Equality {
                *self.equalities.entry(source).or_default() += 1;
            }
            if kind == FilterKind::Other && !taint.compared.contains(&source) {
                self.found.looked_into.insert(source);
            }
            if kind != FilterKind::NullTest {
                *self.found.looks.entry(source).or_default() += 1;
            }
            self.found.filters.insert(FilterUse { source, kind });
        }
    }

    /// Walk over something whose filters decide one value and nothing else. If all of them are such as a caller with
    /// equality may use, they are kept as filters; else they are taken back, and what they looked at is what the value
    /// was computed from.
    pub(super) fn aside<T>(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<T, NotUnderstood>,
    ) -> Result<(T, Taint), NotUnderstood> {
        let before = std::mem::take(&mut self.found.filters);
        let (equalities, before_looks) = (self.equalities.clone(), self.found.looks.clone());
        let result = walk(self)?;
        let looks = std::mem::replace(&mut self.found.filters, before);
        let usual = |used: &FilterUse| {
            matches!(
                used.kind,
                FilterKind::NullTest
                    | FilterKind::Grouping
                    | FilterKind::Equality
                    | FilterKind::Any(_)
                    | FilterKind::Join(_)
                    | FilterKind::Conversion
                    | FilterKind::Gathering
            )
        };
        let mut taint = Taint::clean();
        if looks.iter().all(usual) {
            self.found.filters.extend(looks);
        } else {
            self.equalities = equalities;
            self.found.looks = before_looks;
            for used in looks {
                let flow = if used.kind == FilterKind::NullTest { Flow::Counted } else { Flow::Derived };
                taint.join(&Taint::of(used.source, flow));
            }
        }
        Ok((result, taint))
    }

    /// Comparing one column with more constants than [`crate::sql::Limits::equality_list_max`] is to try out a
    /// dictionary, however it is written.
    pub(super) fn cap_equalities(&mut self) {
        let over = self.equalities.iter().filter(|(_, count)| **count > self.limits.equality_list_max);
        let uses: Vec<FilterUse> = over.map(|(&source, _)| FilterUse { source, kind: FilterKind::Other }).collect();
        self.found.filters.extend(uses);
    }

    pub(super) fn look_at_table(&mut self, table: &Table) {
        if let Some(reason) = table.open {
            self.found.filters_unknown.get_or_insert(reason);
        }
        for column in &table.columns {
            self.look_at(&column.value, FilterKind::Other, FilterKind::Other);
        }
    }
}
