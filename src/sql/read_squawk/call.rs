//! Function calls and windows.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::construct::construct;
use super::expr::{chain, value, values};
use super::from::relation_path;
use super::literal::literal;
use super::names::{name, object};
use super::parts::{Parts, Read, only_child};
use super::query::order_by;
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Call, Constant, Expr, ObjectName, Window};

const WHAT: &str = "a function call of an unusual form";

/// A call of a built-in construct, under the name that its result column gets.
pub(super) fn special(name: &str, args: Vec<Expr>) -> Expr {
    Expr::call(ObjectName::bare(Name::exact(name)), true, args)
}

/// The functions that are called without parentheses (PostgreSQL manual, section 9.27 and 9.9.5).
pub(super) fn session_function(keyword: K) -> Read<Option<Expr>> {
    let name = match keyword {
        K::CURRENT_DATE_KW => "current_date",
        K::CURRENT_TIME_KW => "current_time",
        K::CURRENT_TIMESTAMP_KW => "current_timestamp",
        K::LOCALTIME_KW => "localtime",
        K::LOCALTIMESTAMP_KW => "localtimestamp",
        K::CURRENT_ROLE_KW => "current_role",
        K::CURRENT_USER_KW => "current_user",
        K::SESSION_USER_KW => "session_user",
        K::USER_KW => "user",
        K::CURRENT_CATALOG_KW => "current_catalog",
        K::CURRENT_SCHEMA_KW => "current_schema",
        // A function since PostgreSQL 16, a column's name before.
        K::SYSTEM_USER_KW => return Err(NotUnderstood::Construct("SYSTEM_USER")),
        _ => return Ok(None),
    };
    Ok(Some(special(name, Vec::new())))
}

/// The function that a `RELATION_NAME_REF` of one bare keyword calls, where it does.
pub(super) fn session_value(node: &SyntaxNode) -> Read<Option<Expr>> {
    match (node.first_token(), relation_path(node)?.len()) {
        (Some(token), 1) => session_function(token.kind()),
        (Some(_) | None, _) => Ok(None),
    }
}

/// A `CALL_EXPR`.
pub(super) fn call(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, WHAT);
    let head = parts.node()?;
    let mut call = match chain(&head)? {
        Some(names) => {
            let list = parts.node_of(K::ARG_LIST).ok_or_else(|| parts.unexpected())?;
            named(&head, names, &list)?
        }
        None => match construct(&head)? {
            Expr::Call(call) => *call,
            value => {
                parts.end()?;
                return Ok(value);
            }
        },
    };
    if let Some(within) = parts.node_of(K::WITHIN_CLAUSE) {
        let mut within = Parts::of(&within, "an unusual WITHIN GROUP clause");
        within.expect_all(&[K::WITHIN_KW, K::GROUP_KW, K::L_PAREN])?;
        call.within_group = order_by(&within.node_of(K::ORDER_BY_CLAUSE).ok_or_else(|| within.unexpected())?)?;
        within.expect(K::R_PAREN)?;
        within.end()?;
    }
    if let Some(filter) = parts.node_of(K::FILTER_CLAUSE) {
        let mut filter = Parts::of(&filter, "an unusual FILTER clause");
        filter.expect_all(&[K::FILTER_KW, K::L_PAREN, K::WHERE_KW])?;
        call.filter = Some(Box::new(value(&mut filter)?));
        filter.expect(K::R_PAREN)?;
        filter.end()?;
    }
    if let Some(over) = parts.node_of(K::OVER_CLAUSE) {
        let mut over = Parts::of(&over, "an unusual OVER clause");
        over.expect(K::OVER_KW)?;
        call.over = Some(over_target(&over.node()?)?);
        over.end()?;
    }
    parts.end()?;
    Ok(Expr::Call(Box::new(call)))
}

/// A call by name. A bare keyword names the built-in construct; in quotes or with a schema it is a function like others.
fn named(head: &SyntaxNode, names: Vec<Name>, list: &SyntaxNode) -> Read<Call> {
    let keyword = if head.kind() == K::NAME_REF { head.first_token().map(|token| token.kind()) } else { None };
    let special = matches!(
        keyword,
        Some(
            K::COALESCE_KW
                | K::GREATEST_KW
                | K::LEAST_KW
                | K::NULLIF_KW
                | K::GROUPING_KW
                | K::NORMALIZE_KW
                | K::MERGE_ACTION_KW
                | K::XMLCONCAT_KW
                | K::CURRENT_TIME_KW
                | K::CURRENT_TIMESTAMP_KW
                | K::LOCALTIME_KW
                | K::LOCALTIMESTAMP_KW
        )
    );
    let mut call = Call {
        function: object(names)?,
        special,
        args: Vec::new(),
        named: Vec::new(),
        distinct: false,
        order_by: Vec::new(),
        within_group: Vec::new(),
        filter: None,
        over: None,
        lenient: false,
    };
    let mut parts = Parts::of(list, WHAT);
    parts.expect(K::L_PAREN)?;
    if parts.eat(K::STAR) {
        call.args.push(Expr::Star(Vec::new()));
    } else if parts.kind() != Some(K::R_PAREN) {
        call.distinct = parts.eat_words(&[K::DISTINCT])?;
        parts.eat_words(&[K::ALL])?;
        for argument in parts.comma_list()? {
            let form = keyword == Some(K::NORMALIZE_KW) && !call.args.is_empty();
            if form {
                call.args.push(normal_form(&argument)?);
                continue;
            }
            let (name, value) = arg(&argument, &mut call.order_by)?;
            call.named.extend(name.map(|name| (call.args.len(), name)));
            call.args.push(value);
        }
    }
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(call)
}

/// `[VARIADIC] value`, `name => value`; ORDER BY stands inside the last one.
fn arg(node: &SyntaxNode, order: &mut Vec<Expr>) -> Read<(Option<Name>, Expr)> {
    let mut parts = Parts::of(node, "a function argument of an unusual form");
    parts.eat(K::VARIADIC_KW);
    let value = argument(&mut parts)?;
    if let Some(clause) = parts.node_of(K::ORDER_BY_CLAUSE) {
        order.append(&mut order_by(&clause)?);
    }
    parts.end()?;
    Ok(value)
}

/// A value or `name => value`.
pub(super) fn argument(parts: &mut Parts) -> Read<(Option<Name>, Expr)> {
    let Some(named) = parts.node_of(K::NAMED_ARG) else { return Ok((None, value(parts)?)) };
    let mut parts = Parts::of(&named, "a function argument of an unusual form");
    let name = name(&parts.node_of(K::PARAM_NAME_REF).ok_or_else(|| parts.unexpected())?)?;
    let _ = parts.eat(K::FAT_ARROW) || parts.eat(K::COLON_EQ);
    let passed = value(&mut parts)?;
    parts.end()?;
    Ok((Some(name), passed))
}

/// `NFC` and the like, which PostgreSQL reads as strings.
fn normal_form(node: &SyntaxNode) -> Read<Expr> {
    let word = only_child(node, WHAT)?;
    match word.first_token().map(|token| token.kind()) {
        Some(K::NFC_KW | K::NFD_KW | K::NFKC_KW | K::NFKD_KW) if word.kind() == K::NAME_REF => {
            Ok(Expr::Constant(Constant::plain_text()))
        }
        Some(_) | None => Err(NotUnderstood::Syntax),
    }
}

/// `name AS (...)` in a WINDOW clause.
pub(super) fn window_definition(node: &SyntaxNode) -> Read<(Name, Window)> {
    let mut parts = Parts::of(node, "an unusual window definition");
    let name = name(&parts.node_of(K::WINDOW).ok_or_else(|| parts.unexpected())?)?;
    parts.expect_all(&[K::AS_KW, K::L_PAREN])?;
    let window = match parts.node_of(K::WINDOW_SPEC) {
        Some(specification) => window(&specification)?,
        None => unwindowed(),
    };
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok((name, window))
}

fn unwindowed() -> Window {
    Window { base: None, partition_by: Vec::new(), order_by: Vec::new(), frame: Vec::new() }
}

fn over_target(node: &SyntaxNode) -> Read<Window> {
    if node.kind() == K::WINDOW_REF {
        return Ok(Window { base: Some(name(node)?), ..unwindowed() });
    }
    if node.kind() != K::OVER_WINDOW_SPEC {
        return Err(NotUnderstood::Construct("an unusual OVER clause"));
    }
    let mut parts = Parts::of(node, "an unusual OVER clause");
    parts.expect(K::L_PAREN)?;
    let window = match parts.node_of(K::WINDOW_SPEC) {
        Some(specification) => window(&specification)?,
        None => unwindowed(),
    };
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(window)
}

fn window(node: &SyntaxNode) -> Read<Window> {
    let what = "an unusual window definition";
    let mut parts = Parts::of(node, what);
    let mut window = unwindowed();
    window.base = parts.node_of(K::WINDOW_REF).map(|base| name(&base)).transpose()?;
    if let Some(partition) = parts.node_of(K::PARTITION_BY_CLAUSE) {
        let mut partition = Parts::of(&partition, what);
        partition.expect_all(&[K::PARTITION_KW, K::BY_KW])?;
        window.partition_by = values(&mut partition)?;
        partition.end()?;
    }
    if let Some(order) = parts.node_of(K::ORDER_BY_CLAUSE) {
        window.order_by = order_by(&order)?;
    }
    if let Some(frame) = parts.node_of(K::FRAME_CLAUSE) {
        let mut frame = Parts::of(&frame, "an unusual window frame");
        frame.eat_words(&[K::FRAME_RANGE, K::FRAME_ROWS, K::FRAME_GROUPS])?;
        match frame.node_of(K::FRAME_BETWEEN) {
            Some(between) => {
                let mut between = Parts::of(&between, "an unusual window frame");
                between.expect(K::BETWEEN_KW)?;
                frame_bound(&mut between, &mut window.frame)?;
                between.expect(K::AND_KW)?;
                frame_bound(&mut between, &mut window.frame)?;
                between.end()?;
            }
            None => frame_bound(&mut frame, &mut window.frame)?,
        }
        if let Some(exclude) = frame.node_of(K::FRAME_EXCLUDE) {
            let mut exclude = Parts::of(&exclude, "an unusual window frame");
            exclude.expect(K::EXCLUDE_KW)?;
            exclude.eat_words(&[K::CURRENT_ROW, K::GROUP, K::TIES, K::NO_OTHERS])?;
            exclude.end()?;
        }
        frame.end()?;
    }
    parts.end()?;
    Ok(window)
}

fn frame_bound(parts: &mut Parts, offsets: &mut Vec<Expr>) -> Read<()> {
    if parts.eat_words(&[K::CURRENT_ROW, K::UNBOUNDED_PRECEDING, K::UNBOUNDED_FOLLOWING])? {
        return Ok(());
    }
    let bound = parts.node()?;
    let (K::EXPR_PRECEDING | K::EXPR_FOLLOWING) = bound.kind() else { return Err(parts.unexpected()) };
    let mut bound = Parts::of(&bound, "an unusual window frame");
    offsets.push(value(&mut bound)?);
    let _ = bound.eat(K::PRECEDING_KW) || bound.eat(K::FOLLOWING_KW);
    bound.end()
}

/// The literal that names a field of `EXTRACT`.
pub(super) fn text_literal(node: &SyntaxNode) -> Read<Expr> {
    match literal(node)? {
        text @ Expr::Constant(Constant::Text(..)) => Ok(text),
        _ => Err(NotUnderstood::Syntax),
    }
}
