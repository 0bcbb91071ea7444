//! `XMLTABLE` and `JSON_TABLE`.

use super::{Expr, Name, TypeName};

/// `XMLTABLE(...)`, `JSON_TABLE(...)`: rows that are taken out of a document. (PostgreSQL manual, 9.15.3.5 and 9.16.4.)
#[derive(Clone, Debug, PartialEq)]
pub struct TableExpr {
    /// `xmltable` or `json_table`: the name where no alias is given.
    pub name: Name,
    /// The document.
    pub document: Expr,
    /// The paths by which rows are found, those of `NESTED PATH` included.
    pub rows: Vec<Path>,
    /// Every other expression, but those of the columns: namespaces, paths that are computed, what paths are told
    /// (`PASSING`).
    pub others: Vec<Expr>,
    /// The columns, in the order in which they come out: those of `NESTED PATH` behind those of the path around it.
    pub columns: Vec<TableColumn>,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name.
    pub name: Name,
    /// Its type; `None`: it counts the rows (`FOR ORDINALITY`).
    pub type_name: Option<TypeName>,
    /// What its values are found by.
    pub path: Path,
    /// Its other expressions: a path that is computed, what stands for values that are not there (`DEFAULT`).
    pub others: Vec<Expr>,
    /// Whether a value that can not be read as its type is an error, and more than one value: always in `XMLTABLE`.
    pub strict: bool,
    /// Whether it is an error if there is no value: `NOT NULL`, `ERROR ON EMPTY`.
    pub required: bool,
}

/// What is kept of a path into a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Steps by the names or places of elements, attributes and members: how much they find does not depend on the values
    /// in a document.
    Steps,
    /// Such steps, and then the text that is there (`/text()`), or methods that take no arguments (`.double()`).
    Values,
    /// Anything else: it may ask for values.
    Asking,
}

/// The methods of an SQL/JSON path that yield one value each and are told nothing.
const METHODS: [&str; 18] = [
    "abs",
    "bigint",
    "boolean",
    "ceiling",
    "date",
    "datetime",
    "decimal",
    "double",
    "floor",
    "integer",
    "number",
    "size",
    "string",
    "time",
    "time_tz",
    "timestamp",
    "timestamp_tz",
    "type",
];

impl Path {
    /// Read off an `XPath` expression.
    pub fn of_xml(text: &str) -> Self {
        let mut steps = text;
        let mut found = Self::Steps;
        if let Some(rest) = steps.strip_suffix("/text()") {
            (steps, found) = (rest, Self::Values);
        } else if steps == "text()" {
            return Self::Values;
        }
        let steps = steps.strip_prefix("//").or_else(|| steps.strip_prefix('/')).unwrap_or(steps);
        // `//` leaves one empty step, and no more
        let mut empty = false;
        for step in steps.split('/') {
            let twice = std::mem::replace(&mut empty, step.is_empty());
            if (empty && twice) || !(empty || is_xml_step(step)) {
                return Self::Asking;
            }
        }
        if empty { Self::Asking } else { found }
    }

    /// Read off an SQL/JSON path expression.
    pub fn of_json(text: &str) -> Self {
        let text = text.strip_prefix("strict ").or_else(|| text.strip_prefix("lax ")).unwrap_or(text);
        let Some(mut rest) = text.strip_prefix('$') else { return Self::Asking };
        let mut found = Self::Steps;
        while !rest.is_empty() {
            let step = if let Some(behind) = rest.strip_prefix("[*]").or_else(|| rest.strip_prefix(".*")) {
                (!behind.starts_with('*')).then_some((behind, Self::Steps))
            } else if let Some(behind) = rest.strip_prefix('[') {
                let place = behind.split_once(']');
                place.filter(|(place, _)| is_number(place)).map(|(_, behind)| (behind, Self::Steps))
            } else {
                rest.strip_prefix('.').and_then(json_member)
            };
            match step {
                // a member of what a method yields is none of the document's
                Some((behind, kind)) if kind == Self::Values || found == Self::Steps => (rest, found) = (behind, kind),
                Some(_) | None => return Self::Asking,
            }
        }
        found
    }
}

/// A member's name, or a method, and what is behind it.
fn json_member(text: &str) -> Option<(&str, Path)> {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len());
    let (name, behind) = text.split_at_checked(end)?;
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    match behind.strip_prefix("()") {
        Some(behind) => METHODS.contains(&name).then_some((behind, Path::Values)),
        None => (begins && !behind.starts_with('(')).then_some((behind, Path::Steps)),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `name`, `p:name`, `@name`, `*`, `.`, `..`, each with a place where one is written: `name[2]`.
fn is_xml_step(step: &str) -> bool {
    let bare = match step.split_once('[') {
        Some((bare, place)) if place.strip_suffix(']').is_some_and(is_number) => bare,
        Some(_) => return false,
        None => step,
    };
    let named = bare.strip_prefix('@').unwrap_or(bare);
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let is_named = match named.split_once(':') {
        Some((prefix, "*")) => is_name(prefix),
        Some((prefix, name)) => is_name(prefix) && is_name(name),
        None => named == "*" || is_name(named),
    };
    is_named || matches!(step, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::Path::{self, Asking, Steps, Values};

    #[test]
    fn paths_of_steps_ask_for_no_values() {
        for (text, expected) in [
            ("/r", Steps),
            ("//r", Steps),
            ("/r/e", Steps),
            ("/x:r//e[2]/@a", Steps),
            ("e", Steps),
            (".", Steps),
            ("../@id", Steps),
            ("*", Steps),
            ("@*", Steps),
            ("e/text()", Values),
            ("text()", Values),
            ("", Asking),
            ("/", Asking),
            ("/r/", Asking),
            ("/r[e=\"x\"]", Asking),
            ("/r[e]", Asking),
            ("/r[last()]", Asking),
            ("e[.='x']", Asking),
            ("string-length(e)", Asking),
            ("/r/node()", Asking),
            ("text()/..", Asking),
            ("a|b", Asking),
            ("a or b", Asking),
            ("$x", Asking),
            ("child::e", Asking),
            ("é", Asking),
        ] {
            assert_eq!(Path::of_xml(text), expected, "{text}");
        }
        for (text, expected) in [
            ("$", Steps),
            ("lax $.a", Steps),
            ("strict $.a.b_c", Steps),
            ("$.a[*].b", Steps),
            ("$[0].*", Steps),
            ("$.datetime", Steps),
            ("$.datetime()", Values),
            ("$.a.time_tz().type()", Values),
            ("$.datetime(\"YYYY\")", Asking),
            ("$.decimal(3)", Asking),
            ("$.keyvalue()", Asking),
            ("$.double().a", Asking),
            ("$.**", Asking),
            ("$.a ? (@ == 1)", Asking),
            ("$.a == 1", Asking),
            ("$.\"a\"", Asking),
            ("$x", Asking),
            ("$[last]", Asking),
            ("$[$x]", Asking),
            ("-$.a", Asking),
            ("$.a + 1", Asking),
            ("a", Asking),
            ("", Asking),
        ] {
            assert_eq!(Path::of_json(text), expected, "{text}");
        }
    }
}
