//! The queries that read the system catalogs, and the way from their rows to a [`Catalog`].
//!
//! Run [`Part::query`] for each of [`Part::ALL`] in one `REPEATABLE READ READ ONLY` transaction with `search_path` set to
//! nothing, hand every row's text to [`Loader::row`], then call [`Loader::finish`]. With an empty `search_path` the
//! functions that print definitions qualify every name that is not of `pg_catalog`. The queries run on PostgreSQL 13 to
//! 18 and need no right on any table of the database: all they read is readable by every user.

mod queries;

pub use queries::{MOMENT_QUERY, Part, fingerprint_query, look_query};

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use super::{
    Catalog, CatalogVersion, Column, Dependency, Dependent, ForeignKey, Function, FunctionKind, Name, Oid, Relation,
    RelationKind, Type, TypeKind, Used, Volatility,
};

/// A row that does not look as its query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalog query for {part:?} gave a row whose column {column} is not as expected")]
pub struct RowError {
    /// The query.
    pub part: Part,
    /// The column, from 0.
    pub column: usize,
}

/// Makes a [`Catalog`] of rows.
pub struct Loader {
    catalog: Catalog,
    relations: HashMap<Oid, Relation>,
    types: HashMap<Oid, Type>,
    memberships: HashMap<Name, BTreeSet<Name>>,
}

impl Loader {
    /// For the reading of this version of this database.
    pub fn new(version: CatalogVersion, database: Name) -> Self {
        Self {
            catalog: Catalog::new(version, database),
            relations: HashMap::new(),
            types: HashMap::new(),
            memberships: HashMap::new(),
        }
    }

    /// Take one row of a part's query, as text; `None` is NULL. Relations come before columns, types before labels. Where a
    /// definition is missing because it can not be printed now (see [`printed`]) the object is one that may be anything.
    ///
    /// # Errors
    /// A cell is missing or has another form than the query gives it.
    pub fn row(&mut self, part: Part, cells: &[Option<&str>]) -> Result<(), RowError> {
        let row = Row { part, cells };
        match part {
            Part::Relations => self.relation(row),
            Part::Columns => self.column(row),
            Part::Types => self.described_type(row),
            Part::EnumLabels => self.enum_label(row),
            Part::Functions => self.function(row),
            Part::Memberships => self.membership(row),
            Part::ForeignKeys => self.foreign_key(row),
            Part::Dependencies => self.dependency(row),
        }
    }

    /// The catalog.
    pub fn finish(mut self) -> Catalog {
        for relation in self.relations.into_values() {
            self.catalog.add_relation(relation);
        }
        for described in self.types.into_values() {
            self.catalog.add_type(described);
        }
        for (member, roles) in self.memberships {
            self.catalog.add_memberships(member, roles);
        }
        self.catalog
    }

    fn relation(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let relation = Relation {
            oid: row.oid(0)?,
            schema: row.name(1)?,
            name: row.name(2)?,
            kind: relation_kind(row.text(3)?),
            row_type: row.oid(4)?,
            columns: Vec::new(),
            parents: row.oids(5)?,
            definition: definition(row)?,
            has_rules: row.flag(7)?,
            primary_key: row.numbers(9)?,
        };
        self.relations.insert(relation.oid, relation);
        Ok(())
    }

    fn column(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let column = Column {
            attnum: row.number(1)?,
            name: row.name(2)?,
            type_oid: row.oid(3)?,
            not_null: row.flag(4)?,
            generated: definition(row)?,
            unique: row.flag(6)?,
            collated: row.flag(8)?,
            defaulted: row.flag(9)?,
            tight: false,
        };
        let relation = self.relations.get_mut(&row.oid(0)?).ok_or_else(|| row.error(0))?;
        relation.columns.push(column);
        Ok(())
    }

    fn described_type(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let element = row.maybe_oid(4)?;
        let built_of = || row.maybe_oid(5)?.ok_or_else(|| row.error(5));
        let kind = match (row.text(3)?, element) {
            (_, Some(element)) => TypeKind::Array(element),
            ("d", None) => TypeKind::Domain(built_of()?),
            ("e", None) => TypeKind::Enum(Vec::new()),
            ("c", None) => TypeKind::Composite(built_of()?),
            ("r", None) => TypeKind::Range(built_of()?),
            ("m", None) => TypeKind::Multirange(built_of()?),
            ("p", None) => TypeKind::Pseudo,
            // `b`, and whatever later versions add: a type that no value can be built of.
            (_, None) => TypeKind::Base,
        };
        let described = Type { oid: row.oid(0)?, schema: row.name(1)?, name: row.name(2)?, kind };
        self.types.insert(described.oid, described);
        Ok(())
    }

    fn enum_label(&mut self, row: Row<'_>) -> Result<(), RowError> {
        match self.types.get_mut(&row.oid(0)?).map(|described| &mut described.kind) {
            Some(TypeKind::Enum(labels)) => {
                labels.push(row.text(1)?.into());
                Ok(())
            }
            _ => Err(row.error(0)),
        }
    }

    fn function(&mut self, row: Row<'_>) -> Result<(), RowError> {
        self.catalog.add_function(Function {
            oid: row.oid(0)?,
            schema: row.name(1)?,
            name: row.name(2)?,
            kind: match row.text(3)? {
                "f" => FunctionKind::Function,
                "p" => FunctionKind::Procedure,
                "a" => FunctionKind::Aggregate,
                "w" => FunctionKind::Window,
                _ => return Err(row.error(3)),
            },
            language: match printed(Part::Functions, row.cells) {
                // Of a language that nobody knows, it may do anything.
                Some(Printed { text: None, .. }) => Name::exact("(unread)"),
                Some(Printed { text: Some(_), .. }) | None => row.name(4)?,
            },
            body: row.maybe(5)?.map(Arc::from),
            inputs: row.oids(6)?,
            arguments: arguments(row)?,
            outputs: outputs(row)?,
            returns: row.oid(10)?,
            returns_set: row.flag(11)?,
            extension: row.maybe(12)?.map(Name::exact),
            volatility: match row.text(13)? {
                "i" => Volatility::Immutable,
                "s" => Volatility::Stable,
                "v" => Volatility::Volatile,
                _ => return Err(row.error(13)),
            },
        });
        Ok(())
    }

    fn membership(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let login = row.name(0)?;
        if row.flag(2)? {
            self.catalog.add_superuser(login.clone());
        }
        self.memberships.entry(login).or_default().extend(row.maybe(1)?.map(Name::exact));
        Ok(())
    }

    fn foreign_key(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let attnums = |column: usize| -> Result<Vec<i16>, RowError> {
            array_items(row.text(column)?).map(|item| item.parse().map_err(|_| row.error(column))).collect()
        };
        let (own, referenced) = (attnums(2)?, attnums(3)?);
        if own.len() != referenced.len() {
            return Err(row.error(3));
        }
        let columns = own.into_iter().zip(referenced).collect();
        self.catalog.add_foreign_key(ForeignKey { relation: row.oid(0)?, references: row.oid(1)?, columns });
        Ok(())
    }

    fn dependency(&mut self, row: Row<'_>) -> Result<(), RowError> {
        let owner = row.oid(1)?;
        let of = match row.text(0)? {
            "relation" => Dependent::Relation(owner),
            "rule" => Dependent::Rule(owner),
            "view" => Dependent::View(owner),
            "domain" => Dependent::Domain(owner),
            "function" => Dependent::Function(owner),
            "operator" => Dependent::Operator(row.name(2)?),
            "cast" => Dependent::Cast { source: row.oid(2)?, target: owner },
            _ => return Err(row.error(0)),
        };
        let on = match row.text(3)? {
            "function" => Used::Function(row.oid(4)?),
            "relation" => Used::Relation(row.oid(4)?),
            _ => return Err(row.error(3)),
        };
        self.catalog.add_dependency(Dependency { of, on });
        Ok(())
    }
}

/// A definition that the server prints from what it has stored: a view's, that of a generated column's values, or the body
/// of a function that is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printed<'a> {
    /// An OID that tells it apart.
    pub object: &'a str,
    /// Another than before when it may be printed otherwise.
    pub state: &'a str,
    /// As it is printed. `None`: not now, for somebody has locked what it names.
    pub text: Option<&'a str>,
    /// The cell that the text is in.
    pub place: usize,
}

/// A definition, or for one that can not be printed now a text that nobody can read: it may be anything.
fn definition(row: Row<'_>) -> Result<Option<Arc<str>>, RowError> {
    const UNREADABLE: &str = "\"";
    let Some((text, state)) = printed_cells(row.part) else { return Ok(None) };
    match (row.maybe(text)?, row.maybe(state)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(row.error(state)),
        (text, Some(_)) => Ok(Some(text.unwrap_or(UNREADABLE).into())),
    }
}

/// Where the rows of a part's query have the text that is printed, and what it hangs on.
fn printed_cells(part: Part) -> Option<(usize, usize)> {
    match part {
        Part::Relations => Some((6, 8)),
        Part::Columns => Some((5, 7)),
        Part::Functions => Some((5, 14)),
        Part::Types | Part::EnumLabels | Part::Memberships | Part::ForeignKeys | Part::Dependencies => None,
    }
}

/// What a row of a part's query says of a definition that the server prints; `None`: nothing.
pub fn printed<'a>(part: Part, cells: &[Option<&'a str>]) -> Option<Printed<'a>> {
    let (text, state) = printed_cells(part)?;
    let cell = |at: usize| cells.get(at).copied().flatten();
    let (object, state) = cell(state)?.split_once(' ')?;
    Some(Printed { object, state, text: cell(text), place: text })
}

/// The `OUT`, `INOUT` and `TABLE` arguments: those of `proallargtypes` whose mode says so. Without `proargmodes` all
/// arguments are input (PostgreSQL manual, section 53.39 "pg_proc"). Where there are several, the server calls those without
/// a name by their place (`build_function_result_tupdesc_d`).
fn outputs(row: Row<'_>) -> Result<Vec<(Name, Oid)>, RowError> {
    let (Some(types), Some(modes)) = (row.maybe(7)?, row.maybe(8)?) else {
        return Ok(Vec::new());
    };
    let names = argument_names(row)?;
    let mut found = Vec::new();
    let mut names = names.iter();
    let mut modes = array_items(modes);
    for type_oid in array_items(types) {
        let name = names.next().map_or("", String::as_str);
        match modes.next() {
            Some("o" | "b" | "t") => found.push((Name::exact(name), type_oid.parse().map_err(|_| row.error(7))?)),
            Some("i" | "v") => {}
            _ => return Err(row.error(8)),
        }
    }
    if found.len() > 1 {
        for (place, (name, _)) in found.iter_mut().enumerate().filter(|(_, (name, _))| name.as_str().is_empty()) {
            *name = Name::exact(&format!("column{}", place.saturating_add(1)));
        }
    }
    Ok(found)
}

/// The names of all arguments (`proargnames`).
fn argument_names(row: Row<'_>) -> Result<Vec<String>, RowError> {
    match row.maybe(9)? {
        Some(names) => serde_json::from_str(names).map_err(|_| row.error(9)),
        None => Ok(Vec::new()),
    }
}

/// The names of the input arguments: without `proargmodes` all are.
fn arguments(row: Row<'_>) -> Result<Vec<Name>, RowError> {
    let names = argument_names(row)?;
    let Some(modes) = row.maybe(8)? else { return Ok(names.iter().map(|name| Name::exact(name)).collect()) };
    let inputs = names.iter().zip(array_items(modes)).filter(|(_, mode)| matches!(*mode, "i" | "b" | "v"));
    Ok(inputs.map(|(name, _)| Name::exact(name)).collect())
}

/// The items of an array whose items need no quotes: `{1,2}`.
fn array_items(array: &str) -> impl Iterator<Item = &str> {
    array.trim_start_matches('{').trim_end_matches('}').split(',').filter(|item| !item.is_empty())
}

fn relation_kind(kind: &str) -> RelationKind {
    match kind {
        "r" => RelationKind::Table,
        "p" => RelationKind::PartitionedTable,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        "f" => RelationKind::ForeignTable,
        "c" => RelationKind::CompositeType,
        "S" => RelationKind::Sequence,
        _ => RelationKind::Other,
    }
}

impl FromStr for Oid {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The cells of one row.
#[derive(Clone, Copy)]
struct Row<'a> {
    part: Part,
    cells: &'a [Option<&'a str>],
}

impl<'a> Row<'a> {
    fn error(self, column: usize) -> RowError {
        RowError { part: self.part, column }
    }

    fn maybe(self, column: usize) -> Result<Option<&'a str>, RowError> {
        self.cells.get(column).copied().ok_or_else(|| self.error(column))
    }

    fn text(self, column: usize) -> Result<&'a str, RowError> {
        self.maybe(column)?.ok_or_else(|| self.error(column))
    }

    fn name(self, column: usize) -> Result<Name, RowError> {
        self.text(column).map(Name::exact)
    }

    fn number<T: FromStr>(self, column: usize) -> Result<T, RowError> {
        self.text(column)?.parse().map_err(|_| self.error(column))
    }

    fn oid(self, column: usize) -> Result<Oid, RowError> {
        self.number(column)
    }

    fn maybe_oid(self, column: usize) -> Result<Option<Oid>, RowError> {
        self.maybe(column)?.map(|text| text.parse().map_err(|_| self.error(column))).transpose()
    }

    /// OIDs with blanks between them, as an `oidvector` prints.
    fn oids(self, column: usize) -> Result<Vec<Oid>, RowError> {
        let text = self.maybe(column)?.unwrap_or_default();
        text.split_ascii_whitespace().map(|oid| oid.parse().map_err(|_| self.error(column))).collect()
    }

    fn numbers(self, column: usize) -> Result<Vec<i16>, RowError> {
        let text = self.maybe(column)?.unwrap_or_default();
        text.split_ascii_whitespace().map(|number| number.parse().map_err(|_| self.error(column))).collect()
    }

    fn flag(self, column: usize) -> Result<bool, RowError> {
        match self.text(column)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.error(column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Lexer;

    fn loader() -> Loader {
        Loader::new(CatalogVersion(4), Name::exact("shop"))
    }

    fn name(text: &str) -> Name {
        Name::exact(text)
    }

    #[test]
    fn a_relation_has_its_columns_in_order() {
        let mut loader = loader();
        loader
            .row(
                Part::Relations,
                &[
                    Some("16390"),
                    Some("public"),
                    Some("people"),
                    Some("r"),
                    Some("16392"),
                    Some("7 8"),
                    None,
                    Some("f"),
                    None,
                    Some("1 3"),
                ],
            )
            .unwrap();
        for (attnum, column, generated, unique, state) in [
            ("1", "id", None, "t", None),
            ("3", "mail", Some("lower(raw)"), "f", Some("7 1")),
            ("4", "late", None, "f", Some("8 1")),
        ] {
            let (own, collated) = (Some("t"), Some(unique));
            let cells = [
                Some("16390"),
                Some(attnum),
                Some(column),
                Some("25"),
                own,
                generated,
                Some(unique),
                state,
                collated,
                own,
            ];
            loader.row(Part::Columns, &cells).unwrap();
            loader.row(Part::Columns, &cells[..8]).unwrap_err();
        }
        let catalog = loader.finish();
        let people = catalog.relations_named(None, &name("people")).next().unwrap();
        assert_eq!(people.kind, RelationKind::Table);
        assert_eq!(people.parents, [Oid(7), Oid(8)]);
        assert_eq!(people.primary_key, [1, 3]);
        assert_eq!(people.columns.iter().map(|column| column.attnum).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(people.columns.iter().map(|column| column.unique).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(people.columns.iter().map(|column| column.collated).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(people.column("mail").unwrap().generated.as_deref(), Some("lower(raw)"));
        let unread = people.column("late").unwrap().generated.as_deref().unwrap();
        assert!(Lexer::new(unread).any(|token| token.is_err()), "nobody can read {unread}");
    }

    #[test]
    fn types_say_what_they_are_built_of() {
        let mut loader = loader();
        let kinds = [
            ("1", "b", None, None, TypeKind::Base),
            ("2", "b", Some("1"), None, TypeKind::Array(Oid(1))),
            ("3", "d", None, Some("1"), TypeKind::Domain(Oid(1))),
            ("4", "c", None, Some("9"), TypeKind::Composite(Oid(9))),
            ("5", "r", None, Some("1"), TypeKind::Range(Oid(1))),
            ("6", "m", None, Some("5"), TypeKind::Multirange(Oid(5))),
            ("7", "p", None, None, TypeKind::Pseudo),
            ("8", "e", None, None, TypeKind::Enum(vec!["low".into(), "high".into()])),
        ];
        for (oid, typtype, element, base, _) in &kinds {
            loader.row(Part::Types, &[Some(oid), Some("s"), Some("t"), Some(typtype), *element, *base]).unwrap();
        }
        loader.row(Part::EnumLabels, &[Some("8"), Some("low")]).unwrap();
        loader.row(Part::EnumLabels, &[Some("8"), Some("high")]).unwrap();
        let catalog = loader.finish();
        for (oid, _, _, _, kind) in kinds {
            assert_eq!(catalog.type_of(oid.parse().unwrap()).unwrap().kind, kind);
        }
    }

    #[test]
    fn out_arguments_are_those_whose_mode_says_so() {
        let mut loader = loader();
        let cells = [
            Some("20001"),
            Some("public"),
            Some("pair"),
            Some("f"),
            Some("sql"),
            Some("SELECT 1"),
            Some("23 25"),
            Some("{23,25,20,16}"),
            Some("{i,b,o,t}"),
            Some(r#"["n","a \"b\"","",null]"#),
            Some("2249"),
            Some("t"),
            None,
            Some("s"),
        ];
        assert_eq!(loader.row(Part::Functions, &cells), Err(RowError { part: Part::Functions, column: 9 }));
        let mut cells = cells;
        cells[9] = Some(r#"["n","a \"b\"","","last"]"#);
        loader.row(Part::Functions, &cells).unwrap();
        let catalog = loader.finish();
        let pair = catalog.function(Oid(20001)).unwrap();
        assert_eq!(pair.inputs, [Oid(23), Oid(25)]);
        assert_eq!(pair.outputs, [(name("a \"b\""), Oid(25)), (name("column2"), Oid(20)), (name("last"), Oid(16))]);
    }

    #[test]
    fn a_login_without_roles_is_known_all_the_same() {
        let mut loader = loader();
        for (member, role) in [("ann", None), ("bob", Some("clerks")), ("bob", Some("staff"))] {
            let superuser = if member == "ann" { "t" } else { "f" };
            loader.row(Part::Memberships, &[Some(member), role, Some(superuser)]).unwrap();
        }
        let catalog = loader.finish();
        assert!(catalog.roles_of(&name("ann")).unwrap().is_empty());
        assert_eq!(*catalog.roles_of(&name("bob")).unwrap(), BTreeSet::from([name("clerks"), name("staff")]));
        assert_eq!(catalog.roles_of(&name("eve")), None);
        assert!(catalog.is_superuser(&name("ann")) && !catalog.is_superuser(&name("bob")));
    }

    #[test]
    fn what_runs_unnamed_is_told_by_what_it_belongs_to() {
        let mut loader = loader();
        loader.row(Part::ForeignKeys, &[Some("5"), Some("6"), Some("{1,3}"), Some("{2,1}")]).unwrap();
        for (kind, also, on) in [
            ("relation", None, "function"),
            ("rule", None, "relation"),
            ("operator", Some("==="), "function"),
            ("cast", Some("25"), "function"),
        ] {
            loader.row(Part::Dependencies, &[Some(kind), Some("7"), also, Some(on), Some("9")]).unwrap();
        }
        let catalog = loader.finish();
        let key = ForeignKey { relation: Oid(5), references: Oid(6), columns: vec![(1, 2), (3, 1)] };
        assert_eq!(catalog.foreign_keys(), [key]);
        let called = Used::Function(Oid(9));
        assert_eq!(
            catalog.dependencies(),
            [
                Dependency { of: Dependent::Relation(Oid(7)), on: called },
                Dependency { of: Dependent::Rule(Oid(7)), on: Used::Relation(Oid(9)) },
                Dependency { of: Dependent::Operator(name("===")), on: called },
                Dependency { of: Dependent::Cast { source: Oid(25), target: Oid(7) }, on: called },
            ]
        );
    }

    #[test]
    fn odd_rows_are_errors_and_not_guesses() {
        let mut loader = loader();
        let short: [Option<&str>; 2] = [Some("1"), Some("s")];
        for (part, cells, column) in [
            (Part::Relations, &short[..], 2),
            (
                Part::Columns,
                &[Some("5"), Some("1"), Some("c"), Some("25"), Some("t"), None, Some("f"), None, Some("f"), Some("f")]
                    [..],
                0,
            ),
            (
                Part::Columns,
                &[Some("5"), Some("1"), Some("c"), Some("25"), Some("t"), None, Some("f"), None, Some("f")][..],
                9,
            ),
            (Part::Columns, &[Some("5"), Some("1"), Some("c"), Some("25"), Some("t"), None, Some("f"), None][..], 8),
            (Part::Columns, &[Some("5"), Some("1"), Some("c"), Some("25"), Some("t"), None, Some("f")][..], 7),
            (
                Part::Columns,
                &[Some("5"), Some("1"), Some("c"), Some("25"), Some("t"), Some("x"), Some("f"), None][..],
                7,
            ),
            (Part::Columns, &[Some("5"), Some("70000"), Some("c"), Some("25"), Some("t"), None][..], 1),
            (Part::Types, &[Some("1"), Some("s"), Some("t"), Some("d"), None, None][..], 5),
            (Part::EnumLabels, &[Some("1"), Some("x")][..], 0),
            (Part::ForeignKeys, &[Some("1"), Some("2"), Some("{1}"), Some("{1,2}")][..], 3),
            (Part::Dependencies, &[Some("wish"), Some("1"), None, Some("function"), Some("2")][..], 0),
        ] {
            assert_eq!(loader.row(part, cells), Err(RowError { part, column }));
        }
    }
}
