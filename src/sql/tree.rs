//! pgveil's own small relational tree: what a statement reads, and how its values flow, and nothing else.
//!
//! Two readers produce it independently (`read_sqlparser`, `read_squawk`); the lineage runs on it.
//! It holds no literal: of a constant only its sort is kept. Parentheses are gone, keywords that do not change what a
//! value is made of are gone, names are folded and truncated. A construct that has no place here is *not understood*
//! ([`super::NotUnderstood`]): a reader never drops what it can not say.

use crate::catalog::Name;

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
    /// `XMLTABLE`, `JSON_TABLE`: what goes in, and the names of the columns that come out.
    TableExpr {
        /// `xmltable` or `json_table`: the name where no alias is given.
        name: Name,
        /// Every expression in it.
        inputs: Vec<Expr>,
        /// The columns in order.
        columns: Vec<Name>,
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

/// A scalar expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A reference `a`, `t.a`, `s.t.a`, `d.s.t.a`: the parts in order. What it means (column, whole row, field of a
    /// composite column) is for the scope to say.
    Column(Vec<Name>),
    /// `t.*` as an argument or inside `ROW(...)`: the parts before the star.
    Star(Vec<Name>),
    /// A literal, with no more than what a filter's kind depends on.
    Constant(Constant),
    /// `$1` or the like.
    Parameter(u32),
    /// `DEFAULT` where a value is expected.
    Default,
    /// A function call, or a construct that reads like one (`COALESCE`, `EXTRACT`, `CURRENT_DATE`, `GROUPING`, XML and
    /// JSON constructors).
    Call(Box<Call>),
    /// An operator with one or two operands.
    Operator(Operator, Vec<Expr>),
    /// `AND`, `OR`, `NOT` over their operands. Chains are flat or nested, as the reader likes.
    Logic(Vec<Expr>),
    /// `IS [NOT] NULL`, `ISNULL`, `NOTNULL`.
    NullTest(Box<Expr>),
    /// `IS [NOT] TRUE`, `IS [NOT] DOCUMENT`, `IS NORMALIZED`, `IS OF JSON` and so on.
    Test(Box<Expr>),
    /// `IS [NOT] DISTINCT FROM`.
    DistinctFrom(Box<Expr>, Box<Expr>),
    /// `[NOT] LIKE`, `ILIKE`, `SIMILAR TO`: subject, pattern, escape.
    Like {
        /// Which of them.
        kind: LikeKind,
        /// The left side.
        subject: Box<Expr>,
        /// The right side.
        pattern: Box<Expr>,
        /// `ESCAPE`.
        escape: Option<Box<Expr>>,
    },
    /// `[NOT] BETWEEN [SYMMETRIC]`: subject, low, high.
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `[NOT] IN (list)`.
    InList(Box<Expr>, Vec<Expr>),
    /// `[NOT] IN (query)`.
    InQuery(Box<Expr>, Box<Query>),
    /// `x op ANY|ALL|SOME (array)`.
    Quantified(Box<Expr>, Operator, Box<Expr>),
    /// `x op ANY|ALL|SOME (query)`.
    QuantifiedQuery(Box<Expr>, Operator, Box<Query>),
    /// `EXISTS (query)`.
    Exists(Box<Query>),
    /// `(query)` as a value.
    Subquery(Box<Query>),
    /// `ARRAY(query)`.
    ArrayQuery(Box<Query>),
    /// `ARRAY[...]`.
    Array(Vec<Expr>),
    /// `ROW(...)` or `(a, b)`.
    Row(Vec<Expr>),
    /// `CASE`: operand, (condition, result) pairs, else.
    Case(Option<Box<Expr>>, Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// `x::type`, `CAST(x AS type)`, `type 'literal'`.
    Cast(Box<Expr>, TypeName),
    /// `x COLLATE c`.
    Collate(Box<Expr>),
    /// `x AT TIME ZONE y`.
    AtTimeZone(Box<Expr>, Box<Expr>),
    /// `x[i]`, `x[i:j]`: the base and every index.
    Subscript(Box<Expr>, Vec<Expr>),
    /// `(x).field`.
    Field(Box<Expr>, Name),
    /// `WHERE CURRENT OF cursor`.
    CurrentOf(Name),
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function. Constructs with a syntax of their own carry the name that PostgreSQL gives their result column
    /// (`coalesce`, `extract`, `xmlelement`, `grouping`) and `schema: None`.
    pub function: ObjectName,
    /// Whether it was written with a syntax of its own (`COALESCE(...)`, `CURRENT_DATE`): it then is the built-in one
    /// and can not be shadowed.
    pub special: bool,
    /// The arguments; [`Expr::Star`] with no parts stands for `count(*)`'s star. Named arguments lose their names.
    pub args: Vec<Expr>,
    /// Whether `DISTINCT` was said.
    pub distinct: bool,
    /// `ORDER BY` within the call.
    pub order_by: Vec<Expr>,
    /// `WITHIN GROUP (ORDER BY ...)`.
    pub within_group: Vec<Expr>,
    /// `FILTER (WHERE ...)`.
    pub filter: Option<Box<Expr>>,
    /// `OVER`.
    pub over: Option<Window>,
}

/// A window definition or reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The window that it refers to or extends.
    pub base: Option<Name>,
    /// `PARTITION BY`.
    pub partition_by: Vec<Expr>,
    /// `ORDER BY`.
    pub order_by: Vec<Expr>,
    /// The offsets of its frame.
    pub frame: Vec<Expr>,
}

/// An operator as written: `=`, `||`, `~*`, `OPERATOR(schema.op)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The schema, where it was written.
    pub schema: Option<Name>,
    /// Its symbol; `!=` is written `<>`.
    pub symbol: Box<str>,
}

/// Which sort of pattern match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LikeKind {
    /// `LIKE`.
    Like,
    /// `ILIKE`.
    Ilike,
    /// `SIMILAR TO`.
    SimilarTo,
}

/// What is kept of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// `NULL`.
    Null,
    /// A number; small positive integers keep their value, for they may be positions (`ORDER BY 2`).
    Number(Option<u16>),
    /// An ordinary fraction: at most three digits before the point and six behind it, and not zero.
    Fraction,
    /// A string (also bit strings), with what `LIKE` would make of it.
    Text(Wildcards),
    /// `TRUE` or `FALSE`.
    Bool,
}

/// What `%` and `_` (not escaped by a backslash) a string holds, as `LIKE` reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcards {
    /// None: `LIKE` is equality.
    None,
    /// None, and a date or an interval of everyday size (`'2000-01-31'`, `'18 years'`, `'30'`): what is added to it does
    /// not run out of range.
    Modest,
    /// None, for it is empty, or one character that is no letter, no digit and nothing special in a regular expression: a
    /// text that is split by it tells how long it is or how many such characters it has, and no more.
    Separator,
    /// One or more `%` at the end and none elsewhere, with something before them: a prefix.
    Trailing,
    /// Anywhere else.
    Anywhere,
    /// It ends in a lone backslash: `LIKE` fails where it comes so far.
    Dangling,
}

/// Words that an interval of everyday size is written with.
const UNITS: [&str; 22] = [
    "y", "year", "years", "mon", "mons", "month", "months", "w", "week", "weeks", "d", "day", "days", "h", "hour",
    "hours", "min", "mins", "minute", "minutes", "second", "seconds",
];

/// Whether a text is a date, or an interval of less than about a thousand years.
fn is_modest(text: &str) -> bool {
    let date = text.get(..10).filter(|date| {
        date.bytes().zip("dddd-dd-dd".bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == b'-',
        })
    });
    let rest = date.and_then(|date| text.strip_prefix(date)).unwrap_or(text);
    let mut parts = rest.split([' ', '+', '-', ':', '.']).filter(|part| !part.is_empty());
    let modest = |part: &str| {
        (part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
            || UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(part))
    };
    text.len() <= 40 && text.bytes().any(|byte| byte.is_ascii_digit()) && parts.all(modest)
}

impl Wildcards {
    /// Read off a string as `LIKE` with the default escape character would.
    pub fn of(text: &str) -> Self {
        let backslashes = text.chars().rev().take_while(|&last| last == '\\').count();
        if backslashes % 2 == 1 {
            return Self::Dangling;
        }
        let mut characters = text.chars();
        if let (first, None) = (characters.next(), characters.next())
            && first.is_some_and(|only| {
                only.is_ascii() && !only.is_ascii_alphanumeric() && !r".^$[]()*+?{}|\%_".contains(only)
            })
        {
            return Self::Separator;
        }
        let mut characters = text.chars();
        let (mut literal, mut trailing) = (false, false);
        while let Some(character) = characters.next() {
            match character {
                '_' => return Self::Anywhere,
                '%' => trailing = true,
                _ if trailing => return Self::Anywhere,
                '\\' if characters.next().is_none() => return Self::Dangling,
                _ => literal = true,
            }
        }
        match (literal, trailing) {
            (_, false) if is_modest(text) => Self::Modest,
            (_, false) => Self::None,
            (true, true) => Self::Trailing,
            (false, true) => Self::Anywhere,
        }
    }
}

/// A type as written, under its internal name: `int` is `int4`, `character varying` is `varchar`, `char` is `bpchar`,
/// `timestamp with time zone` is `timestamptz`, `double precision` and `float` are `float8`, `decimal` is `numeric`,
/// `boolean` is `bool`; a quoted or unknown name stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// The schema, where it was written.
    pub schema: Option<Name>,
    /// The internal name.
    pub name: Name,
    /// Whether there are modifiers: `varchar(30)`, `numeric(10, 2)`. (`char` without a length is `bpchar(1)`: true.)
    pub modified: bool,
    /// Whether it is an array type.
    pub array: bool,
}

impl Constant {
    /// A number as it is written, without a sign.
    pub fn number(written: &str) -> Self {
        let digits = |part: &str, most: usize| part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit());
        match written.split_once('.') {
            Some((whole, part))
                if digits(whole, 3) && digits(part, 6) && written.bytes().any(|byte| matches!(byte, b'1'..=b'9')) =>
            {
                Self::Fraction
            }
            Some(_) => Self::Number(None),
            None if digits(written, usize::MAX) => Self::Number(written.parse().ok()),
            None => Self::Number(None),
        }
    }
}

impl Expr {
    /// A call without any of the clauses after its arguments.
    pub fn call(name: ObjectName, special: bool, args: Vec<Expr>) -> Self {
        Self::Call(Box::new(Call {
            function: name,
            special,
            args,
            distinct: false,
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            over: None,
        }))
    }
}

impl ObjectName {
    /// An unqualified name.
    pub fn bare(name: Name) -> Self {
        Self { database: None, schema: None, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_read_as_like_reads_them() {
        for (pattern, expected) in [
            ("", Wildcards::None),
            ("@", Wildcards::Separator),
            (".", Wildcards::None),
            ("a", Wildcards::None),
            ("abc", Wildcards::None),
            (r"10\%", Wildcards::None),
            (r"a\_b", Wildcards::None),
            ("abc%", Wildcards::Trailing),
            ("abc%%", Wildcards::Trailing),
            ("%", Wildcards::Anywhere),
            ("%a", Wildcards::Anywhere),
            ("a%b", Wildcards::Anywhere),
            ("a_", Wildcards::Anywhere),
            (r"a%\%", Wildcards::Anywhere),
            (r"a\", Wildcards::Dangling),
            (r"%a\", Wildcards::Dangling),
            (r"a\\", Wildcards::None),
            ("7", Wildcards::Modest),
            ("2000-01-31", Wildcards::Modest),
            ("2000-01-31 12:00:00.5", Wildcards::Modest),
            ("1 Year 3 mons", Wildcards::Modest),
            ("1999", Wildcards::None),
            ("6700-1", Wildcards::None),
            ("290 millennia", Wildcards::None),
            ("years", Wildcards::None),
        ] {
            assert_eq!(Wildcards::of(pattern), expected, "{pattern}");
        }
    }
}
