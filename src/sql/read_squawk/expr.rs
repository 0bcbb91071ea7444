//! Scalar expressions other than operators and calls.

use squawk_syntax::{SyntaxKind as K, SyntaxNode, quote};

use super::call::{call, session_function};
use super::climb::{is_continuation, is_operation, operation};
use super::literal::{is_string, literal};
use super::names::name;
use super::parts::{Parts, Read};
use super::query::{is_query, query};
use super::types::{interval_qualifier, literal_type, type_name};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Expr, Operator};

/// Take the expression that is next.
pub(super) fn value(parts: &mut Parts) -> Read<Expr> {
    let mut nodes = vec![parts.node()?];
    while let Some(node) = parts.peek_node()
        && is_continuation(node)
    {
        nodes.push(parts.node()?);
    }
    match nodes.as_slice() {
        [node] if !is_operation(node) => primary(node),
        _ => operation(nodes),
    }
}

/// Take `value , value , ...`: at least one.
pub(super) fn values(parts: &mut Parts) -> Read<Vec<Expr>> {
    let mut values = vec![value(parts)?];
    while parts.eat(K::COMMA) {
        values.push(value(parts)?);
    }
    Ok(values)
}

/// Take `( value , value , ... )`: at least one.
pub(super) fn parenthesised_values(parts: &mut Parts) -> Read<Vec<Expr>> {
    parts.expect(K::L_PAREN)?;
    let values = values(parts)?;
    parts.expect(K::R_PAREN)?;
    Ok(values)
}

/// An expression that is not an operator's.
pub(super) fn primary(node: &SyntaxNode) -> Read<Expr> {
    match node.kind() {
        K::LITERAL => literal(node),
        K::NAME_REF | K::FIELD_EXPR | K::INDEX_EXPR | K::SLICE_EXPR => indirection(node),
        K::PAREN_EXPR | K::PAREN_SELECT if is_query(node) => Ok(Expr::Subquery(Box::new(query(node)?))),
        K::PAREN_EXPR => unwrapped(node),
        K::TUPLE_EXPR => Ok(Expr::Row(tuple(node)?)),
        K::CALL_EXPR => call(node),
        K::CASE_EXPR => case(node),
        K::ARRAY_EXPR => array(node),
        K::CAST_EXPR => cast(node),
        _ => Err(NotUnderstood::Construct("an unusual expression")),
    }
}

/// What stands in parentheses.
fn unwrapped(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "parentheses of an unusual form");
    parts.expect(K::L_PAREN)?;
    let inner = value(&mut parts)?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(inner)
}

/// `ROW(...)`, `(a, b)`.
fn tuple(node: &SyntaxNode) -> Read<Vec<Expr>> {
    let mut parts = Parts::of(node, "a row of an unusual form");
    parts.eat(K::ROW_KW);
    parts.expect(K::L_PAREN)?;
    let values = if parts.kind() == Some(K::R_PAREN) { Vec::new() } else { values(&mut parts)? };
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(values)
}

/// A name, and what follows it: `a.b.c`, `a[1].b`, `(a).b`, `t.*`.
fn indirection(node: &SyntaxNode) -> Read<Expr> {
    let what = "a column reference of an unusual form";
    let mut steps = Vec::new();
    let mut base = node.clone();
    while matches!(base.kind(), K::FIELD_EXPR | K::INDEX_EXPR | K::SLICE_EXPR) {
        let mut parts = Parts::of(&base, what);
        let inner = parts.node()?;
        steps.push(parts);
        base = inner;
    }
    let mut value = match base.kind() {
        K::NAME_REF => column(&base)?,
        K::PAREN_EXPR => primary(&base)?,
        K::LITERAL => match literal(&base)? {
            parameter @ Expr::Parameter(_) => parameter,
            _ => return Err(NotUnderstood::Syntax),
        },
        _ => return Err(NotUnderstood::Construct(what)),
    };
    // Only the parts of a bare name extend it: `(a).b` is a field of `a`.
    let mut bare = base.kind() == K::NAME_REF;
    while let Some(mut step) = steps.pop() {
        if step.eat(K::DOT) {
            value = match value {
                Expr::Column(names) if bare && step.eat(K::STAR) => {
                    bare = false;
                    Expr::Star(names)
                }
                Expr::Column(mut names) if bare => {
                    names.push(name(&step.node()?)?);
                    Expr::Column(names)
                }
                _ if bare => return Err(NotUnderstood::Syntax),
                _ if step.kind() == Some(K::STAR) => {
                    return Err(NotUnderstood::Construct("the fields of a composite value in an expression"));
                }
                value => Expr::Field(Box::new(value), name(&step.node()?)?),
            };
        } else {
            step.expect(K::L_BRACK)?;
            let mut indexes = Vec::new();
            while step.kind() != Some(K::R_BRACK) {
                if !step.eat(K::COLON) {
                    indexes.push(self::value(&mut step)?);
                }
            }
            step.expect(K::R_BRACK)?;
            value = match value {
                Expr::Subscript(base, mut all) if !bare => {
                    all.append(&mut indexes);
                    Expr::Subscript(base, all)
                }
                value => Expr::Subscript(Box::new(value), indexes),
            };
            bare = false;
        }
        step.end()?;
    }
    Ok(value)
}

/// A `NAME_REF`: a column, or one of the functions that are called without parentheses.
fn column(node: &SyntaxNode) -> Read<Expr> {
    let token = node.first_token().ok_or(NotUnderstood::Syntax)?;
    if token.kind() != K::IDENT {
        if let Some(function) = session_function(token.kind())? {
            return Ok(function);
        }
        if quote::is_reserved_word(token.text()) {
            return Err(NotUnderstood::Syntax);
        }
    }
    Ok(Expr::Column(vec![name(node)?]))
}

/// The names of a chain `a.b.c`, as a function's name is written; `None` for anything else.
pub(super) fn chain(node: &SyntaxNode) -> Read<Option<Vec<Name>>> {
    let mut names = Vec::new();
    let mut node = node.clone();
    while node.kind() == K::FIELD_EXPR {
        let mut parts = Parts::of(&node, "a function name of an unusual form");
        let inner = parts.node()?;
        parts.expect(K::DOT)?;
        let Some(field) = parts.node_of(K::NAME_REF) else { return Ok(None) };
        parts.end()?;
        names.push(name(&field)?);
        node = inner;
    }
    if node.kind() != K::NAME_REF {
        return Ok(None);
    }
    names.push(name(&node)?);
    names.reverse();
    Ok(Some(names))
}

fn case(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "a CASE of an unusual form");
    parts.expect(K::CASE_KW)?;
    let operand = if parts.kind() == Some(K::WHEN_CLAUSE_LIST) { None } else { Some(Box::new(value(&mut parts)?)) };
    let list = parts.node_of(K::WHEN_CLAUSE_LIST).ok_or_else(|| parts.unexpected())?;
    let mut branches = Vec::new();
    let mut list = Parts::of(&list, "a CASE of an unusual form");
    while let Some(when) = list.node_of(K::WHEN_CLAUSE) {
        let mut when = Parts::of(&when, "a CASE of an unusual form");
        when.expect(K::WHEN_KW)?;
        let condition = value(&mut when)?;
        when.expect(K::THEN_KW)?;
        branches.push((condition, value(&mut when)?));
        when.end()?;
    }
    list.end()?;
    let otherwise = match parts.node_of(K::ELSE_CLAUSE) {
        Some(clause) => {
            let mut clause = Parts::of(&clause, "a CASE of an unusual form");
            clause.expect(K::ELSE_KW)?;
            let otherwise = value(&mut clause)?;
            clause.end()?;
            Some(Box::new(otherwise))
        }
        None => None,
    };
    parts.expect(K::END_KW)?;
    parts.end()?;
    Ok(Expr::Case(operand, branches, otherwise))
}

/// `ARRAY[...]`, whose inner brackets need no ARRAY, or `ARRAY(query)`.
fn array(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "an array of an unusual form");
    parts.eat(K::ARRAY_KW);
    if parts.eat(K::L_PAREN) {
        let inner = parts.node()?;
        parts.expect(K::R_PAREN)?;
        parts.end()?;
        return Ok(Expr::ArrayQuery(Box::new(query(&inner)?)));
    }
    parts.expect(K::L_BRACK)?;
    let elements = if parts.kind() == Some(K::R_BRACK) { Vec::new() } else { values(&mut parts)? };
    parts.expect(K::R_BRACK)?;
    parts.end()?;
    Ok(Expr::Array(elements))
}

/// `CAST(x AS type)` or `type 'literal'`.
fn cast(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "a cast of an unusual form");
    if parts.kind() == Some(K::TREAT_KW) {
        return Err(NotUnderstood::Construct("TREAT"));
    }
    if parts.eat(K::CAST_KW) {
        parts.expect(K::L_PAREN)?;
        let value = value(&mut parts)?;
        parts.expect(K::AS_KW)?;
        let target = type_name(&parts.node()?)?;
        parts.expect(K::R_PAREN)?;
        parts.end()?;
        return Ok(Expr::Cast(Box::new(value), target));
    }
    let mut target = literal_type(&parts.node()?)?;
    let constant = parts.node_of(K::LITERAL).ok_or_else(|| parts.unexpected())?;
    if !is_string(&constant) {
        return Err(NotUnderstood::Syntax);
    }
    target.modified |= interval_qualifier(&mut parts)?;
    parts.end()?;
    Ok(Expr::Cast(Box::new(literal(&constant)?), target))
}

/// The right side of IN: doubled parentheses around a query are still a query (`select_with_parens` in `gram.y`).
pub(super) fn list_or_query(left: Expr, right: &SyntaxNode) -> Read<Expr> {
    let left = Box::new(left);
    match right.kind() {
        K::PAREN_EXPR | K::PAREN_SELECT if is_query(right) => Ok(Expr::InQuery(left, Box::new(query(right)?))),
        K::PAREN_EXPR => Ok(Expr::InList(left, vec![unwrapped(right)?])),
        K::TUPLE_EXPR if right.first_token().is_some_and(|first| first.kind() == K::L_PAREN) => {
            Ok(Expr::InList(left, tuple(right)?))
        }
        _ => Err(NotUnderstood::Syntax),
    }
}

/// `left op ANY (...)`: the node is an `ANY_FN`, `SOME_FN` or `ALL_FN`.
pub(super) fn quantifier(left: Expr, operator: Operator, node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "a quantifier of an unusual form");
    let _ = parts.eat(K::ANY_KW) || parts.eat(K::SOME_KW) || parts.eat(K::ALL_KW);
    parts.expect(K::L_PAREN)?;
    let left = Box::new(left);
    let quantified = if parts.peek_node().is_some_and(is_query) {
        Expr::QuantifiedQuery(left, operator, Box::new(query(&parts.node()?)?))
    } else {
        Expr::Quantified(left, operator, Box::new(value(&mut parts)?))
    };
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(quantified)
}
