//! `ALTER`: of relations with columns each action, of anything else only what it names.

use std::ops::Range;

use super::cursor::Cursor;
use super::definition::is_tight;
use super::index::{Computed, parts};
use super::{InnerQuery, Recognised, StatementKind};
use crate::sql::NotUnderstood;
use crate::sql::lexer::{Mark, TokenKind};
use crate::sql::statement::{Alteration, Change, Detail};

/// The cursor is behind `ALTER`.
pub(super) fn alter(mut cursor: Cursor<'_, '_>) -> Recognised {
    let mut behind = cursor.clone();
    let relation = behind.eat("table")
        || behind.eat("view")
        || (behind.eat("materialized") && behind.eat("view"))
        || (behind.eat("foreign") && behind.eat("table"));
    let all =
        behind.peek().is_some_and(|token| token.is("all")) && behind.peek_at(1).is_some_and(|token| token.is("in"));
    if !relation || all {
        let kind = match cursor.clone().keyword().as_deref() {
            Some("table" | "view" | "materialized" | "foreign") if relation => StatementKind::AlterTable,
            Some("function" | "procedure" | "routine" | "aggregate") => StatementKind::AlterRoutine,
            Some("type" | "domain") => StatementKind::AlterType,
            Some(_) | None => StatementKind::AlterOther,
        };
        return Recognised::with(kind, Detail::Object(cursor.object_of_definition()));
    }
    let mut cursor = behind;
    while cursor.peek_at(1).is_some_and(|token| token.name().is_some()) && cursor.peek().is_some_and(is_before_name) {
        cursor.next();
    }
    let start = cursor.at();
    let relation = cursor.object_name();
    let mut reader = Reader { computed: Computed::of(start..cursor.at()), changes: Vec::new(), readable: true };
    if cursor.peek().is_some_and(|token| token.is_operator("*")) {
        cursor.next();
    }
    let at = cursor.at();
    for part in parts(cursor.rest()) {
        let absolute = at.saturating_add(part.start)..at.saturating_add(part.end);
        let change = reader.change(cursor.within(absolute));
        reader.changes.push(change);
    }
    let query = match reader.readable {
        true => reader.computed.finished(),
        false => InnerQuery::NotUnderstood(NotUnderstood::Construct("a constraint of ALTER TABLE")),
    };
    let kind = StatementKind::AlterTable;
    Recognised { kind, query, detail: Detail::Alters(Alteration { relation, changes: reader.changes }) }
}

fn is_before_name(token: &crate::sql::lexer::Token<'_>) -> bool {
    token.is_any(&["if", "exists", "only"])
}

struct Reader {
    computed: Computed,
    changes: Vec<Change>,
    readable: bool,
}

impl Reader {
    /// One action. The cursor ends where it does.
    fn change(&mut self, mut cursor: Cursor<'_, '_>) -> Change {
        let Some(first) = cursor.keyword() else { return Change::Other };
        match first.as_str() {
            "rename" => rename(cursor),
            "add" => self.add(cursor),
            "drop" => Change::Plain,
            "alter" if cursor.peek().is_some_and(|token| token.is("constraint")) => Change::Plain,
            "alter" => self.alter_column(cursor),
            "set" if cursor.eat("schema") => cursor.name().map_or(Change::Other, Change::SetSchema),
            "inherit" => cursor.object_name().map_or(Change::Other, Change::Inherit),
            "attach" if cursor.eat("partition") => cursor.object_name().map_or(Change::Other, Change::Attach),
            // Values stay what they are, and tagged.
            "detach" => Change::Plain,
            "no" if cursor.peek().is_some_and(|token| token.is("inherit")) => Change::Plain,
            "no" if cursor.peek().is_some_and(|token| token.is("force")) => Change::Plain,
            // CLUSTER ON says by what CLUSTER sorts the rows.
            "validate" | "owner" | "enable" | "disable" | "force" | "set" | "reset" | "replica" => Change::Plain,
            _ => Change::Other,
        }
    }

    fn add(&mut self, mut cursor: Cursor<'_, '_>) -> Change {
        if cursor.eat("constraint") {
            cursor.next();
        }
        let constraint = cursor.clone().keyword().unwrap_or_default();
        match constraint.as_str() {
            "check" => {
                cursor.next();
                self.condition(&mut cursor);
                Change::Plain
            }
            "unique" | "primary" => {
                if cursor.skip_past(&["using"]) {
                    // The index is there already.
                    return Change::Plain;
                }
                while cursor.peek().is_some_and(|token| !token.is_mark(Mark::LeftParen)) {
                    cursor.next();
                }
                self.computed.distinct = true;
                self.readable &= self.computed.elements(&mut cursor, false);
                Change::Plain
            }
            "exclude" => {
                cursor.next();
                if cursor.eat("using") {
                    cursor.next();
                }
                self.computed.distinct = true;
                self.readable &= self.computed.elements(&mut cursor, true);
                if cursor.skip_past(&["where"]) {
                    self.condition(&mut cursor);
                }
                Change::Plain
            }
            "foreign" => Change::Plain,
            "not" => Change::Plain,
            _ => self.add_column(cursor),
        }
    }

    /// `ADD [COLUMN] [IF NOT EXISTS] c type ...`
    fn add_column(&mut self, mut cursor: Cursor<'_, '_>) -> Change {
        cursor.eat("column");
        while cursor.peek().is_some_and(|token| token.is_any(&["if", "not", "exists"])) {
            cursor.next();
        }
        let Some(column) = cursor.name() else { return Change::Other };
        let mut generated = cursor.clone();
        let mut computed = false;
        if generated.skip_past(&["generated"]) && generated.skip_past(&["as"]) {
            let start = generated.at();
            if generated.skip_parens() {
                computed = true;
                self.computed.values.push(start..generated.at());
            }
        }
        while cursor.skip_past(&["check"]) {
            let start = cursor.at();
            let inside = cursor.parenthesised();
            // A condition on the new column alone tells nothing of the others.
            let alone = inside.iter().all(|token| match token.kind {
                TokenKind::Quoted(_) => token.name().as_ref() == Some(&column),
                TokenKind::Word(_) => token.name().as_ref() == Some(&column) || token.is_any(&CONDITION_WORDS),
                TokenKind::Text(_)
                | TokenKind::Number(_)
                | TokenKind::Parameter(_)
                | TokenKind::Operator(_)
                | TokenKind::Mark(_) => true,
            });
            if !alone {
                self.computed.conditions.push(start..cursor.at());
            }
        }
        if computed { Change::AddComputed(column) } else { Change::AddColumn(column) }
    }

    /// `ALTER [COLUMN] c ...`
    fn alter_column(&mut self, mut cursor: Cursor<'_, '_>) -> Change {
        if cursor.peek_at(1).is_some_and(|token| token.name().is_some()) && cursor.peek_at(2).is_some() {
            cursor.eat("column");
        }
        let start = cursor.at();
        let name = cursor.name();
        let column = start..cursor.at();
        let words: Vec<String> = {
            let mut words = cursor.clone();
            (0..2).map(|_| words.keyword().unwrap_or_default()).collect()
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["type", _] | ["set", "data"] => {
                let mut of = cursor.clone();
                of.skip_past(&["type"]);
                let tight = is_tight(of.rest());
                if cursor.skip_past(&["using"]) {
                    self.computed.stored.push((column, cursor.at()..cursor.end()));
                }
                match name {
                    Some(name) if tight => Change::Tighten(name),
                    Some(_) | None => Change::Plain,
                }
            }
            ["set", "not"] => name.map_or(Change::Other, Change::Tighten),
            ["set", "expression"] => Change::Other,
            ["set" | "drop" | "add" | "restart" | "reset", _] => Change::Plain,
            _ => Change::Other,
        }
    }

    fn condition(&mut self, cursor: &mut Cursor<'_, '_>) {
        let start = cursor.at();
        let condition: Range<usize> = match cursor.skip_parens() {
            true => start..cursor.at(),
            false => start..start,
        };
        self.readable &= !condition.is_empty();
        self.computed.conditions.push(condition);
    }
}

/// Words of conditions that name nothing.
const CONDITION_WORDS: [&str; 11] = ["and", "or", "not", "in", "between", "is", "null", "true", "false", "like", "any"];

fn rename(mut cursor: Cursor<'_, '_>) -> Change {
    if cursor.peek_at(2).is_some() {
        if cursor.eat("constraint") {
            return Change::Plain;
        }
        if cursor.peek_at(3).is_some() {
            cursor.eat("column");
        }
    }
    if cursor.peek_at(2).is_none() {
        cursor.eat("to");
        return cursor.name().map_or(Change::Other, Change::Rename);
    }
    match (cursor.name(), cursor.eat("to"), cursor.name()) {
        (Some(before), true, Some(after)) => Change::RenameColumn(before, after),
        _ => Change::Other,
    }
}
