//! Statements that change rows.

use super::{Alias, Expr, FromItem, Name, ObjectName, Query, SelectItem};

/// `INSERT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The target.
    pub target: ObjectName,
    /// `AS alias`.
    pub alias: Option<Name>,
    /// The column list; empty: all columns in order.
    pub columns: Vec<Target>,
    /// Where the rows come from; `None`: `DEFAULT VALUES`. A `DEFAULT` among VALUES is [`Expr::Default`].
    pub source: Option<Box<Query>>,
    /// `ON CONFLICT`.
    pub on_conflict: Option<OnConflict>,
    /// `RETURNING`.
    pub returning: Vec<SelectItem>,
}

/// `ON CONFLICT`.
#[derive(Clone, Debug, PartialEq)]
pub struct OnConflict {
    /// The index expressions and predicate of the conflict target.
    pub target: Vec<Expr>,
    /// `DO UPDATE SET`; empty for `DO NOTHING`.
    pub assignments: Vec<Assignment>,
    /// `DO UPDATE ... WHERE`.
    pub filter: Option<Expr>,
}

/// `UPDATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The target.
    pub target: ObjectName,
    /// Whether `ONLY` was said.
    pub only: bool,
    /// `AS alias (columns)`.
    pub alias: Option<Alias>,
    /// `SET`.
    pub assignments: Vec<Assignment>,
    /// `FROM`.
    pub from: Vec<FromItem>,
    /// `WHERE`; [`Expr::CurrentOf`] for `WHERE CURRENT OF`.
    pub filter: Option<Expr>,
    /// `RETURNING`.
    pub returning: Vec<SelectItem>,
}

/// `DELETE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The target.
    pub target: ObjectName,
    /// Whether `ONLY` was said.
    pub only: bool,
    /// `AS alias (columns)`.
    pub alias: Option<Alias>,
    /// `USING`.
    pub using: Vec<FromItem>,
    /// `WHERE`.
    pub filter: Option<Expr>,
    /// `RETURNING`.
    pub returning: Vec<SelectItem>,
}

/// `MERGE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The target.
    pub target: ObjectName,
    /// Whether `ONLY` was said.
    pub only: bool,
    /// `AS alias`.
    pub alias: Option<Alias>,
    /// `USING`.
    pub source: FromItem,
    /// `ON`.
    pub condition: Expr,
    /// The `WHEN` clauses.
    pub branches: Vec<MergeBranch>,
    /// `RETURNING` (PostgreSQL 17).
    pub returning: Vec<SelectItem>,
}

/// One `WHEN [NOT] MATCHED` clause.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeBranch {
    /// The rows that it is about.
    pub rows: MergeRows,
    /// `AND condition`.
    pub filter: Option<Expr>,
    /// What it does.
    pub action: MergeAction,
}

/// Which rows a `WHEN` clause is about, and so what its expressions can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRows {
    /// `MATCHED`: source and target.
    Matched,
    /// `NOT MATCHED [BY TARGET]`: the source alone.
    OfSource,
    /// `NOT MATCHED BY SOURCE`: the target alone.
    OfTarget,
}

/// What a `WHEN` clause does.
#[derive(Clone, Debug, PartialEq)]
pub enum MergeAction {
    /// `DO NOTHING`.
    Nothing,
    /// `DELETE`.
    Delete,
    /// `UPDATE SET`.
    Update(Vec<Assignment>),
    /// `INSERT (columns) VALUES (...)`; no values: `DEFAULT VALUES`.
    Insert(Vec<Target>, Vec<Expr>),
}

/// `column = value`, or `(a, b) = row` with several targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The columns that are set.
    pub targets: Vec<Target>,
    /// The new value: a row for several targets.
    pub value: Expr,
}

/// A column that is written to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The column.
    pub column: Name,
    /// Whether only a part of it is (`a[1] = ...`, `a.f = ...`).
    pub part: bool,
    /// The subscripts' expressions.
    pub subscripts: Vec<Expr>,
}
