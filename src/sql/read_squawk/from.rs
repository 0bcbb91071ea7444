//! FROM: relations, functions, sub-selects, joins.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::call::{call, session_value};
use super::expr::{parenthesised_values, value};
use super::names::{column_definitions, column_list, from_alias, name, path, relation};
use super::parts::{Parts, Read};
use super::query::{has_outer_clauses, is_query, query};
use super::table_expr::{json_table, xml_table};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Alias, Expr, FromItem, JoinCondition, JoinKind};

/// `item , item , ...` (`FROM`, `USING`).
pub(super) fn from_list(parts: &mut Parts) -> Read<Vec<FromItem>> {
    parts.comma_list()?.iter().map(from_item).collect()
}

/// One entry of FROM: an item or a chain of joins.
pub(super) fn from_item(node: &SyntaxNode) -> Read<FromItem> {
    match node.kind() {
        K::JOIN_EXPR => joins(node),
        K::RELATION_FROM_ITEM => relation_item(node),
        K::FUNCTION_FROM_ITEM => function_item(node),
        K::PAREN_FROM_ITEM => parenthesised_item(node),
        K::ROWS_FROM_ITEM => rows_from_item(node),
        K::XML_TABLE_FROM_ITEM | K::JSON_TABLE_FROM_ITEM => {
            let mut parts = Parts::of(node, "an unusual FROM item");
            parts.eat(K::LATERAL_KW);
            let table = parts.node()?;
            let (alias, defined) = alias(&mut parts)?;
            parts.end()?;
            let table = match table.kind() {
                K::XML_TABLE => xml_table(&table)?,
                K::JSON_TABLE => json_table(&table)?,
                _ => return Err(NotUnderstood::Construct("an unusual FROM item")),
            };
            no_definitions(&defined)?;
            Ok(FromItem::TableExpr { table: Box::new(table), alias })
        }
        K::EXPR_FROM_ITEM => Err(NotUnderstood::Construct("an expression in FROM")),
        K::GRAPH_TABLE_FROM_ITEM => Err(NotUnderstood::Construct("GRAPH_TABLE")),
        _ => Err(NotUnderstood::Construct("an unusual FROM item")),
    }
}

/// `FROM_ALIAS`, if it is next.
fn alias(parts: &mut Parts) -> Read<(Option<Alias>, Vec<Name>)> {
    match parts.node_of(K::FROM_ALIAS) {
        Some(alias) => from_alias(&alias),
        None => Ok((None, Vec::new())),
    }
}

/// Only functions have a column definition list.
fn no_definitions(defined: &[Name]) -> Read<()> {
    if defined.is_empty() { Ok(()) } else { Err(NotUnderstood::Syntax) }
}

fn relation_item(node: &SyntaxNode) -> Read<FromItem> {
    let mut parts = Parts::of(node, "an unusual relation in FROM");
    let only = parts.eat(K::ONLY_KW);
    let written = parts.node_of(K::RELATION_NAME_REF).ok_or_else(|| parts.unexpected())?;
    if !only {
        parts.eat(K::STAR);
    }
    let (alias, defined) = alias(&mut parts)?;
    no_definitions(&defined)?;
    // CURRENT_DATE and the like are functions, which PostgreSQL also takes in FROM.
    if let Some(value) = session_value(&written)? {
        parts.end()?;
        return Ok(FromItem::Functions { calls: vec![(value, Vec::new())], ordinality: false, alias });
    }
    let name = relation(&written)?;
    let mut sample = Vec::new();
    if let Some(clause) = parts.node_of(K::TABLESAMPLE_CLAUSE) {
        let mut clause = Parts::of(&clause, "an unusual TABLESAMPLE clause");
        clause.expect(K::TABLESAMPLE_KW)?;
        match call(&clause.node_of(K::CALL_EXPR).ok_or_else(|| clause.unexpected())?)? {
            Expr::Call(method) => sample.extend(method.args),
            _ => return Err(clause.unexpected()),
        }
        if let Some(repeatable) = clause.node_of(K::REPEATABLE_CLAUSE) {
            let mut repeatable = Parts::of(&repeatable, "an unusual TABLESAMPLE clause");
            repeatable.expect(K::REPEATABLE_KW)?;
            sample.extend(parenthesised_values(&mut repeatable)?);
            repeatable.end()?;
        }
        clause.end()?;
    }
    parts.end()?;
    Ok(FromItem::Relation { name, only, alias, sample })
}

fn with_ordinality(parts: &mut Parts) -> Read<bool> {
    parts.eat_words(&[K::WITH_ORDINALITY])
}

fn function_item(node: &SyntaxNode) -> Read<FromItem> {
    let mut parts = Parts::of(node, "an unusual function in FROM");
    parts.eat(K::LATERAL_KW);
    let function = function_call(&parts.node_of(K::CALL_EXPR).ok_or_else(|| parts.unexpected())?)?;
    let ordinality = with_ordinality(&mut parts)?;
    let (alias, defined) = alias(&mut parts)?;
    parts.end()?;
    Ok(FromItem::Functions { calls: vec![(function, defined)], ordinality, alias })
}

fn function_call(node: &SyntaxNode) -> Read<Expr> {
    match call(node)? {
        value @ Expr::Call(_) => Ok(value),
        _ => Err(NotUnderstood::Construct("an expression in FROM")),
    }
}

fn rows_from_item(node: &SyntaxNode) -> Read<FromItem> {
    let mut parts = Parts::of(node, "an unusual ROWS FROM");
    parts.eat(K::LATERAL_KW);
    parts.expect_all(&[K::ROWS_KW, K::FROM_KW])?;
    let functions = parts.parenthesised_list()?;
    let ordinality = with_ordinality(&mut parts)?;
    let (alias, defined) = alias(&mut parts)?;
    no_definitions(&defined)?;
    parts.end()?;
    let calls = functions.iter().map(|function| {
        let mut parts = Parts::of(function, "an unusual ROWS FROM");
        let function = function_call(&parts.node_of(K::CALL_EXPR).ok_or_else(|| parts.unexpected())?)?;
        let mut defined = Vec::new();
        if parts.eat(K::AS_KW) {
            defined = column_definitions(&parts.node_of(K::COLUMN_DEF_LIST).ok_or_else(|| parts.unexpected())?)?;
        }
        parts.end()?;
        Ok((function, defined))
    });
    Ok(FromItem::Functions { calls: calls.collect::<Read<_>>()?, ordinality, alias })
}

/// A sub-select, a join in parentheses, or `ONLY (t)`.
fn parenthesised_item(node: &SyntaxNode) -> Read<FromItem> {
    let mut parts = Parts::of(node, "an unusual FROM item in parentheses");
    let only = parts.eat(K::ONLY_KW);
    let lateral = parts.eat(K::LATERAL_KW);
    let inner = parts.node()?;
    let (alias, defined) = alias(&mut parts)?;
    no_definitions(&defined)?;
    let sampled = parts.kind() == Some(K::TABLESAMPLE_CLAUSE);
    if sampled {
        return Err(NotUnderstood::Construct("TABLESAMPLE of ONLY (...)"));
    }
    parts.end()?;
    if is_query(&inner) {
        // squawk lets a sub-select without an alias take in what belongs to the query around it: `UNION`, `LIMIT`.
        let closed = matches!(inner.kind(), K::PAREN_SELECT | K::PAREN_EXPR) && !has_outer_clauses(&inner);
        if only || !closed {
            return Err(NotUnderstood::Syntax);
        }
        return Ok(FromItem::Subquery { lateral, query: Box::new(query(&inner)?), alias });
    }
    let mut parts = Parts::of(&inner, "an unusual FROM item in parentheses");
    parts.expect(K::L_PAREN)?;
    let item = from_item(&parts.node()?)?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    match item {
        FromItem::Relation { name, only: false, alias: None, sample } if only && !lateral && sample.is_empty() => {
            Ok(FromItem::Relation { name, only, alias, sample })
        }
        FromItem::Join { kind, left, right, condition, alias: None } if !only && !lateral => {
            Ok(FromItem::Join { kind, left, right, condition, alias })
        }
        _ => Err(NotUnderstood::Syntax),
    }
}

enum Link {
    Item(SyntaxNode),
    Join { kind: JoinKind, natural: bool },
    Condition(JoinCondition),
}

/// A chain of joins: the leaves in order, grouped again as `joined_table` in `gram.y` does.
fn joins(node: &SyntaxNode) -> Read<FromItem> {
    let what = "a join of an unusual form";
    let mut links = Vec::new();
    let mut open = vec![Parts::of(node, what)];
    while let Some(mut parts) = open.pop() {
        if parts.eat(K::NATURAL_KW) {
            links.push(Link::Join { kind: join_kind(&parts.node()?)?, natural: true });
        }
        if parts.kind().is_none() {
            continue;
        }
        let child = parts.node()?;
        open.push(parts);
        match child.kind() {
            K::JOIN_EXPR | K::JOIN => open.push(Parts::of(&child, what)),
            K::JOIN_INNER | K::JOIN_LEFT | K::JOIN_RIGHT | K::JOIN_FULL | K::JOIN_CROSS => {
                links.push(Link::Join { kind: join_kind(&child)?, natural: false });
            }
            K::ON_CLAUSE => {
                let mut on = Parts::of(&child, what);
                on.expect(K::ON_KW)?;
                links.push(Link::Condition(JoinCondition::On(value(&mut on)?)));
                on.end()?;
            }
            K::JOIN_USING_CLAUSE => links.push(Link::Condition(using(&child)?)),
            _ => links.push(Link::Item(child)),
        }
    }
    let mut links = Links { links: links.into_iter().peekable() };
    let whole = links.table()?;
    if links.links.next().is_some() { Err(NotUnderstood::Syntax) } else { Ok(whole) }
}

fn join_kind(node: &SyntaxNode) -> Read<JoinKind> {
    if node.children().next().is_some() {
        return Err(NotUnderstood::Construct("a join of an unusual form"));
    }
    match node.kind() {
        K::JOIN_INNER => Ok(JoinKind::Inner),
        K::JOIN_LEFT => Ok(JoinKind::Left),
        K::JOIN_RIGHT => Ok(JoinKind::Right),
        K::JOIN_FULL => Ok(JoinKind::Full),
        K::JOIN_CROSS => Ok(JoinKind::Cross),
        _ => Err(NotUnderstood::Construct("a join of an unusual form")),
    }
}

fn using(node: &SyntaxNode) -> Read<JoinCondition> {
    let mut parts = Parts::of(node, "a USING clause of an unusual form");
    parts.expect(K::USING_KW)?;
    let columns = column_list(&parts.node_of(K::COLUMN_REF_LIST).ok_or_else(|| parts.unexpected())?)?;
    let alias = match parts.node_of(K::REQUIRED_AS_ALIAS) {
        Some(alias) => {
            let mut parts = Parts::of(&alias, "a USING clause of an unusual form");
            parts.expect(K::AS_KW)?;
            let alias = name(&parts.node()?)?;
            parts.end()?;
            Some(alias)
        }
        None => None,
    };
    parts.end()?;
    Ok(JoinCondition::Using(columns, alias))
}

struct Links {
    links: std::iter::Peekable<std::vec::IntoIter<Link>>,
}

impl Links {
    /// `table_ref`: CROSS and NATURAL joins take the next item; the others take everything up to their condition.
    fn table(&mut self) -> Read<FromItem> {
        let mut left = self.item()?;
        while let Some(Link::Join { .. }) = self.links.peek() {
            let Some(Link::Join { kind, natural }) = self.links.next() else { return Err(NotUnderstood::Syntax) };
            let (right, condition) = if natural {
                (self.item()?, JoinCondition::Natural)
            } else if kind == JoinKind::Cross {
                (self.item()?, JoinCondition::None)
            } else {
                let right = self.table()?;
                let Some(Link::Condition(condition)) = self.links.next() else { return Err(NotUnderstood::Syntax) };
                (right, condition)
            };
            left = FromItem::Join { kind, left: Box::new(left), right: Box::new(right), condition, alias: None };
        }
        Ok(left)
    }

    fn item(&mut self) -> Read<FromItem> {
        match self.links.next() {
            Some(Link::Item(node)) => from_item(&node),
            Some(Link::Join { .. } | Link::Condition(_)) | None => Err(NotUnderstood::Syntax),
        }
    }
}

/// The parts of a `RELATION_NAME_REF`.
pub(super) fn relation_path(node: &SyntaxNode) -> Read<Vec<Name>> {
    path(&super::parts::only_child(node, "a relation name of an unusual form")?)
}
