//! What filters do with columns: conditions, keys of sorting and grouping, joins.
//!
//! The kinds say what a caller who chooses the constants can learn. What is not plainly one of the harmless forms is
//! [`FilterKind::Other`].

use super::from::Walk;
use super::functions::folds_constants;
use super::scope::Scope;
use super::value::{Table, Value, flows};
use super::{FilterKind, FilterUse, Flow, Source};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Call, Constant, Distinct, Expr, LikeKind, Operator, Query, SelectItem, Wildcards};

/// Pairs of sources that one comparison may name before it counts as [`FilterKind::Other`].
const JOIN_PAIRS_MAX: usize = 256;

/// One side of a comparison.
struct Side {
    value: Value,
    /// Whether it is the same for all rows and known to the caller: constants, parameters, and what is made of them.
    constant: bool,
}

/// The sorts of comparison operators.
enum Comparison {
    Equal,
    Order,
    Prefix,
    Pattern,
    Like,
    Else,
}

fn comparison(operator: &Operator) -> Comparison {
    if operator.schema.as_ref().is_some_and(|schema| schema.as_str() != "pg_catalog") {
        return Comparison::Else;
    }
    match operator.symbol.as_ref() {
        "=" | "<>" | "!=" => Comparison::Equal,
        "<" | ">" | "<=" | ">=" | "~<~" | "~<=~" | "~>~" | "~>=~" => Comparison::Order,
        "^@" => Comparison::Prefix,
        "~~" | "!~~" | "~~*" | "!~~*" => Comparison::Like,
        "~" | "~*" | "!~" | "!~*" | "@@" | "@@@" | "%" | "<%" | "%>" | "<<%" | "%>>" => Comparison::Pattern,
        _ => Comparison::Else,
    }
}

impl<'q> Walk<'q> {
    /// A condition: WHERE, ON, HAVING, FILTER. AND, OR and NOT are taken apart.
    pub(super) fn filter(&mut self, condition: &'q Expr, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let mut waiting = vec![condition];
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::Logic(parts) => waiting.extend(parts),
                Expr::Test(inner) => waiting.push(inner),
                _ => self.test(expr, scope)?,
            }
        }
        Ok(())
    }

    fn test(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        self.enter()?;
        match expr {
            Expr::NullTest(inner) => {
                let value = self.value(inner, scope)?;
                self.look_at(&value, FilterKind::NullTest, FilterKind::Other);
            }
            Expr::Operator(operator, operands) => match operands.as_slice() {
                [left, right] => self.compare(operator, left, right, scope)?,
                _ => self.filter_opaque(expr, scope)?,
            },
            Expr::DistinctFrom(left, right) => match (left.as_ref(), right.as_ref()) {
                (inner, Expr::Constant(Constant::Null)) | (Expr::Constant(Constant::Null), inner) => {
                    let value = self.value(inner, scope)?;
                    self.look_at(&value, FilterKind::NullTest, FilterKind::Other);
                }
                (left, right) => self.equal(left, right, scope)?,
            },
            Expr::Like { kind, subject, pattern, escape } => {
                self.like(*kind, subject, pattern, escape.is_some(), scope)?;
                if let Some(escape) = escape {
                    self.filter_opaque(escape, scope)?;
                }
            }
            Expr::Between(subject, low, high) => {
                self.order(subject, low, scope)?;
                self.order(subject, high, scope)?;
            }
            Expr::InList(subject, list) => self.in_list(subject, list, scope)?,
            Expr::InQuery(subject, query) => {
                let table = self.query(query, Some(scope))?;
                self.equal_to_query(subject, query, &table, scope)?;
            }
            Expr::Quantified(subject, operator, array) => self.quantified(subject, operator, array, scope)?,
            Expr::QuantifiedQuery(subject, operator, query) => {
                let table = self.query(query, Some(scope))?;
                if matches!(comparison(operator), Comparison::Equal) {
                    self.equal_to_query(subject, query, &table, scope)?;
                } else {
                    self.filter_opaque(subject, scope)?;
                    self.look_at_table(&table);
                }
            }
            // whether there are rows is what the sub-select's own filters decide
            Expr::Exists(query) => {
                self.query(query, Some(scope))?;
            }
            Expr::Constant(_) | Expr::Parameter(_) | Expr::CurrentOf(_) => {}
            _ => self.filter_opaque(expr, scope)?,
        }
        self.leave();
        Ok(())
    }

    /// A condition of which nothing better is known than what it is made of.
    pub(super) fn filter_opaque(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let value = self.value(expr, scope)?;
        self.look_at(&value, FilterKind::Other, FilterKind::Other);
        Ok(())
    }

    fn compare(
        &mut self,
        operator: &Operator,
        left: &'q Expr,
        right: &'q Expr,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        match comparison(operator) {
            Comparison::Equal => self.equal(left, right, scope),
            Comparison::Order => self.order(left, right, scope),
            Comparison::Like => self.like(LikeKind::Like, left, right, false, scope),
            Comparison::Prefix => self.matched(left, right, FilterKind::Prefix, scope),
            Comparison::Pattern => self.matched(left, right, FilterKind::Pattern, scope),
            Comparison::Else => {
                self.filter_opaque(left, scope)?;
                self.filter_opaque(right, scope)
            }
        }
    }

    /// `left = right`, rows field by field.
    fn equal(&mut self, left: &'q Expr, right: &'q Expr, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        if let (Expr::Row(left), Expr::Row(right)) = (left, right)
            && left.len() == right.len()
        {
            for (left, right) in left.iter().zip(right) {
                self.enter()?;
                self.equal(left, right, scope)?;
                self.leave();
            }
            return Ok(());
        }
        let (left, right) = (self.side(left, scope)?, self.side(right, scope)?);
        match (left.constant, right.constant) {
            (true, true) => {}
            (true, false) => self.look_at(&right.value, FilterKind::Equality, FilterKind::Other),
            (false, true) => self.look_at(&left.value, FilterKind::Equality, FilterKind::Other),
            (false, false) => self.filter_equal(&left.value, &right.value),
        }
        Ok(())
    }

    /// `<`, `BETWEEN` and the like.
    fn order(&mut self, left: &'q Expr, right: &'q Expr, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let (left, right) = (self.plain_side(left, scope)?, self.plain_side(right, scope)?);
        match (left.constant, right.constant) {
            (true, true) => {}
            (true, false) => self.look_at(&right.value, FilterKind::Range, FilterKind::Other),
            (false, true) => self.look_at(&left.value, FilterKind::Range, FilterKind::Other),
            (false, false) => {
                self.look_at(&left.value, FilterKind::Other, FilterKind::Other);
                self.look_at(&right.value, FilterKind::Other, FilterKind::Other);
            }
        }
        Ok(())
    }

    fn like(
        &mut self,
        kind: LikeKind,
        subject: &'q Expr,
        pattern: &'q Expr,
        escape: bool,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let wildcards = match kind {
            LikeKind::Like | LikeKind::Ilike if !escape => text_constant(pattern),
            // its pattern has more special characters; with another escape character it was misread
            LikeKind::Like | LikeKind::Ilike | LikeKind::SimilarTo => None,
        };
        let kind = match wildcards {
            Some(Wildcards::None) => FilterKind::Equality,
            Some(Wildcards::Trailing) => FilterKind::Prefix,
            Some(Wildcards::Anywhere) | None => FilterKind::Pattern,
        };
        self.matched(subject, pattern, kind, scope)
    }

    /// A match with a pattern. A pattern that is no constant reveals itself by what it matches.
    fn matched(
        &mut self,
        subject: &'q Expr,
        pattern: &'q Expr,
        kind: FilterKind,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let (subject, pattern) = (self.side(subject, scope)?, self.plain_side(pattern, scope)?);
        let kind = if pattern.constant { kind } else { FilterKind::Pattern };
        let composed = if subject.value.traits.varying { FilterKind::Other } else { FilterKind::Pattern };
        if !subject.constant {
            self.look_at(&subject.value, kind, composed);
        }
        if !pattern.constant {
            self.look_at(&pattern.value, FilterKind::Other, FilterKind::Other);
        }
        Ok(())
    }

    fn in_list(&mut self, subject: &'q Expr, list: &'q [Expr], scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let over = list.len() > self.limits.equality_list_max;
        if let Expr::Row(fields) = subject
            && !over
            && list.iter().all(|element| matches!(element, Expr::Row(parts) if parts.len() == fields.len()))
        {
            for element in list {
                self.equal(subject, element, scope)?;
            }
            return Ok(());
        }
        let subject = self.side(subject, scope)?;
        let mut constants = false;
        for element in list {
            let element = self.side(element, scope)?;
            match (subject.constant, element.constant) {
                (true, true) => {}
                (false, true) => constants = true,
                (true, false) => self.look_at(&element.value, FilterKind::Equality, FilterKind::Other),
                (false, false) => self.filter_equal(&subject.value, &element.value),
            }
        }
        if constants {
            let kind = if over { FilterKind::Other } else { FilterKind::Equality };
            self.look_at(&subject.value, kind, FilterKind::Other);
        }
        Ok(())
    }

    fn quantified(
        &mut self,
        subject: &'q Expr,
        operator: &Operator,
        array: &'q Expr,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let mut elements = array;
        while let Expr::Cast(inner, _) = elements {
            elements = inner;
        }
        match (comparison(operator), elements) {
            (Comparison::Equal, Expr::Array(list)) => self.in_list(subject, list, scope),
            (Comparison::Equal, Expr::Constant(Constant::Text(_))) => {
                // an array written as one string: how many elements it has is not kept
                self.filter_opaque(subject, scope)
            }
            (Comparison::Equal, _) => self.equal(subject, array, scope),
            (Comparison::Order, _) => self.order(subject, array, scope),
            (Comparison::Like | Comparison::Prefix | Comparison::Pattern, _) => {
                self.matched(subject, array, FilterKind::Pattern, scope)
            }
            (Comparison::Else, _) => {
                self.filter_opaque(subject, scope)?;
                self.filter_opaque(array, scope)
            }
        }
    }

    fn equal_to_query(
        &mut self,
        subject: &'q Expr,
        query: &Query,
        table: &Table,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let subjects: Vec<&'q Expr> = match subject {
            Expr::Row(fields) => fields.iter().collect(),
            other => vec![other],
        };
        let constant = is_constant_query(query);
        for (position, subject) in subjects.into_iter().enumerate() {
            let subject = self.side(subject, scope)?;
            let other = table.value_at(position);
            self.charge_value(&other)?;
            match (subject.constant, constant) {
                (true, true) => {}
                (false, true) => self.look_at(&subject.value, FilterKind::Equality, FilterKind::Other),
                // `'x' IN (SELECT email ...)` is `email = 'x'` of those rows
                (true, false) => self.look_at(&other, FilterKind::Equality, FilterKind::Other),
                (false, false) => self.filter_equal(&subject.value, &other),
            }
        }
        Ok(())
    }

    /// Two values that are compared for equality, neither of them a constant of the statement.
    pub(super) fn filter_equal(&mut self, left: &Value, right: &Value) {
        let (one, two) = (left.taint(), right.taint());
        let direct = |value: &Value, taint: &super::Taint| -> Vec<Source> {
            let plain = flows(taint).filter(|(_, flow)| *flow == Flow::Direct && !value.traits.ordered);
            plain.map(|(source, _)| source).collect()
        };
        let (ones, twos) = (direct(left, &one), direct(right, &two));
        self.joined_to(left, &one, right, &two, &twos);
        self.joined_to(right, &two, left, &one, &ones);
    }

    fn joined_to(
        &mut self,
        side: &Value,
        taint: &super::Taint,
        other: &Value,
        other_taint: &super::Taint,
        columns: &[Source],
    ) {
        let pure = columns.len() == other_taint.sources.len()
            && !columns.is_empty()
            && other_taint.unknown.is_none()
            && !other.traits.varying
            && other.traits.constants <= self.limits.equality_list_max
            && columns.len().saturating_mul(taint.sources.len()) <= JOIN_PAIRS_MAX;
        if !pure {
            // compared with something that is computed, or that the caller made up
            self.look_at(side, FilterKind::Other, FilterKind::Other);
            return;
        }
        for column in columns {
            self.look_at(side, FilterKind::Join(*column), FilterKind::Other);
        }
        if other.traits.constants > 0 {
            self.look_at(side, FilterKind::Equality, FilterKind::Other);
        }
    }

    /// A key of sorting.
    pub(super) fn sort(&mut self, value: &Value) {
        let mut value = value.clone();
        value.traits.ordered = false;
        let kind = if value.traits.varying { FilterKind::Other } else { FilterKind::Sort };
        self.look_at(&value, FilterKind::Sort, kind);
    }

    /// A key of grouping. Where values that the caller made up are among the stored ones, falling into one group with
    /// them is equality.
    pub(super) fn group(&mut self, value: &Value) {
        let kind = if value.traits.varying || value.traits.constants > self.limits.equality_list_max {
            FilterKind::Other
        } else if value.traits.constants > 0 {
            FilterKind::Equality
        } else {
            FilterKind::Grouping
        };
        self.look_at(value, kind, kind);
    }

    /// State that a filter looks at a value. `direct`: what it does with columns that are in it unchanged; `faithful`:
    /// with those that were put together or changed in case only. Other computed values are looked at as
    /// [`FilterKind::Other`].
    pub(super) fn look_at(&mut self, value: &Value, direct: FilterKind, faithful: FilterKind) {
        let taint = value.taint();
        if let Some(reason) = taint.unknown {
            self.found.filters_unknown.get_or_insert(reason);
        }
        for (source, flow) in flows(&taint) {
            let kind = match flow {
                Flow::Counted => FilterKind::NullTest,
                Flow::Direct if value.traits.ordered && direct != FilterKind::NullTest => FilterKind::Other,
                Flow::Direct => direct,
                // what a function without arguments returns is as good as a column
                Flow::Derived if value.traits.faithful && matches!(source, Source::Function(_)) => direct,
                Flow::Derived if value.traits.faithful && !value.traits.ordered => faithful,
                Flow::Derived => FilterKind::Other,
            };
            self.found.filters.insert(FilterUse { source, kind });
        }
    }

    pub(super) fn look_at_table(&mut self, table: &Table) {
        if let Some(reason) = table.open {
            self.found.filters_unknown.get_or_insert(reason);
        }
        for column in &table.columns {
            self.look_at(&column.value, FilterKind::Other, FilterKind::Other);
        }
    }

    fn plain_side(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Side, NotUnderstood> {
        let value = self.value(expr, scope)?;
        let constant = self.is_constant(expr) && value.taint().is_clean();
        Ok(Side { value, constant })
    }

    /// A side of an equality: `lower(c)` and `upper(c)` count as `c`.
    fn side(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Side, NotUnderstood> {
        let side = self.plain_side(expr, scope)?;
        if side.constant {
            return Ok(side);
        }
        if let Expr::Call(call) = expr
            && let Some(inner) = self.case_folded(call)
        {
            let value = self.value(inner, scope)?;
            if flows(&value.taint()).all(|(_, flow)| flow == Flow::Direct) {
                return Ok(Side { value, constant: false });
            }
        }
        Ok(side)
    }

    /// The argument of `lower` or `upper`, where that can only be PostgreSQL's own.
    fn case_folded(&self, call: &'q Call) -> Option<&'q Expr> {
        let name = &call.function.name;
        let [inner] = call.args.as_slice() else { return None };
        let mut folded = inner;
        while let Expr::Cast(cast, _) | Expr::Collate(cast) = folded {
            folded = cast;
        }
        let of_a_column = matches!(folded, Expr::Column(_) | Expr::Field(..));
        let folds = matches!(name.as_str(), "lower" | "upper") && self.is_built_in_only(&call.function);
        (of_a_column && folds && is_plain(call)).then_some(inner)
    }

    /// Whether an expression is the same for all rows and the caller knows what: constants, parameters, and immutable
    /// or per-statement functions of them. What may differ from row to row (`random()`, `nextval()`, settings) does not
    /// count, for it would be a dictionary.
    fn is_constant(&self, expr: &Expr) -> bool {
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
                _ => return false,
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
fn is_constant_query(query: &Query) -> bool {
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

/// What `LIKE` would make of a pattern that is a string constant.
fn text_constant(pattern: &Expr) -> Option<Wildcards> {
    match pattern {
        Expr::Constant(Constant::Text(wildcards)) => Some(*wildcards),
        // other types than these could read the pattern otherwise
        Expr::Cast(inner, type_name)
            if matches!(type_name.name.as_str(), "text" | "varchar") && !type_name.modified && !type_name.array =>
        {
            text_constant(inner)
        }
        _ => None,
    }
}
