//! `CREATE ...`: which sort of object, and the query that makes it.

use super::cursor::Cursor;
use super::{InnerQuery, Recognised, StatementKind};
use crate::sql::NotUnderstood;
use crate::sql::lexer::Token;
use crate::sql::statement::Detail;

/// The cursor is behind `CREATE`.
pub(super) fn create(mut cursor: Cursor<'_, '_>) -> Recognised {
    use StatementKind as Kind;
    if cursor.eat("or") {
        cursor.eat("replace");
    }
    let mut recursive = false;
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
        recursive |= token.is("recursive");
        cursor.next();
    }
    let Some(object) = cursor.keyword() else {
        return Recognised::plain(Kind::Unrecognised);
    };
    match object.as_str() {
        "table" => table(cursor),
        "foreign" if cursor.eat("table") => {
            Recognised::with(Kind::CreateTable, Detail::Object(cursor.relation_after(&["if", "not", "exists"])))
        }
        "view" => view(cursor, recursive),
        "materialized" => {
            cursor.eat("view");
            let name = cursor.relation_after(&["if", "not", "exists"]);
            let query = query_after_as(&mut cursor, &[&["with", "no", "data"], &["with", "data"]]);
            Recognised { kind: Kind::CreateMaterializedView, query, detail: Detail::Object(name) }
        }
        "function" | "procedure" => Recognised::with(Kind::CreateFunction, Detail::Object(cursor.object_name())),
        "trigger" => named_behind(Kind::CreateTrigger, cursor, "on"),
        "rule" => named_behind(Kind::CreateRule, cursor, "to"),
        "index" => named_behind(Kind::CreateIndex, cursor, "on"),
        "access" | "aggregate" | "assertion" | "cast" | "collation" | "conversion" | "database" | "default"
        | "domain" | "extension" | "foreign" | "group" | "language" | "operator" | "policy" | "procedural"
        | "publication" | "role" | "schema" | "sequence" | "server" | "statistics" | "subscription" | "tablespace"
        | "text" | "transform" | "trusted" | "type" | "user" => Recognised::plain(Kind::CreateOther),
        _ => Recognised::plain(Kind::Unrecognised),
    }
}

fn named_behind(kind: StatementKind, mut cursor: Cursor<'_, '_>, keyword: &str) -> Recognised {
    let object = if cursor.skip_past(&[keyword]) { cursor.relation_after(&["only"]) } else { None };
    Recognised::with(kind, Detail::Object(object))
}

/// `CREATE TABLE x ... [AS query | AS EXECUTE name(...)]`
fn table(mut cursor: Cursor<'_, '_>) -> Recognised {
    let name = cursor.relation_after(&["if", "not", "exists"]);
    if !cursor.clone().skip_past(&["as"]) {
        return Recognised::with(StatementKind::CreateTable, Detail::Object(name));
    }
    let mut executed = cursor.clone();
    if executed.skip_past(&["as"]) && executed.eat("execute") {
        return Recognised::with(StatementKind::CreateTableAs, Detail::Prepared(executed.name()));
    }
    let query = query_after_as(&mut cursor, &[&["with", "no", "data"], &["with", "data"]]);
    Recognised { kind: StatementKind::CreateTableAs, query, detail: Detail::Object(name) }
}

fn view(mut cursor: Cursor<'_, '_>, recursive: bool) -> Recognised {
    let name = cursor.relation_after(&["if", "not", "exists"]);
    let query = if recursive {
        InnerQuery::NotUnderstood(NotUnderstood::Construct("CREATE RECURSIVE VIEW"))
    } else {
        query_after_as(
            &mut cursor,
            &[
                &["with", "cascaded", "check", "option"],
                &["with", "local", "check", "option"],
                &["with", "check", "option"],
            ],
        )
    };
    Recognised { kind: StatementKind::CreateView, query, detail: Detail::Object(name) }
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
