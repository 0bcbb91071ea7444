//! What each statement of a text is, told from its tokens: a command of part VI of PostgreSQL's manual ("SQL
//! Commands", versions 13 to 18), the query inside it, and the particulars that pgveil needs.
//!
//! Nothing here parses expressions. Where a command's first words are right and the rest is wrong, the server refuses
//! it; the answer then only has to be safe, not meaningful.

mod alter;
mod code;
mod copy;
mod create;
mod cursor;
mod definition;
mod index;
mod session;
mod split;

use std::ops::Range;

use super::NotUnderstood;
use super::lexer::{Mark, Token};
use super::statement::{Detail, StatementKind};
pub use code::makes_code;
pub(crate) use code::{code, code_in};
use copy::copy;
use create::create;
use cursor::Cursor;
pub(crate) use split::Splitter;
#[cfg(test)]
use split::split;

/// What was recognised of one statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recognised {
    pub(crate) kind: StatementKind,
    pub(crate) query: InnerQuery,
    pub(crate) detail: Detail,
}

/// Where the query of a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InnerQuery {
    /// There is none.
    None,
    /// These tokens, counted from the statement's first.
    Tokens(Range<usize>),
    /// There is none as such, but one that has the statement's expressions and conditions: these pieces one behind the
    /// other.
    Pieces(Vec<Piece>),
    /// There is one that can not be followed.
    NotUnderstood(NotUnderstood),
}

/// A piece of a query that is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These words.
    Words(&'static str),
    /// These tokens of the statement, counted from its first.
    Tokens(Range<usize>),
}

impl Recognised {
    fn plain(kind: StatementKind) -> Self {
        Self { kind, query: InnerQuery::None, detail: Detail::None }
    }

    fn with(kind: StatementKind, detail: Detail) -> Self {
        Self { kind, query: InnerQuery::None, detail }
    }
}

/// Recognise one statement by its tokens (without semicolon, not empty).
pub(crate) fn recognise(tokens: &[Token<'_>]) -> Recognised {
    use StatementKind as Kind;
    if let Some(kind) = query_kind(tokens) {
        let detail = match kind {
            Kind::Select => definition::into(tokens).map_or(Detail::None, Detail::Makes),
            _ => Detail::None,
        };
        return Recognised { kind, query: InnerQuery::Tokens(0..tokens.len()), detail };
    }
    let mut cursor = Cursor::new(tokens);
    let Some(first) = cursor.keyword() else {
        return Recognised::plain(Kind::Unrecognised);
    };
    match first.as_str() {
        "explain" => explain(cursor),
        "declare" => declare(cursor),
        "fetch" | "move" => {
            let kind = if first == "fetch" { Kind::Fetch } else { Kind::Move };
            Recognised::with(kind, Detail::Cursor(tokens.last().and_then(Token::name)))
        }
        "close" => Recognised::with(Kind::CloseCursor, Detail::Cursor(cursor.name_unless("all"))),
        "prepare" => prepare(cursor),
        "execute" => Recognised::with(Kind::Execute, Detail::Prepared(cursor.name())),
        "deallocate" => {
            if cursor.peek_at(1).is_some() {
                cursor.eat("prepare");
            }
            Recognised::with(Kind::Deallocate, Detail::Prepared(cursor.name_unless("all")))
        }
        "copy" => copy(cursor),
        "do" => Recognised::plain(Kind::Do),
        "call" => Recognised::plain(Kind::Call),
        "create" => create(cursor),
        "alter" => alter::alter(cursor),
        "drop" => Recognised::with(Kind::Drop, Detail::Object(cursor.object_of_definition())),
        "set" => session::set(cursor),
        "reset" | "show" => {
            let kind = if first == "reset" { Kind::Reset } else { Kind::Show };
            Recognised::with(kind, Detail::Setting(session::setting_name(&mut cursor), None))
        }
        "discard" => Recognised::plain(Kind::Discard),
        "listen" => Recognised::plain(Kind::Listen),
        "notify" => Recognised::plain(Kind::Notify),
        "unlisten" => Recognised::plain(Kind::Unlisten),
        "load" => Recognised::plain(Kind::Load),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            let kind = session::transaction(&first, cursor);
            let names = matches!(kind, Kind::Savepoint | Kind::ReleaseSavepoint | Kind::RollbackToSavepoint);
            let name = || Detail::Savepoint(tokens.last().and_then(Token::name));
            Recognised::with(kind, if names { name() } else { Detail::None })
        }
        "lock" => Recognised::with(Kind::Lock, Detail::Object(cursor.relation_after(&["table", "only"]))),
        "truncate" => Recognised::with(Kind::Truncate, Detail::Object(cursor.relation_after(&["table", "only"]))),
        "comment" => Recognised::plain(Kind::Comment),
        "security" => Recognised::plain(Kind::SecurityLabel),
        "grant" => Recognised::plain(Kind::Grant),
        "revoke" => Recognised::plain(Kind::Revoke),
        "reassign" => Recognised::plain(Kind::ReassignOwned),
        "import" => Recognised::plain(Kind::ImportForeignSchema),
        "refresh" => Recognised::with(
            Kind::RefreshMaterializedView,
            Detail::Object(cursor.relation_after(&["materialized", "view", "concurrently"])),
        ),
        "vacuum" | "analyze" | "analyse" | "cluster" => {
            let kind = match first.as_str() {
                "vacuum" => Kind::Vacuum,
                "cluster" => Kind::Cluster,
                _ => Kind::Analyze,
            };
            cursor.skip_parens();
            let options = ["full", "freeze", "verbose", "analyze", "analyse", "only"];
            Recognised::with(kind, Detail::Object(cursor.relation_after(&options)))
        }
        "reindex" => {
            cursor.skip_parens();
            let relation = cursor.peek().is_some_and(|token| token.is_any(&["index", "table"]));
            cursor.next();
            let object = if relation { cursor.relation_after(&["concurrently"]) } else { None };
            Recognised::with(Kind::Reindex, Detail::Object(object))
        }
        "checkpoint" => Recognised::plain(Kind::Checkpoint),
        _ => Recognised::plain(Kind::Unrecognised),
    }
}

/// The kind of a query-like statement, behind opening parentheses and common table expressions.
pub(crate) fn query_kind(tokens: &[Token<'_>]) -> Option<StatementKind> {
    let mut cursor = Cursor::new(tokens);
    loop {
        while cursor.eat_mark(Mark::LeftParen) {}
        if !cursor.eat("with") {
            break;
        }
        skip_common_table_expressions(&mut cursor);
    }
    Some(match cursor.keyword()?.as_str() {
        "select" => StatementKind::Select,
        "values" => StatementKind::Values,
        "table" => StatementKind::Table,
        "insert" => StatementKind::Insert,
        "update" => StatementKind::Update,
        "delete" => StatementKind::Delete,
        "merge" => StatementKind::Merge,
        _ => return None,
    })
}

/// `[RECURSIVE] name [(columns)] AS [[NOT] MATERIALIZED] (query) [SEARCH ... SET c] [CYCLE ... USING c], ...`
fn skip_common_table_expressions(cursor: &mut Cursor<'_, '_>) {
    if cursor.peek_at(1).is_some_and(|token| !token.is("as") && !token.is_mark(Mark::LeftParen)) {
        cursor.eat("recursive");
    }
    loop {
        cursor.next();
        cursor.skip_parens();
        cursor.eat("as");
        cursor.eat("not");
        cursor.eat("materialized");
        if !cursor.skip_parens() {
            return;
        }
        for (clause, last) in [("search", "set"), ("cycle", "using")] {
            if cursor.eat(clause) {
                cursor.skip_past(&[last]);
                cursor.next();
            }
        }
        if !cursor.eat_mark(Mark::Comma) {
            return;
        }
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] statement`, `EXPLAIN (options) statement`.
fn explain(mut cursor: Cursor<'_, '_>) -> Recognised {
    let options = cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen))
        && !cursor
            .peek_at(1)
            .is_none_or(|token| token.is_any(&["select", "values", "with", "table"]) || token.is_mark(Mark::LeftParen));
    let analyze = if options {
        explain_analyzes(cursor.parenthesised())
    } else {
        let analyze = cursor.eat("analyze") || cursor.eat("analyse");
        cursor.eat("verbose");
        analyze
    };
    let start = cursor.at();
    let rest = cursor.rest();
    let explainable = query_kind(rest).is_some()
        || rest.first().is_some_and(|token| token.is_any(&["declare", "create", "execute", "refresh"]));
    let (query, detail) = if explainable {
        let inner = recognise(rest);
        let query = match inner.query {
            InnerQuery::Tokens(range) => {
                InnerQuery::Tokens(range.start.saturating_add(start)..range.end.saturating_add(start))
            }
            InnerQuery::None | InnerQuery::Pieces(_) | InnerQuery::NotUnderstood(_) => inner.query,
        };
        match inner.detail {
            Detail::Prepared(name) => (query, Detail::Prepared(name)),
            Detail::None
            | Detail::Cursor(_)
            | Detail::Savepoint(_)
            | Detail::Setting(..)
            | Detail::Copy(_)
            | Detail::Explain { .. }
            | Detail::Makes(_)
            | Detail::Alters(_)
            | Detail::Object(_) => (query, Detail::Explain { analyze }),
        }
    } else {
        (InnerQuery::NotUnderstood(NotUnderstood::Construct("EXPLAIN of this command")), Detail::Explain { analyze })
    };
    Recognised { kind: StatementKind::Explain, query, detail }
}

/// Whether `ANALYZE` is among the options and not switched off; when said twice, the stricter reading. The name of an
/// option may be quoted.
fn explain_analyzes(options: &[Token<'_>]) -> bool {
    let analyzes = |token: &Token<'_>| token.name().is_none_or(|name| matches!(name.as_str(), "analyze" | "analyse"));
    options.split(|token| token.is_mark(Mark::Comma)).any(|option| match option {
        [name, value @ ..] if analyzes(name) => !value.iter().any(|token| {
            let text = match token.kind {
                super::lexer::TokenKind::Text(literal) => literal.value().unwrap_or_default().to_ascii_lowercase(),
                super::lexer::TokenKind::Number(number) => number.to_owned(),
                _ => token.name().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            };
            matches!(text.as_str(), "false" | "off" | "0")
        }),
        _ => false,
    })
}

/// `DECLARE name [BINARY] ... CURSOR [WITH HOLD] FOR query`.
fn declare(mut cursor: Cursor<'_, '_>) -> Recognised {
    let name = cursor.name();
    let query = match cursor.skip_past(&["cursor"]) && cursor.skip_past(&["for"]) {
        true => cursor.rest_as_query(),
        false => InnerQuery::NotUnderstood(NotUnderstood::Syntax),
    };
    Recognised { kind: StatementKind::DeclareCursor, query, detail: Detail::Cursor(name) }
}

/// `PREPARE name [(types)] AS statement`, `PREPARE TRANSACTION 'id'`.
fn prepare(mut cursor: Cursor<'_, '_>) -> Recognised {
    let transaction = cursor.peek().is_some_and(|token| token.is("transaction"));
    if transaction && cursor.peek_at(1).is_some_and(|token| token.name().is_none() && !token.is_mark(Mark::LeftParen)) {
        return Recognised::plain(StatementKind::PrepareTransaction);
    }
    let name = cursor.name();
    cursor.skip_parens();
    let query =
        if cursor.eat("as") { cursor.rest_as_query() } else { InnerQuery::NotUnderstood(NotUnderstood::Syntax) };
    Recognised { kind: StatementKind::Prepare, query, detail: Detail::Prepared(name) }
}

#[cfg(test)]
mod tests;
