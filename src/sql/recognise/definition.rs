//! The relation that a statement makes: its name, its columns, how long it lives.

use std::ops::Range;

use super::cursor::Cursor;
use super::index::parts;
use crate::catalog::Name;
use crate::sql::lexer::{KeywordClass, Mark, Token, TokenKind, keyword_class};
use crate::sql::statement::{Columns, Definition, Element};

/// `SELECT ... INTO [TEMPORARY | TEMP | UNLOGGED] [TABLE] x ...`, outside of parentheses.
pub(super) fn into(tokens: &[Token<'_>]) -> Option<Definition> {
    let mut cursor = Cursor::new(tokens);
    if !cursor.skip_past(&["into"]) {
        return None;
    }
    let mut temporary = false;
    while let (Some(token), Some(following)) = (cursor.peek(), cursor.peek_at(1)) {
        // Each of these words but TABLE may be the name itself: it is, where none can follow.
        if !token.is_any(&["local", "temp", "temporary", "unlogged", "table"]) || !may_name(following) {
            break;
        }
        temporary |= token.is_any(&["temp", "temporary"]);
        cursor.next();
    }
    let name = cursor.object_name();
    let columns = Columns::OfQuery(Vec::new());
    Some(Definition { name, temporary, drops_on_commit: false, replaces: false, filled: true, columns })
}

/// Whether a token may be the name of a relation, or stand before it.
fn may_name(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Quoted(_) => true,
        TokenKind::Word(word) => match keyword_class(&word.to_ascii_lowercase()) {
            None | Some(KeywordClass::Unreserved | KeywordClass::ColumnName) => true,
            Some(KeywordClass::TypeFunctionName | KeywordClass::Reserved) => token.is("table"),
        },
        TokenKind::Text(_)
        | TokenKind::Number(_)
        | TokenKind::Parameter(_)
        | TokenKind::Operator(_)
        | TokenKind::Mark(_) => false,
    }
}

/// A list of names in parentheses, if one begins here; it is passed.
pub(super) fn names(cursor: &mut Cursor<'_, '_>) -> Vec<Name> {
    match cursor.peek() {
        Some(token) if token.is_mark(Mark::LeftParen) => {
            cursor.parenthesised().iter().filter_map(Token::name).collect()
        }
        Some(_) | None => Vec::new(),
    }
}

/// Where the name and the list of names are that end here.
pub(super) fn last_list(cursor: &Cursor<'_, '_>) -> Option<(Range<usize>, Range<usize>)> {
    let end = cursor.at().checked_sub(1)?;
    let passed = cursor.passed();
    let open = passed.iter().rposition(|token| token.is_mark(Mark::LeftParen))?;
    let name = open.checked_sub(1)?;
    passed.get(end)?.is_mark(Mark::RightParen).then_some((name..open, open.saturating_add(1)..end))
}

/// Whether `ON COMMIT DROP` is said.
pub(super) fn drops_on_commit(mut cursor: Cursor<'_, '_>) -> bool {
    while cursor.skip_past(&["on"]) {
        if cursor.eat("commit") {
            return cursor.eat("drop");
        }
    }
    false
}

/// The columns of `CREATE TABLE x ...`: the cursor is behind `TABLE`.
pub(super) fn columns(mut cursor: Cursor<'_, '_>) -> Columns {
    let _ = cursor.relation_after(&["if", "not", "exists"]);
    let mut elements = Vec::new();
    let mut partition = false;
    if cursor.eat("partition") {
        cursor.eat("of");
        let Some(parent) = cursor.object_name() else { return Columns::Unknown };
        elements.push(Element::Of(parent));
        partition = true;
    } else if !cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
        return Columns::Unknown;
    }
    if cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
        let listed = cursor.parenthesised();
        if !partition {
            let parts = parts(listed).into_iter().filter_map(|part| listed.get(part));
            let Some(mut listed) = parts.map(element).collect::<Option<Vec<_>>>() else {
                return Columns::Unknown;
            };
            elements.extend(listed.drain(..).flatten());
        }
    }
    if cursor.eat("inherits") {
        let mut parents = Vec::new();
        let listed = cursor.parenthesised();
        for part in parts(listed) {
            let Some(parent) = Cursor::new(listed.get(part).unwrap_or_default()).object_name() else {
                return Columns::Unknown;
            };
            parents.push(Element::Of(parent));
        }
        parents.append(&mut elements);
        elements = parents;
    }
    Columns::Listed(elements)
}

/// One element of the list; `Some(None)`: a constraint of the table. `None`: it is not read.
fn element(tokens: &[Token<'_>]) -> Option<Option<Element>> {
    let mut cursor = Cursor::new(tokens);
    let first = cursor.peek()?;
    if first.is("like") {
        cursor.next();
        return cursor.object_name().map(|name| Some(Element::Of(name)));
    }
    let excludes = first.is("exclude")
        && cursor.peek_at(1).is_some_and(|token| token.is("using") || token.is_mark(Mark::LeftParen));
    if excludes || first.is_any(&["constraint", "check", "unique", "primary", "foreign"]) {
        return Some(None);
    }
    cursor.name().map(|name| Some(Element::Column(name)))
}
