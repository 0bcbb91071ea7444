//! Queries: WITH, set operations, parentheses, VALUES, TABLE, and the clauses after them.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::expr::{parenthesised_values, primary, value};
use super::names::{column_list, name, relation_only};
use super::parts::{Parts, Read};
use super::{dml, select};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Cte, Expr, FromItem, Query, Select, SelectItem};

/// Whether a node is a query, perhaps in parentheses (`PAREN_EXPR` may also hold a value or a join).
pub(super) fn is_query(node: &SyntaxNode) -> bool {
    let mut node = node.clone();
    while node.kind() == K::PAREN_EXPR {
        match node.first_child() {
            Some(child) => node = child,
            None => return false,
        }
    }
    matches!(node.kind(), K::SELECT | K::SELECT_INTO | K::VALUES | K::TABLE | K::COMPOUND_SELECT | K::PAREN_SELECT)
}

/// Any statement that the tree has a place for.
pub(super) fn query(node: &SyntaxNode) -> Read<Query> {
    match node.kind() {
        K::SELECT | K::SELECT_INTO => select::select(node),
        K::VALUES => {
            let mut parts = Parts::of(node, "an unusual part of VALUES");
            let mut query = start(&mut parts)?;
            parts.expect(K::VALUES_KW)?;
            query.body = Body::Values(rows(&parts.node_of(K::ROW_LIST).ok_or_else(|| parts.unexpected())?)?);
            tail(&mut parts, &mut query)?;
            parts.end()?;
            Ok(query)
        }
        K::TABLE => {
            let mut parts = Parts::of(node, "an unusual part of TABLE");
            let mut query = start(&mut parts)?;
            parts.expect(K::TABLE_KW)?;
            let (name, only) = relation_only(&parts.node_of(K::RELATION_NAME).ok_or_else(|| parts.unexpected())?)?;
            query.body = Body::Select(Box::new(Select {
                items: vec![SelectItem::Star],
                from: vec![FromItem::Relation { name, only, alias: None, sample: Vec::new() }],
                ..select::empty()
            }));
            tail(&mut parts, &mut query)?;
            parts.end()?;
            Ok(query)
        }
        K::COMPOUND_SELECT => set_operations(node),
        K::PAREN_SELECT | K::PAREN_EXPR => parenthesised(node),
        K::INSERT => dml::insert(node),
        K::UPDATE => dml::update(node),
        K::DELETE => dml::delete(node),
        K::MERGE => dml::merge(node),
        _ => Err(NotUnderstood::Construct("a statement that yields no rows")),
    }
}

/// A query with nothing in it but its WITH clause, where there is one.
pub(super) fn start(parts: &mut Parts) -> Read<Query> {
    let mut query = Query {
        recursive: false,
        with: Vec::new(),
        body: Body::Select(Box::new(select::empty())),
        order_by: Vec::new(),
        limits: Vec::new(),
    };
    let Some(with) = parts.node_of(K::WITH_CLAUSE) else { return Ok(query) };
    let mut with = Parts::of(&with, "an unusual WITH clause");
    with.expect(K::WITH_KW)?;
    query.recursive = with.eat(K::RECURSIVE_KW);
    query.with = with.comma_list()?.iter().map(cte).collect::<Read<_>>()?;
    with.end()?;
    Ok(query)
}

fn cte(node: &SyntaxNode) -> Read<Cte> {
    let mut parts = Parts::of(node, "an unusual common table expression");
    let name = name(&parts.node_of(K::CTE_NAME).ok_or_else(|| parts.unexpected())?)?;
    let columns = match parts.node_of(K::COLUMN_LIST) {
        Some(list) => column_list(&list)?,
        None => Vec::new(),
    };
    parts.expect(K::AS_KW)?;
    parts.eat_words(&[K::MATERIALIZED, K::NOT_MATERIALIZED])?;
    parts.expect(K::L_PAREN)?;
    let statement = parts.node()?;
    parts.expect(K::R_PAREN)?;
    match parts.kind() {
        Some(K::SEARCH_CLAUSE) => return Err(NotUnderstood::Construct("SEARCH in a common table expression")),
        Some(K::CYCLE_CLAUSE) => return Err(NotUnderstood::Construct("CYCLE in a common table expression")),
        Some(_) | None => parts.end()?,
    }
    Ok(Cte { name, columns, query: query(&statement)? })
}

/// The rows of VALUES.
pub(super) fn rows(list: &SyntaxNode) -> Read<Vec<Vec<Expr>>> {
    let mut parts = Parts::of(list, "an unusual row of VALUES");
    let rows = parts.comma_list()?;
    parts.end()?;
    rows.iter()
        .map(|row| {
            let mut parts = Parts::of(row, "an unusual row of VALUES");
            let values = parenthesised_values(&mut parts)?;
            parts.end()?;
            Ok(values)
        })
        .collect()
}

/// ORDER BY, LIMIT, OFFSET, FETCH, FOR UPDATE after a query.
pub(super) fn tail(parts: &mut Parts, query: &mut Query) -> Read<()> {
    loop {
        if let Some(clause) = parts.node_of(K::ORDER_BY_CLAUSE) {
            query.order_by.append(&mut order_by(&clause)?);
        } else if let Some(clause) = parts.node_of(K::LIMIT_CLAUSE) {
            let mut limit = Parts::of(&clause, "an unusual LIMIT clause");
            limit.expect(K::LIMIT_KW)?;
            if !limit.eat_words(&[K::ALL])? {
                query.limits.push(value(&mut limit)?);
            }
            limit.end()?;
        } else if let Some(clause) = parts.node_of(K::OFFSET_CLAUSE) {
            let mut offset = Parts::of(&clause, "an unusual OFFSET clause");
            offset.expect(K::OFFSET_KW)?;
            query.limits.push(value(&mut offset)?);
            let _ = offset.eat(K::ROW_KW) || offset.eat(K::ROWS_KW);
            offset.end()?;
        } else if let Some(clause) = parts.node_of(K::FETCH_CLAUSE) {
            let mut fetch = Parts::of(&clause, "an unusual FETCH clause");
            fetch.expect(K::FETCH_KW)?;
            let _ = fetch.eat(K::FIRST_KW) || fetch.eat(K::NEXT_KW);
            if !matches!(fetch.kind(), Some(K::ROW_KW | K::ROWS_KW)) {
                query.limits.push(value(&mut fetch)?);
            }
            let _ = fetch.eat(K::ROW_KW) || fetch.eat(K::ROWS_KW);
            fetch.eat_words(&[K::FETCH_ONLY, K::WITH_TIES])?;
            fetch.end()?;
        } else if let Some(clause) = parts.node_of(K::LOCKING_CLAUSE) {
            locking(&clause)?;
        } else {
            return Ok(());
        }
    }
}

/// FOR UPDATE and the like: which rows are locked changes nothing about what is shown.
fn locking(clause: &SyntaxNode) -> Read<()> {
    let mut parts = Parts::of(clause, "an unusual locking clause");
    parts.expect(K::FOR_KW)?;
    parts.eat_words(&[K::FOR_UPDATE, K::FOR_NO_KEY_UPDATE, K::FOR_SHARE, K::FOR_KEY_SHARE])?;
    if let Some(of) = parts.node_of(K::LOCKING_OF) {
        let mut of = Parts::of(&of, "an unusual locking clause");
        of.expect(K::OF_KW)?;
        for relation in of.comma_list()? {
            if !matches!(primary(&relation)?, Expr::Column(_)) {
                return Err(of.unexpected());
            }
        }
        of.end()?;
    }
    parts.eat_words(&[K::SKIP_LOCKED, K::NOWAIT])?;
    parts.end()
}

/// An `ORDER_BY_CLAUSE`, wherever it stands.
pub(super) fn order_by(clause: &SyntaxNode) -> Read<Vec<Expr>> {
    let mut parts = Parts::of(clause, "an unusual ORDER BY clause");
    parts.expect_all(&[K::ORDER_KW, K::BY_KW])?;
    let list = parts.node_of(K::SORT_BY_LIST).ok_or_else(|| parts.unexpected())?;
    parts.end()?;
    let mut list = Parts::of(&list, "an unusual ORDER BY clause");
    let keys = list.comma_list()?;
    list.end()?;
    keys.iter()
        .map(|key| {
            let mut key = Parts::of(key, "ORDER BY ... USING");
            let sorted = value(&mut key)?;
            match key.node_of(K::SORT_USING) {
                Some(using) => sorts(&using)?,
                None => drop(key.eat_words(&[K::SORT_ASC, K::SORT_DESC])?),
            }
            key.eat_words(&[K::NULLS_FIRST, K::NULLS_LAST])?;
            key.end()?;
            Ok(sorted)
        })
        .collect()
}

/// `USING <` and `USING >`. Another operator may be a call of anything.
fn sorts(using: &SyntaxNode) -> Read<()> {
    let mut parts = Parts::of(using, "ORDER BY ... USING");
    parts.expect(K::USING_KW)?;
    let operator = parts.next().map(|operator| operator.to_string());
    if !matches!(operator.as_deref(), Some("<" | ">")) {
        return Err(parts.unexpected());
    }
    parts.end()
}

/// A query in parentheses: the clauses outside are its own, as `insertSelectOptions` in `gram.y` has it, and none may
/// be there twice.
fn parenthesised(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "a query in parentheses of an unusual form");
    let mut outer = start(&mut parts)?;
    parts.expect(K::L_PAREN)?;
    let mut inner = query(&parts.node()?)?;
    parts.expect(K::R_PAREN)?;
    tail(&mut parts, &mut outer)?;
    parts.end()?;
    let twice = |outer: bool, inner: bool| if outer && inner { Err(NotUnderstood::Syntax) } else { Ok(outer) };
    if twice(!outer.with.is_empty(), !inner.with.is_empty())? {
        (inner.recursive, inner.with) = (outer.recursive, outer.with);
    }
    if twice(!outer.order_by.is_empty(), !inner.order_by.is_empty())? {
        inner.order_by = outer.order_by;
    }
    inner.limits.append(&mut outer.limits);
    Ok(inner)
}

enum Link {
    Arm(SyntaxNode),
    Operation { all: bool, intersect: bool },
}

/// UNION, INTERSECT, EXCEPT: the leaves in order, grouped again as `%left UNION EXCEPT`, `%left INTERSECT` say.
fn set_operations(node: &SyntaxNode) -> Read<Query> {
    let what = "a set operation of an unusual form";
    let (mut links, mut tails) = (Vec::new(), Vec::new());
    let mut open = vec![Parts::of(node, what)];
    while let Some(mut parts) = open.pop() {
        let Some(kind) = parts.kind() else { continue };
        let child = parts.node()?;
        open.push(parts);
        match kind {
            K::COMPOUND_SELECT => open.push(Parts::of(&child, what)),
            K::UNION | K::INTERSECT | K::EXCEPT => {
                let mut operation = Parts::of(&child, what);
                operation.token()?;
                let all = operation.eat_words(&[K::ALL])?;
                operation.eat_words(&[K::DISTINCT])?;
                operation.end()?;
                links.push(Link::Operation { all: all && kind == K::UNION, intersect: kind == K::INTERSECT });
            }
            _ if is_query(&child) => links.push(Link::Arm(child)),
            K::ORDER_BY_CLAUSE | K::LIMIT_CLAUSE | K::OFFSET_CLAUSE | K::FETCH_CLAUSE | K::LOCKING_CLAUSE => {
                tails.push((links.len(), child));
            }
            _ => return Err(NotUnderstood::Construct(what)),
        }
    }
    // The clauses after the last arm are those of the whole; none may stand between the arms.
    if tails.iter().any(|(after, _)| *after != links.len()) {
        return Err(NotUnderstood::Syntax);
    }
    let mut whole = grouped(links)?;
    for (_, clause) in tails {
        tail(&mut Parts::these(vec![clause], what), &mut whole)?;
    }
    Ok(whole)
}

fn grouped(links: Vec<Link>) -> Read<Query> {
    let mut links = links.into_iter();
    let (mut recursive, mut with) = (false, Vec::new());
    let (mut first, hands_up) = arm(links.next(), true)?;
    if hands_up {
        (recursive, with) = (first.recursive, std::mem::take(&mut first.with));
        first.recursive = false;
    }
    // The arms of a run of INTERSECT are joined as they come; UNION and EXCEPT wait for the end of the run.
    let mut waiting: Option<(Query, bool)> = None;
    let mut run = first;
    while let Some(link) = links.next() {
        let Link::Operation { all, intersect } = link else { return Err(NotUnderstood::Syntax) };
        let (right, _) = arm(links.next(), false)?;
        if intersect {
            run = set_operation(all, run, right);
        } else {
            let left = match waiting.take() {
                Some((left, left_all)) => set_operation(left_all, left, run),
                None => run,
            };
            waiting = Some((left, all));
            run = right;
        }
    }
    if let Some((left, all)) = waiting {
        run = set_operation(all, left, run);
    }
    Ok(Query { recursive, with, ..run })
}

/// One arm, and whether its WITH belongs to the whole: it does before the first arm, but within parentheses it does not.
/// Other clauses have no place between the arms.
fn arm(link: Option<Link>, first: bool) -> Read<(Query, bool)> {
    let Some(Link::Arm(node)) = link else { return Err(NotUnderstood::Syntax) };
    let query = query(&node)?;
    let parenthesised = matches!(node.kind(), K::PAREN_EXPR | K::PAREN_SELECT);
    if parenthesised && !has_outer_clauses(&node) {
        return Ok((query, false));
    }
    let placed = if parenthesised {
        // `WITH x AS (...) (SELECT ... LIMIT 1) UNION ...`: the LIMIT is inside.
        node.children().all(|child| child.kind() == K::WITH_CLAUSE || !is_outer_clause(child.kind()))
    } else {
        query.order_by.is_empty() && query.limits.is_empty()
    };
    if placed && (first || query.with.is_empty()) { Ok((query, true)) } else { Err(NotUnderstood::Syntax) }
}

/// Whether a query in parentheses has clauses before or after them.
pub(super) fn has_outer_clauses(node: &SyntaxNode) -> bool {
    node.children().any(|child| is_outer_clause(child.kind()))
}

fn is_outer_clause(kind: K) -> bool {
    matches!(
        kind,
        K::WITH_CLAUSE | K::ORDER_BY_CLAUSE | K::LIMIT_CLAUSE | K::OFFSET_CLAUSE | K::FETCH_CLAUSE | K::LOCKING_CLAUSE
    )
}

fn set_operation(all: bool, left: Query, right: Query) -> Query {
    Query {
        recursive: false,
        with: Vec::new(),
        body: Body::SetOperation { all, left: Box::new(left), right: Box::new(right) },
        order_by: Vec::new(),
        limits: Vec::new(),
    }
}
