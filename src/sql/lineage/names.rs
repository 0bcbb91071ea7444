//! The names that PostgreSQL gives to result columns without alias (`FigureColname`).

use crate::catalog::Name;
use crate::sql::tree::{Body, Constant, Expr, Query, SelectItem};

/// The name of a result column; `None` where pgveil does not predict it.
pub(super) fn output_name(expr: &Expr) -> Option<Name> {
    match figured(expr) {
        Figured::Strong(name) | Figured::Weak(name) => Some(name),
        Figured::Nothing => Some(Name::exact("?column?")),
        Figured::NotPredicted => None,
    }
}

/// How good a name is: a weak one (of a type) gives way to what is inside or outside of it.
enum Figured {
    Strong(Name),
    Weak(Name),
    Nothing,
    NotPredicted,
}

fn figured(expr: &Expr) -> Figured {
    match expr {
        Expr::Column(parts) => parts.last().cloned().map_or(Figured::Nothing, Figured::Strong),
        Expr::Field(_, name) => Figured::Strong(name.clone()),
        // extract() was date_part() before PostgreSQL 14
        Expr::Call(call) if call.special && call.function.name.as_str() == "extract" => Figured::NotPredicted,
        Expr::Call(call) => Figured::Strong(call.function.name.clone()),
        Expr::Cast(inner, type_name) => match figured(inner) {
            Figured::Nothing | Figured::Weak(_) => Figured::Weak(type_name.name.clone()),
            Figured::Strong(name) => Figured::Strong(name),
            Figured::NotPredicted => Figured::NotPredicted,
        },
        Expr::Collate(inner) | Expr::Subscript(inner, _) => figured(inner),
        Expr::Case(_, _, otherwise) => match otherwise.as_deref().map_or(Figured::Nothing, figured) {
            Figured::Strong(name) => Figured::Strong(name),
            Figured::NotPredicted => Figured::NotPredicted,
            Figured::Weak(_) | Figured::Nothing => Figured::Weak(Name::exact("case")),
        },
        Expr::Array(_) | Expr::ArrayQuery(_) => Figured::Strong(Name::exact("array")),
        Expr::Row(_) => Figured::Strong(Name::exact("row")),
        Expr::Exists(_) => Figured::Strong(Name::exact("exists")),
        Expr::Subquery(query) => first_column(query),
        Expr::AtTimeZone(..) => Figured::Strong(Name::exact("timezone")),
        // IS NORMALIZED is a function call and has its name, the other tests have none
        Expr::Test(_) | Expr::Star(_) => Figured::NotPredicted,
        // TRUE and FALSE were casts of strings, and called `bool`, before PostgreSQL 15
        Expr::Constant(Constant::Bool) => Figured::NotPredicted,
        Expr::Constant(Constant::Null | Constant::Number(_) | Constant::Fraction | Constant::Text(..))
        | Expr::Parameter(_)
        | Expr::Default
        | Expr::Operator(..)
        | Expr::Logic(..)
        | Expr::NullTest(_)
        | Expr::DistinctFrom(..)
        | Expr::Like { .. }
        | Expr::Between(..)
        | Expr::InList(..)
        | Expr::InQuery(..)
        | Expr::Quantified(..)
        | Expr::QuantifiedQuery(..)
        | Expr::CurrentOf(_) => Figured::Nothing,
    }
}

/// A scalar sub-select has the name of its column.
fn first_column(query: &Query) -> Figured {
    let mut body = &query.body;
    loop {
        body = match body {
            Body::Select(select) => {
                return match select.items.first() {
                    Some(SelectItem::Expr(_, Some(alias))) => Figured::Strong(alias.clone()),
                    Some(SelectItem::Expr(expr, None)) => {
                        output_name(expr).map_or(Figured::NotPredicted, Figured::Strong)
                    }
                    // which column comes first is for the scope to say
                    Some(SelectItem::Star | SelectItem::QualifiedStar(_) | SelectItem::FieldStar(_)) | None => {
                        Figured::NotPredicted
                    }
                };
            }
            Body::SetOperation { left, .. } => &left.body,
            Body::Nested(inner) => &inner.body,
            Body::Values(_) => return Figured::Strong(Name::exact("column1")),
            Body::Insert(_) | Body::Update(_) | Body::Delete(_) | Body::Merge(_) => return Figured::NotPredicted,
        };
    }
}
