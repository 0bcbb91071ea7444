//! `SET` and its relatives, and transaction control.

use super::cursor::Cursor;
use super::{Recognised, StatementKind};
use crate::catalog::Name;
use crate::sql::lexer::{Mark, TokenKind};
use crate::sql::statement::Detail;

/// `SET [SESSION|LOCAL] ...`
pub(super) fn set(mut cursor: Cursor<'_, '_>) -> Recognised {
    // SESSION and LOCAL may be the setting's own name, and SESSION the beginning of others
    let followed_by_name =
        cursor.peek_at(1).is_some_and(|token| token.name().is_some() && !token.is("to") && !token.is("authorization"));
    if followed_by_name && !cursor.eat("local") && !cursor.peek_at(1).is_some_and(|token| token.is("characteristics")) {
        cursor.eat("session");
    }
    let words: Vec<String> = cursor
        .rest()
        .iter()
        .take(2)
        .map(|token| token.name().map_or_else(String::new, |name| name.to_string()))
        .collect();
    let quoted = cursor.peek().is_some_and(|token| matches!(token.kind, TokenKind::Quoted(_)));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["constraints", ..] if !quoted => return Recognised::plain(StatementKind::SetConstraints),
        ["transaction", ..] | ["session", "characteristics"] if !quoted => {
            return Recognised::plain(StatementKind::SetTransaction);
        }
        _ => {}
    }
    let name = setting_name(&mut cursor);
    if !cursor.eat("to") && cursor.peek().is_some_and(|token| token.is_operator("=")) {
        cursor.next();
    }
    let kind = match name.as_ref().map(Name::as_str) {
        Some("role" | "session_authorization") => StatementKind::SetRole,
        _ => StatementKind::Set,
    };
    let value = constant(&mut cursor);
    Recognised::with(kind, Detail::Setting(name, value))
}

/// The setting's name, in lower case, under the name that `SHOW` knows it by; `None` for `ALL`.
pub(super) fn setting_name(cursor: &mut Cursor<'_, '_>) -> Option<Name> {
    if cursor.peek()?.is("all") {
        return None;
    }
    let special = match (cursor.peek(), cursor.peek_at(1)) {
        (Some(time), Some(zone)) if time.is("time") && zone.is("zone") => Some("timezone"),
        (Some(session), Some(next)) if session.is("session") && next.is("authorization") => {
            Some("session_authorization")
        }
        (Some(xml), Some(option)) if xml.is("xml") && option.is("option") => Some("xmloption"),
        (Some(transaction), Some(level)) if transaction.is("transaction") && level.is("isolation") => {
            Some("transaction_isolation")
        }
        _ => None,
    };
    if let Some(name) = special {
        cursor.next();
        cursor.next();
        return Some(Name::exact(name));
    }
    // `SET NAMES 'x'`, `SET SCHEMA 'x'`, `SET CATALOG 'x'`, `SET SEED x` have no sign before the value
    let has_sign = cursor
        .peek_at(1)
        .is_none_or(|token| token.is("to") || token.is_operator("=") || token.is_mark(Mark::Dot) || token.is("from"));
    let mut name = cursor.name()?.as_str().to_ascii_lowercase();
    if !has_sign {
        match name.as_str() {
            "names" => name = "client_encoding".to_owned(),
            "schema" => name = "search_path".to_owned(),
            _ => {}
        }
    }
    while cursor.eat_mark(Mark::Dot) {
        name.push('.');
        name.push_str(&cursor.name()?.as_str().to_ascii_lowercase());
    }
    Some(Name::exact(&name))
}

/// The value, if one constant or word is all that is left.
fn constant(cursor: &mut Cursor<'_, '_>) -> Option<String> {
    let mut value = String::new();
    if let Some(TokenKind::Operator(sign @ ("+" | "-"))) = cursor.peek().map(|token| token.kind) {
        cursor.next();
        value.push_str(sign);
    }
    let token = cursor.next()?;
    match token.kind {
        TokenKind::Text(literal) => value.push_str(&literal.value().ok()?),
        TokenKind::Number(number) => value.push_str(number),
        TokenKind::Word(_) | TokenKind::Quoted(_) => value.push_str(token.name()?.as_str()),
        TokenKind::Parameter(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => return None,
    }
    cursor.peek().is_none().then_some(value)
}

/// `BEGIN`, `COMMIT` and so on. What ends or makes a prepared transaction is [`StatementKind::PrepareTransaction`]:
/// `COMMIT PREPARED` does not end the session's own transaction.
pub(super) fn transaction(first: &str, mut cursor: Cursor<'_, '_>) -> StatementKind {
    match first {
        "begin" | "start" => StatementKind::Begin,
        "savepoint" => StatementKind::Savepoint,
        "release" => StatementKind::ReleaseSavepoint,
        "commit" | "end" => match cursor.eat("prepared") {
            true => StatementKind::PrepareTransaction,
            false => StatementKind::Commit,
        },
        _ => {
            if cursor.eat("prepared") {
                return StatementKind::PrepareTransaction;
            }
            if !cursor.eat("work") {
                cursor.eat("transaction");
            }
            if cursor.eat("to") { StatementKind::RollbackToSavepoint } else { StatementKind::Rollback }
        }
    }
}
