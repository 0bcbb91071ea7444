//! Functions in FROM: the columns that they yield.

use std::rc::Rc;

use super::Unknown;
use super::cast::number_of;
use super::from::aliased;
use super::names::output_name;
use super::scope::{Item, Scope};
use super::value::{Column, Table, Value};
use super::walk::Walk;
use crate::catalog::{Function, Name, Oid, TypeKind};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Alias, Expr};

/// `pg_type.oid` of `tsvector`.
const TSVECTOR: u32 = 3614;

impl<'q> Walk<'q> {
    /// One call, or `ROWS FROM (...)` (`addRangeTableEntryForFunction`).
    pub(super) fn functions_item(
        &mut self,
        calls: &'q [(Expr, Vec<Name>)],
        ordinality: bool,
        alias: Option<&Alias>,
        scope: &Scope<'_, 'q>,
    ) -> Result<Item, NotUnderstood> {
        let mut table = Table::default();
        let mut whole = None;
        let mut name = None;
        for (expr, definitions) in calls {
            let own_name = output_name(expr);
            name = name.or_else(|| own_name.clone());
            let value = self.value(expr, scope)?;
            self.charge_value(&value)?;
            let given = alias.filter(|_| calls.len() == 1).map(|alias| &alias.name);
            let produced = self.function_columns(expr, &value, definitions, given.or(own_name.as_ref()), scope)?;
            match produced {
                Produced::Scalar(column) => {
                    // the whole of a scalar function is its value, no row
                    whole = (calls.len() == 1 && !ordinality).then(|| Rc::clone(&column.value));
                    table.columns.push(column);
                }
                Produced::Columns(columns) => {
                    self.charge(columns.len())?;
                    table.columns.extend(columns);
                }
                Produced::NotKnown(value) => {
                    table.columns.push(Column::new(None, value));
                    table.open = Some(Unknown::Type);
                    table.ragged = true;
                }
            }
        }
        if ordinality {
            table.columns.push(Column::new(Some(Name::exact("ordinality")), Value::computed(super::Taint::clean())));
        }
        let mut item = Item::new(name, table);
        item.whole = whole;
        Ok(match alias {
            Some(alias) => aliased(item, alias),
            None => item,
        })
    }

    fn function_columns(
        &mut self,
        expr: &'q Expr,
        value: &Value,
        definitions: &[Name],
        name: Option<&Name>,
        scope: &Scope<'_, 'q>,
    ) -> Result<Produced, NotUnderstood> {
        let part = || Value { origin: value.origin.flattened(), fields: None, type_oid: None, ..value.clone() };
        if !definitions.is_empty() {
            let columns = definitions.iter().map(|name| Column::new(Some(name.clone()), part()));
            return Ok(Produced::Columns(columns.collect()));
        }
        let Expr::Call(call) = expr else {
            return Ok(Produced::Scalar(Column::new(name.cloned(), value.clone())));
        };
        if call.special {
            return Ok(Produced::Scalar(Column::new(name.cloned(), value.clone())));
        }
        if call.function.name.as_str() == "unnest" && self.is_built_in_only(&call.function) {
            return self.unnested(&call.args, name, scope);
        }
        if let Some(fields) = value.fields(self.catalog) {
            let columns = fields.into_iter().map(|(name, field)| Column::new(Some(name), field));
            return Ok(Produced::Columns(columns.collect()));
        }
        let candidates = self.functions_of(&call.function);
        let in_doubt = self.catalog.doubt().routine(call.function.schema.as_ref(), &call.function.name).is_some();
        if in_doubt || (candidates.is_empty() && value.taint().unknown.is_some()) {
            return Ok(Produced::NotKnown(part()));
        }
        let composite = |function: &&&Function| {
            function.outputs.len() > 1 || super::value::composite_relation(self.catalog, function.returns).is_some()
        };
        if candidates.iter().any(|function| composite(&function)) {
            // functions of this name yield different columns
            return Ok(Produced::NotKnown(part()));
        }
        // a single OUT argument lends its name
        let mut lent = candidates.iter().map(|function| match function.outputs.as_slice() {
            [(name, _)] if !name.as_str().is_empty() => Some(name.clone()),
            _ => None,
        });
        let first = lent.next().flatten();
        let agreed = lent.all(|other| other == first);
        if !agreed {
            return Ok(Produced::NotKnown(part()));
        }
        Ok(Produced::Scalar(Column::new(first.or_else(|| name.cloned()), value.clone())))
    }

    /// `unnest` in FROM: one column for each array, or the fields of an array of rows.
    fn unnested(
        &mut self,
        args: &'q [Expr],
        name: Option<&Name>,
        scope: &Scope<'_, 'q>,
    ) -> Result<Produced, NotUnderstood> {
        let mut columns = Vec::new();
        let mut scalar = args.len() == 1;
        for arg in args {
            let value = self.value(arg, scope)?;
            self.charge_value(&value)?;
            let value = self.elements(arg, value, scope)?;
            if value.type_oid.is_some_and(|oid| oid.0 == TSVECTOR) {
                scalar = false;
                let part = Value::computed(value.taint());
                for name in ["lexeme", "positions", "weights"] {
                    columns.push(Column::new(Some(Name::exact(name)), part.clone()));
                }
                continue;
            }
            match value.fields(self.catalog) {
                Some(fields) => {
                    scalar = false;
                    columns.extend(fields.into_iter().map(|(name, field)| Column::new(Some(name), field)));
                }
                None => {
                    let column = if args.len() == 1 { name.cloned() } else { Some(Name::exact("unnest")) };
                    let element = Value { type_oid: self.element_type(&value), ..value };
                    columns.push(Column::new(column, element));
                }
            }
        }
        Ok(match (scalar, columns.len()) {
            (true, 1) => columns.pop().map_or(Produced::Columns(Vec::new()), Produced::Scalar),
            _ => Produced::Columns(columns),
        })
    }

    /// What `unnest` makes of an argument: what is given as it is keeps being that, element by element, but for what casts of the array
    /// do to its elements.
    fn elements(&mut self, arg: &'q Expr, value: Value, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let (mut inner, mut converted, mut numbers) = (arg, false, Vec::new());
        while let Expr::Cast(of, to) = inner
            && (to.array || number_of(to).is_some())
        {
            converted |= to.array;
            numbers.extend(number_of(to));
            inner = of;
        }
        let type_oid = value.type_oid;
        let mut elements = match inner {
            Expr::Parameter(_) if value.taint().sources.is_empty() => self.value(inner, scope)?.element(),
            Expr::Array(of) if value.taint().is_clean() && !of.iter().any(|of| matches!(of, Expr::Array(_))) => {
                let mut listed = self.value(inner, scope)?;
                listed.traits.nested = false;
                listed
            }
            _ => return Ok(value),
        };
        elements.traits.converted |= converted;
        let elements = numbers.into_iter().rev().fold(elements, |elements, number| self.numbered(elements, number));
        Ok(Value { type_oid, ..elements })
    }

    fn element_type(&self, value: &Value) -> Option<Oid> {
        let described = self.catalog.type_of(value.type_oid?)?;
        if let TypeKind::Array(element) = described.kind { Some(element) } else { None }
    }
}

/// What a call in FROM yields.
enum Produced {
    /// One column, whose value is the function's.
    Scalar(Column),
    /// The fields of its rows.
    Columns(Vec<Column>),
    /// Columns that are not known.
    NotKnown(Value),
}
