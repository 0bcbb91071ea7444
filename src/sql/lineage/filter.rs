//! What filters do with columns: conditions, keys of sorting and grouping, joins.
//!
//! The kinds say what a caller who chooses the constants can learn. What is not plainly one of the harmless forms is
//! [`FilterKind::Other`].

use super::constants::{is_constant_query, text_constant};
use super::scope::Scope;
use super::value::{Table, Value, flows};
use super::walk::Walk;
use super::{FilterKind, Flow, Standing};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Constant, Expr, LikeKind, Operator, Query, Wildcards};

/// One side of a comparison.
struct Side {
    value: Value,
    /// Whether it is the same for all rows and known to the caller: constants, parameters, and what is made of them.
    constant: bool,
    /// Whether it is compared as it was stored or given.
    exact: bool,
    /// The entry of FROM whose column it is, if it is one of a table's.
    standing: Option<Standing>,
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
            if let Expr::Logic(_, parts) = expr {
                waiting.extend(parts);
            } else if let Expr::Test(inner) = expr {
                waiting.push(inner);
            } else {
                self.test(expr, scope)?;
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
            Expr::Column(_)
            | Expr::Star(_)
            | Expr::Default
            | Expr::Call(_)
            | Expr::Logic(..)
            | Expr::Test(_)
            | Expr::Subquery(_)
            | Expr::ArrayQuery(_)
            | Expr::Array(_)
            | Expr::Row(_)
            | Expr::Case(..)
            | Expr::Cast(..)
            | Expr::Collate(_)
            | Expr::AtTimeZone(..)
            | Expr::Subscript(..)
            | Expr::Field(..) => self.filter_opaque(expr, scope)?,
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
        self.equal_sides(&left, &right);
        Ok(())
    }

    fn equal_sides(&mut self, left: &Side, right: &Side) {
        match (left.constant, right.constant) {
            (true, true) => {}
            (true, false) => self.equal_to_given(right, left),
            (false, true) => self.equal_to_given(left, right),
            (false, false) => self.equal_stored(left, right),
        }
    }

    /// A comparison with what the caller gives.
    fn equal_to_given(&mut self, stored: &Side, given: &Side) {
        if stored.exact && given.exact && stored.value.taint().parameters.is_empty() {
            self.exactly(|walk| walk.look_at(&stored.value, FilterKind::Equality, FilterKind::Other));
            self.compared_with_given(&stored.value, &given.value, None, stored.standing.as_ref());
        } else {
            self.look_at(&stored.value, FilterKind::Equality, FilterKind::Other);
        }
    }

    /// A comparison with values of rows that the statement makes up: as many as it likes.
    fn equal_to_made_up(&mut self, stored: &Side, given: &Side) {
        let looked = |walk: &mut Self| walk.look_at(&stored.value, FilterKind::MadeUp, FilterKind::Other);
        if stored.exact && given.exact && stored.value.taint().parameters.is_empty() {
            self.exactly(looked);
            self.compared_with_row(&stored.value, &given.value);
        } else {
            looked(self);
            self.look_at(&given.value, FilterKind::Other, FilterKind::Other);
        }
    }

    fn equal_stored(&mut self, left: &Side, right: &Side) {
        match (left.value.is_constant(), right.value.is_constant()) {
            (true, false) => return self.equal_to_made_up(right, left),
            (false, true) => return self.equal_to_made_up(left, right),
            (true, true) | (false, false) => {}
        }
        self.filter_equal(&left.value, &right.value);
        if !(left.exact && right.exact) {
            let sides = [&left.value, &right.value].map(Value::taint);
            self.found.inexact.extend(sides.iter().flat_map(|taint| taint.sources.keys().copied()));
        }
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
        let plain = match kind {
            LikeKind::Like | LikeKind::Ilike => !escape,
            // its pattern has more special characters; with another escape character it was misread
            LikeKind::SimilarTo => false,
        };
        let (wildcards, parameter) =
            if plain { (text_constant(pattern), self.pattern_parameter(pattern)) } else { (None, None) };
        let kind = match (wildcards, parameter) {
            (Some(Wildcards::None | Wildcards::Modest | Wildcards::Separator), _) => FilterKind::Equality,
            (Some(Wildcards::Trailing), _) => FilterKind::Prefix,
            (None, Some(parameter)) => FilterKind::Like(parameter),
            (Some(Wildcards::Anywhere | Wildcards::Format | Wildcards::Path | Wildcards::Dangling), _)
            | (None, None) => FilterKind::Pattern,
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
        let (mut constants, mut exact) = (0usize, subject.exact);
        for element in list {
            let element = self.side(element, scope)?;
            match (subject.constant, element.constant) {
                (false, true) => {
                    constants += 1;
                    exact &= element.exact;
                    if subject.exact && element.exact {
                        let standing = subject.standing.as_ref();
                        self.compared_with_given(&subject.value, &element.value, None, standing);
                    }
                }
                _ => self.equal_sides(&subject, &element),
            }
        }
        if constants > 0 {
            let looked = |walk: &mut Self| walk.look_at(&subject.value, FilterKind::Equality, FilterKind::Other);
            if exact && subject.value.taint().parameters.is_empty() {
                self.exactly(looked)
            } else {
                looked(self)
            }
            for (source, _) in flows(&subject.value.taint()) {
                *self.equalities.entry(source).or_default() += constants - 1;
                *self.found.looks.entry(source).or_default() += constants - 1;
            }
        }
        Ok(())
    }

    /// The columns in a comparison for equality, with each other or with what the caller gives, all as they are, whose outcome is a
    /// value: what that tells is looked at with the value.
    pub(super) fn compared_columns(
        &mut self,
        expr: &'q Expr,
        scope: &Scope<'_, 'q>,
    ) -> Result<Vec<&'q Expr>, NotUnderstood> {
        let is_equal = |operator: &Operator| matches!(comparison(operator), Comparison::Equal);
        let two = match expr {
            Expr::Operator(operator, operands) if is_equal(operator) => match operands.as_slice() {
                [one, other] => Some((one, other)),
                _ => None,
            },
            Expr::DistinctFrom(one, other) => Some((one.as_ref(), other.as_ref())),
            _ => None,
        };
        let (column, given) = match (expr, two) {
            (_, Some((one @ Expr::Column(_), other @ Expr::Column(_)))) => {
                return self.compared_with_each_other(one, other, scope);
            }
            (_, Some((column @ Expr::Column(_), given) | (given, column @ Expr::Column(_)))) => (column, vec![given]),
            (Expr::InList(column, list), _) => (column.as_ref(), list.iter().collect()),
            (Expr::Quantified(column, operator, array), _) if is_equal(operator) => match array.as_ref() {
                Expr::Array(list) => (column.as_ref(), list.iter().collect()),
                given @ Expr::Parameter(number) => {
                    let known = self.compared_with_each(column, &[given], Some(*number), scope)?;
                    return Ok(if known { vec![column] } else { Vec::new() });
                }
                _ => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        let known = self.compared_with_each(column, &given, None, scope)?;
        Ok(if known { vec![column] } else { Vec::new() })
    }

    /// Account for the comparison of a column with values that the caller gives, all as they are; `elements`: with those of that
    /// parameter. `false`: they are not.
    pub(super) fn compared_with_each(
        &mut self,
        column: &'q Expr,
        given: &[&'q Expr],
        elements: Option<u32>,
        scope: &Scope<'_, 'q>,
    ) -> Result<bool, NotUnderstood> {
        // What is looked at twice here has to look at nothing itself.
        let is_given = |given: &&Expr| matches!(given, Expr::Constant(_) | Expr::Parameter(_));
        if !matches!(column, Expr::Column(_)) || !given.iter().all(is_given) {
            return Ok(false);
        }
        let side = self.plain_side(column, scope)?;
        if side.constant || !side.exact || !side.value.taint().parameters.is_empty() {
            return Ok(false);
        }
        for given in given {
            let value = if elements.is_some() { Value::null() } else { self.value(given, scope)? };
            self.compared_with_given(&side.value, &value, elements, side.standing.as_ref());
            if let Expr::Parameter(number) = given {
                self.found.compared_given.insert(*number);
            }
        }
        Ok(true)
    }

    /// The same of two columns. One of them may be of rows that the statement makes up (`excluded.email`).
    fn compared_with_each_other(
        &mut self,
        one: &'q Expr,
        other: &'q Expr,
        scope: &Scope<'_, 'q>,
    ) -> Result<Vec<&'q Expr>, NotUnderstood> {
        let (left, right) = (self.plain_side(one, scope)?, self.plain_side(other, scope)?);
        let (stored, given) = match (left.value.is_constant(), right.value.is_constant()) {
            (true, true) => return Ok(Vec::new()),
            (false, true) => (left, right),
            (true, false) => (right, left),
            (false, false) => {
                let known = self.compared_as_stored(&left.value, &right.value);
                return Ok(if known { vec![one, other] } else { Vec::new() });
            }
        };
        if !stored.exact || !stored.value.taint().parameters.is_empty() {
            return Ok(Vec::new());
        }
        if !given.exact {
            // What is not given as it is has no envelope to be compared with.
            self.found.inexact.extend(stored.value.taint().sources.keys());
        }
        self.compared_with_row(&stored.value, &given.value);
        Ok(vec![one, other])
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
            (Comparison::Equal, Expr::Constant(Constant::Text(..))) => {
                // an array written as one string: how many elements it has is not kept
                self.filter_opaque(subject, scope)
            }
            (Comparison::Equal, Expr::Parameter(number)) => {
                let side = self.side(subject, scope)?;
                if !side.constant {
                    let looked =
                        |walk: &mut Self| walk.look_at(&side.value, FilterKind::Any(*number), FilterKind::Other);
                    if side.exact && matches!(array, Expr::Parameter(_)) && side.value.taint().parameters.is_empty() {
                        self.exactly(looked);
                        let standing = side.standing.as_ref();
                        self.compared_with_given(&side.value, &Value::null(), Some(*number), standing);
                    } else {
                        looked(self);
                    }
                }
                Ok(())
            }
            (Comparison::Equal, _) if self.is_constant(array) => {
                // an array that is put together in the statement: how many elements it has is not known
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
            // `'x' IN (SELECT email ...)` is `email = 'x'` of those rows
            let exact = self.is_exact(&other);
            self.equal_sides(&subject, &Side { value: other, constant, exact, standing: None });
        }
        Ok(())
    }

    fn plain_side(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Side, NotUnderstood> {
        let value = self.value(expr, scope)?;
        let constant = self.is_constant(expr) && value.taint().is_clean();
        let exact = self.is_exact(&value);
        Ok(Side { value, constant, exact, standing: standing(expr, scope) })
    }

    /// A side of an equality: `lower(c)`, `upper(c)` and `trim(c)` count as `c`.
    fn side(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Side, NotUnderstood> {
        let side = self.plain_side(expr, scope)?;
        if side.constant {
            return Ok(side);
        }
        if let Expr::Call(call) = expr
            && let Some(inner) = self.folded(call)
        {
            let value = self.value(inner, scope)?;
            if flows(&value.taint()).all(|(_, flow)| flow == Flow::Direct) {
                return Ok(Side { value, constant: false, exact: false, standing: None });
            }
        }
        Ok(side)
    }
}

/// The entry of FROM that a reference means, where that is a table under its own column names, and can be called by its name
/// at that place. Casts show the same column.
fn standing(expr: &Expr, scope: &Scope<'_, '_>) -> Option<Standing> {
    let mut expr = expr;
    while let Expr::Cast(inner, _) = expr {
        expr = inner;
    }
    let Expr::Column(parts) = expr else { return None };
    let item = match parts.as_slice() {
        [column] => scope.item_with(column)?,
        [qualifiers @ .., _] => match Walk::items_named(qualifiers, scope)?.as_slice() {
            [item] => *item,
            _ => return None,
        },
        [] => return None,
    };
    let entry = item.name.as_ref().filter(|_| item.name_visible)?;
    let [called] = *scope.item(None, entry)?.as_slice() else { return None };
    std::ptr::eq(called, item).then(|| Some(Standing { relation: item.relation?, entry: entry.clone() }))?
}
