//! What names mean at one place of a statement (PostgreSQL's `parse_relation.c`).

use std::cell::RefCell;
use std::rc::Rc;

use super::Unknown;
use super::value::{Table, Value};
use crate::catalog::{Name, Oid};
use crate::sql::tree::Cte;

/// One entry of a FROM list as names see it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The name that qualifies its columns; `None`: it has none (a join, a sub-select without alias).
    pub name: Option<Name>,
    /// Where it is a relation without alias: the schemas that it may be in, by which it can be qualified too.
    pub schemas: Rc<[Name]>,
    /// Its columns.
    pub table: Rc<Table>,
    /// Whether its name may be used.
    pub name_visible: bool,
    /// Whether its columns may be used without its name, and are in a star.
    pub columns_visible: bool,
    /// Whether it has system columns (`ctid`, `xmin`).
    pub system_columns: bool,
    /// What a reference to the whole of it is: the row of its columns, unless it is a scalar function.
    pub whole: Option<Rc<Value>>,
    /// The composite type of its rows.
    pub row_type: Option<Oid>,
    /// Where it is a relation under the names of its own columns: its place in [`super::Lineage::references`].
    pub reference: Option<usize>,
    /// The relation that it is, if it is one for certain and its columns go by their own names.
    pub relation: Option<Oid>,
}

impl Item {
    /// Something with columns under a name.
    pub fn new(name: Option<Name>, table: Table) -> Self {
        Self {
            name_visible: name.is_some(),
            name,
            schemas: Rc::new([]),
            table: Rc::new(table),
            columns_visible: true,
            system_columns: false,
            whole: None,
            row_type: None,
            reference: None,
            relation: None,
        }
    }

    /// The value of a reference to the whole of it.
    pub fn whole_row(&self) -> Value {
        match &self.whole {
            Some(value) => value.as_ref().clone(),
            None => self.table.row(self.row_type),
        }
    }

    fn is_named(&self, schema: Option<&Name>, name: &Name) -> bool {
        self.name_visible
            && self.name.as_ref() == Some(name)
            && schema.is_none_or(|schema| self.schemas.iter().any(|known| known == schema))
    }
}

/// How far a common table expression has been followed.
#[derive(Clone, Debug)]
pub(super) enum CteState<'q> {
    /// Not yet: `WITH RECURSIVE` lets earlier ones refer to later ones.
    Waiting(&'q Cte),
    /// It is being followed; a reference now is to itself, and sees what is known of it so far.
    Running(Option<Rc<Table>>),
    /// Done.
    Known(Rc<Table>),
}

/// A level of names: what is visible, and the level around it.
pub(super) struct Scope<'s, 'q> {
    /// The level around it.
    pub parent: Option<&'s Scope<'s, 'q>>,
    /// The entries of FROM.
    pub items: Vec<Item>,
    /// The common table expressions.
    pub ctes: RefCell<Vec<(Name, CteState<'q>)>>,
}

/// The system columns of tables: locators and transaction ids, no data.
const SYSTEM_COLUMNS: [&str; 7] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid", "oid"];

/// What a name turned out to be.
pub(super) enum Found {
    /// A value.
    Value(Value),
    /// A value, if the name of the relation means one that has the column.
    Uncertain(Value),
    /// Nothing of that name.
    Nothing,
    /// More than one thing: the server will refuse it, or the catalog is behind.
    Ambiguous,
    /// It may be in something whose columns are not known.
    Open(Unknown),
}

impl<'s, 'q> Scope<'s, 'q> {
    /// A level inside another.
    pub fn within(parent: Option<&'s Scope<'s, 'q>>, items: Vec<Item>) -> Self {
        Self { parent, items, ctes: RefCell::new(Vec::new()) }
    }

    /// An unqualified column (`colNameToVar`); `local`: in this level only.
    pub fn column(&self, name: &Name, local: bool) -> Found {
        let mut level = Some(self);
        let mut uncertain: Option<Value> = None;
        while let Some(scope) = level {
            let found = scope.column_here(name);
            match (found, uncertain.take()) {
                (HereFound::Certain(value), None) => return Found::Value(value),
                (HereFound::Certain(value), Some(known)) => return Found::Value(known.merged(value)),
                (HereFound::Ambiguous, _) => return Found::Ambiguous,
                (HereFound::Open(reason), _) => return Found::Open(reason),
                (HereFound::Uncertain(value), None) => uncertain = Some(value),
                (HereFound::Uncertain(value), Some(known)) => uncertain = Some(known.merged(value)),
                (HereFound::Nothing, known) => uncertain = known,
            }
            level = if local { None } else { scope.parent };
        }
        uncertain.map_or(Found::Nothing, Found::Uncertain)
    }

    fn column_here(&self, name: &Name) -> HereFound {
        let (mut certain, mut uncertain): (Option<Value>, Option<Value>) = (None, None);
        let mut open = None;
        let mut system = false;
        for item in self.items.iter().filter(|item| item.columns_visible) {
            open = open.or(item.table.open);
            system = system || item.system_columns;
            for column in item.table.columns.iter().filter(|column| column.name.as_ref() == Some(name)) {
                let value = column.value.as_ref().clone();
                if !column.certain {
                    uncertain = Some(match uncertain {
                        Some(known) => known.merged(value),
                        None => value,
                    });
                } else if certain.is_some() {
                    return HereFound::Ambiguous;
                } else {
                    certain = Some(value);
                }
            }
        }
        match (certain, uncertain) {
            // were it also in what is not known, the server would call it ambiguous
            (Some(value), None) => HereFound::Certain(value),
            (Some(value), Some(other)) => HereFound::Certain(value.merged(other)),
            (None, _) if open.is_some() => HereFound::Open(open.unwrap_or(Unknown::Relation)),
            (None, Some(value)) => HereFound::Uncertain(value),
            (None, None) if system && SYSTEM_COLUMNS.contains(&name.as_str()) => {
                HereFound::Certain(Value::computed(super::Taint::clean()))
            }
            (None, None) => HereFound::Nothing,
        }
    }

    /// The one entry of FROM that an unqualified column is of, innermost first. A join has the columns of its sides as well:
    /// that is not the entry which is meant.
    pub fn item_with(&self, column: &Name) -> Option<&Item> {
        let mut level = Some(self);
        while let Some(scope) = level {
            let has = |item: &&Item| item.table.columns.iter().any(|known| known.name.as_ref() == Some(column));
            if scope.items.iter().any(|item| item.columns_visible && has(&item)) {
                let mut named = scope.items.iter().filter(|item| item.name_visible && has(item));
                return named.next().filter(|_| named.next().is_none());
            }
            level = scope.parent;
        }
        None
    }

    /// The entry of FROM of that name (`refnameNamespaceItem`), innermost first.
    pub fn item(&self, schema: Option<&Name>, name: &Name) -> Option<Vec<&Item>> {
        let mut level = Some(self);
        while let Some(scope) = level {
            let found: Vec<&Item> = scope.items.iter().filter(|item| item.is_named(schema, name)).collect();
            if !found.is_empty() {
                return Some(found);
            }
            level = scope.parent;
        }
        None
    }

    /// The common table expression of that name, with the level that has it.
    pub fn cte(&self, name: &Name) -> Option<(&Scope<'s, 'q>, CteState<'q>)> {
        let mut level = Some(self);
        while let Some(scope) = level {
            // the last of a name: a second one is the server's to refuse
            if let Some((_, state)) = scope.ctes.borrow().iter().rev().find(|(known, _)| known == name) {
                return Some((scope, state.clone()));
            }
            level = scope.parent;
        }
        None
    }

    /// Say how far a common table expression of this level is.
    pub fn set_cte(&self, name: &Name, state: CteState<'q>) {
        let mut ctes = self.ctes.borrow_mut();
        match ctes.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, known)) => *known = state,
            None => ctes.push((name.clone(), state)),
        }
    }

    /// The columns that `*` stands for, or `None` where nothing is there to expand.
    pub fn star(&self) -> Table {
        let mut all = Table::default();
        for item in self.items.iter().filter(|item| item.columns_visible) {
            all.columns.extend(item.table.columns.iter().cloned());
            all.open = all.open.or(item.table.open);
            all.ragged = all.ragged || item.table.ragged;
        }
        all
    }
}

enum HereFound {
    Certain(Value),
    Uncertain(Value),
    Ambiguous,
    Open(Unknown),
    Nothing,
}

/// A column of an entry that is known by name (`scanNSItemForColumn`).
pub(super) fn column_of(table: &Table, system_columns: bool, name: &Name) -> Found {
    let mut found: Option<Value> = None;
    let mut certain = 0usize;
    for column in table.columns.iter().filter(|column| column.name.as_ref() == Some(name)) {
        certain += usize::from(column.certain);
        let value = column.value.as_ref().clone();
        found = Some(match found {
            Some(known) => known.merged(value),
            None => value,
        });
    }
    match found {
        Some(_) if certain > 1 => Found::Ambiguous,
        Some(value) => match table.open {
            Some(reason) if certain == 0 => Found::Open(reason),
            None if certain == 0 => Found::Uncertain(value),
            Some(_) | None => Found::Value(value),
        },
        None => match table.open {
            Some(reason) => Found::Open(reason),
            None if system_columns && SYSTEM_COLUMNS.contains(&name.as_str()) => {
                Found::Value(Value::computed(super::Taint::clean()))
            }
            None => Found::Nothing,
        },
    }
}
