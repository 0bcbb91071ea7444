//! Scalar expressions.

use super::{Constant, Name, ObjectName, Query};

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
    /// `AND`, `OR`, `NOT` over their operands. Chains of the same are flat or nested, as the reader likes.
    Logic(Junction, Vec<Expr>),
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

/// How conditions are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Junction {
    /// All of them hold.
    And,
    /// One of them holds.
    Or,
    /// The only one does not.
    Not,
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
    /// The arguments; [`Expr::Star`] with no parts stands for `count(*)`'s star.
    pub args: Vec<Expr>,
    /// The names of arguments that are given by name, each with its position in `args`.
    pub named: Vec<(usize, Name)>,
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
    /// Whether it says NULL, or what a constant says, of what it does not find or can not read: `JSON_VALUE` and the like
    /// without `ERROR`.
    pub lenient: bool,
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

impl Expr {
    /// A call without any of the clauses after its arguments.
    pub fn call(name: ObjectName, special: bool, args: Vec<Expr>) -> Self {
        Self::Call(Box::new(Call {
            function: name,
            special,
            args,
            named: Vec::new(),
            distinct: false,
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            over: None,
            lenient: false,
        }))
    }
}
