//! What lineage knows of a value while it walks: its origin, and what it needs to judge further uses.

use std::rc::Rc;

use super::{Flow, Origin, Taint, Unknown};
use crate::catalog::{Catalog, Name, Oid, TypeKind};

/// A scalar or composite value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// What it is made of; arrays as their elements.
    pub origin: Origin,
    /// Its fields, where it is a row (or an array of rows) that was put together in the statement.
    pub fields: Option<Rc<[Field]>>,
    /// Its type, where that is known. Kept to find the fields of composite values and to tell casts that change nothing.
    pub type_oid: Option<Oid>,
    /// What a filter on it could learn beyond a filter on its sources.
    pub traits: Traits,
}

/// What is known of a field of a row beside its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: Name,
    pub type_oid: Option<Oid>,
    pub fields: Option<Rc<[Self]>>,
}

impl Field {
    /// A field of which only the name is known.
    pub fn named(name: Name) -> Self {
        Self { name, type_oid: None, fields: None }
    }
}

/// What a filter on a value could learn beyond a filter on the columns that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    /// How many constants may stand in the place of a stored value (`UNION ALL SELECT 'x'`, `coalesce(c, 'x')`).
    pub constants: usize,
    /// Whether values that are neither stored nor constant may (counters, generated dictionaries).
    pub varying: bool,
    /// Whether that is so only because it is now this, now that one of the values that the statement gives.
    pub picked: bool,
    /// Whether it was picked by comparing values (`max`): to look at it is to learn their order.
    pub ordered: bool,
    /// Whether two such values are equal only where the stored values are, but for case and blanks. True of a column;
    /// kept by concatenation and `lower`.
    pub faithful: bool,
    /// Whether the number of its elements or keys does not depend on what is in it (`ARRAY[...]`, `to_json(row)`).
    pub shaped: bool,
    /// Whether it is a document all of whose form is written in the statement: of stored values there are none in it but
    /// texts, numbers and the like.
    pub formed: bool,
    /// Whether it is a constant that nothing but separators are found by.
    pub separator: bool,
    /// Whether it is a constant path that finds as much in a document whatever values are in it.
    pub path: bool,
    /// Whether it is a stored value as it is, or what was made of it leaves a caller nothing to choose (`length(email)`):
    /// whether something fails that it goes into tells of the stored value only what that something always tells.
    pub steady: bool,
    /// Whether it is no larger than the stored value, but for numbers of everyday size: it is steady, or such a number was
    /// added to it, or it was divided by one.
    pub tame: bool,
    /// Whether it was put together of steady texts and constants (`'<a>' || email || '</a>'`).
    pub composed: bool,
    /// Whether it was compared with something for equality and is NULL where it is equal: `nullif(email, '')`.
    pub compared: bool,
    /// Whether it went through something that may have changed how it is written: a cast, a choice by order, a place in an array
    /// that was given as one.
    pub converted: bool,
    /// Whether its type has no length or precision, whatever its column's has: a choice among others, what a function returns.
    pub unlimited: bool,
    /// Whether it is an element of an array that is given as a parameter: the parameters in it are such arrays.
    pub element: bool,
    /// Whether it was cast to `text`, or may be a value that was.
    pub as_text: bool,
    /// Whether computing it may fail, for some rows and not for others.
    pub fails: bool,
    /// Whether something that the caller made up may be in it which is not of everyday size (`1e308`, a parameter).
    pub edge: bool,
    /// Whether it may be an array, a row or a document.
    pub nested: bool,
    /// Whether it may be an array of several dimensions, a row, a document or a figure of the caller's making: what works for
    /// one fails for the next.
    pub odd: bool,
    /// Whether it may be NULL where what it was computed of is not: that a function is not called for NULL tells which.
    pub gaps: bool,
    /// Whether the statement or its column gives it a collation: with another such value it may not be comparable, which is an
    /// error where neither is NULL.
    pub collated: bool,
    /// How many times as long as the values that it was made of it may be.
    pub growth: u32,
    /// What sort of scalar it is, where it was computed and that is known.
    pub sort: Option<Sort>,
}

/// The sort of a computed scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A type, by its OID.
    Type(Oid),
    /// An integer that is small whatever the value: a length, the code of a letter.
    Small,
}

impl Default for Traits {
    fn default() -> Self {
        Self::STORED
    }
}

impl Traits {
    const STORED: Self = Self {
        constants: 0,
        varying: false,
        picked: false,
        ordered: false,
        faithful: true,
        shaped: false,
        formed: false,
        separator: false,
        path: false,
        steady: true,
        tame: true,
        composed: true,
        compared: false,
        converted: false,
        unlimited: false,
        element: false,
        as_text: false,
        fails: false,
        edge: false,
        nested: false,
        odd: false,
        gaps: false,
        collated: false,
        growth: 1,
        sort: None,
    };

    /// Whether it varies by no more than which of the values that the statement gives it is.
    fn is_given(&self) -> bool {
        !self.varying || self.picked
    }

    pub fn merged(self, other: Self) -> Self {
        Self {
            constants: self.constants.saturating_add(other.constants),
            varying: self.varying || other.varying,
            picked: (self.picked || other.picked) && self.is_given() && other.is_given(),
            ordered: self.ordered || other.ordered,
            faithful: self.faithful && other.faithful,
            shaped: self.shaped && other.shaped,
            formed: self.formed && other.formed,
            separator: self.separator && other.separator,
            path: self.path && other.path,
            steady: self.steady && other.steady,
            tame: self.tame && other.tame,
            composed: self.composed && other.composed,
            compared: self.compared || other.compared,
            converted: self.converted || other.converted,
            unlimited: self.unlimited || other.unlimited,
            element: self.element || other.element,
            as_text: self.as_text || other.as_text,
            fails: self.fails || other.fails,
            edge: self.edge || other.edge,
            nested: self.nested || other.nested,
            odd: self.odd || other.odd,
            gaps: self.gaps || other.gaps,
            collated: self.collated || other.collated,
            growth: self.growth.max(other.growth),
            sort: self.sort.filter(|sort| Some(*sort) == other.sort),
        }
    }
}

impl Value {
    /// A stored value (or one taken over from somewhere) with that taint.
    pub fn stored(taint: Taint, type_oid: Option<Oid>) -> Self {
        Self { origin: Origin::Value(taint), fields: None, type_oid, traits: Traits::STORED }
    }

    /// `NULL`, or a value that no filter learns anything from.
    pub fn null() -> Self {
        Self::stored(Taint::clean(), None)
    }

    /// A constant or parameter.
    pub fn constant() -> Self {
        Self { traits: Traits { constants: 1, unlimited: true, ..Traits::STORED }, ..Self::null() }
    }

    /// A parameter.
    pub fn parameter(number: u32) -> Self {
        Self { origin: Origin::Value(Taint::parameter(number)), ..Self::constant() }
    }

    /// The same constant, made of what is given.
    pub fn made_of(self, taint: Taint) -> Self {
        Self { origin: Origin::Value(taint), ..self }
    }

    /// Something that is computed from values with that taint.
    pub fn computed(taint: Taint) -> Self {
        let taint = taint.derived();
        let traits = Traits {
            varying: taint.is_clean(),
            faithful: false,
            steady: false,
            tame: false,
            composed: false,
            // what was computed of nothing is the caller's own making
            edge: taint.is_clean(),
            ..Traits::STORED
        };
        Self { origin: Origin::Value(taint), fields: None, type_oid: None, traits }
    }

    /// Not known.
    pub fn unknown(reason: Unknown) -> Self {
        Self::stored(Taint::unknown(reason), None)
    }

    /// A row of named fields.
    pub fn row(fields: Vec<(Name, Self)>, type_oid: Option<Oid>) -> Self {
        let traits = fields.iter().fold(Traits::STORED, |all, (_, field)| all.merged(field.traits));
        let traits = Traits { nested: true, ..traits };
        let (known, origins): (Vec<Field>, Vec<Origin>) = fields
            .into_iter()
            .map(|(name, value)| (Field { name, type_oid: value.type_oid, fields: value.fields }, value.origin))
            .unzip();
        Self { origin: Origin::Row(origins), fields: Some(known.into()), type_oid, traits }
    }

    /// All that it is made of.
    pub fn taint(&self) -> Taint {
        self.origin.taint()
    }

    /// How many values of the caller's own making it may be: [`super::Write::made_up`].
    pub fn made_up(&self) -> usize {
        match self.traits.varying || !self.taint().parameters.is_empty() {
            true => usize::MAX,
            false => self.traits.constants,
        }
    }

    /// It is now this, now that one of the values that the statement gives.
    pub fn pick(&mut self) {
        self.traits.picked = self.traits.is_given();
        self.traits.varying = true;
    }

    /// Whether it is made of stored values and of parameters, each as it was stored or given, and of nothing else but NULL: so
    /// that it still says the same where all of them are encrypted. (An array of such is, too.)
    pub fn is_as_given(&self) -> bool {
        !self.traits.varying && self.is_one_as_given() && flows(&self.taint()).all(|(_, flow)| flow != Flow::Derived)
    }

    /// The same of one of several such values, whatever decides which one it is.
    pub fn is_one_as_given(&self) -> bool {
        let taint = self.taint();
        self.is_unaltered()
            && self.traits.is_given()
            && flows(&taint).all(|(source, flow)| flow != Flow::Derived || taint.deciding.contains(&source))
            && taint.parameters.values().all(|flow| *flow == Flow::Direct)
            && self.traits.constants <= taint.parameters.len()
    }

    /// Whether the stored values that flow into it directly are as they are stored. There may be other values in their place.
    pub fn is_unaltered(&self) -> bool {
        let Traits { converted, ordered, compared, .. } = self.traits;
        self.taint().unknown.is_none() && !(converted || ordered || compared)
    }

    /// Whether it holds only part of a stored value's meaning: a constant, a parameter, NULL.
    pub fn is_constant(&self) -> bool {
        !self.traits.varying && self.taint().is_clean()
    }

    /// Either of two values, as CASE results and set operation arms.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        if self.is_null() {
            return other;
        }
        if other.is_null() {
            return self;
        }
        // parameters of which some are arrays of what is meant are not told apart
        let given = |value: &Self| !value.taint().parameters.is_empty();
        let mixed = self.traits.element != other.traits.element && given(&self) && given(&other);
        let type_oid = match (self.type_oid, other.type_oid) {
            (Some(one), Some(two)) if one != two => None,
            (one, two) => one.or(two),
        };
        let fields = match (self.fields, other.fields) {
            (Some(one), Some(two)) if one.len() != two.len() => None,
            (one, two) => one.or(two),
        };
        // two rows may have fields of different types
        let rows = matches!((&self.origin, &other.origin), (Origin::Row(_), Origin::Row(_)));
        let traits = self.traits.merged(other.traits);
        let traits = Traits { odd: traits.odd || rows, converted: traits.converted || mixed, ..traits };
        Self { origin: merged_origins(self.origin, other.origin), fields, type_oid, traits }
    }

    /// Whether it is one parameter as it is, so that it is an array where one is needed.
    pub fn is_given_array(&self) -> bool {
        let taint = self.taint();
        taint.sources.is_empty() && taint.parameters.len() == 1 && self.is_as_given() && !self.traits.element
    }

    /// An element of the array that it is.
    #[must_use]
    pub fn element(mut self) -> Self {
        (self.traits.element, self.traits.nested) = (true, false);
        self
    }

    /// Either of two values that the statement writes side by side: NULL among them has no length or precision (`exprTypmod`).
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self.is_null(), other.is_null()) {
            (true, false) => other.unlimited(),
            (false, true) => self.unlimited(),
            (true, true) | (false, false) => self.merged(other),
        }
    }

    /// The same without the length or precision of its type.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.traits.unlimited |= !self.is_null();
        self
    }

    /// Whether it is `NULL`, or something that no filter learns anything from.
    pub fn is_null(&self) -> bool {
        Traits { nested: false, ..self.traits } == Traits::STORED
            && self.fields.is_none()
            && matches!(&self.origin, Origin::Value(taint) if taint.is_clean())
    }

    /// The same value, chosen or reached by something with that taint.
    #[must_use]
    pub fn influenced(mut self, by: &Taint) -> Self {
        if by.is_clean() {
            return self;
        }
        let mut taint = self.taint();
        // What it was chosen by is not in it; only what that tells.
        taint.join(&by.clone().decides());
        self.origin = Origin::Value(taint);
        let (shaped, formed) = (false, false);
        self.traits =
            Traits { faithful: false, steady: false, tame: false, composed: false, shaped, formed, ..self.traits };
        self
    }

    /// Whether what it is made of is one column and nothing beside it, so that the largest of them is one of its values
    /// and no comparison with something that the caller knows.
    pub fn is_one_source(&self) -> bool {
        let taint = self.taint();
        taint.sources.len() <= 1 && self.traits.constants == 0 && !self.traits.varying && taint.unknown.is_none()
    }

    /// Its fields in order, where it is composite and they are known.
    pub fn fields(&self, catalog: &Catalog) -> Option<Vec<(Name, Self)>> {
        match (&self.origin, &self.fields) {
            (Origin::Row(origins), Some(known)) => {
                Some(known.iter().zip(origins).map(|(field, origin)| self.part(field, origin.clone())).collect())
            }
            (Origin::Value(_), Some(known)) => {
                Some(known.iter().map(|field| self.part(field, self.origin.clone())).collect())
            }
            (origin, None) => {
                let relation = composite_relation(catalog, self.type_oid?)?;
                let columns = catalog.relation(relation)?.columns.iter().map(|column| Field {
                    name: column.name.clone(),
                    type_oid: Some(column.type_oid),
                    fields: None,
                });
                Some(match origin {
                    Origin::Row(origins) if origins.len() == columns.len() => {
                        columns.zip(origins).map(|(field, origin)| self.part(&field, origin.clone())).collect()
                    }
                    Origin::Row(_) | Origin::Value(_) => {
                        columns.map(|field| self.part(&field, origin.flattened())).collect()
                    }
                })
            }
        }
    }

    fn part(&self, field: &Field, origin: Origin) -> (Name, Self) {
        let (type_oid, fields) = (field.type_oid, field.fields.clone());
        (field.name.clone(), Self { origin, fields, type_oid, traits: Traits { sort: None, ..self.traits } })
    }

    /// What sort of scalar it is, where that is known.
    pub fn sort(&self) -> Option<Sort> {
        self.type_oid.map(Sort::Type).or(self.traits.sort)
    }
}

/// The relation that holds the columns of a composite type, also below arrays and domains.
pub(super) fn composite_relation(catalog: &Catalog, type_oid: Oid) -> Option<Oid> {
    let mut oid = type_oid;
    // arrays of domains over arrays ... of rows: deeper than anyone builds
    for _ in 0..16 {
        match catalog.type_of(oid)?.kind {
            TypeKind::Composite(relation) => return Some(relation),
            TypeKind::Array(inner) | TypeKind::Domain(inner) => oid = inner,
            TypeKind::Base | TypeKind::Enum(_) | TypeKind::Range(_) | TypeKind::Multirange(_) | TypeKind::Pseudo => {
                return None;
            }
        }
    }
    None
}

fn merged_origins(one: Origin, two: Origin) -> Origin {
    match (one, two) {
        (Origin::Row(left), Origin::Row(right)) if left.len() == right.len() => {
            Origin::Row(left.into_iter().zip(right).map(|(one, two)| merged_origins(one, two)).collect())
        }
        (Origin::Row(fields), Origin::Value(taint)) | (Origin::Value(taint), Origin::Row(fields))
            if taint.is_clean() && taint.parameters.is_empty() =>
        {
            Origin::Row(fields)
        }
        (Origin::Value(mut left), Origin::Value(right)) => {
            left.join(&right);
            Origin::Value(left)
        }
        (one, two) => {
            let mut taint = one.taint();
            taint.join(&two.taint());
            Origin::Value(taint)
        }
    }
}

/// The flows of a taint's sources, for those who judge them one by one.
pub(super) fn flows(taint: &Taint) -> impl Iterator<Item = (super::Source, Flow)> + '_ {
    taint.sources.iter().map(|(&source, &flow)| (source, flow))
}

/// A column of something in FROM, or of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name; `None`: not predicted, so nothing can refer to it by name.
    pub name: Option<Name>,
    /// Its values.
    pub value: Rc<Value>,
    /// Whether it is there for certain: a relation name that may mean several relations has columns that only some have.
    pub certain: bool,
}

/// The columns of something in FROM, or of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// The columns in order.
    pub columns: Vec<Column>,
    /// Set where there may be columns that are not listed, and why.
    pub open: Option<Unknown>,
    /// Whether positions can not be relied on.
    pub ragged: bool,
    /// The relation of which each of its rows is one row, where that is known.
    pub rows_of: Option<Oid>,
}

impl Column {
    pub fn new(name: Option<Name>, value: Value) -> Self {
        Self { name, value: Rc::new(value), certain: true }
    }
}

impl Table {
    /// The columns of something that is not known.
    pub fn unknown(reason: Unknown) -> Self {
        Self { columns: Vec::new(), open: Some(reason), ragged: true, rows_of: None }
    }

    /// Everything in it taken together.
    pub fn taint(&self) -> Taint {
        let mut all = Taint { unknown: self.open, ..Taint::clean() };
        for column in &self.columns {
            all.join(&column.value.taint());
        }
        all
    }

    /// The value at a position.
    pub fn value_at(&self, position: usize) -> Value {
        match self.columns.get(position) {
            Some(column) if !self.ragged => column.value.as_ref().clone(),
            _ if self.ragged => self.any_value(),
            _ => Value::unknown(Unknown::Column),
        }
    }

    /// Any of its values.
    pub fn any_value(&self) -> Value {
        let start = match self.open {
            Some(reason) => Value::unknown(reason),
            None => Value::null(),
        };
        let mut value = self.columns.iter().fold(start, |all, column| all.merged(column.value.as_ref().clone()));
        value.origin = value.origin.flattened();
        value.fields = None;
        value.type_oid = None;
        value
    }

    /// A row of it.
    pub fn row(&self, type_oid: Option<Oid>) -> Value {
        if self.ragged || self.columns.iter().any(|column| column.name.is_none()) {
            return if self.ragged {
                self.any_value()
            } else {
                let mut row = Value::row(
                    self.columns.iter().map(|column| (Name::exact(""), column.value.as_ref().clone())).collect(),
                    type_oid,
                );
                // names that are not predicted can not be referred to; positions still count
                row.fields = None;
                row
            };
        }
        let fields = self
            .columns
            .iter()
            .filter_map(|column| column.name.clone().map(|name| (name, column.value.as_ref().clone())));
        Value::row(fields.collect(), type_oid)
    }

    /// The columns under new names, as `AS t(a, b)` gives them.
    pub fn renamed(mut self, names: &[Name]) -> Self {
        if self.ragged && !names.is_empty() {
            let any = Rc::new(self.any_value());
            let mut columns: Vec<Column> = names
                .iter()
                .map(|name| Column { name: Some(name.clone()), value: Rc::clone(&any), certain: true })
                .collect();
            for column in self.columns {
                columns.push(Column { value: Rc::clone(&any), certain: false, ..column });
            }
            return Self { columns, ..self };
        }
        for (column, name) in self.columns.iter_mut().zip(names) {
            column.name = Some(name.clone());
        }
        self
    }
}
