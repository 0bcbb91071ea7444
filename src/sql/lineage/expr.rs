//! Scalar expressions: what a value is made of.

use super::cast::number_of;
use super::failing::GROWTH_OF_LONG;
use super::failing::is_arithmetic;
use super::scope::Scope;
use super::value::{Sort, Traits, Value};
use super::walk::Walk;
use super::{FilterKind, Taint, Unknown};
use crate::catalog::{Name, Oid, TypeKind};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Constant, Distinct, Expr, FromItem, LikeKind, Operator, Query, SelectItem, Wildcards};

impl<'q> Walk<'q> {
    /// The value of an expression.
    pub(super) fn value(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        self.enter()?;
        let value = match expr {
            Expr::Column(parts) => self.reference(parts, scope)?,
            Expr::Star(parts) => self.star_value(parts, scope)?,
            Expr::Constant(Constant::Null) | Expr::Default => Value::null(),
            Expr::Constant(Constant::Text(Wildcards::Separator, _)) => {
                let mut value = Value::constant();
                value.traits.separator = true;
                value
            }
            Expr::Constant(
                Constant::Number(Some(_)) | Constant::Fraction | Constant::Text(Wildcards::Modest, _) | Constant::Bool,
            ) => Value::constant(),
            Expr::Constant(Constant::Number(None) | Constant::Text(..)) => {
                let mut value = Value::constant();
                value.traits.edge = true;
                value.traits.path = matches!(expr, Expr::Constant(Constant::Text(Wildcards::Path, _)));
                if matches!(expr, Expr::Constant(Constant::Text(_, u8::MAX))) {
                    value.traits.growth = GROWTH_OF_LONG;
                }
                value
            }
            Expr::Parameter(number) => {
                let mut value = Value::parameter(*number);
                value.traits.edge = true;
                value
            }
            Expr::CurrentOf(_) => Value::null(),
            Expr::Call(call) => self.call(call, scope)?,
            Expr::NullTest(inner) => {
                let taint = self.value(inner, scope)?.taint().counted();
                Value::computed(taint)
            }
            Expr::Exists(query) => self.exists(query, scope)?,
            Expr::Subquery(query) => {
                self.found.mixes = true;
                self.subquery_value(query, scope)?
            }
            Expr::ArrayQuery(query) => {
                self.found.mixes = true;
                self.fails = true;
                let mut value = self.query(query, Some(scope))?.value_at(0);
                self.gathered(&value);
                if value.traits.nested && value.fields.is_none() {
                    self.look_at_made(&value);
                    value.traits.odd = true;
                }
                value.traits.nested = true;
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
                if let Some(number) = number_of(type_name) {
                    self.numbered(value, number)
                } else {
                    self.cast_may_fail(inner, &value, type_name);
                    self.cast(value, type_name)
                }
            }
            Expr::Collate(inner) => {
                self.fails = true;
                let mut value = self.value(inner, scope)?;
                value.traits.collated = true;
                value
            }
            Expr::Subscript(base, indexes) => self.subscript(base, indexes, scope)?,
            Expr::Field(base, name) => {
                let whole = self.value(base, scope)?;
                self.attribute_or_function(whole, name)?
            }
            Expr::Operator(..) if is_arithmetic(expr) => self.arithmetic(expr, scope)?,
            Expr::Operator(..)
            | Expr::Logic(..)
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
        // what FROM computes is computed where it is used
        self.fails |= value.traits.fails;
        self.charge_value(&value)?;
        self.leave();
        Ok(value)
    }

    /// Operators and tests, however they are nested: something is computed from all that they hold. Chains (`a || b ||
    /// c ...`) may be thousands long and lean to one side, so this is a loop.
    fn computed(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut taint = Taint::clean();
        let (mut faithful, mut varying, mut constant) = (true, false, true);
        let mut composed = true;
        let mut texts = true;
        // what is put together
        let (mut chained, mut links, mut length) = (false, Vec::new(), 0_u32);
        let mut missing = Vec::new();
        let mut made = Traits::default();
        let test = is_test(expr);
        // of comparisons for equality
        let mut compared = Vec::new();
        let mut waiting = vec![expr];
        while let Some(at) = waiting.pop() {
            compared.extend(self.compared_columns(at, scope)?);
            let taint_of = |at: &Expr, value: &Value| match compared.iter().any(|known| std::ptr::eq(*known, at)) {
                true => value.taint().compared(),
                false => value.taint(),
            };
            if let Some(parts) = parts_in_turn(at) {
                (faithful, constant, composed) = (false, false, false);
                let (_, fails) = self.apart(|walk| {
                    for part in parts {
                        let value = walk.value(part, scope)?;
                        walk.row_may_differ(&value);
                        varying = varying || value.traits.varying;
                        let part = taint_of(part, &value);
                        walk.charge(1 + part.sources.len())?;
                        taint.join(&part);
                    }
                    Ok(())
                })?;
                if fails {
                    // one part decides whether the next one is reached: whether that fails tells which way it went
                    self.filter(at, scope)?;
                }
                continue;
            }
            if is_arithmetic(at) {
                let value = self.value(at, scope)?;
                (faithful, composed) = (false, false);
                constant = constant && value.is_constant();
                varying = varying || value.traits.varying;
                let part = value.taint();
                self.charge(1 + part.sources.len())?;
                taint.join(&part);
                continue;
            }
            match at {
                Expr::Operator(operator, operands) => {
                    faithful = faithful && is_concatenation(operator);
                    composed = composed && is_concatenation(operator);
                    constant = constant && is_concatenation(operator);
                    if let ("~~" | "~~*" | "!~~" | "!~~*", [subject, pattern]) =
                        (operator.symbol.as_ref(), operands.as_slice())
                    {
                        self.pattern_may_fail(subject, pattern, scope)?;
                    }
                    if is_concatenation(operator) {
                        // of the leaves of a chain, together
                        chained = true;
                        waiting.extend(operands);
                        continue;
                    }
                    let mut values = Vec::with_capacity(operands.len());
                    for operand in operands {
                        values.push(self.value(operand, scope)?);
                    }
                    self.operator_may_fail(operator.symbol.as_ref(), &values);
                    for (operand, value) in operands.iter().zip(values) {
                        varying = varying || value.traits.varying;
                        made = made.merged(value.traits);
                        self.fails |= value.fields.is_some();
                        let part = taint_of(operand, &value);
                        self.charge(1 + part.sources.len())?;
                        taint.join(&part);
                        if value.traits.gaps {
                            missing.push(value);
                        }
                    }
                    made.gaps |= operator.symbol.starts_with('-') || operator.symbol.starts_with("#>");
                }
                Expr::Logic(_, parts) => {
                    (faithful, constant) = (false, false);
                    waiting.extend(parts);
                }
                Expr::Test(inner) => {
                    (faithful, constant) = (false, false);
                    waiting.push(inner);
                }
                Expr::Quantified(one, operator, two) if is_pattern_match(operator) => {
                    (faithful, constant) = (false, false);
                    let operands = [self.value(one, scope)?, self.value(two, scope)?];
                    if !matches!(two.as_ref(), Expr::Array(patterns) if patterns.iter().all(is_whole)) {
                        self.fails = true;
                        operands.iter().for_each(|operand| self.look_at_made(operand));
                    }
                    for value in operands {
                        varying = varying || value.traits.varying;
                        taint.join(&value.taint());
                    }
                }
                Expr::DistinctFrom(one, two) | Expr::Quantified(one, _, two) => {
                    (faithful, constant) = (false, false);
                    waiting.extend([one.as_ref(), two.as_ref()]);
                }
                Expr::AtTimeZone(time, zone) => {
                    (faithful, constant) = (false, false);
                    if !matches!(zone.as_ref(), Expr::Constant(_)) {
                        let zone = self.value(zone, scope)?;
                        self.may_fail_of(&zone, false);
                    }
                    let time_value = self.value(time, scope)?;
                    if time_value.traits.gaps || time_value.traits.edge {
                        self.look_at_made(&time_value);
                    }
                    waiting.extend([time.as_ref(), zone.as_ref()]);
                }
                Expr::Like { kind, subject, pattern, escape } => {
                    (faithful, constant) = (false, false);
                    match (kind, escape.as_deref()) {
                        (LikeKind::Like | LikeKind::Ilike, None) => self.pattern_may_fail(subject, pattern, scope)?,
                        (LikeKind::Like | LikeKind::Ilike, Some(_)) => {
                            self.fails = true;
                            let subject = self.value(subject, scope)?;
                            self.look_at(&subject, FilterKind::Pattern, FilterKind::Pattern);
                        }
                        (LikeKind::SimilarTo, _) => {
                            let subject = self.value(subject, scope)?;
                            if subject.traits.gaps {
                                self.look_at_made(&subject);
                            }
                        }
                    }
                    let similar = matches!(kind, LikeKind::SimilarTo);
                    for form in
                        escape.as_deref().into_iter().chain((similar || escape.is_some()).then_some(pattern.as_ref()))
                    {
                        let form = self.value(form, scope)?;
                        self.may_fail_of(&form, false);
                    }
                    waiting.extend([subject.as_ref(), pattern.as_ref()]);
                    waiting.extend(escape.as_deref());
                }
                Expr::InQuery(subject, query) | Expr::QuantifiedQuery(subject, _, query) => {
                    (faithful, constant) = (false, false);
                    self.fails = true;
                    waiting.push(subject);
                    let table = self.query(query, Some(scope))?;
                    self.charge(table.columns.len())?;
                    taint.join(&table.taint());
                }
                // these are taken apart above
                leaf @ (Expr::Between(..)
                | Expr::InList(..)
                | Expr::Column(_)
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
                    composed = composed && value.traits.composed;
                    texts = texts && (value.taint().is_clean() || value.sort().is_some_and(is_text));
                    length = length.saturating_add(value.traits.growth);
                    made = made.merged(value.traits);
                    // rows of other fields can not be compared
                    self.fails |= value.fields.is_some();
                    if value.traits.gaps {
                        missing.push(value.clone());
                    }
                    let part = taint_of(leaf, &value);
                    self.charge(1 + part.sources.len())?;
                    let part_is_clean = part.is_clean();
                    taint.join(&part);
                    if chained && !part_is_clean {
                        links.push(value);
                    }
                }
            }
        }
        if chained && made.odd {
            links.iter().for_each(|link| self.look_at_made(link));
        }
        if made.collated {
            self.fails = true;
            missing.iter().for_each(|value| self.look_at_made(value));
        }
        if constant && taint.is_clean() {
            let mut value = Value::constant().made_of(taint.derived());
            value.traits.collated = made.collated;
            return Ok(value);
        }
        let mut value = Value::computed(taint);
        if chained {
            // texts one behind the other
            made.growth = length;
        }
        self.growth_may_fail(made.growth, [&value]);
        if !value.taint().is_clean() {
            value.traits = Traits { faithful, varying, composed, ..value.traits };
        }
        let Traits { edge, nested, odd, gaps, growth, collated, .. } = made;
        let edge = !test && (edge || value.traits.edge);
        value.traits = Traits { edge, nested: nested && !test, odd: odd && !test, gaps, growth, ..value.traits };
        value.traits.collated = collated && !test;
        const BOOL: Oid = Oid(16);
        value.traits.sort = match chained && texts && faithful && !value.traits.nested {
            true => Some(Sort::Type(Oid(25))),
            false => test.then_some(Sort::Type(BOOL)),
        };
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
        // there may be more than one row
        self.fails = true;
        let table = self.query(query, Some(scope))?;
        Ok(of_subquery(match table.columns.as_slice() {
            [_] | [] => table.value_at(0),
            _ => table.row(None),
        }))
    }

    /// The values of a sub-select that stands for so many: the right side of `(a, b) = (SELECT ...)`.
    pub(super) fn subquery_values(
        &mut self,
        query: &'q Query,
        count: usize,
        scope: &Scope<'_, 'q>,
    ) -> Result<Vec<Value>, NotUnderstood> {
        self.fails = true;
        let table = self.query(query, Some(scope))?;
        let known = table.columns.len() == count && !table.ragged && table.open.is_none();
        let value = |at| if known { table.value_at(at) } else { table.row(None) };
        Ok((0..count).map(|at| of_subquery(value(at))).collect())
    }

    fn array(&mut self, elements: &'q [Expr], scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut merged: Option<Value> = None;
        for element in elements {
            let mut value = self.value(element, scope)?;
            self.charge_value(&value)?;
            if value.traits.nested && value.fields.is_none() {
                // all of them have as many elements
                self.look_at_made(&value);
                value.traits.odd = true;
            }
            merged = Some(match merged {
                Some(known) => known.merged(value),
                None => value,
            });
        }
        let mut value = merged.unwrap_or_else(Value::constant);
        // its type is an array of this; only the fields of rows matter below
        value.type_oid = value.type_oid.filter(|oid| super::value::composite_relation(self.catalog, *oid).is_some());
        value.traits.shaped = true;
        value.traits.nested = true;
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
        let (mut results, mut telling) = (Vec::with_capacity(branches.len()), false);
        for (number, (condition, value)) in branches.iter().enumerate() {
            let (value, fails) = self.apart(|walk| walk.value(value, scope))?;
            self.charge_value(&value)?;
            results.push(value);
            // so can a condition that is looked at when those before it were not met
            let (taint, unmet) = self.apart(|walk| Ok(walk.value(condition, scope)?.taint()))?;
            telling = telling || fails || (unmet && number > 0);
            conditions.join(&taint);
            self.charge(conditions.sources.len())?;
        }
        if let Some(otherwise) = otherwise {
            let (value, fails) = self.apart(|walk| walk.value(otherwise, scope))?;
            telling = telling || fails;
            results.push(value);
        }
        if let Some(operand) = operand {
            let given: Vec<&Expr> = branches.iter().map(|(condition, _)| condition).collect();
            let exact = self.compared_with_each(operand, &given, None, scope)?;
            let operand = self.value(operand, scope)?;
            if operand.fields.is_some() || operand.traits.collated {
                // rows of other fields can not be compared, nor texts of two collations
                (self.fails, telling) = (true, true);
            }
            let look = |walk: &mut Self| walk.look_at(&operand, FilterKind::Equality, FilterKind::Other);
            match (telling, exact) {
                (true, true) => self.exactly(look),
                (true, false) => look(self),
                (false, _) => {}
            }
            let taint = operand.taint();
            conditions.join(&if exact { taint.compared() } else { taint });
        }
        self.found.looked_at.extend(conditions.parameters.keys());
        for (condition, _) in branches {
            if telling && operand.is_none() {
                self.filter(condition, scope)?;
            }
        }
        let gaps = otherwise.is_none() || results.iter().any(Value::is_null);
        let limited = otherwise.is_some() && !gaps;
        for value in results {
            self.charge_value(&result)?;
            result = result.merged(value);
        }
        if !limited && !result.is_null() {
            result.traits.unlimited = true;
        }
        result.traits.gaps |= gaps && !conditions.is_clean();
        if result.taint().is_clean() {
            // which constant it is differs from row to row
            result.pick();
        }
        result.traits.shaped = false;
        Ok(result.influenced(&conditions))
    }

    /// Whether there are rows is decided by the filters inside. Those that any caller with equality may use are judged as
    /// filters, and the value tells no more than running the sub-select by itself would. Where there are others the value
    /// is something computed from what they look at.
    fn exists(&mut self, query: &'q Query, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        self.fails = true;
        let mut looks = Taint::clean();
        let plain = is_plain_query(query)
            && !self
                .apart(|walk| {
                    looks = walk.aside(|walk| walk.query(query, Some(scope)))?.1;
                    Ok(())
                })?
                .1;
        let mut value = Value::computed(Taint::clean());
        value.traits.sort = Some(Sort::Type(Oid(16)));
        if !plain {
            self.query(query, Some(scope))?;
            return Ok(value);
        }
        Ok(value.influenced(&looks))
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
        value.traits.gaps = true;
        Ok(value.influenced(&by))
    }

    /// State that how many rows there are depends on a value (`generate_series(1, n)`).
    pub(super) fn counts_out(&mut self, value: &Value) {
        self.look_at(value, FilterKind::Other, FilterKind::Other);
    }
}

/// The value of a sub-select's one row.
fn of_subquery(mut value: Value) -> Value {
    if value.taint().is_clean() {
        // correlated, it may be a dictionary
        value.pick();
    }
    value.traits.gaps = true;
    value
}

/// `text`, `varchar`, `char`.
fn is_text(sort: Sort) -> bool {
    matches!(sort, Sort::Type(Oid(25 | 1042 | 1043)))
}

/// Whether an expression is true or false by a look at values.
fn is_test(expr: &Expr) -> bool {
    match expr {
        Expr::Operator(operator, _) => {
            operator.symbol.as_ref().bytes().all(|byte| !matches!(byte, b'+' | b'-' | b'*' | b'/' | b'|' | b'#' | b'&'))
        }
        Expr::Logic(..)
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

/// The parts of an expression that the server computes one after the other, until it knows the outcome.
fn parts_in_turn(expr: &Expr) -> Option<Vec<&Expr>> {
    match expr {
        Expr::Logic(_, parts) if parts.len() > 1 => Some(parts.iter().collect()),
        Expr::InList(subject, list) => Some([subject.as_ref()].into_iter().chain(list).collect()),
        Expr::Between(subject, low, high) => Some(vec![subject, low, high]),
        Expr::Operator(_, operands) if operands.iter().any(|operand| matches!(operand, Expr::Row(_))) => {
            Some(operands.iter().collect())
        }
        _ => None,
    }
}

/// Whether nothing comes out of a query but whether it has rows.
fn is_plain_query(query: &Query) -> bool {
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
        && select.items.iter().all(|item| match item {
            SelectItem::Expr(expr, _) => matches!(expr, Expr::Constant(_) | Expr::Column(_)),
            SelectItem::Star | SelectItem::QualifiedStar(_) => true,
            SelectItem::FieldStar(_) => false,
        })
}

fn is_plain_from(item: &FromItem) -> bool {
    match item {
        FromItem::Relation { sample, .. } => sample.is_empty(),
        FromItem::Join { left, right, .. } => is_plain_from(left) && is_plain_from(right),
        FromItem::Subquery { .. } | FromItem::Functions { .. } | FromItem::TableExpr { .. } => false,
    }
}

/// `~`, `LIKE` and the like.
fn is_pattern_match(operator: &Operator) -> bool {
    matches!(operator.symbol.as_ref(), "~" | "~*" | "!~" | "!~*" | "~~" | "~~*" | "!~~" | "!~~*")
}

/// Whether it is a pattern of `LIKE` that fails for no text.
fn is_whole(pattern: &Expr) -> bool {
    matches!(pattern, Expr::Constant(constant) if !matches!(constant, Constant::Text(Wildcards::Dangling, _)))
}

fn is_concatenation(operator: &Operator) -> bool {
    operator.symbol.as_ref() == "||" && operator.schema.as_ref().is_none_or(|schema| schema.as_str() == "pg_catalog")
}
