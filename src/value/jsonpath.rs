//! `jsonpath` (PostgreSQL manual, section 8.14.7; `jsonpath_scan.l`, `jsonpath_gram.y`, `jsonpath.c`): the text that PostgreSQL
//! prints for a path.
//!
//! Refused is what majors of PostgreSQL read differently, and patterns of `like_regex` of which it is not certain that they compile:
//! what PostgreSQL does not take would be stored.

mod grammar;
mod lexer;
mod print;
mod regex;

use super::ValueError;
use grammar::Parser;

/// The path in the form that PostgreSQL shows.
pub(super) fn normalized(text: &str) -> Result<String, ValueError> {
    let (path, strict) = Parser::whole(text)?;
    path.check(0, false)?;
    let mut out = String::from(if strict { "strict " } else { "" });
    path.print(false, true, &mut out);
    Ok(out)
}

fn syntax() -> ValueError {
    ValueError::new("42601", "syntax error in jsonpath")
}

/// Other majors read it otherwise, or it is not read here.
fn unread() -> ValueError {
    ValueError::new("0A000", "pgveil does not read this form of jsonpath")
}

/// A path: what it begins with, and what is taken out of that.
#[derive(Debug)]
struct Path {
    head: Item,
    accessors: Vec<Item>,
}

/// One step of a path.
#[derive(Debug)]
enum Item {
    Null,
    Bool(bool),
    Text(String),
    /// As PostgreSQL prints it.
    Number(String),
    /// `$name`
    Variable(String),
    /// `$`
    Root,
    /// `@`
    Current,
    Last,
    Binary(Operator, Box<Path>, Box<Path>),
    Plus(Box<Path>),
    Minus(Box<Path>),
    Not(Box<Path>),
    IsUnknown(Box<Path>),
    Exists(Box<Path>),
    Regex {
        subject: Box<Path>,
        pattern: String,
        flags: regex::Flags,
    },
    /// `.name`
    Key(String),
    /// `.*`
    AnyKey,
    /// `[*]`
    AnyElement,
    /// `[1, 2 to last]`
    Elements(Vec<(Path, Option<Path>)>),
    /// `.**{1 to last}`; `None` is `last`.
    Levels(Option<u32>, Option<u32>),
    /// `? (...)`
    Filter(Box<Path>),
    /// `.size()`
    Method(&'static str),
    /// `.datetime("template")`
    Datetime(Option<String>),
}

/// What stands between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    StartsWith,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Path {
    fn of(head: Item) -> Self {
        Self { head, accessors: Vec::new() }
    }

    /// Whether it is a condition, not a value.
    fn is_predicate(&self) -> bool {
        self.accessors.is_empty() && self.head.is_predicate()
    }

    /// Whether `@` stands within filters only, and `last` within subscripts (`flattenJsonPathParseItem`).
    fn check(&self, filters: u32, in_subscript: bool) -> Result<(), ValueError> {
        for item in std::iter::once(&self.head).chain(&self.accessors) {
            match item {
                Item::Current if filters == 0 => {
                    return Err(ValueError::new("42601", "@ is not allowed in root expressions"));
                }
                Item::Last if !in_subscript => {
                    return Err(ValueError::new("42601", "LAST is allowed only in array subscripts"));
                }
                Item::Binary(_, left, right) => {
                    left.check(filters, in_subscript)?;
                    right.check(filters, in_subscript)?;
                }
                Item::Filter(inner) => inner.check(filters.saturating_add(1), in_subscript)?,
                Item::Plus(inner)
                | Item::Minus(inner)
                | Item::Not(inner)
                | Item::IsUnknown(inner)
                | Item::Exists(inner)
                | Item::Regex { subject: inner, .. } => inner.check(filters, in_subscript)?,
                Item::Elements(elements) => {
                    for (from, to) in elements {
                        from.check(filters, true)?;
                        to.iter().try_for_each(|to| to.check(filters, true))?;
                    }
                }
                Item::Null
                | Item::Bool(_)
                | Item::Text(_)
                | Item::Number(_)
                | Item::Variable(_)
                | Item::Root
                | Item::Current
                | Item::Last
                | Item::Key(_)
                | Item::AnyKey
                | Item::AnyElement
                | Item::Levels(..)
                | Item::Method(_)
                | Item::Datetime(_) => {}
            }
        }
        Ok(())
    }
}

impl Item {
    fn is_predicate(&self) -> bool {
        match self {
            Self::Binary(operator, ..) => operator.priority() <= Operator::Equal.priority(),
            Self::Not(_) | Self::IsUnknown(_) | Self::Exists(_) | Self::Regex { .. } => true,
            _ => false,
        }
    }
}

impl Operator {
    /// A larger one binds closer (`operationPriority`).
    fn priority(self) -> u8 {
        match self {
            Self::Or => 0,
            Self::And => 1,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::Greater
            | Self::LessOrEqual
            | Self::GreaterOrEqual
            | Self::StartsWith => 2,
            Self::Add | Self::Subtract => 3,
            Self::Multiply | Self::Divide | Self::Modulo => 4,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessOrEqual => "<=",
            Self::GreaterOrEqual => ">=",
            Self::StartsWith => "starts with",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn paths_have_the_form_that_postgresql_shows() {
        for (text, expected) in [
            ("$", "$"),
            ("lax $.a", "$.\"a\""),
            ("strict $.a.*[*].**", "strict $.\"a\".*[*].**"),
            ("$.**{2}.**{1 to 3}.**{last}.**{2 to last}", "$.**{2}.**{1 to 3}.**{last}.**{2 to last}"),
            ("$[0, 2 to last]", "$[0,2 to last]"),
            ("$.a == 1", "($.\"a\" == 1)"),
            (
                "$ ? (@.b <> 1 && !(@.c == \"x\" || exists (@.d)))",
                "$?(@.\"b\" != 1 && !(@.\"c\" == \"x\" || exists (@.\"d\")))",
            ),
            ("-1 + 2 * (3 - 4)", "(-1 + 2 * (3 - 4))"),
            ("$.size().type", "$.size().\"type\""),
            ("$.datetime ( \"HH24\" )", "$.datetime(\"HH24\")"),
            ("$foo + $\"b a\"", "($\"foo\" + $\"b a\")"),
            ("$ ? ((@.a > 1.50) is unknown)", "$?((@.\"a\" > 1.50) is unknown)"),
            ("$ ? (@ like_regex \"^a.b$\" flag \"si\")", "$?(@ like_regex \"^a.b$\" flag \"is\")"),
            ("$ ? (@ starts with $\"x\")", "$?(@ starts with $\"x\")"),
            ("\"\\u00e9\\x41\\t\\/\"", "\"éA\\t/\""),
            ("/* c */ $ /**/ . /***/ a", "$.\"a\""),
            ("1e3", "1000"),
        ] {
            assert_eq!(normalized(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_an_error_and_what_is_not_certain_is_refused() {
        for (text, expected) in [
            ("", "22P02"),
            ("$.", "42601"),
            ("@.a", "42601"),
            ("last", "42601"),
            ("$ ? (@)", "42601"),
            ("true && false", "42601"),
            ("$.a == 1 == 2", "42601"),
            ("!$.a", "42601"),
            ("exists ($.a) is unknown", "42601"),
            ("\"a", "42601"),
            ("\"\\u0000\"", "22P05"),
            ("$ ? (@ like_regex \"a\" flag \"z\")", "42601"),
            ("$ ? (@ like_regex \"a\" flag \"x\")", "0A000"),
            ("$ ? (@ like_regex \"(?=a)\")", "0A000"),
            ("0x1f", "0A000"),
            ("1_000", "0A000"),
            ("$.bigint()", "0A000"),
        ] {
            assert_eq!(normalized(text).map_err(|error| error.sqlstate), Err(expected), "{text}");
        }
        let deep = "(".repeat(100_000) + "1";
        assert_eq!(normalized(&deep).map_err(|error| error.sqlstate), Err("0A000"));
    }
}
