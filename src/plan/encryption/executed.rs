//! `PREPARE` and `EXECUTE` of SQL at encrypted columns: the types of parameters, and the values that come with an execution.

use std::ops::Range;

use super::edits::literal;
use super::given::{self, Place};
use super::slots::Slot;
use super::target::Value;
use super::{Means, Slots, shown};
use crate::catalog::Oid;
use crate::plan::{Refusal, Snapshot};
use crate::sql::lexer::{Lexer, Mark, Token};
use crate::sql::statement::{Analysis, Reading};
use crate::wire::Format;

/// Where the types stand in `PREPARE name (type, ...) AS ...`, and what has to stand there; `None`: there are none.
pub(super) fn types(text: &str, slots: &Slots) -> Option<(Range<usize>, String)> {
    let tokens = tokens(text)?;
    let as_at = tokens.iter().position(|token| token.is("as"))?;
    let (span, parts) = list(text, &tokens, as_at)?;
    let types = slots.each().map(|slot| match slot {
        Slot::Given(number) => part(&parts, *number).unwrap_or("unknown").to_owned(),
        Slot::Sealed { target, copy, .. } | Slot::Constant { target, copy, .. } => {
            target.stored_type_name(*copy).to_owned()
        }
    });
    Some((span, format!("({})", types.collect::<Vec<_>>().join(", "))))
}

/// What `CREATE TABLE AS EXECUTE` puts into a table. `analysis`: of the `PREPARE`, or of the text that was parsed.
///
/// # Errors
/// It holds values of an encrypted column.
pub fn table_of_prepared(analysis: &Analysis, snapshot: &Snapshot) -> Result<(), Refusal> {
    let Analysis::Statements(statements) = analysis else { return Ok(()) };
    statements.iter().try_for_each(|statement| match &statement.reading {
        Reading::Understood(lineage) => shown::made(lineage, snapshot),
        // It was refused where it may have to do with one.
        Reading::NotUnderstood(_) | Reading::NoQuery => Ok(()),
    })
}

impl Slots {
    /// `EXECUTE name (value, ...)` with values that are encrypted, alone or in another statement (`EXPLAIN EXECUTE`).
    ///
    /// # Errors
    /// A value is no constant, is none of the column's type, or there is no key.
    pub fn executed(&self, text: &str, means: &mut Means<'_>) -> Result<String, Refusal> {
        let column = self.each().find_map(|slot| match slot {
            Slot::Sealed { target, .. } | Slot::Constant { target, .. } => Some(&target.column),
            Slot::Given(_) => None,
        });
        let refused = || {
            let what = "EXECUTE with anything but constants for it is";
            let hint = "Write the values as constants, or prepare the statement by the protocol.";
            Refusal::encrypted(column.map_or("?", |column| &**column), what, hint)
        };
        let mut tokens = tokens(text).ok_or_else(refused)?;
        let begin = tokens.iter().position(|token| token.is("execute")).ok_or_else(refused)?;
        tokens.drain(..begin);
        // Too few of them: the server says so.
        let Some((span, parts)) = list(text, &tokens, tokens.len()) else { return Ok(text.to_owned()) };
        let mut values = Vec::new();
        for slot in self.each() {
            // Literals of what SQL prepares are not left for later.
            let (Slot::Given(number) | Slot::Sealed { of: number, .. }) = slot else { return Err(refused()) };
            let Some(written) = part(&parts, *number) else { return Ok(text.to_owned()) };
            let Slot::Sealed { target, casts, copy, .. } = slot else {
                values.push(written.to_owned());
                continue;
            };
            if written.eq_ignore_ascii_case("null") {
                values.push(written.to_owned());
                continue;
            }
            let value = constant(written).ok_or_else(refused)?;
            let value = Value { given: Oid(0), format: Format::Text, bytes: &value };
            let constants: Vec<_> = parts.iter().map(|part| constant(part)).collect();
            let tenant = target.tenant_of(
                &|number| {
                    let place = usize::try_from(number).ok()?.checked_sub(1)?;
                    let written = parts.get(place)?;
                    let null = written.eq_ignore_ascii_case("null");
                    let value = constants.get(place)?.as_deref();
                    (null || value.is_some()).then_some((Oid(0), Format::Text, value))
                },
                means,
            )?;
            values.push(literal(&target.stored(&value, &casts.types, (*copy, tenant.as_deref()), means)?));
        }
        let mut changed = text.to_owned();
        changed.replace_range(span, &format!("({})", values.join(", ")));
        Ok(changed)
    }
}

/// The value of a text that is one constant and nothing else.
fn constant(written: &str) -> Option<Box<[u8]>> {
    let mut given = given::given(written);
    let only = given.pop().filter(|only| given.is_empty() && only.span == (0..written.len()) && only.cast.is_none())?;
    match only.place {
        Place::Literal(value) => value,
        Place::Parameter(_) => None,
    }
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    Lexer::new(text).collect::<Result<Vec<_>, _>>().ok()
}

fn part<'t>(parts: &[&'t str], number: u32) -> Option<&'t str> {
    parts.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// The list in parentheses behind the first words of a statement, if it begins before that token: where it stands, and its
/// parts.
fn list<'t>(text: &'t str, tokens: &[Token<'_>], before: usize) -> Option<(Range<usize>, Vec<&'t str>)> {
    let open = tokens.iter().take(before).position(|token| token.is_mark(Mark::LeftParen))?;
    let start = tokens.get(open)?.start;
    let (mut depth, mut parts) = (0_usize, Vec::new());
    let mut begin = tokens.get(open)?.end;
    for token in tokens.iter().skip(open) {
        if token.is_mark(Mark::LeftParen) || token.is_mark(Mark::LeftBracket) {
            depth = depth.saturating_add(1);
        } else if token.is_mark(Mark::RightParen) || token.is_mark(Mark::RightBracket) {
            depth = depth.saturating_sub(1);
        }
        let ends = depth == 0;
        if ends || (depth == 1 && token.is_mark(Mark::Comma)) {
            parts.push(text.get(begin..token.start)?.trim());
            begin = token.end;
        }
        if ends {
            return Some((start..token.end, parts));
        }
    }
    None
}
