//! What can fail while it is computed: an error that comes for some values and not for others tells about them, however
//! well its text is scrubbed.

use crate::sql::tree::{Body, Distinct, Expr, FromItem, JoinCondition, Query, SelectItem, TypeName};

/// PostgreSQL's own functions that ordinary arguments never make fail.
const TOTAL: &[&str] = &[
    "abs",
    "any_value",
    "array_agg",
    "array_length",
    "avg",
    "bit_length",
    "bool_and",
    "bool_or",
    "btrim",
    "cardinality",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "current_date",
    "current_timestamp",
    "date_part",
    "date_trunc",
    "every",
    "extract",
    "first_value",
    "floor",
    "greatest",
    "grouping",
    "initcap",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "md5",
    "min",
    "mode",
    "now",
    "nullif",
    "num_nonnulls",
    "num_nulls",
    "octet_length",
    "percentile_cont",
    "percentile_disc",
    "pg_typeof",
    "position",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "rank",
    "dense_rank",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "row_to_json",
    "rtrim",
    "split_part",
    "starts_with",
    "string_agg",
    "strpos",
    "substr",
    "substring",
    "sum",
    "to_char",
    "to_json",
    "to_jsonb",
    "translate",
    "trim",
    "trunc",
    "upper",
];

/// Whether a function is one that ordinary arguments never make fail.
pub(super) fn is_total_function(name: &str) -> bool {
    TOTAL.contains(&name)
}

/// Whether a cast to that type never fails: to text, whatever the value is.
pub(super) fn is_total_cast(to: &TypeName) -> bool {
    matches!(to.name.as_str(), "text" | "varchar" | "bpchar" | "name" | "unknown") && !to.array
}

/// Whether computing an expression can fail for some values of the columns in it. Constants fail for all rows or none.
pub(super) fn may_fail(expr: &Expr) -> bool {
    let mut waiting = vec![expr];
    while let Some(expr) = waiting.pop() {
        match expr {
            Expr::Column(_)
            | Expr::Star(_)
            | Expr::Constant(_)
            | Expr::Parameter(_)
            | Expr::Default
            | Expr::CurrentOf(_) => {}
            Expr::Operator(operator, operands) => {
                if let ("/" | "%", [_, divisor]) = (operator.symbol.as_ref(), operands.as_slice())
                    && !matches!(divisor, Expr::Constant(_) | Expr::Parameter(_))
                {
                    return true;
                }
                waiting.extend(operands);
            }
            Expr::Cast(inner, to) => {
                if !is_total_cast(to) && !matches!(inner.as_ref(), Expr::Constant(_) | Expr::Parameter(_)) {
                    return true;
                }
                waiting.push(inner);
            }
            Expr::Call(call) => {
                if !is_total_function(call.function.name.as_str()) {
                    return true;
                }
                waiting.extend(call.args.iter().chain(&call.order_by).chain(&call.within_group));
                waiting.extend(call.filter.as_deref());
            }
            Expr::Logic(parts) | Expr::Array(parts) | Expr::Row(parts) => waiting.extend(parts),
            Expr::NullTest(inner) | Expr::Test(inner) | Expr::Collate(inner) | Expr::Field(inner, _) => {
                waiting.push(inner);
            }
            Expr::DistinctFrom(one, two) | Expr::Quantified(one, _, two) => {
                waiting.extend([one.as_ref(), two.as_ref()]);
            }
            Expr::Like { kind: _, subject, pattern, escape } => {
                waiting.extend([subject.as_ref(), pattern.as_ref()]);
                waiting.extend(escape.as_deref());
            }
            Expr::Between(one, two, three) => waiting.extend([one.as_ref(), two.as_ref(), three.as_ref()]),
            Expr::InList(subject, list) => {
                waiting.push(subject);
                waiting.extend(list);
            }
            Expr::Case(operand, branches, otherwise) => {
                waiting.extend(operand.as_deref());
                waiting.extend(branches.iter().flat_map(|(condition, value)| [condition, value]));
                waiting.extend(otherwise.as_deref());
            }
            Expr::Subscript(base, indexes) => {
                waiting.push(base);
                waiting.extend(indexes);
            }
            // an unknown time zone; more than one row
            Expr::AtTimeZone(..)
            | Expr::InQuery(..)
            | Expr::QuantifiedQuery(..)
            | Expr::Exists(_)
            | Expr::Subquery(_)
            | Expr::ArrayQuery(_) => return true,
        }
    }
    false
}

/// Whether nothing comes out of a query but whether it has rows: no part of it can fail, write, or count out rows.
pub(super) fn is_plain_query(query: &Query) -> bool {
    let Body::Select(select) = &query.body else { return false };
    query.with.is_empty()
        && query.order_by.is_empty()
        && query.limits.is_empty()
        && matches!(select.distinct, Distinct::No)
        && select.into.is_none()
        && select.group_by.is_empty()
        && select.having.is_none()
        && select.windows.is_empty()
        && select.from.iter().all(is_plain_from)
        && !select.filter.as_ref().is_some_and(may_fail)
        && select.items.iter().all(|item| match item {
            SelectItem::Expr(expr, _) => matches!(expr, Expr::Constant(_) | Expr::Column(_)),
            SelectItem::Star | SelectItem::QualifiedStar(_) => true,
            SelectItem::FieldStar(_) => false,
        })
}

fn is_plain_from(item: &FromItem) -> bool {
    match item {
        FromItem::Relation { sample, .. } => sample.is_empty(),
        FromItem::Join { left, right, condition, .. } => {
            let total = match condition {
                JoinCondition::None | JoinCondition::Using(..) | JoinCondition::Natural => true,
                JoinCondition::On(expr) => !may_fail(expr),
            };
            total && is_plain_from(left) && is_plain_from(right)
        }
        FromItem::Subquery { .. } | FromItem::Functions { .. } | FromItem::TableExpr { .. } => false,
    }
}
