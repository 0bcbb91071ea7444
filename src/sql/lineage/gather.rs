//! Values of many rows that are gathered into one: past the 1 GB that a value may have the server fails, and whether it does
//! tells how long they are, where the caller says how often each of them comes.

use super::failing::GROWTH_OF_LONG;
use super::value::{Sort, Value};
use super::walk::Walk;
use super::{FilterKind, Flow};
use crate::catalog::{Name, Oid};
use crate::sql::tree::{Call, Constant, Expr};

/// How many times longer than what is stored each of the values may be that are gathered from many rows.
const GROWTH_MAX: u32 = 1_000;
/// How many rows a series may have that the caller makes: days, months, hours of a report.
const SERIES_MAX: u16 = 1_000;

/// How often a stored value may come in the rows that a statement goes through: the most that was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rows {
    /// As often as it is stored: one relation is named.
    #[default]
    Stored,
    /// Once for each row of another relation.
    Joined,
    /// As often as the caller likes: rows are made from nothing.
    Made,
}

/// Whether a function of this name puts values of all rows together, or adds them up in a type that runs out of range.
fn gathers(name: &str, args: &[Value]) -> bool {
    /// `pg_type.oid` of `money` and `interval`: the sums of other types do not come to their end by the number of rows.
    const SHORT_SUMS: [u32; 2] = [790, 1186];
    match name {
        "string_agg" | "array_agg" | "xmlagg" | "range_agg" | "json_arrayagg" | "json_objectagg" => true,
        "sum" | "avg" => args.first().and_then(Value::sort).is_none_or(|sort| match sort {
            Sort::Type(Oid(of)) => SHORT_SUMS.contains(&of),
            Sort::Small => false,
        }),
        _ => name.starts_with("json") && name.contains("_agg"),
    }
}

/// Whether a set-returning function yields no more rows than what is written or stored has elements.
fn is_bounded(name: &str, args: &[Expr]) -> bool {
    match name {
        "generate_series" => {
            args.iter().all(|arg| matches!(arg, Expr::Constant(Constant::Number(Some(..=SERIES_MAX)))))
        }
        "generate_subscripts" | "unnest" | "regexp_split_to_table" | "string_to_table" | "regexp_matches" => {
            args.iter().all(is_as_it_is)
        }
        _ => name.starts_with("json") && args.iter().all(is_as_it_is),
    }
}

/// Whether an expression is a column, a constant or a parameter, or an array of such.
fn is_as_it_is(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Constant(_) | Expr::Parameter(_) => true,
        Expr::Cast(inner, _) | Expr::Collate(inner) | Expr::Field(inner, _) => is_as_it_is(inner),
        Expr::Array(elements) => elements.iter().all(is_as_it_is),
        Expr::Star(_)
        | Expr::Default
        | Expr::Call(_)
        | Expr::Operator(..)
        | Expr::Logic(..)
        | Expr::NullTest(_)
        | Expr::Test(_)
        | Expr::DistinctFrom(..)
        | Expr::Like { .. }
        | Expr::Between(..)
        | Expr::InList(..)
        | Expr::InQuery(..)
        | Expr::Quantified(..)
        | Expr::QuantifiedQuery(..)
        | Expr::Exists(_)
        | Expr::Subquery(_)
        | Expr::ArrayQuery(_)
        | Expr::Row(_)
        | Expr::Case(..)
        | Expr::AtTimeZone(..)
        | Expr::Subscript(..)
        | Expr::CurrentOf(_) => false,
    }
}

impl Walk<'_> {
    /// State that a relation is gone through.
    pub(super) fn entry_of_stored_rows(&mut self) {
        self.rows = self.rows.max(if self.entries == 0 { Rows::Stored } else { Rows::Joined });
        self.entries = self.entries.saturating_add(1);
    }

    /// State that a function yields rows.
    pub(super) fn entry_of_made_rows(&mut self, call: &Call) {
        let bounded = is_bounded(call.function.name.as_str(), &call.args) && !self.series;
        self.series |= call.function.name.as_str() == "generate_series";
        self.rows = self.rows.max(if bounded { Rows::Joined } else { Rows::Made });
    }

    /// State that an aggregate is handed these values.
    pub(super) fn gathering_may_fail(&mut self, name: &Name, args: &[Value]) {
        if gathers(name.as_str(), args) {
            args.iter().for_each(|arg| self.gathered(arg));
        }
    }

    /// How many times as long as one of the values what an aggregate makes of all of them may be.
    pub(super) fn growth_by_rows(&self, name: &Name, args: &[Value]) -> u32 {
        match self.rows {
            Rows::Joined if gathers(name.as_str(), args) => GROWTH_OF_LONG,
            Rows::Made if gathers(name.as_str(), args) => u32::MAX,
            Rows::Stored | Rows::Joined | Rows::Made => 1,
        }
    }

    /// State that a value of each row becomes part of one.
    pub(super) fn gathered(&mut self, value: &Value) {
        let made = self.rows == Rows::Made || value.traits.growth > GROWTH_MAX;
        match self.rows {
            _ if made => self.look_at_choice(value),
            Rows::Joined => self.look(value, |_, flow| match flow {
                Flow::Counted => None,
                Flow::Direct | Flow::Derived => Some(FilterKind::Gathering),
            }),
            Rows::Stored | Rows::Made => {}
        }
    }
}
