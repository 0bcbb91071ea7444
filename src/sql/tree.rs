//! pgveil's own small relational tree: what a statement reads, and how its values flow, and nothing else.
//!
//! Two readers produce it independently (`read_sqlparser`, `read_squawk`); the lineage runs on it.
//! It holds no literal: of a constant only its sort is kept. Parentheses are gone, keywords that do not change what a
//! value is made of are gone, names are folded and truncated. A construct that has no place here is *not understood*
//! ([`super::NotUnderstood`]): a reader never drops what it can not say.

mod change;
mod constant;
mod expr;
mod table_expr;

use crate::catalog::Name;

pub use change::{Assignment, Delete, Insert, Merge, MergeAction, MergeBranch, MergeRows, OnConflict, Target, Update};
pub use constant::{Constant, Wildcards};
pub use expr::{Call, Expr, Junction, LikeKind, Operator, TypeName, Window};
pub use table_expr::{Path, TableColumn, TableExpr};

/// A possibly qualified name: `relation`, `schema.relation` or `database.schema.relation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The database, where it was written.
    pub database: Option<Name>,
    /// The schema, where it was written.
    pub schema: Option<Name>,
    /// The last part.
    pub name: Name,
}

/// A statement that yields rows or changes them: SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE, with its CTEs.
/// (PostgreSQL manual, chapter 7 and the pages of these commands.)
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// `WITH RECURSIVE`.
    pub recursive: bool,
    /// The common table expressions in order.
    pub with: Vec<Cte>,
    /// What it does.
    pub body: Body,
    /// `ORDER BY` of the whole.
    pub order_by: Vec<Expr>,
    /// `LIMIT`, `OFFSET` and `FETCH` expressions.
    pub limits: Vec<Expr>,
}

/// A common table expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Cte {
    /// Its name.
    pub name: Name,
    /// Its column aliases; fewer than its columns are allowed.
    pub columns: Vec<Name>,
    /// Its statement.
    pub query: Query,
}

/// The body of a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `SELECT`; `TABLE t` is `SELECT * FROM t`.
    Select(Box<Select>),
    /// `UNION`, `INTERSECT`, `EXCEPT`.
    SetOperation {
        /// `UNION ALL`. Of all others rows are compared with each other, also of `EXCEPT ALL` and `INTERSECT ALL`.
        all: bool,
        /// The left arm.
        left: Box<Query>,
        /// The right arm.
        right: Box<Query>,
    },
    /// `VALUES`, row by row.
    Values(Vec<Vec<Expr>>),
    /// A query in parentheses that has clauses of its own (else the parentheses are dropped).
    Nested(Box<Query>),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// `UPDATE`.
    Update(Box<Update>),
    /// `DELETE`.
    Delete(Box<Delete>),
    /// `MERGE`.
    Merge(Box<Merge>),
}

/// One `SELECT` level.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// `DISTINCT`.
    pub distinct: Distinct,
    /// The select list; empty is legal.
    pub items: Vec<SelectItem>,
    /// `INTO`'s target.
    pub into: Option<ObjectName>,
    /// The `FROM` list.
    pub from: Vec<FromItem>,
    /// `WHERE`.
    pub filter: Option<Expr>,
    /// `GROUP BY`, grouping sets flattened. Positions (`GROUP BY 1`) stay constants.
    pub group_by: Vec<Expr>,
    /// `HAVING`.
    pub having: Option<Expr>,
    /// The `WINDOW` clause.
    pub windows: Vec<(Name, Window)>,
}

/// `SELECT [ALL | DISTINCT [ON (...)]]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Distinct {
    /// Duplicates stay.
    No,
    /// `DISTINCT`.
    Rows,
    /// `DISTINCT ON (...)`.
    On(Vec<Expr>),
}

/// One entry of a select list or of `RETURNING`.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectItem {
    /// An expression, with its alias where one was written.
    Expr(Expr, Option<Name>),
    /// `*`.
    Star,
    /// `t.*`, `s.t.*`: a relation of the FROM list (or a column of composite type).
    QualifiedStar(ObjectName),
    /// `(expr).*`: the fields of a composite value.
    FieldStar(Expr),
}

/// One entry of a FROM list.
#[derive(Clone, Debug, PartialEq)]
pub enum FromItem {
    /// A table, view, or CTE.
    Relation {
        /// Its name.
        name: ObjectName,
        /// Whether `ONLY` was said.
        only: bool,
        /// Its alias.
        alias: Option<Alias>,
        /// The arguments of `TABLESAMPLE`.
        sample: Vec<Expr>,
    },
    /// A sub-select.
    Subquery {
        /// Whether `LATERAL` was said.
        lateral: bool,
        /// The sub-select.
        query: Box<Query>,
        /// Its alias (optional since PostgreSQL 16).
        alias: Option<Alias>,
    },
    /// A function call, or `ROWS FROM (...)` with several. Functions see the items to their left always.
    Functions {
        /// The calls, each an [`Expr::Call`], with its column definition list (`AS (a int, b text)`).
        calls: Vec<(Expr, Vec<Name>)>,
        /// `WITH ORDINALITY`: one more column.
        ordinality: bool,
        /// Its alias.
        alias: Option<Alias>,
    },
    /// `XMLTABLE`, `JSON_TABLE`.
    TableExpr {
        /// What it takes out of what.
        table: Box<TableExpr>,
        /// Its alias.
        alias: Option<Alias>,
    },
    /// A join.
    Join {
        /// Which sort.
        kind: JoinKind,
        /// The left side.
        left: Box<FromItem>,
        /// The right side.
        right: Box<FromItem>,
        /// Its condition.
        condition: JoinCondition,
        /// `(a JOIN b ...) AS j (...)`: hides the names inside.
        alias: Option<Alias>,
    },
}

/// The sorts of joins; a comma in FROM is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// `[INNER] JOIN`.
    Inner,
    /// `LEFT JOIN`.
    Left,
    /// `RIGHT JOIN`.
    Right,
    /// `FULL JOIN`.
    Full,
    /// `CROSS JOIN`.
    Cross,
}

/// A join's condition.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinCondition {
    /// None (`CROSS JOIN`).
    None,
    /// `ON expr`.
    On(Expr),
    /// `USING (a, b) [AS alias]`.
    Using(Vec<Name>, Option<Name>),
    /// `NATURAL`.
    Natural,
}

/// `AS name (column, ...)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The new name.
    pub name: Name,
    /// New names of its first columns.
    pub columns: Vec<Name>,
}

impl ObjectName {
    /// An unqualified name.
    pub fn bare(name: Name) -> Self {
        Self { database: None, schema: None, name }
    }
}
