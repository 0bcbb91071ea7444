//! Scalar expressions.

use sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::{Reader, Result, class, construct, require};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::lexer::{KeywordClass, keyword_class};
use crate::sql::tree::{Constant, Expr, Junction, LikeKind, ObjectName, Operator, TypeName};

/// Functions that are called without parentheses.
const VALUE_FUNCTIONS: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "system_user",
    "user",
];

/// A call of a built-in construct.
pub(super) fn special(name: &str, args: Vec<Expr>) -> Expr {
    Expr::call(ObjectName::bare(Name::exact(name)), true, args)
}

impl Reader {
    pub(super) fn exprs(&mut self, exprs: &[ast::Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>> {
        self.expr(expr).map(Box::new)
    }

    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Result<Expr> {
        // small arms and one function for each larger one: this recurses, and its frame counts
        match expr {
            ast::Expr::Identifier(name) => self.identifier(name),
            ast::Expr::CompoundIdentifier(names) => Ok(Expr::Column(self.parts(names)?)),
            ast::Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            ast::Expr::Nested(inside) => self.expr(inside),
            ast::Expr::Value(value) => constant(&value.value),
            ast::Expr::BinaryOp { .. } => self.binary(expr),
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            ast::Expr::Function(function) => self.call(function),
            ast::Expr::Cast { kind, expr, data_type, format } => {
                require(matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon) && format.is_none())?;
                let value = self.boxed(expr)?;
                Ok(Expr::Cast(value, self.type_name(data_type)?))
            }
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            ast::Expr::Subquery(query) => Ok(Expr::Subquery(Box::new(self.query(query)?))),
            ast::Expr::Exists { subquery, negated } => {
                Ok(negate(*negated, Expr::Exists(Box::new(self.query(subquery)?))))
            }
            ast::Expr::Tuple(members) => Ok(Expr::Row(self.row(members)?)),
            ast::Expr::Array(array) => Ok(Expr::Array(self.exprs(&array.elem)?)),
            ast::Expr::QualifiedWildcard(name, _) => Ok(Expr::Star(self.object_parts(name)?)),
            _ => self.predicate(expr),
        }
    }

    fn predicate(&mut self, expr: &ast::Expr) -> Result<Expr> {
        match expr {
            ast::Expr::IsNull(inside) | ast::Expr::IsNotNull(inside) => Ok(Expr::NullTest(self.boxed(inside)?)),
            ast::Expr::IsFalse(inside)
            | ast::Expr::IsNotFalse(inside)
            | ast::Expr::IsTrue(inside)
            | ast::Expr::IsNotTrue(inside)
            | ast::Expr::IsUnknown(inside)
            | ast::Expr::IsNotUnknown(inside)
            | ast::Expr::IsJson { expr: inside, .. }
            | ast::Expr::IsNormalized { expr: inside, .. } => Ok(Expr::Test(self.boxed(inside)?)),
            ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) => {
                Ok(Expr::DistinctFrom(self.boxed(left)?, self.boxed(right)?))
            }
            ast::Expr::InList { expr, list, .. } => Ok(Expr::InList(self.boxed(expr)?, self.exprs(list)?)),
            ast::Expr::InSubquery { expr, subquery, .. } => {
                Ok(Expr::InQuery(self.boxed(expr)?, Box::new(self.query(subquery)?)))
            }
            ast::Expr::Between { expr, low, high, .. } => {
                Ok(Expr::Between(self.boxed(expr)?, self.boxed(low)?, self.boxed(high)?))
            }
            ast::Expr::Like { any, expr, pattern, escape_char, .. } => {
                self.like(LikeKind::Like, *any, expr, pattern, escape_char.as_deref())
            }
            ast::Expr::ILike { any, expr, pattern, escape_char, .. } => {
                self.like(LikeKind::Ilike, *any, expr, pattern, escape_char.as_deref())
            }
            ast::Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.like(LikeKind::SimilarTo, false, expr, pattern, escape_char.as_deref())
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } | ast::Expr::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right)
            }
            _ => self.construct(expr),
        }
    }

    fn construct(&mut self, expr: &ast::Expr) -> Result<Expr> {
        match expr {
            ast::Expr::TypedString(typed) => {
                require(!typed.uses_odbc_syntax)?;
                let type_name = self.type_name(&typed.data_type)?;
                Ok(Expr::Cast(Box::new(constant(&typed.value.value)?), type_name))
            }
            ast::Expr::Interval(interval) => self.interval(interval),
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                Ok(Expr::AtTimeZone(self.boxed(timestamp)?, self.boxed(time_zone)?))
            }
            ast::Expr::Collate { expr, collation } => {
                self.passed_over(collation)?;
                Ok(Expr::Collate(self.boxed(expr)?))
            }
            ast::Expr::Extract { field, expr, .. } => {
                if let ast::DateTimeField::Custom(name) | ast::DateTimeField::Week(Some(name)) = field
                    && name.quote_style != Some('\'')
                {
                    self.name(name)?;
                }
                let args = vec![Expr::Constant(Constant::plain_text()), self.expr(expr)?];
                Ok(special("extract", args))
            }
            ast::Expr::Position { expr, r#in } => {
                let args = vec![self.expr(expr)?, self.expr(r#in)?];
                Ok(special("position", args))
            }
            ast::Expr::Substring { expr, substring_from, substring_for, special: comma, shorthand } => {
                require(!shorthand)?;
                let parts = [Some(expr.as_ref()), substring_from.as_deref(), substring_for.as_deref()];
                self.syntax_call("substring", !comma, &parts)
            }
            ast::Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let parts = [
                    Some(expr.as_ref()),
                    Some(overlay_what.as_ref()),
                    Some(overlay_from.as_ref()),
                    overlay_for.as_deref(),
                ];
                self.syntax_call("overlay", true, &parts)
            }
            ast::Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "btrim",
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                };
                let mut args = vec![self.expr(expr)?];
                for more in trim_what.iter().map(Box::as_ref).chain(trim_characters.iter().flatten()) {
                    args.push(self.expr(more)?);
                }
                Ok(special(name, args))
            }
            _ => construct("an expression of another dialect"),
        }
    }

    fn identifier(&mut self, name: &ast::Ident) -> Result<Expr> {
        if class(name).is_some_and(|class| class != KeywordClass::Unreserved) {
            if name.value == "default" {
                return Ok(Expr::Default);
            }
            if VALUE_FUNCTIONS.contains(&name.value.as_str()) {
                return Ok(special(&name.value, Vec::new()));
            }
        }
        Ok(Expr::Column(vec![self.column_or_table(name)?]))
    }

    /// `base[i]`, `base[i:j]`, `(base).field`.
    fn access(&mut self, root: &ast::Expr, chain: &[ast::AccessExpr]) -> Result<Expr> {
        let mut base = self.expr(root)?;
        // without parentheses, dots directly behind a column's name belong to it
        let mut plain = matches!(root, ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_));
        let mut subscripted = false;
        for access in chain {
            match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(field)) => {
                    let field = self.name(field)?;
                    match (&mut base, plain) {
                        (Expr::Column(parts), true) => parts.push(field),
                        _ => base = Expr::Field(Box::new(base), field),
                    }
                }
                ast::AccessExpr::Dot(_) => return construct("a selection from a value"),
                ast::AccessExpr::Subscript(subscript) => {
                    plain = false;
                    let indexes = match subscript {
                        ast::Subscript::Index { index } => vec![self.expr(index)?],
                        ast::Subscript::Slice { lower_bound, upper_bound, stride } => {
                            require(stride.is_none())?;
                            let bounds = lower_bound.iter().chain(upper_bound);
                            bounds.map(|bound| self.expr(bound)).collect::<Result<_>>()?
                        }
                    };
                    // `a[1][2]` is one element of an array of two dimensions, not an element of an element
                    base = match base {
                        Expr::Subscript(array, mut all) if subscripted => {
                            all.extend(indexes);
                            Expr::Subscript(array, all)
                        }
                        base => Expr::Subscript(Box::new(base), indexes),
                    };
                    subscripted = true;
                    continue;
                }
            }
            subscripted = false;
        }
        Ok(base)
    }

    /// Operators lean to the left: their chains are walked without recursion, and those of AND and OR become flat.
    fn binary(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let mut links = Vec::new();
        let mut leftmost = expr;
        while let ast::Expr::BinaryOp { left, op, right } = leftmost {
            links.push((op, right));
            leftmost = left;
        }
        let mut value = self.expr(leftmost)?;
        let mut logic: Option<&BinaryOperator> = None;
        while let Some((op, right)) = links.pop() {
            let right = self.expr(right)?;
            match op {
                BinaryOperator::And | BinaryOperator::Or => {
                    let junction = if *op == BinaryOperator::And { Junction::And } else { Junction::Or };
                    match (&mut value, logic == Some(op)) {
                        (Expr::Logic(_, terms), true) => terms.push(right),
                        _ => value = Expr::Logic(junction, vec![value, right]),
                    }
                    logic = Some(op);
                    continue;
                }
                BinaryOperator::Overlaps => {
                    let args = [value, right].into_iter().flat_map(|side| match side {
                        Expr::Row(members) => members,
                        other => vec![other],
                    });
                    value = special("overlaps", args.collect());
                }
                _ => value = Expr::Operator(self.operator(op)?, vec![value, right]),
            }
            logic = None;
        }
        Ok(value)
    }

    fn unary(&mut self, op: UnaryOperator, operand: &ast::Expr) -> Result<Expr> {
        let symbol = match op {
            UnaryOperator::Not => return Ok(Expr::Logic(Junction::Not, vec![self.expr(operand)?])),
            UnaryOperator::Plus => "+",
            UnaryOperator::Minus => "-",
            UnaryOperator::BitwiseNot => "~",
            UnaryOperator::PGAbs => "@",
            UnaryOperator::PGSquareRoot => "|/",
            UnaryOperator::PGCubeRoot => "||/",
            UnaryOperator::AtDashAt => "@-@",
            UnaryOperator::DoubleAt => "@@",
            UnaryOperator::Hash => "#",
            UnaryOperator::QuestionDash => "?-",
            UnaryOperator::QuestionPipe => "?|",
            UnaryOperator::PGPrefixFactorial => "!!",
            UnaryOperator::PGPostfixFactorial | UnaryOperator::BangNot => return construct("a postfix operator"),
        };
        Ok(Expr::Operator(Operator { schema: None, symbol: symbol.into() }, vec![self.expr(operand)?]))
    }

    fn operator(&mut self, op: &BinaryOperator) -> Result<Operator> {
        let symbol = match op {
            BinaryOperator::PGCustomBinaryOperator(parts) => return qualified_operator(parts),
            BinaryOperator::Custom(symbol) => symbol.clone(),
            BinaryOperator::Xor
            | BinaryOperator::DuckIntegerDivide
            | BinaryOperator::MyIntegerDivide
            | BinaryOperator::Match
            | BinaryOperator::Regexp
            | BinaryOperator::Glob
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Overlaps
            | BinaryOperator::Assignment => return construct("an operator of another dialect"),
            // these print as what PostgreSQL calls them
            other => other.to_string(),
        };
        let symbolic = symbol.bytes().all(|byte| b"~!@#^&|`?+-*/%<>=".contains(&byte));
        if symbol.is_empty() || !symbolic {
            return construct("an operator of another dialect");
        }
        Ok(Operator { schema: None, symbol: symbol.into() })
    }

    fn quantified(&mut self, left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr) -> Result<Expr> {
        let left = self.boxed(left)?;
        let operator = self.operator(op)?;
        let mut inside = right;
        while let ast::Expr::Nested(nested) = inside {
            inside = nested;
        }
        match inside {
            ast::Expr::Subquery(query) => Ok(Expr::QuantifiedQuery(left, operator, Box::new(self.query(query)?))),
            other => Ok(Expr::Quantified(left, operator, self.boxed(other)?)),
        }
    }

    fn like(
        &mut self,
        kind: LikeKind,
        any: bool,
        subject: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
    ) -> Result<Expr> {
        require(!any)?;
        Ok(Expr::Like {
            kind,
            subject: self.boxed(subject)?,
            pattern: self.boxed(pattern)?,
            escape: escape.map(|escape| self.boxed(escape)).transpose()?,
        })
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Expr> {
        let operand = operand.map(|operand| self.boxed(operand)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for branch in conditions {
            branches.push((self.expr(&branch.condition)?, self.expr(&branch.result)?));
        }
        Ok(Expr::Case(operand, branches, otherwise.map(|value| self.boxed(value)).transpose()?))
    }

    /// The members of `ROW(...)` or `(a, b)`; `t.*` stays a star.
    pub(super) fn row(&mut self, members: &[ast::Expr]) -> Result<Vec<Expr>> {
        self.exprs(members)
    }

    /// `INTERVAL 'literal' [fields]`: anything but a literal is a column of that name that sqlparser went wrong with.
    fn interval(&mut self, interval: &ast::Interval) -> Result<Expr> {
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return construct("interval without a string");
        };
        let literal = constant(&value.value)?;
        if !matches!(literal, Expr::Constant(Constant::Text(..))) {
            return construct("interval without a string");
        }
        let modified = interval.leading_field.is_some()
            || interval.leading_precision.is_some()
            || interval.fractional_seconds_precision.is_some();
        let name = TypeName { schema: None, name: Name::exact("interval"), modified, array: false };
        Ok(Expr::Cast(Box::new(literal), name))
    }

    fn syntax_call(&mut self, name: &str, built_in: bool, parts: &[Option<&ast::Expr>]) -> Result<Expr> {
        let args = parts.iter().flatten().map(|part| self.expr(part)).collect::<Result<_>>()?;
        Ok(Expr::call(ObjectName::bare(Name::exact(name)), built_in, args))
    }
}

fn negate(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Logic(Junction::Not, vec![expr]) } else { expr }
}

/// `OPERATOR(schema.op)`: sqlparser keeps the parts as text, so that quotes are gone. A schema that is no plain word is
/// not taken.
fn qualified_operator(parts: &[String]) -> Result<Operator> {
    match parts {
        [symbol] => Ok(Operator { schema: None, symbol: symbol.as_str().into() }),
        [schema, symbol] if schema == "pg_catalog" && keyword_class(schema).is_none() => {
            Ok(Operator { schema: Some(Name::exact(schema)), symbol: symbol.as_str().into() })
        }
        _ => construct("an operator in a schema"),
    }
}

/// What is kept of a literal.
pub(super) fn constant(value: &ast::Value) -> Result<Expr> {
    let constant = match value {
        ast::Value::Number(digits, _) => Constant::number(digits),
        ast::Value::SingleQuotedString(text) => Constant::text(text),
        ast::Value::SingleQuotedByteStringLiteral(_) | ast::Value::HexStringLiteral(_) => Constant::plain_text(),
        ast::Value::NationalStringLiteral(text) => {
            let bpchar = TypeName { schema: None, name: Name::exact("bpchar"), modified: false, array: false };
            return Ok(Expr::Cast(Box::new(Expr::Constant(Constant::text(text))), bpchar));
        }
        ast::Value::Boolean(_) => Constant::Bool,
        ast::Value::Null => Constant::Null,
        ast::Value::Placeholder(name) => {
            let number = name.strip_prefix('$').and_then(|digits| digits.parse().ok());
            return number.map(Expr::Parameter).ok_or(NotUnderstood::Syntax);
        }
        _ => return construct("a literal of another dialect"),
    };
    Ok(Expr::Constant(constant))
}
