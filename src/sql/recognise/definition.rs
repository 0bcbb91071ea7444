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
        elements.extend([Element::Of(parent), Element::Tests]);
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
        let mut parents = vec![Element::Tests];
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
    if cursor.eat("partition") {
        // Which partition takes a row is decided by its values.
        elements.push(Element::Tests);
    }
    Columns::Listed(elements)
}

/// Whether there are values that a column of this type and with these constraints does not take.
pub(super) fn is_tight(tokens: &[Token<'_>]) -> bool {
    let wide = match tokens {
        [of, open, ..] if open.is_mark(Mark::LeftParen) || open.is_mark(Mark::Dot) => !of.is("text"),
        [character, varying, open, ..] if character.is("character") && varying.is("varying") => {
            open.is_mark(Mark::LeftParen)
        }
        [character, varying] if character.is("character") && varying.is("varying") => false,
        [of, ..] => !of.is_any(&["text", "varchar", "bool", "boolean", "json", "jsonb"]),
        [] => false,
    };
    let required = tokens.windows(2).any(|pair| matches!(pair, [not, null] if not.is("not") && null.is("null")));
    wide || required || tokens.iter().any(|token| token.is("primary"))
}

/// One element of the list; empty: a constraint that tells nothing of the rows that are stored. `None`: it is not read.
fn element(tokens: &[Token<'_>]) -> Option<Vec<Element>> {
    let mut cursor = Cursor::new(tokens);
    let first = cursor.peek()?;
    if first.is("like") {
        cursor.next();
        let mut elements = vec![Element::Of(cursor.object_name()?)];
        if cursor.skip_past(&["including"]) {
            elements.push(Element::Tests);
        }
        return Some(elements);
    }
    if first.is("constraint") && cursor.peek_at(2).is_some() {
        cursor.next();
        cursor.next();
    }
    let first = cursor.peek()?;
    let opens = |at: usize| cursor.peek_at(at).is_some_and(|token| token.is_mark(Mark::LeftParen));
    let excludes = first.is("exclude") && (opens(1) || cursor.peek_at(1).is_some_and(|token| token.is("using")));
    if excludes || first.is("check") {
        return Some(vec![Element::Tests]);
    }
    if first.is_any(&["unique", "primary"]) {
        // `USING INDEX` there is for ALTER TABLE alone.
        while cursor.peek().is_some_and(|token| !token.is_mark(Mark::LeftParen)) {
            cursor.next();
        }
        return Some(vec![Element::Unique(names(&mut cursor))]);
    }
    if first.is("foreign") {
        return Some(Vec::new());
    }
    let name = cursor.name()?;
    let mut elements = vec![Element::Column(name.clone())];
    if is_tight(cursor.rest()) {
        elements.push(Element::Tight(name.clone()));
    }
    while let Some(token) = cursor.peek() {
        if token.is_mark(Mark::LeftParen) {
            cursor.parenthesised();
            continue;
        }
        match token {
            token if token.is_any(&["unique", "primary"]) => elements.push(Element::Unique(vec![name.clone()])),
            token if token.is("default") => elements.push(Element::Default(name.clone())),
            token if token.is("check") => elements.push(Element::Tests),
            // `GENERATED ALWAYS AS IDENTITY` looks at nothing.
            token if token.is("as") && cursor.peek_at(1).is_some_and(|next| next.is_mark(Mark::LeftParen)) => {
                elements.push(Element::Tests);
            }
            _ => {}
        }
        cursor.next();
    }
    Some(elements)
}
