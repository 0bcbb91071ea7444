//! Paths as PostgreSQL prints them (`printJsonPathItem`).

use super::{Item, Path};
use crate::value::json::write_text;

impl Path {
    /// `as_key`: whether it stands behind something; `brackets`: whether operators need them here.
    pub(super) fn print(&self, as_key: bool, brackets: bool, out: &mut String) {
        self.head.print(as_key, brackets, !self.accessors.is_empty(), out);
        for (at, item) in self.accessors.iter().enumerate() {
            item.print(true, true, at.saturating_add(1) < self.accessors.len(), out);
        }
    }

    /// As an operand beside an operator of that priority.
    fn operand(&self, priority: u8, out: &mut String) {
        self.print(false, self.head.priority() <= priority, out);
    }
}

impl Item {
    fn priority(&self) -> u8 {
        match self {
            Self::Binary(operator, ..) => operator.priority(),
            Self::Plus(_) | Self::Minus(_) => 5,
            _ => 6,
        }
    }

    fn print(&self, as_key: bool, brackets: bool, has_next: bool, out: &mut String) {
        let within = |before: &str, inner: &Path, behind: &str, out: &mut String| {
            out.push_str(before);
            inner.print(false, false, out);
            out.push_str(behind);
        };
        let dot = if as_key { "." } else { "" };
        let (open, close) = if brackets { ("(", ")") } else { ("", "") };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Text(text) => write_text(text, out),
            // `1.type()` would be read as another number. (PostgreSQL 13 and 14 show it so all the same.)
            Self::Number(number) if has_next => out.push_str(&format!("({number})")),
            Self::Number(number) => out.push_str(number),
            Self::Variable(name) => {
                out.push('$');
                write_text(name, out);
            }
            Self::Root => out.push('$'),
            Self::Current => out.push('@'),
            Self::Last => out.push_str("last"),
            Self::Binary(operator, left, right) => {
                out.push_str(open);
                left.operand(operator.priority(), out);
                out.push(' ');
                out.push_str(operator.symbol());
                out.push(' ');
                right.operand(operator.priority(), out);
                out.push_str(close);
            }
            Self::Plus(inner) | Self::Minus(inner) => {
                out.push_str(open);
                out.push(if matches!(self, Self::Plus(_)) { '+' } else { '-' });
                inner.operand(self.priority(), out);
                out.push_str(close);
            }
            Self::Not(inner) => within("!(", inner, ")", out),
            Self::IsUnknown(inner) => within("(", inner, ") is unknown", out),
            Self::Exists(inner) => within("exists (", inner, ")", out),
            Self::Regex { subject, pattern, flags } => {
                out.push_str(open);
                subject.operand(self.priority(), out);
                out.push_str(" like_regex ");
                write_text(pattern, out);
                flags.print(out);
                out.push_str(close);
            }
            Self::Key(key) => {
                out.push_str(dot);
                write_text(key, out);
            }
            Self::AnyKey => {
                out.push_str(dot);
                out.push('*');
            }
            Self::AnyElement => out.push_str("[*]"),
            Self::Elements(elements) => {
                for (at, (from, to)) in elements.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    from.print(false, false, out);
                    if let Some(to) = to {
                        within(" to ", to, "", out);
                    }
                }
                out.push(']');
            }
            Self::Levels(first, last) => {
                let level = |level: &Option<u32>| level.map_or_else(|| "last".to_owned(), |level| level.to_string());
                out.push_str(dot);
                out.push_str("**");
                match (first, last) {
                    (Some(0), None) => {}
                    (first, last) if first == last => out.push_str(&format!("{{{}}}", level(first))),
                    (first, last) => out.push_str(&format!("{{{} to {}}}", level(first), level(last))),
                }
            }
            Self::Filter(inner) => within("?(", inner, ")", out),
            Self::Method(method) => out.push_str(&format!(".{method}()")),
            Self::Datetime(template) => {
                out.push_str(".datetime(");
                if let Some(template) = template {
                    write_text(template, out);
                }
                out.push(')');
            }
        }
    }
}
