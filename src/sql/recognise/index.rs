//! What is computed from rows to be kept beside them: indexes, extended statistics, exclusion constraints. It is put
//! together as a query that computes the same, so that its expressions and conditions are judged as those of any other.

use std::ops::Range;

use super::cursor::Cursor;
use super::{InnerQuery, Piece, Recognised, StatementKind};
use crate::sql::NotUnderstood;
use crate::sql::lexer::{Mark, Token};
use crate::sql::statement::Detail;

/// `CREATE [UNIQUE] INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON [ONLY] x [USING method] (elements) ... [WHERE (condition)]`
pub(super) fn index(mut cursor: Cursor<'_, '_>, unique: bool) -> Recognised {
    let kind = StatementKind::CreateIndex;
    if !cursor.skip_past(&["on"]) {
        return Recognised::with(kind, Detail::Object(None));
    }
    if cursor.peek_at(1).is_some_and(|token| token.name().is_some() && !token.is("using")) {
        cursor.eat("only");
    }
    let start = cursor.at();
    let object = cursor.object_name();
    let mut query = Computed { distinct: unique, ..Computed::of(start..cursor.at()) };
    if cursor.eat("using") {
        cursor.next();
    }
    let read = query.elements(&mut cursor, false);
    if cursor.skip_past(&["where"]) {
        query.conditions.push(cursor.at()..cursor.end());
    }
    let query = if read { query.finished() } else { InnerQuery::NotUnderstood(NotUnderstood::Syntax) };
    Recognised { kind, query, detail: Detail::Object(object) }
}

/// `CREATE STATISTICS [[IF NOT EXISTS] name] [(kinds)] ON elements FROM x`
pub(super) fn statistics(mut cursor: Cursor<'_, '_>) -> Recognised {
    let kind = StatementKind::CreateStatistics;
    let mut elements = None;
    if cursor.skip_past(&["on"]) {
        let start = cursor.at();
        if cursor.skip_past(&["from"]) {
            elements = Some(start..cursor.at().saturating_sub(1));
        }
    }
    let start = cursor.at();
    let object = cursor.object_name();
    let query = match elements {
        Some(elements) if object.is_some() => {
            Computed { values: vec![elements], ..Computed::of(start..cursor.at()) }.finished()
        }
        Some(_) | None => InnerQuery::NotUnderstood(NotUnderstood::Syntax),
    };
    Recognised { kind, query, detail: Detail::Object(object) }
}

/// A query in the making: where in the statement its parts are.
#[derive(Default)]
pub(super) struct Computed {
    table: Range<usize>,
    /// Whether rows are compared with each other.
    pub(super) distinct: bool,
    /// What is computed.
    pub(super) values: Vec<Range<usize>>,
    /// Columns that get another value, each with it.
    pub(super) stored: Vec<(Range<usize>, Range<usize>)>,
    /// What rows have to fulfil.
    pub(super) conditions: Vec<Range<usize>>,
}

impl Computed {
    /// From the table whose name is there.
    pub(super) fn of(table: Range<usize>) -> Self {
        Self { table, ..Self::default() }
    }

    /// The elements of an index, in parentheses: columns, calls, expressions in parentheses. `excludes`: each with the
    /// operator that compares it, which has to be `=`. `false`: they are not read.
    pub(super) fn elements(&mut self, cursor: &mut Cursor<'_, '_>, excludes: bool) -> bool {
        let start = cursor.at().saturating_add(1);
        if !cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
            return false;
        }
        let inside = cursor.parenthesised();
        for part in parts(inside) {
            let mut element = Cursor::new(inside.get(part.clone()).unwrap_or_default());
            if !element.skip_parens() {
                if element.object_name().is_none() {
                    return false;
                }
                element.skip_parens();
            }
            let from = start.saturating_add(part.start);
            self.values.push(from..from.saturating_add(element.at()));
            let equal = !excludes
                || matches!(element.rest(), [.., with, operator] if with.is("with") && operator.is_operator("="));
            if !equal {
                return false;
            }
        }
        true
    }

    /// The query.
    pub(super) fn finished(self) -> InnerQuery {
        if self.values.is_empty() && self.stored.is_empty() && self.conditions.is_empty() {
            return InnerQuery::None;
        }
        let mut pieces = Vec::new();
        if self.stored.is_empty() {
            pieces.push(Piece::Words(if self.distinct { "SELECT DISTINCT" } else { "SELECT" }));
            if self.values.is_empty() {
                pieces.push(Piece::Words("1"));
            }
            list(&mut pieces, &self.values, ",");
            pieces.extend([Piece::Words("FROM"), Piece::Tokens(self.table)]);
        } else {
            pieces.extend([Piece::Words("UPDATE"), Piece::Tokens(self.table), Piece::Words("SET")]);
            for (at, (column, value)) in self.stored.into_iter().enumerate() {
                if at > 0 {
                    pieces.push(Piece::Words(","));
                }
                pieces.extend([Piece::Tokens(column), Piece::Words("= ("), Piece::Tokens(value), Piece::Words(")")]);
            }
        }
        for (at, condition) in self.conditions.into_iter().enumerate() {
            pieces.push(Piece::Words(if at == 0 { "WHERE (" } else { "AND (" }));
            pieces.extend([Piece::Tokens(condition), Piece::Words(")")]);
        }
        InnerQuery::Pieces(pieces)
    }
}

fn list(pieces: &mut Vec<Piece>, ranges: &[Range<usize>], separator: &'static str) {
    for (at, range) in ranges.iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Words(separator));
        }
        pieces.push(Piece::Tokens(range.clone()));
    }
}

/// Where the parts of a list are, cut at the commas outside of parentheses and brackets.
pub(super) fn parts(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let (mut depth, mut start) = (0_usize, 0_usize);
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.is_mark(Mark::LeftParen) || token.is_mark(Mark::LeftBracket) {
            depth = depth.saturating_add(1);
        } else if token.is_mark(Mark::RightParen) || token.is_mark(Mark::RightBracket) {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is_mark(Mark::Comma) {
            parts.push(start..at);
            start = at.saturating_add(1);
        }
    }
    parts.push(start..tokens.len());
    parts.retain(|part| !part.is_empty());
    parts
}
