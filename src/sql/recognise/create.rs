//! `CREATE ...`: which sort of object, and the query that makes it.

use super::cursor::Cursor;
use super::{InnerQuery, Piece, Recognised, StatementKind, definition, index};
use crate::sql::NotUnderstood;
use crate::sql::lexer::Token;
use crate::sql::statement::{Columns, Definition, Detail};

/// What stands before the sort of object.
#[derive(Clone, Copy, Default)]
struct Flags {
    replaces: bool,
    temporary: bool,
    recursive: bool,
    unique: bool,
}

/// The cursor is behind `CREATE`.
pub(super) fn create(mut cursor: Cursor<'_, '_>) -> Recognised {
    use StatementKind as Kind;
    let mut flags = Flags::default();
    if cursor.eat("or") {
        flags.replaces = cursor.eat("replace");
    }
    while let Some(token) = cursor.peek() {
        if !token.is_any(&[
            "global",
            "local",
            "temp",
            "temporary",
            "unlogged",
            "recursive",
            "unique",
            "constraint",
            "event",
        ]) {
            break;
        }
        flags.recursive |= token.is("recursive");
        flags.unique |= token.is("unique");
        flags.temporary |= token.is_any(&["temp", "temporary"]);
        cursor.next();
    }
    let Some(object) = cursor.keyword() else {
        return Recognised::plain(Kind::Unrecognised);
    };
    match object.as_str() {
        "table" => table(cursor, flags),
        "foreign" if cursor.eat("table") => {
            Recognised::with(Kind::CreateForeignTable, Detail::Object(cursor.relation_after(&["if", "not", "exists"])))
        }
        "view" => view(cursor, flags),
        "materialized" => {
            cursor.eat("view");
            let mut made = made(&mut cursor, flags);
            let query = query_after_as(&mut cursor, &[&["with", "no", "data"], &["with", "data"]]);
            made.filled = !ends_with(cursor.rest(), &["with", "no", "data"]);
            Recognised { kind: Kind::CreateMaterializedView, query, detail: Detail::Makes(made) }
        }
        "function" | "procedure" => Recognised::with(Kind::CreateFunction, Detail::Object(cursor.object_name())),
        "trigger" => named_behind(Kind::CreateTrigger, cursor, "on"),
        "rule" => named_behind(Kind::CreateRule, cursor, "to"),
        "index" => index::index(cursor, flags.unique),
        "statistics" => index::statistics(cursor),
        "aggregate" => Recognised::plain(Kind::CreateAggregate),
        "cast" => Recognised::plain(Kind::CreateCast),
        "domain" => Recognised::plain(Kind::CreateDomain),
        "extension" => Recognised::plain(Kind::CreateExtension),
        "operator" => Recognised::plain(Kind::CreateOperator),
        "policy" => Recognised::plain(Kind::CreatePolicy),
        "publication" => Recognised::plain(Kind::CreatePublication),
        "schema" => Recognised::plain(Kind::CreateSchema),
        "sequence" => Recognised::plain(Kind::CreateSequence),
        "foreign" | "server" => Recognised::plain(Kind::CreateServer),
        "subscription" => Recognised::plain(Kind::CreateSubscription),
        "type" => Recognised::plain(Kind::CreateType),
        "user" if cursor.eat("mapping") => Recognised::plain(Kind::CreateServer),
        "group" | "role" | "user" => Recognised::plain(Kind::CreateRole),
        "access" | "assertion" | "collation" | "conversion" | "database" | "default" | "language" | "procedural"
        | "tablespace" | "text" | "transform" | "trusted" => Recognised::plain(Kind::CreateOther),
        _ => Recognised::plain(Kind::Unrecognised),
    }
}

fn named_behind(kind: StatementKind, mut cursor: Cursor<'_, '_>, keyword: &str) -> Recognised {
    let object = if cursor.skip_past(&[keyword]) { cursor.relation_after(&["only"]) } else { None };
    Recognised::with(kind, Detail::Object(object))
}

/// The name, and the list of names behind it, if there is one: what is made of a query.
fn made(cursor: &mut Cursor<'_, '_>, flags: Flags) -> Definition {
    let name = cursor.relation_after(&["if", "not", "exists"]);
    let names = definition::names(cursor);
    let (temporary, replaces) = (flags.temporary, flags.replaces);
    let drops_on_commit = definition::drops_on_commit(cursor.clone());
    Definition { name, temporary, drops_on_commit, replaces, filled: true, columns: Columns::OfQuery(names) }
}

/// `CREATE TABLE x ... [AS query | AS EXECUTE name(...)]`
fn table(mut cursor: Cursor<'_, '_>, flags: Flags) -> Recognised {
    let plain = cursor.clone();
    let mut made = made(&mut cursor, flags);
    if !cursor.clone().skip_past(&["as"]) {
        let columns = definition::columns(plain);
        return Recognised::with(StatementKind::CreateTable, Detail::Makes(Definition { columns, ..made }));
    }
    let mut executed = cursor.clone();
    if executed.skip_past(&["as"]) && executed.eat("execute") {
        return Recognised::with(StatementKind::CreateTableAs, Detail::Prepared(executed.name()));
    }
    let query = query_after_as(&mut cursor, &[&["with", "no", "data"], &["with", "data"]]);
    made.filled = !ends_with(cursor.rest(), &["with", "no", "data"]);
    Recognised { kind: StatementKind::CreateTableAs, query, detail: Detail::Makes(made) }
}

const CHECK_OPTIONS: [&[&str]; 3] =
    [&["with", "cascaded", "check", "option"], &["with", "local", "check", "option"], &["with", "check", "option"]];

/// `CREATE VIEW x [(names)] AS query`. A recursive one stands for `WITH RECURSIVE x (names) AS (query) SELECT names FROM x`.
fn view(mut cursor: Cursor<'_, '_>, flags: Flags) -> Recognised {
    let made = made(&mut cursor, flags);
    let kind = StatementKind::CreateView;
    if !flags.recursive {
        let query = query_after_as(&mut cursor, &CHECK_OPTIONS);
        return Recognised { kind, query, detail: Detail::Makes(made) };
    }
    let names = definition::last_list(&cursor);
    let query = match (query_after_as(&mut cursor, &CHECK_OPTIONS), names) {
        (InnerQuery::Tokens(query), Some((name, names))) => InnerQuery::Pieces(vec![
            Piece::Words("WITH RECURSIVE"),
            Piece::Tokens(name.clone()),
            Piece::Words("("),
            Piece::Tokens(names.clone()),
            Piece::Words(") AS ("),
            Piece::Tokens(query),
            Piece::Words(") SELECT"),
            Piece::Tokens(names),
            Piece::Words("FROM"),
            Piece::Tokens(name),
        ]),
        _ => InnerQuery::NotUnderstood(NotUnderstood::Construct("CREATE RECURSIVE VIEW")),
    };
    Recognised { kind, query, detail: Detail::Makes(made) }
}

/// The tokens behind `AS`, without one of these endings.
fn query_after_as(cursor: &mut Cursor<'_, '_>, endings: &[&[&str]]) -> InnerQuery {
    if !cursor.skip_past(&["as"]) {
        return InnerQuery::NotUnderstood(NotUnderstood::Syntax);
    }
    let rest = cursor.rest();
    let ending = endings.iter().find(|ending| ends_with(rest, ending)).map_or(0, |ending| ending.len());
    let start = cursor.at();
    InnerQuery::Tokens(start..start.saturating_add(rest.len().saturating_sub(ending)))
}

fn ends_with(tokens: &[Token<'_>], ending: &[&str]) -> bool {
    tokens.len() > ending.len()
        && tokens.iter().rev().zip(ending.iter().rev()).all(|(token, keyword)| token.is(keyword))
}
