//! What a caller knows before the statement runs: constants, parameters, and what is made of them.

use super::functions::folds_constants;
use super::walk::Walk;
use crate::sql::tree::{Body, Call, Constant, Distinct, Expr, Query, SelectItem, TypeName, Wildcards};

impl<'q> Walk<'q> {
    /// What is within `lower`, `upper` and functions that trim blanks (`lower(trim(c))`), where those can only be
    /// PostgreSQL's own.
    pub(super) fn folded(&self, call: &'q Call) -> Option<&'q Expr> {
        let mut call = call;
        loop {
            let name = call.function.name.as_str();
            let [inner] = call.args.as_slice() else { return None };
            let folds = matches!(name, "lower" | "upper" | "btrim" | "ltrim" | "rtrim");
            if !(folds && self.is_built_in_only(&call.function) && is_plain(call)) {
                return None;
            }
            let mut within = inner;
            let mut kept = true;
            while let Expr::Cast(cast, _) | Expr::Collate(cast) = within {
                kept &= !matches!(within, Expr::Cast(_, to) if !is_text(to));
                within = cast;
            }
            match within {
                Expr::Column(_) | Expr::Field(..) => return Some(inner),
                Expr::Call(next) if kept => call = next,
                _ => return None,
            }
        }
    }

    /// The parameter that is the pattern of a LIKE, as it is or with its letters folded.
    pub(super) fn pattern_parameter(&self, pattern: &Expr) -> Option<u32> {
        let mut at = pattern;
        loop {
            at = match at {
                Expr::Parameter(number) => return Some(*number),
                Expr::Cast(inner, to) if is_text(to) => inner,
                Expr::Call(call) if is_plain(call) && self.is_built_in_only(&call.function) => {
                    match (call.function.name.as_str(), call.args.as_slice()) {
                        ("lower" | "upper", [inner]) => inner,
                        _ => return None,
                    }
                }
                _ => return None,
            };
        }
    }

    /// Whether an expression is the same for all rows and the caller knows what: constants, parameters, and immutable
    /// or per-statement functions of them. What may differ from row to row (`random()`, `nextval()`, settings) does not
    /// count, for it would be a dictionary.
    pub(super) fn is_constant(&self, expr: &Expr) -> bool {
        let mut waiting = vec![expr];
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::Constant(_) | Expr::Parameter(_) | Expr::Default | Expr::CurrentOf(_) => {}
                Expr::Cast(inner, _) | Expr::Collate(inner) => waiting.push(inner),
                Expr::Row(parts) | Expr::Array(parts) => waiting.extend(parts),
                Expr::AtTimeZone(one, two) => waiting.extend([one.as_ref(), two.as_ref()]),
                Expr::Operator(operator, operands)
                    if operator.schema.is_none()
                        && matches!(operator.symbol.as_ref(), "+" | "-" | "*" | "/" | "||") =>
                {
                    waiting.extend(operands);
                }
                Expr::Call(call)
                    if folds_constants(call.function.name.as_str())
                        && (call.special || self.is_built_in_only(&call.function))
                        && is_plain(call) =>
                {
                    waiting.extend(&call.args);
                }
                Expr::Subquery(query) if is_constant_query(query) => {}
                // in the body of a function; that no column goes by the name, its value shows
                Expr::Column(parts) if self.argument(parts).is_some() => {}
                Expr::Column(_)
                | Expr::Star(_)
                | Expr::Call(_)
                | Expr::Operator(..)
                | Expr::Logic(..)
                | Expr::NullTest(_)
                | Expr::Test(_)
                | Expr::DistinctFrom(..)
                | Expr::Like { .. }
                | Expr::Between(..)
                | Expr::InList(..)
                | Expr::InQuery(..)
                | Expr::Quantified(..)
                | Expr::QuantifiedQuery(..)
                | Expr::Exists(_)
                | Expr::Subquery(_)
                | Expr::ArrayQuery(_)
                | Expr::Case(..)
                | Expr::Subscript(..)
                | Expr::Field(..) => return false,
            }
        }
        true
    }
}

/// Whether a call has none of the clauses after its arguments.
fn is_plain(call: &Call) -> bool {
    !call.distinct
        && call.order_by.is_empty()
        && call.within_group.is_empty()
        && call.filter.is_none()
        && call.over.is_none()
}

/// `(SELECT 'x')`: one row of constants.
pub(super) fn is_constant_query(query: &Query) -> bool {
    let Body::Select(select) = &query.body else { return false };
    query.with.is_empty()
        && select.from.is_empty()
        && select.group_by.is_empty()
        && matches!(select.distinct, Distinct::No)
        && select.items.iter().all(|item| match item {
            SelectItem::Expr(expr, _) => is_literal(expr),
            SelectItem::Star | SelectItem::QualifiedStar(_) | SelectItem::FieldStar(_) => false,
        })
}

fn is_literal(expr: &Expr) -> bool {
    let mut at = expr;
    while let Expr::Cast(inner, _) | Expr::Collate(inner) = at {
        at = inner;
    }
    matches!(at, Expr::Constant(_) | Expr::Parameter(_))
}

/// Whether a cast to that type leaves a pattern as it is: other types could read it otherwise.
fn is_text(to: &TypeName) -> bool {
    matches!(to.name.as_str(), "text" | "varchar") && !to.modified && !to.array
}

/// What `LIKE` would make of a pattern that is a string constant.
pub(super) fn text_constant(pattern: &Expr) -> Option<Wildcards> {
    let mut at = pattern;
    while let Expr::Cast(inner, type_name) = at {
        if !is_text(type_name) {
            return None;
        }
        at = inner;
    }
    if let Expr::Constant(Constant::Text(wildcards, _)) = at { Some(*wildcards) } else { None }
}
