//! What each of the two readers makes of a text, before they are held against each other: for tests that hold both
//! against PostgreSQL's own grammar.

use super::lexer::{Lexer, Token};
use super::recognise::{InnerQuery, Splitter, recognise};
use super::statement::StatementKind;
use super::tree::Query;
use super::{Limits, NotUnderstood, caps, read_sqlparser, read_squawk};

/// The readings of the query in one statement.
#[derive(Debug)]
pub struct Readings {
    /// What its first words say the statement is.
    pub kind: StatementKind,
    /// sqlparser's.
    pub first: Result<Query, NotUnderstood>,
    /// squawk's.
    pub second: Result<Query, NotUnderstood>,
}

/// Both readings of each statement of a text that holds a query and is not larger than [`Limits`] allow. Needs the stack
/// that [`super::analyze::analyze`] needs.
///
/// # Errors
/// [`NotUnderstood::Lexical`] and the like where the text can not be split into statements.
pub fn readings(text: &str, limits: &Limits) -> Result<Vec<Readings>, NotUnderstood> {
    let mut splitter = Splitter::default();
    let mut pending = Vec::new();
    let mut found = Vec::new();
    for token in Lexer::new(text) {
        let token = token?;
        if splitter.separates(&token)? {
            found.extend(read(text, &pending, limits));
            pending.clear();
        } else {
            pending.push(token);
        }
    }
    found.extend(read(text, &pending, limits));
    Ok(found)
}

fn read(text: &str, statement: &[Token<'_>], limits: &Limits) -> Option<Readings> {
    let recognised = recognise(statement);
    let InnerQuery::Tokens(range) = recognised.query else { return None };
    let tokens = statement.get(range)?;
    caps::check(tokens, limits).ok()?;
    let text = text.get(tokens.first()?.start..tokens.last()?.end)?;
    Some(Readings { kind: recognised.kind, first: read_sqlparser::read(tokens), second: read_squawk::read(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readers_are_asked_for_each_query() {
        let found = readings("BEGIN; SELECT 1; EXPLAIN TABLE t; SELECT (c).* FROM c", &Limits::default()).unwrap();
        let kinds: Vec<_> = found.iter().map(|one| (one.kind, one.first.is_ok(), one.second.is_ok())).collect();
        assert_eq!(
            kinds,
            [
                (StatementKind::Select, true, true),
                (StatementKind::Explain, true, true),
                (StatementKind::Select, false, true)
            ]
        );
        assert_eq!(found[0].first, found[0].second);
        assert_eq!(readings("SELECT 'open", &Limits::default()).unwrap_err(), NotUnderstood::Lexical);
    }
}
