//! What every result column of a statement is made of, and what its filters look at.
//!
//! A pure function of (tree, catalog, session overlay). It stops at the relations that the statement names: a view's
//! column is a [`Source`] like a table's, and what a view or function reads is worked out once for each catalog by
//! [`crate::plan::Inventory`].
//!
//! Names are resolved as PostgreSQL does (`scope`, `resolve`, `from`, `with`, `query`); expressions are followed in
//! `expr`, `cast` and `call`, with what built-in functions do in `functions` and `forbidden`; what looks at values
//! without showing them is judged in `filter`, `constants` and `uses`; what is stored in `write`; what is the same in all rows of a
//! relation in `references`. `walk` holds what has
//! been found and how far one statement may go.
//!
//! Three choices that are easy to take for mistakes:
//! - The value of a scalar count, of a rank is clean: what it tells is what the filters and sort keys inside tell, and
//!   those are judged by the column's filter mode wherever they stand. So are EXISTS and FILTER where they do no more than
//!   filter mode `equality` allows; else their value is computed from what they look at, as that of a CASE is.
//! - Whether something fails tells of what it was made. What can fail (`total`) is permitted over a stored value as it is,
//!   where the caller has no say in what is asked of it ([`FilterKind::Conversion`]); over what was computed from one, and
//!   where a look at values decides whether it is computed at all, it is a filter (`failing`). Values of many rows that are
//!   put together fail past 1 GB (`gather`).
//! - `greatest(email, 'm')`, and `max` over a column that constants were mixed into, are derived: a mask that keeps
//!   shape would show which of them won, and that is a comparison with a constant of the caller's choice.
//! - A set-returning function whose number of rows depends on a value is a filter on it
//!   (`generate_series(1, ascii(email))`, `regexp_matches(email, '^a')`), but for text that is split by a mere separator, and
//!   for documents whose form is written in the statement (`documents`), looked into by paths that ask for no values
//!   (`from_document`).

mod bodies;
mod call;
mod candidates;
mod cast;
mod constants;
mod documents;
mod expr;
mod failing;
mod filter;
#[cfg(test)]
mod fixture;
mod forbidden;
mod from;
mod from_document;
mod functions;
mod gather;
#[cfg(test)]
mod goldens;
mod names;
mod order;
mod query;
mod references;
mod resolve;
mod scope;
mod table_functions;
mod texts;
mod total;
mod uses;
mod value;
mod walk;
mod with;
mod write;

use std::collections::{BTreeMap, BTreeSet};

pub use bodies::fails_for_no_text;
pub use cast::numbered_cast;
pub use order::Ordering;
pub use references::{Reference, Role, Rows, WrittenCell, WrittenRow};

use super::tree::Query;
use super::{Limits, NotUnderstood};
use crate::catalog::{Catalog, Function, Name, Oid};

/// Where a value may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A column of a table, view, materialised view or foreign table.
    Column {
        /// `pg_class.oid`.
        relation: Oid,
        /// `pg_attribute.attnum`.
        attnum: i16,
    },
    /// Whatever a user-defined function (or one of an extension) reads: `pg_proc.oid`.
    Function(Oid),
    /// What a user-defined function puts into one field of the rows that it returns.
    Field {
        /// `pg_proc.oid`.
        function: Oid,
        /// Which of the fields, from 0.
        position: usize,
    },
}

/// How much of a source is in a value. A later variant gives away more freely, and wins over an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flow {
    /// No more than whether it is NULL, or how many there are.
    Counted,
    /// The value itself, unchanged (or array elements of it): the column's own mask fits.
    Direct,
    /// Something computed from it: only full redaction is safe.
    Derived,
}

/// Why the origin of a value is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unknown {
    /// A relation that the catalog does not have (yet).
    Relation,
    /// A column that the catalog does not have (yet), or an ambiguous name.
    Column,
    /// A function that the catalog does not have (yet).
    Function,
    /// A type or its fields.
    Type,
    /// The server's own description contradicts the lineage.
    Contradiction,
    /// A construct whose values pgveil does not follow.
    Construct,
}

/// Everything that a scalar value is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// The sources, each with the strongest of its flows.
    pub sources: BTreeMap<Source, Flow>,
    /// Set where part of it is not known: the most restrictive outcome.
    pub unknown: Option<Unknown>,
    /// The parameters that are in it, each with the strongest of its flows. They are the caller's own, and matter where
    /// a value is stored.
    pub parameters: BTreeMap<u32, Flow>,
    /// Those of the sources that are in it by nothing but whether they equal each other or given values, both as they are: a
    /// database that only has them encrypted alike computes the same.
    pub compared: BTreeSet<Source>,
    /// Those of the sources that are in it by nothing but which of several values it is: conditions of `CASE`, indexes.
    pub deciding: BTreeSet<Source>,
    /// The casts to types of [`numbered_cast`] that parameters have gone through, one after the other.
    pub casts: BTreeMap<u32, Vec<u32>>,
}

impl Taint {
    /// Nothing: a constant or a parameter.
    pub fn clean() -> Self {
        Self::default()
    }

    /// One source.
    pub fn of(source: Source, flow: Flow) -> Self {
        Self { sources: BTreeMap::from([(source, flow)]), ..Self::default() }
    }

    /// Not known, and why.
    pub fn unknown(reason: Unknown) -> Self {
        Self { unknown: Some(reason), ..Self::default() }
    }

    /// A parameter.
    pub fn parameter(number: u32) -> Self {
        Self { parameters: BTreeMap::from([(number, Flow::Direct)]), ..Self::default() }
    }

    /// Take in another value's sources.
    pub fn join(&mut self, other: &Self) {
        self.compared = self.alike_in_both(other, |taint| &taint.compared);
        self.deciding = self.alike_in_both(other, |taint| &taint.deciding);
        for (&source, &flow) in &other.sources {
            let known = self.sources.entry(source).or_insert(flow);
            *known = (*known).max(flow);
        }
        for (&number, &flow) in &other.parameters {
            let casts = other.casts.get(&number);
            let known = match self.parameters.get(&number) {
                // Cast in one way and in another it is two values.
                Some(_) if self.casts.get(&number) != casts => Flow::Derived,
                Some(known) => (*known).max(flow),
                None => flow,
            };
            self.parameters.insert(number, known);
            self.casts.extend(casts.map(|casts| (number, casts.clone())));
        }
        self.unknown = self.unknown.or(other.unknown);
    }

    /// Those of a set that are in it of both values, or not in the other at all.
    fn alike_in_both(&self, other: &Self, set: impl Fn(&Self) -> &BTreeSet<Source>) -> BTreeSet<Source> {
        let otherwise =
            |taint: &Self, source: &Source| taint.sources.contains_key(source) && !set(taint).contains(source);
        let both = set(self).union(set(other)).copied();
        both.filter(|source| !otherwise(self, source) && !otherwise(other, source)).collect()
    }

    /// The same sources after something was computed from them. What is computed from a count tells no more than the
    /// count does.
    pub fn derived(mut self) -> Self {
        for flow in self.sources.values_mut() {
            *flow = match *flow {
                Flow::Counted => Flow::Counted,
                Flow::Direct | Flow::Derived => Flow::Derived,
            };
        }
        for flow in self.parameters.values_mut().filter(|flow| **flow != Flow::Counted) {
            *flow = Flow::Derived;
        }
        self
    }

    /// The same sources after a function of users was given them. Parameters are no more than counted then: what becomes of
    /// them is said where it is called ([`FunctionCall`]).
    fn handed(mut self) -> Self {
        self.parameters.values_mut().for_each(|flow| *flow = Flow::Counted);
        self
    }

    /// The same behind a cast to a type of [`numbered_cast`].
    fn cast(mut self, number: u32) -> Self {
        for &parameter in self.parameters.keys() {
            self.casts.entry(parameter).or_default().push(number);
        }
        self
    }

    /// The same where all that its sources say is which of several values is meant. What the caller gives is not in it, then.
    fn decides(self) -> Self {
        let deciding = self.sources.keys().copied().collect();
        Self { deciding, parameters: BTreeMap::new(), ..self.derived() }
    }

    /// The same where all there is to see of its sources is whether they equal each other or given values. What the caller gives
    /// is not in it, then: what that is compared with is known ([`Lineage::comparisons`]).
    pub fn compared(mut self) -> Self {
        self.compared = self.sources.keys().copied().collect();
        self.parameters.clear();
        self
    }

    /// The same sources after only their presence was looked at. Whether a *computed* value is NULL can say anything
    /// (`nullif(email, 'x') IS NULL`), so that stays derived; what is unknown stays unknown.
    pub fn counted(mut self) -> Self {
        for flow in self.sources.values_mut() {
            *flow = match *flow {
                Flow::Counted | Flow::Direct => Flow::Counted,
                Flow::Derived => Flow::Derived,
            };
        }
        self.parameters.clear();
        self
    }

    /// Whether it is made of nothing at all, but for what the caller gives.
    pub fn is_clean(&self) -> bool {
        self.sources.is_empty() && self.unknown.is_none()
    }
}

/// The origin of a value that may have parts. Arrays have the origin of their elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A value without parts (or whose parts are not told apart).
    Value(Taint),
    /// A row: the origin of each field in order.
    Row(Vec<Origin>),
}

impl Origin {
    /// The same without parts.
    pub fn flattened(&self) -> Self {
        Self::Value(self.taint())
    }

    /// Everything in it, parts taken together.
    pub fn taint(&self) -> Taint {
        match self {
            Self::Value(taint) => taint.clone(),
            Self::Row(fields) => fields.iter().fold(Taint::clean(), |mut all, field| {
                all.join(&field.taint());
                all
            }),
        }
    }
}

/// A result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name that PostgreSQL will give it; `None` where pgveil does not predict it.
    pub name: Option<Name>,
    /// What it is made of.
    pub origin: Origin,
    /// How many values of the caller's own making may stand in the place of stored ones, as in [`Write::made_up`].
    pub made_up: usize,
    /// Whether the stored values in it are as they are stored, or an array of such; there may be others in their place.
    pub unaltered: bool,
    /// Whether its type has no length or precision (`varchar`, not `varchar(60)`), whatever that of the stored values is.
    pub unlimited: bool,
    /// Whether it is `text`, whatever the type of the stored values is.
    pub as_text: bool,
}

/// What a filter does with a column. Later variants learn more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FilterKind {
    /// `IS NULL`, `count`.
    NullTest,
    /// Stored values are compared with each other: `GROUP BY`, `DISTINCT`, set operations, `PARTITION BY`.
    Grouping,
    /// `=`, `<>`, `IN`, `= ANY` with constants or parameters (a capped number), `lower(c) =`, LIKE without wildcards.
    Equality,
    /// `= ANY($1)` with the parameter of that number: as many constants as its value has elements.
    Any(u32),
    /// `LIKE $1` with the parameter of that number: equality, prefix or pattern, as its value says.
    Like(u32),
    /// Equality with another column of a relation.
    Join(Source),
    /// The stored value as it is goes into something that can fail: `email::int`.
    Conversion,
    /// The stored values of rows that are joined with others are put together (`string_agg`): all of them may be too large.
    Gathering,
    /// `LIKE 'abc%'`.
    Prefix,
    /// `LIKE '%abc'`, `~`, `SIMILAR TO`, full-text match; also LIKE with a pattern that is not known (a parameter).
    Pattern,
    /// `<`, `>`, `BETWEEN`.
    Range,
    /// `ORDER BY`, window order, but for keys that rows are grouped by anyway ([`Ordering`]).
    Sort,
    /// Equality with values of rows that the statement makes up: `JOIN (VALUES ...)`, `unnest($1)`.
    MadeUp,
    /// Anything else: a function of it, a comparison with something computed, a list over the cap.
    Other,
}

/// One use of a column by a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterUse {
    /// The column.
    pub source: Source,
    /// What is done with it.
    pub kind: FilterKind,
}

/// A column that is compared for equality, as it is stored, with something else as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Comparison {
    /// The column.
    pub source: Source,
    /// What it is compared with.
    pub with: Counterpart,
}

/// What a column is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counterpart {
    /// The parameter of that number.
    Parameter(u32),
    /// The elements of the parameter of that number: `= ANY($1)`.
    Elements(u32),
    /// Another column.
    Column(Source),
}

/// An entry of FROM that is a table, and has the columns of that under their own names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `pg_class.oid`.
    pub relation: Oid,
    /// The name that qualifies its columns at that place.
    pub entry: Name,
}

/// One column that is written to, and what the new value is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The target relation, if the catalog has it.
    pub relation: Option<Oid>,
    /// The target column; `None`: an unknown one.
    pub attnum: Option<i16>,
    /// What the value is made of.
    pub taint: Taint,
    /// How many values of the caller's own making may stand in the place of stored ones: constants (NULL is none). The
    /// most there can be for parameters and for what is computed of nothing stored.
    pub made_up: usize,
    /// Whether it says what the stored value says, with more before or behind it and but for case: two such values are equal
    /// only where the stored ones are.
    pub faithful: bool,
    /// Whether it is a stored value or a parameter as it is, one of several such, or NULL: not converted, cut or looked at, and
    /// no constant. Such a value may be encrypted. What decides which of several it is, is in its taint ([`Taint::deciding`]).
    pub as_given: bool,
    /// Whether its parameters are arrays, and their elements are what is written: `unnest($1)`.
    pub elements: bool,
    /// Which values of the column these are.
    pub place: WritePlace,
}

impl Write {
    /// A value on its way to where no column is known for.
    fn elsewhere(taint: Taint) -> Self {
        Self {
            relation: None,
            attnum: None,
            taint,
            made_up: 0,
            faithful: false,
            as_given: false,
            elements: false,
            place: WritePlace::New,
        }
    }
}

/// Which values of a column a write makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WritePlace {
    /// Those of new rows.
    New,
    /// Those of rows that are there. Their columns go by this name in the statement.
    Stored(Option<Name>),
}

/// A call of a function that is not PostgreSQL's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// `pg_proc.oid`.
    pub function: Oid,
    /// What it is given for each of its arguments, in their order; none: that one has its default. `None`: it is not known which is
    /// which, or whether this is the function that is called.
    pub arguments: Option<Vec<Option<Handed>>>,
}

impl FunctionCall {
    /// Whether a parameter is in what it is given, or may be.
    pub fn may_get(&self, parameter: u32) -> bool {
        let Some(arguments) = &self.arguments else { return true };
        arguments.iter().flatten().any(|argument| argument.taint.parameters.contains_key(&parameter))
    }
}

/// A value that is given to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// What it is made of.
    pub taint: Taint,
    /// As in [`Write::as_given`], and no element of an array.
    pub as_given: bool,
}

/// The lineage of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The result columns in order; empty: no result, or an empty select list.
    pub outputs: Vec<Output>,
    /// What the columns of the relation are made of that `SELECT INTO` makes; `None`: it makes none.
    pub into: Option<Vec<Output>>,
    /// Every use of a column by a filter, at any depth of the statement (not inside views and functions).
    pub filters: BTreeSet<FilterUse>,
    /// What columns are compared with for equality, where both sides are as they were stored or given. (Tests with NULL are
    /// not among them.)
    pub comparisons: BTreeSet<Comparison>,
    /// Of parameters that are compared in one place, and whose elements are: with which entry of FROM, where that is a column of
    /// one, as the table has it.
    pub standings: BTreeMap<Counterpart, Option<Standing>>,
    /// Columns that are named as the target of ON CONFLICT.
    pub conflicts: BTreeSet<Source>,
    /// Parameters whose values are looked at in any other way than by these comparisons, once they have become values of rows
    /// (`VALUES`, `unnest($1)`) or arguments.
    pub looked_at: BTreeSet<u32>,
    /// Parameters whose values are compared with each other and nothing else ([`FilterKind::Grouping`]).
    pub grouped_given: BTreeSet<u32>,
    /// Columns that are looked at for equality in any other way: folded, converted, beside constants.
    pub inexact: BTreeSet<Source>,
    /// Parameters that stand in a comparison for equality whose outcome is a value, as in [`Taint::compared`].
    pub compared_given: BTreeSet<u32>,
    /// Parameters that are compared with stored values once they have become values of rows (`VALUES`, `unnest($1)`, `excluded`).
    pub compared_in_rows: BTreeSet<u32>,
    /// Those that a filter of [`FilterKind::Other`] looks at for more than whether they equal given values.
    pub looked_into: BTreeSet<Source>,
    /// Columns whose values are cast to a type that shows the same text (`email::text`), or to their own.
    pub recast: BTreeSet<Source>,
    /// Columns of which the name of the type is asked for: `pg_typeof(email)`.
    pub typed: BTreeSet<Source>,
    /// What goes through casts to types of [`numbered_cast`], by their numbers.
    pub casts: BTreeMap<u32, Taint>,
    /// The casts that parameters have gone through by which they are compared ([`Taint::casts`]).
    pub compared_casts: BTreeSet<(u32, Vec<u32>)>,
    /// Columns whose values are compared with each other ([`FilterKind::Grouping`]), but for those that are grouped beside a unique key
    /// of their relation: a group has one value of these whatever it is. (Unless there are GROUPING SETS, or common table
    /// expressions that are read twice.)
    pub grouped: BTreeSet<Source>,
    /// Rows that come out in the order of columns' values though no filter sorts them, at any depth.
    pub orderings: Vec<Ordering>,
    /// How often filters look at each source, in one execution: each constant of a list is one look. Tests for NULL are
    /// none.
    pub looks: BTreeMap<Source, usize>,
    /// Whether something in it may fail, for some rows and not for others.
    pub fails: bool,
    /// Every column written to, by the statement or by its data-modifying CTEs.
    pub writes: Vec<Write>,
    /// Where relations are named, in the order of the statement.
    pub references: Vec<Reference>,
    /// What stands side by side in the rows that are written.
    pub rows: Vec<WrittenRow>,
    /// Whether rows of a common table expression are read more than once.
    pub repeats: bool,
    /// Every relation that the statement names, also when nothing of it is used.
    pub relations: BTreeSet<Oid>,
    /// Those of them that stand in it once: each row of the result is made of one row of these at the most, unless values of
    /// several rows are put together.
    pub single: BTreeSet<Oid>,
    /// Whether values of several rows may be put together in one, or come into the place of another's: aggregates, windows,
    /// sub-queries as values.
    pub mixes: bool,
    /// Every function that is not PostgreSQL's own that the statement may call, also by operators and casts where known.
    pub functions: BTreeSet<Oid>,
    /// Where it calls them, each at least once.
    pub calls: Vec<FunctionCall>,
    /// Built-in functions that evaluate strings as SQL, read files or reach other sessions, by name: refused.
    pub forbidden: BTreeSet<Name>,
    /// What is handed to each user-defined function as its arguments: its body may keep it or pass it on.
    pub given: BTreeMap<Oid, Taint>,
    /// What is handed to functions that the catalog does not have, or that the session may have made anew.
    pub given_in_doubt: Taint,
    /// Names that the catalog does not have: worth a fresh reading before the statement is judged.
    pub unresolved: BTreeSet<Name>,
    /// Set where a filter looks at something that is not known: it may be any column.
    pub filters_unknown: Option<Unknown>,
    /// Set where the number and order of the result columns are not known (a star over a relation that the catalog does
    /// not have, or over a name that means relations with different columns). `outputs` then says what there may be,
    /// not where: use [`Lineage::origin_at`].
    pub open_ended: bool,
}

impl Lineage {
    /// The origin of the result column at that position, counted from 0. Where the lineage is open-ended every position
    /// may hold any of the outputs; a position that is not there otherwise contradicts the server.
    pub fn origin_at(&self, position: usize) -> Origin {
        if self.open_ended {
            return Origin::Row(self.outputs.iter().map(|output| output.origin.clone()).collect()).flattened();
        }
        match self.outputs.get(position) {
            Some(output) => output.origin.clone(),
            None => Origin::Value(Taint::unknown(Unknown::Contradiction)),
        }
    }
}

/// Whether a function of that name is refused with any number of arguments: it runs strings, reads files, or reaches past
/// the statement in another way.
pub fn is_forbidden(name: &Name) -> bool {
    forbidden::refused(name.as_str(), 1).is_some()
}

/// Whether a function that the catalog knows is refused, because of what it does or because nobody has looked at that.
pub fn is_closed(function: &Function) -> bool {
    forbidden::closed(function).is_some()
}

/// What every result column of a statement is made of, and what its filters look at: for all columns, tagged or not.
///
/// Names that the catalog does not have make [`Taint::unknown`] values and are listed in [`Lineage::unresolved`]; the
/// lineage goes on around them.
///
/// # Errors
/// [`NotUnderstood::TooLarge`] where the statement is nested deeper, or expands to more columns, than pgveil follows.
pub fn lineage(query: &Query, catalog: &Catalog, limits: &Limits) -> Result<Lineage, NotUnderstood> {
    query::statement(query, catalog, limits)
}
