//! Scalar expressions: what a value is made of.

use std::rc::Rc;

use super::scope::Scope;
use super::total::{is_plain_query, is_total_cast, may_fail};
use super::value::{Value, either};
use super::walk::Walk;
use super::{FilterKind, Taint, Unknown};
use crate::catalog::{Name, TypeKind};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Constant, Expr, Operator, Query, Wildcards};

impl<'q> Walk<'q> {
    /// The value of an expression.
    pub(super) fn value(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        self.enter()?;
        let value = match expr {
            Expr::Column(parts) => self.reference(parts, scope)?,
            Expr::Star(parts) => self.star_value(parts, scope)?,
            Expr::Constant(Constant::Null) | Expr::Default => Value::null(),
            Expr::Constant(Constant::Text(Wildcards::Separator)) => {
                let mut value = Value::constant();
                value.traits.separator = true;
                value
            }
            Expr::Constant(Constant::Number(_) | Constant::Text(_) | Constant::Bool) => Value::constant(),
            Expr::Parameter(number) => Value::parameter(*number),
            Expr::CurrentOf(_) => Value::null(),
            Expr::Call(call) => self.call(call, scope)?,
            Expr::NullTest(inner) => {
                let taint = self.value(inner, scope)?.taint().counted();
                Value::computed(taint)
            }
            Expr::Exists(query) => self.exists(query, scope)?,
            Expr::Subquery(query) => self.subquery_value(query, scope)?,
            Expr::ArrayQuery(query) => {
                let mut value = self.query(query, Some(scope))?.value_at(0);
                value.type_oid = value.type_oid.filter(|_| value.fields.is_some());
                value
            }
            Expr::Array(elements) => self.array(elements, scope)?,
            Expr::Row(fields) => {
                let fields = self.list(fields, scope)?;
                let named = fields.into_iter().enumerate();
                let named = named.map(|(position, field)| (Name::exact(&format!("f{}", position + 1)), field));
                let mut row = Value::row(named.collect(), None);
                row.traits.shaped = true;
                row
            }
            Expr::Case(operand, branches, otherwise) => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), scope)?
            }
            Expr::Cast(inner, type_name) => {
                let value = self.value(inner, scope)?;
                let chosen = value.chosen.clone();
                if !is_total_cast(type_name) {
                    self.look_at_choice(chosen.as_deref());
                }
                let mut cast = self.cast(value, type_name);
                cast.chosen = chosen;
                cast
            }
            Expr::Collate(inner) => self.value(inner, scope)?,
            Expr::Subscript(base, indexes) => self.subscript(base, indexes, scope)?,
            Expr::Field(base, name) => {
                let whole = self.value(base, scope)?;
                self.attribute_or_function(whole, name)?
            }
            Expr::Operator(..)
            | Expr::Logic(_)
            | Expr::Test(_)
            | Expr::DistinctFrom(..)
            | Expr::Like { .. }
            | Expr::Between(..)
            | Expr::InList(..)
            | Expr::InQuery(..)
            | Expr::Quantified(..)
            | Expr::QuantifiedQuery(..)
            | Expr::AtTimeZone(..) => self.computed(expr, scope)?,
        };
        self.charge_value(&value)?;
        self.leave();
        Ok(value)
    }

    /// Operators and tests, however they are nested: something is computed from all that they hold. Chains (`a || b ||
    /// c ...`) may be thousands long and lean to one side, so this is a loop.
    fn computed(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut taint = Taint::clean();
        let (mut faithful, mut varying, mut constant) = (true, false, true);
        let (mut test, mut chosen) = (false, None);
        if let Expr::Logic(parts) = expr
            && parts.iter().any(may_fail)
        {
            // one side decides whether the other is reached: whether it fails tells which way that went
            self.filter(expr, scope)?;
        }
        let mut waiting = vec![expr];
        while let Some(expr) = waiting.pop() {
            test = test || is_test(expr);
            match expr {
                Expr::Operator(operator, operands) => {
                    faithful = faithful && is_concatenation(operator);
                    if let ("/" | "%", [_, divisor]) = (operator.symbol.as_ref(), operands.as_slice())
                        && !matches!(divisor, Expr::Constant(_) | Expr::Parameter(_))
                    {
                        // whether it is zero comes out as an error
                        let mut divisor = self.value(divisor, scope)?;
                        divisor.traits.ordered = false;
                        self.look_at(&divisor, FilterKind::Other, FilterKind::Other);
                    }
                    constant = constant && matches!(operator.symbol.as_ref(), "||" | "-" | "+");
                    waiting.extend(operands);
                }
                Expr::Logic(parts) => {
                    (faithful, constant) = (false, false);
                    waiting.extend(parts);
                }
                Expr::Test(inner) => {
                    (faithful, constant) = (false, false);
                    waiting.push(inner);
                }
                Expr::DistinctFrom(one, two) | Expr::AtTimeZone(one, two) | Expr::Quantified(one, _, two) => {
                    (faithful, constant) = (false, false);
                    waiting.extend([one.as_ref(), two.as_ref()]);
                }
                Expr::Like { kind: _, subject, pattern, escape } => {
                    (faithful, constant) = (false, false);
                    waiting.extend([subject.as_ref(), pattern.as_ref()]);
                    waiting.extend(escape.as_deref());
                }
                Expr::Between(one, two, three) => {
                    (faithful, constant) = (false, false);
                    waiting.extend([one.as_ref(), two.as_ref(), three.as_ref()]);
                }
                Expr::InList(subject, list) => {
                    (faithful, constant) = (false, false);
                    waiting.push(subject);
                    waiting.extend(list);
                }
                Expr::InQuery(subject, query) | Expr::QuantifiedQuery(subject, _, query) => {
                    (faithful, constant) = (false, false);
                    waiting.push(subject);
                    let table = self.query(query, Some(scope))?;
                    self.charge(table.columns.len())?;
                    taint.join(&table.taint());
                }
                leaf @ (Expr::Column(_)
                | Expr::Star(_)
                | Expr::Constant(_)
                | Expr::Parameter(_)
                | Expr::Default
                | Expr::Call(_)
                | Expr::NullTest(_)
                | Expr::Exists(_)
                | Expr::Subquery(_)
                | Expr::ArrayQuery(_)
                | Expr::Array(_)
                | Expr::Row(_)
                | Expr::Case(..)
                | Expr::Cast(..)
                | Expr::Collate(_)
                | Expr::Subscript(..)
                | Expr::Field(..)
                | Expr::CurrentOf(_)) => {
                    let value = self.value(leaf, scope)?;
                    faithful = faithful && value.traits.faithful;
                    varying = varying || value.traits.varying;
                    constant = constant && value.is_constant();
                    chosen = either(chosen, value.chosen.clone());
                    let part = value.taint();
                    self.charge(1 + part.sources.len())?;
                    taint.join(&part);
                }
            }
        }
        if constant && taint.is_clean() {
            return Ok(Value::constant().made_of(taint.derived()));
        }
        let mut value = Value::computed(taint);
        value.chosen = if test { Some(Rc::new(value.taint())) } else { chosen };
        if !value.taint().is_clean() {
            value.traits.faithful = faithful;
            value.traits.varying = varying;
        }
        Ok(value)
    }

    /// `t.*` as an argument: the whole row.
    fn star_value(&mut self, parts: &[Name], scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        if parts.is_empty() {
            return Ok(Value::row(
                scope
                    .star()
                    .columns
                    .into_iter()
                    .filter_map(|column| column.name.map(|name| (name, column.value.as_ref().clone())))
                    .collect(),
                None,
            ));
        }
        match self.whole_row(parts, scope)? {
            Some(row) => Ok(row),
            None => {
                if let Some(name) = parts.last() {
                    self.unresolved(name);
                }
                Ok(Value::unknown(Unknown::Relation))
            }
        }
    }

    /// Expressions of a ROW, a VALUES row or a list of new values, where `t.*` stands for its columns.
    pub(super) fn list(&mut self, exprs: &'q [Expr], scope: &Scope<'_, 'q>) -> Result<Vec<Value>, NotUnderstood> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let value = self.value(expr, scope)?;
            let fields = if matches!(expr, Expr::Star(_)) { value.fields(self.catalog) } else { None };
            match fields {
                Some(fields) => values.extend(fields.into_iter().map(|(_, field)| field)),
                None => values.push(value),
            }
        }
        Ok(values)
    }

    fn subquery_value(&mut self, query: &'q Query, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let table = self.query(query, Some(scope))?;
        let mut value = match table.columns.as_slice() {
            [_] | [] => table.value_at(0),
            // the right side of `(a, b) = (SELECT ...)`
            _ => table.row(None),
        };
        if value.taint().is_clean() {
            // correlated, it may be a dictionary
            value.traits.varying = true;
        }
        Ok(value)
    }

    fn array(&mut self, elements: &'q [Expr], scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut merged: Option<Value> = None;
        for element in elements {
            let value = self.value(element, scope)?;
            self.charge_value(&value)?;
            merged = Some(match merged {
                Some(known) => known.merged(value),
                None => value,
            });
        }
        let mut value = merged.unwrap_or_else(Value::constant);
        // its type is an array of this; only the fields of rows matter below
        value.type_oid = value.type_oid.filter(|oid| super::value::composite_relation(self.catalog, *oid).is_some());
        value.traits.shaped = true;
        Ok(value)
    }

    fn case(
        &mut self,
        operand: Option<&'q Expr>,
        branches: &'q [(Expr, Expr)],
        otherwise: Option<&'q Expr>,
        scope: &Scope<'_, 'q>,
    ) -> Result<Value, NotUnderstood> {
        let mut conditions = Taint::clean();
        let mut result = Value::null();
        // where a branch can fail, an error tells which one was taken: the conditions are filters
        let telling = branches.iter().map(|(_, value)| value).chain(otherwise).any(may_fail);
        if let Some(operand) = operand {
            let operand = self.value(operand, scope)?;
            if telling {
                self.look_at(&operand, FilterKind::Equality, FilterKind::Other);
            }
            conditions.join(&operand.taint());
        }
        for (condition, value) in branches {
            if telling && operand.is_none() {
                self.filter(condition, scope)?;
            }
            conditions.join(&self.value(condition, scope)?.taint());
            let value = self.value(value, scope)?;
            self.charge(conditions.sources.len())?;
            self.charge_value(&result)?;
            result = result.merged(value);
        }
        if let Some(otherwise) = otherwise {
            result = result.merged(self.value(otherwise, scope)?);
        }
        if result.taint().is_clean() {
            // which constant it is differs from row to row
            result.traits.varying = true;
        }
        result.traits.shaped = false;
        let mut result = result.influenced(&conditions);
        result.chosen = either(result.chosen, Some(Rc::new(conditions)));
        Ok(result)
    }

    /// Whether there are rows is decided by the filters inside. Those that any caller with equality may use are judged as
    /// filters, and the value tells no more than running the sub-select by itself would. Where there are others the value
    /// is something computed from what they look at.
    fn exists(&mut self, query: &'q Query, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        if !is_plain_query(query) {
            self.query(query, Some(scope))?;
            return Ok(Value::computed(Taint::clean()));
        }
        let (_, looks) = self.aside(|walk| walk.query(query, Some(scope)))?;
        let mut value = Value::computed(Taint::clean()).influenced(&looks);
        value.chosen = Some(Rc::new(looks));
        Ok(value)
    }

    fn subscript(
        &mut self,
        base: &'q Expr,
        indexes: &'q [Expr],
        scope: &Scope<'_, 'q>,
    ) -> Result<Value, NotUnderstood> {
        let mut value = self.value(base, scope)?;
        let mut by = Taint::clean();
        for index in indexes {
            by.join(&self.value(index, scope)?.taint());
        }
        let element = value.type_oid.and_then(|oid| self.catalog.type_of(oid)).map(|known| &known.kind);
        match element {
            Some(TypeKind::Array(element)) => value.type_oid = Some(*element),
            Some(TypeKind::Composite(_)) | None => {}
            // jsonb, or a base type that can be taken apart: not the value itself
            Some(
                TypeKind::Base
                | TypeKind::Domain(_)
                | TypeKind::Enum(_)
                | TypeKind::Range(_)
                | TypeKind::Multirange(_)
                | TypeKind::Pseudo,
            ) => value = Value::computed(value.taint()),
        }
        value.traits.shaped = false;
        Ok(value.influenced(&by))
    }

    /// State that how many rows there are depends on a value (`generate_series(1, n)`).
    pub(super) fn counts_out(&mut self, value: &Value) {
        self.look_at(value, FilterKind::Other, FilterKind::Other);
    }
}

/// Whether an expression is true or false by a look at values.
fn is_test(expr: &Expr) -> bool {
    match expr {
        Expr::Operator(operator, _) => {
            operator.symbol.as_ref().bytes().all(|byte| !matches!(byte, b'+' | b'-' | b'*' | b'/' | b'|' | b'#' | b'&'))
        }
        Expr::Logic(_)
        | Expr::Test(_)
        | Expr::DistinctFrom(..)
        | Expr::Like { .. }
        | Expr::Between(..)
        | Expr::InList(..)
        | Expr::InQuery(..)
        | Expr::Quantified(..)
        | Expr::QuantifiedQuery(..) => true,
        Expr::Column(_)
        | Expr::Star(_)
        | Expr::Constant(_)
        | Expr::Parameter(_)
        | Expr::Default
        | Expr::Call(_)
        | Expr::NullTest(_)
        | Expr::Exists(_)
        | Expr::Subquery(_)
        | Expr::ArrayQuery(_)
        | Expr::Array(_)
        | Expr::Row(_)
        | Expr::Case(..)
        | Expr::Cast(..)
        | Expr::Collate(_)
        | Expr::AtTimeZone(..)
        | Expr::Subscript(..)
        | Expr::Field(..)
        | Expr::CurrentOf(_) => false,
    }
}

fn is_concatenation(operator: &Operator) -> bool {
    operator.symbol.as_ref() == "||" && operator.schema.as_ref().is_none_or(|schema| schema.as_str() == "pg_catalog")
}
