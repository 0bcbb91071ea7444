//! One SELECT level.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::call::window_definition;
use super::expr::{parenthesised_values, primary, value};
use super::from::from_list;
use super::names::{as_name, object, relation};
use super::parts::{Parts, Read};
use super::query::{is_query, start, tail};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Distinct, Expr, Query, Select, SelectItem};

/// A SELECT without anything.
pub(super) fn empty() -> Select {
    Select {
        distinct: Distinct::No,
        items: Vec::new(),
        into: None,
        from: Vec::new(),
        filter: None,
        group_by: Vec::new(),
        having: None,
        windows: Vec::new(),
    }
}

/// A `SELECT` or `SELECT_INTO` with the clauses around it.
pub(super) fn select(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "an unusual part of SELECT");
    let mut query = start(&mut parts)?;
    let mut select = empty();
    select_clause(&parts.node_of(K::SELECT_CLAUSE).ok_or_else(|| parts.unexpected())?, &mut select)?;
    if let Some(into) = parts.node_of(K::INTO_CLAUSE) {
        let mut into = Parts::of(&into, "an unusual INTO clause");
        into.expect(K::INTO_KW)?;
        into.eat_words(&[K::TEMP, K::UNLOGGED])?;
        into.eat(K::TABLE_KW);
        select.into = Some(relation(&into.node_of(K::TABLE_NAME).ok_or_else(|| into.unexpected())?)?);
        into.end()?;
    }
    if let Some(from) = parts.node_of(K::FROM_CLAUSE) {
        let mut from = Parts::of(&from, "an unusual FROM clause");
        from.expect(K::FROM_KW)?;
        select.from = from_list(&mut from)?;
        from.end()?;
    }
    select.filter = where_clause(&mut parts)?;
    if let Some(group_by) = parts.node_of(K::GROUP_BY_CLAUSE) {
        let mut group_by = Parts::of(&group_by, "an unusual GROUP BY clause");
        group_by.expect_all(&[K::GROUP_KW, K::BY_KW])?;
        group_by.eat_words(&[K::ALL, K::DISTINCT])?;
        let list = group_by.node_of(K::GROUP_BY_LIST).ok_or_else(|| group_by.unexpected())?;
        group_by.end()?;
        let mut list = Parts::of(&list, "an unusual GROUP BY clause");
        for element in list.comma_list()? {
            grouping(&element, &mut select.group_by)?;
        }
        list.end()?;
    }
    if let Some(having) = parts.node_of(K::HAVING_CLAUSE) {
        let mut having = Parts::of(&having, "an unusual HAVING clause");
        having.expect(K::HAVING_KW)?;
        select.having = Some(value(&mut having)?);
        having.end()?;
    }
    if let Some(windows) = parts.node_of(K::WINDOW_CLAUSE) {
        let mut windows = Parts::of(&windows, "an unusual WINDOW clause");
        windows.expect(K::WINDOW_KW)?;
        select.windows = windows.comma_list()?.iter().map(window_definition).collect::<Read<_>>()?;
        windows.end()?;
    }
    query.body = Body::Select(Box::new(select));
    tail(&mut parts, &mut query)?;
    parts.end()?;
    Ok(query)
}

fn select_clause(node: &SyntaxNode, select: &mut Select) -> Read<()> {
    let mut parts = Parts::of(node, "an unusual part of SELECT");
    parts.expect(K::SELECT_KW)?;
    if !parts.eat_words(&[K::ALL])?
        && let Some(distinct) = parts.node_of(K::DISTINCT_CLAUSE)
    {
        let mut distinct = Parts::of(&distinct, "an unusual DISTINCT clause");
        distinct.expect(K::DISTINCT_KW)?;
        select.distinct = Distinct::Rows;
        if let Some(on) = distinct.node_of(K::DISTINCT_ON) {
            let mut on = Parts::of(&on, "an unusual DISTINCT clause");
            on.expect(K::ON_KW)?;
            select.distinct = Distinct::On(parenthesised_values(&mut on)?);
            on.end()?;
        }
        distinct.end()?;
    }
    if let Some(list) = parts.node_of(K::TARGET_LIST) {
        select.items = target_list(&list)?;
    }
    parts.end()
}

/// WHERE, if it is next.
pub(super) fn where_clause(parts: &mut Parts) -> Read<Option<Expr>> {
    let Some(clause) = parts.node_of(K::WHERE_CLAUSE) else { return Ok(None) };
    let mut clause = Parts::of(&clause, "an unusual WHERE clause");
    clause.expect(K::WHERE_KW)?;
    let condition = value(&mut clause)?;
    clause.end()?;
    Ok(Some(condition))
}

/// A select list, or that of RETURNING.
pub(super) fn target_list(list: &SyntaxNode) -> Read<Vec<SelectItem>> {
    let mut parts = Parts::of(list, "an unusual select list");
    let targets = parts.comma_list()?;
    parts.end()?;
    targets.iter().map(target).collect()
}

fn target(node: &SyntaxNode) -> Read<SelectItem> {
    let mut parts = Parts::of(node, "an unusual entry of a select list");
    if parts.eat(K::STAR) {
        parts.end()?;
        return Ok(SelectItem::Star);
    }
    let composite = match parts.peek_node() {
        Some(node) => star_base(node)?,
        None => None,
    };
    let item = if let Some(composite) = composite {
        parts.node()?;
        parts.node_of(K::AS_NAME);
        SelectItem::FieldStar(primary(&composite)?)
    } else {
        let shown = value(&mut parts)?;
        let alias = parts.node_of(K::AS_NAME).map(|alias| as_name(&alias)).transpose()?;
        // PostgreSQL expands `t.*` also in parentheses and with an alias (`transformTargetList`).
        match shown {
            Expr::Star(names) if !names.is_empty() => SelectItem::QualifiedStar(object(names)?),
            Expr::Star(_) => return Err(NotUnderstood::Syntax),
            shown => SelectItem::Expr(shown, alias),
        }
    };
    parts.end()?;
    Ok(item)
}

/// The value whose fields `(value).*`, `value[1].*` stand for; `None` for anything but that.
fn star_base(node: &SyntaxNode) -> Read<Option<SyntaxNode>> {
    let mut node = node.clone();
    while node.kind() == K::PAREN_EXPR {
        let mut children = node.children();
        match (children.next(), children.next()) {
            (Some(only), None) => node = only,
            (Some(_), Some(_)) | (None, _) => return Ok(None),
        }
    }
    if node.kind() != K::FIELD_EXPR || node.last_token().is_none_or(|last| last.kind() != K::STAR) {
        return Ok(None);
    }
    let mut parts = Parts::of(&node, "a star of an unusual form");
    let base = parts.node()?;
    parts.expect(K::DOT)?;
    if !parts.eat(K::STAR) {
        return Ok(None);
    }
    parts.end()?;
    let mut root = base.clone();
    while root.kind() == K::FIELD_EXPR {
        root = root.first_child().ok_or(NotUnderstood::Syntax)?;
    }
    Ok(if root.kind() == K::NAME_REF { None } else { Some(base) })
}

/// One element of GROUP BY, flattened into the expressions that it groups by.
fn grouping(node: &SyntaxNode, into: &mut Vec<Expr>) -> Read<()> {
    let what = "an unusual GROUP BY element";
    let mut parts = Parts::of(node, what);
    match node.kind() {
        K::GROUPING_EXPR => {
            grouped_value(&mut parts, into)?;
            return parts.end();
        }
        K::GROUPING_ROLLUP => parts.expect(K::ROLLUP_KW)?,
        K::GROUPING_CUBE => parts.expect(K::CUBE_KW)?,
        K::GROUPING_SETS => parts.expect_all(&[K::GROUPING_KW, K::SETS_KW])?,
        _ => return Err(parts.unexpected()),
    }
    if node.kind() == K::GROUPING_SETS {
        for element in parts.parenthesised_list()? {
            grouping(&element, into)?;
        }
    } else {
        parts.expect(K::L_PAREN)?;
        grouped_values(&mut parts, into)?;
        parts.expect(K::R_PAREN)?;
    }
    parts.end()
}

/// `value , value , ...`
fn grouped_values(parts: &mut Parts, into: &mut Vec<Expr>) -> Read<()> {
    grouped_value(parts, into)?;
    while parts.eat(K::COMMA) {
        grouped_value(parts, into)?;
    }
    Ok(())
}

/// `(a, b)` and `()` are no rows here, but the sets of what they hold (`flatten_grouping_sets`).
fn grouped_value(parts: &mut Parts, into: &mut Vec<Expr>) -> Read<()> {
    let is_list = parts.peek_node().is_some_and(|node| match node.kind() {
        K::PAREN_EXPR => !is_query(node),
        K::TUPLE_EXPR => node.first_token().is_some_and(|first| first.kind() == K::L_PAREN),
        _ => false,
    });
    if !is_list {
        into.push(value(parts)?);
        return Ok(());
    }
    let mut list = Parts::of(&parts.node()?, "an unusual GROUP BY element");
    list.expect(K::L_PAREN)?;
    if list.kind() != Some(K::R_PAREN) {
        grouped_values(&mut list, into)?;
    }
    list.expect(K::R_PAREN)?;
    list.end()
}
