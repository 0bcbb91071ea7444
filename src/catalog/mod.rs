//! What the database looks like: relations, columns, types, functions, roles.
//!
//! A [`Catalog`] is a value: one consistent reading of the system catalogs over pgveil's own login, under one
//! [`CatalogVersion`]. It holds no rows of user tables and nothing of the policy. [`load_rows`] has the queries and
//! turns their rows into the value; who runs them is the shell's business.

mod doubt;
pub mod load_rows;
mod name;
mod value_type;

pub use doubt::{Conduct, Doubt};
pub use name::{NAME_BYTES_MAX, Name};
pub use value_type::ValueType;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A PostgreSQL object identifier. 0 is "none" (`InvalidOid`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(pub u32);

/// Counts the readings of the catalog: a larger number is a later reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CatalogVersion(pub u64);

impl CatalogVersion {
    /// That of a catalog before the first reading: nothing is known of the database, and nobody is let in.
    pub const UNREAD: Self = Self(0);
}

/// One consistent reading of the system catalogs of one database, and what one session has made since.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    facts: Arc<Facts>,
    own: Arc<[Relation]>,
    doubt: Arc<Doubt>,
    within: Option<Arc<Within>>,
}

/// The function whose body a text is: the names of its arguments stand for its parameters there, where no column goes by
/// them (PostgreSQL manual, section 38.5.1).
#[derive(Clone, Debug)]
struct Within {
    function: Name,
    arguments: Vec<Name>,
}

/// What was read.
#[derive(Clone, Debug, Default)]
struct Facts {
    version: CatalogVersion,
    database: Option<Name>,
    relations: HashMap<Oid, Relation>,
    relation_names: HashMap<Name, Vec<Oid>>,
    types: HashMap<Oid, Type>,
    type_names: HashMap<Name, Vec<Oid>>,
    functions: HashMap<Oid, Function>,
    function_names: HashMap<Name, Vec<Oid>>,
    memberships: HashMap<Name, BTreeSet<Name>>,
    superusers: BTreeSet<Name>,
    foreign_keys: Vec<ForeignKey>,
    dependencies: Vec<Dependency>,
}

/// A table, view, or whatever else has columns (`pg_class`).
#[derive(Clone, Debug)]
pub struct Relation {
    /// `pg_class.oid`: what RowDescription calls the table.
    pub oid: Oid,
    /// The schema's name.
    pub schema: Name,
    /// The relation's name within its schema.
    pub name: Name,
    /// What sort of relation it is.
    pub kind: RelationKind,
    /// The composite type of its rows, or 0.
    pub row_type: Oid,
    /// Live columns in the order of `attnum`; dropped ones are left out, so positions and numbers differ.
    pub columns: Vec<Column>,
    /// Inheritance parents and partitioned tables that it is a child of (`pg_inherits`).
    pub parents: Vec<Oid>,
    /// The defining query of a view or materialised view, as `pg_get_viewdef` prints it.
    pub definition: Option<Arc<str>>,
    /// Whether it has rewrite rules other than a view's own `_RETURN`.
    pub has_rules: bool,
    /// The `attnum`s of its primary key, in the key's order; none: it has none.
    pub primary_key: Vec<i16>,
}

impl Relation {
    /// The live column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }

    /// The live column of that `attnum`.
    pub fn attribute(&self, attnum: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.attnum == attnum)
    }
}

/// `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// An ordinary table (`r`).
    Table,
    /// A partitioned table (`p`).
    PartitionedTable,
    /// A view (`v`).
    View,
    /// A materialised view (`m`).
    MaterializedView,
    /// A foreign table (`f`).
    ForeignTable,
    /// A stand-alone composite type (`c`).
    CompositeType,
    /// A sequence (`S`).
    Sequence,
    /// An index, a TOAST table, or a kind that a later PostgreSQL adds.
    Other,
}

/// A live column (`pg_attribute`).
#[derive(Clone, Debug)]
pub struct Column {
    /// `pg_attribute.attnum`, from 1; survives renames.
    pub attnum: i16,
    /// Its name now.
    pub name: Name,
    /// Its type.
    pub type_oid: Oid,
    /// Whether it is declared `NOT NULL`.
    pub not_null: bool,
    /// Whether a unique index holds it alone, for all rows: the planner then expects one row of each value.
    pub unique: bool,
    /// The expression of a generated column, as `pg_get_expr` prints it.
    pub generated: Option<Arc<str>>,
    /// Whether it has a collation of its own: values of different collations can not be compared.
    pub collated: bool,
    /// Whether it has a default other than NULL, which new rows get that do not say another value.
    pub defaulted: bool,
    /// Whether it is of a relation that a session made, and some values do not fit into it: it has a length, a type that is no
    /// text, or is `NOT NULL`.
    pub tight: bool,
}

/// A data type (`pg_type`).
#[derive(Clone, Debug)]
pub struct Type {
    /// `pg_type.oid`.
    pub oid: Oid,
    /// The schema's name.
    pub schema: Name,
    /// Its internal name: `int4`, `varchar`, `_text`.
    pub name: Name,
    /// How values of it are built.
    pub kind: TypeKind,
}

/// How a type is built (`pg_type.typtype`, `typelem`, `typcategory`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A scalar type with its own input and output functions.
    Base,
    /// An array; its elements' type.
    Array(Oid),
    /// A domain; the type under it.
    Domain(Oid),
    /// An enumeration; its labels in their order.
    Enum(Vec<Arc<str>>),
    /// A row type; the relation that has its columns.
    Composite(Oid),
    /// A range; its subtype.
    Range(Oid),
    /// A multirange; its range type.
    Multirange(Oid),
    /// `record`, `anyelement` and the like.
    Pseudo,
}

/// A function, procedure or aggregate (`pg_proc`).
#[derive(Clone, Debug)]
pub struct Function {
    /// `pg_proc.oid`.
    pub oid: Oid,
    /// The schema's name; `pg_catalog` for built-in ones.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// What sort of routine it is.
    pub kind: FunctionKind,
    /// The language's name: `internal`, `c`, `sql`, `plpgsql`, ...
    pub language: Name,
    /// What its author says that its result depends on.
    pub volatility: Volatility,
    /// `prosrc`, or the printed body of a `BEGIN ATOMIC` function; for user-defined routines only, and of those in `internal` only
    /// for the constructors of range types, which the server makes itself.
    pub body: Option<Arc<str>>,
    /// The types of its input arguments.
    pub inputs: Vec<Oid>,
    /// The names of its input arguments in order, empty where one has none; fewer than `inputs` if none has a name.
    pub arguments: Vec<Name>,
    /// Names and types of its `OUT`, `INOUT` and `TABLE` arguments in order.
    pub outputs: Vec<(Name, Oid)>,
    /// What it returns.
    pub returns: Oid,
    /// Whether it returns a set.
    pub returns_set: bool,
    /// The extension that it belongs to, if any.
    pub extension: Option<Name>,
}

/// What a function's result depends on (`pg_proc.provolatile`; PostgreSQL manual, section 38.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// On its arguments alone: it reads no tables and no settings.
    Immutable,
    /// On what the database holds, too.
    Stable,
    /// On anything; it may have effects.
    Volatile,
}

/// `pg_proc.prokind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// An ordinary function (`f`).
    Function,
    /// A procedure (`p`).
    Procedure,
    /// An aggregate (`a`).
    Aggregate,
    /// A window function (`w`).
    Window,
}

/// A foreign key (`pg_constraint` of `contype` `f`): its columns hold values of the columns that it references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The referencing relation.
    pub relation: Oid,
    /// The referenced relation.
    pub references: Oid,
    /// Pairs of `attnum`: the referencing column, and the column that it references.
    pub columns: Vec<(i16, i16)>,
}

/// Code or data that something uses without the statement naming it (`pg_depend` and its like): only what users made is
/// listed, PostgreSQL's own functions are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What uses it.
    pub of: Dependent,
    /// What is used.
    pub on: Used,
}

/// What may use code that a statement does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependent {
    /// A relation's triggers, defaults, check constraints, row security policies and index expressions.
    Relation(Oid),
    /// A relation's rewrite rules, other than a view's own.
    Rule(Oid),
    /// A view's definition, by an operator.
    View(Oid),
    /// A domain's constraints.
    Domain(Oid),
    /// An operator, by its symbol.
    Operator(Name),
    /// A cast between these types.
    Cast {
        /// From.
        source: Oid,
        /// To.
        target: Oid,
    },
    /// A function or aggregate: its support functions, the defaults of its arguments, a body that PostgreSQL has parsed.
    Function(Oid),
}

/// What a [`Dependent`] uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// It calls this function.
    Function(Oid),
    /// It reads or writes this relation.
    Relation(Oid),
}

impl Catalog {
    /// An empty catalog of this version, to be filled by [`Catalog::add_relation`] and its siblings.
    pub fn new(version: CatalogVersion, database: Name) -> Self {
        Self { facts: Arc::new(Facts { version, database: Some(database), ..Facts::default() }), ..Self::default() }
    }

    /// The same reading as one session sees it: with relations that it has made, which the reading does not have, or
    /// does not have like this. Names mean these as well; an OID that the reading has means what it says of it. `doubt`:
    /// what else it has changed.
    pub fn with_own(&self, own: Arc<[Relation]>, doubt: Arc<Doubt>) -> Self {
        Self { facts: Arc::clone(&self.facts), own, doubt, within: self.within.clone() }
    }

    /// The same for the body of a function: the names of its arguments mean something there.
    pub fn within(&self, function: Name, arguments: Vec<Name>) -> Self {
        Self { within: Some(Arc::new(Within { function, arguments })), ..self.clone() }
    }

    /// The number of the parameter that a name stands for in the body of a function. `qualifier`: what is written before it.
    pub fn parameter(&self, qualifier: Option<&Name>, name: &Name) -> Option<u32> {
        let within = self.within.as_deref()?;
        if qualifier.is_some_and(|qualifier| *qualifier != within.function) || name.as_str().is_empty() {
            return None;
        }
        let place = within.arguments.iter().position(|argument| argument == name)?;
        u32::try_from(place).ok()?.checked_add(1)
    }

    /// What the reading can not be trusted on.
    pub fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    /// Nobody else has a catalog that is being filled.
    fn filled(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }

    /// Which reading this is.
    pub fn version(&self) -> CatalogVersion {
        self.facts.version
    }

    /// The database's name.
    pub fn database(&self) -> Option<&Name> {
        self.facts.database.as_ref()
    }

    /// Add a relation; a second one of the same OID replaces the first.
    pub fn add_relation(&mut self, relation: Relation) {
        let facts = self.filled();
        let named = facts.relation_names.entry(relation.name.clone()).or_default();
        if !named.contains(&relation.oid) {
            named.push(relation.oid);
        }
        facts.relations.insert(relation.oid, relation);
    }

    /// Add a type.
    pub fn add_type(&mut self, described: Type) {
        let facts = self.filled();
        let named = facts.type_names.entry(described.name.clone()).or_default();
        if !named.contains(&described.oid) {
            named.push(described.oid);
        }
        facts.types.insert(described.oid, described);
    }

    /// Add a function.
    pub fn add_function(&mut self, function: Function) {
        let facts = self.filled();
        let named = facts.function_names.entry(function.name.clone()).or_default();
        if !named.contains(&function.oid) {
            named.push(function.oid);
        }
        facts.functions.insert(function.oid, function);
    }

    /// Add a superuser.
    pub fn add_superuser(&mut self, login: Name) {
        self.filled().superusers.insert(login);
    }

    /// State that `member` holds `roles`, directly or through other roles.
    pub fn add_memberships(&mut self, member: Name, roles: BTreeSet<Name>) {
        self.filled().memberships.insert(member, roles);
    }

    /// Add a foreign key.
    pub fn add_foreign_key(&mut self, foreign_key: ForeignKey) {
        self.filled().foreign_keys.push(foreign_key);
    }

    /// Add a dependency.
    pub fn add_dependency(&mut self, dependency: Dependency) {
        self.filled().dependencies.push(dependency);
    }

    /// Every foreign key.
    pub fn foreign_keys(&self) -> &[ForeignKey] {
        &self.facts.foreign_keys
    }

    /// Every use of code or data that statements do not name.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.facts.dependencies
    }

    /// The relation of that OID.
    pub fn relation(&self, oid: Oid) -> Option<&Relation> {
        self.facts.relations.get(&oid).or_else(|| self.own.iter().find(|relation| relation.oid == oid))
    }

    /// Every relation.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.facts.relations.values().chain(self.own.iter())
    }

    /// The relations that a name may mean. Without a schema that is every relation of that name in any schema:
    /// the search path need not be known, and more candidates only mean more tags.
    pub fn relations_named<'a>(&'a self, schema: Option<&Name>, name: &Name) -> impl Iterator<Item = &'a Relation> {
        let oids = self.facts.relation_names.get(name).map(Vec::as_slice).unwrap_or_default();
        oids.iter()
            .filter_map(|oid| self.facts.relations.get(oid))
            .chain(self.own.iter().filter(move |relation| relation.name == *name))
            .filter(move |relation| schema.is_none_or(|wanted| *wanted == relation.schema))
    }

    /// The type of that OID.
    pub fn type_of(&self, oid: Oid) -> Option<&Type> {
        self.facts.types.get(&oid)
    }

    /// Every type.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.facts.types.values()
    }

    /// The types that a name may mean, in the schema or in any.
    pub fn types_named<'a>(&'a self, schema: Option<&'a Name>, name: &Name) -> impl Iterator<Item = &'a Type> + 'a {
        let oids = self.facts.type_names.get(name).map(Vec::as_slice).unwrap_or_default();
        oids.iter()
            .filter_map(|oid| self.facts.types.get(oid))
            .filter(move |described| schema.is_none_or(|wanted| *wanted == described.schema))
    }

    /// The function of that OID.
    pub fn function(&self, oid: Oid) -> Option<&Function> {
        self.facts.functions.get(&oid)
    }

    /// Every function.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.facts.functions.values()
    }

    /// The functions that a name may mean, in the schema or in any.
    pub fn functions_named<'a>(
        &'a self,
        schema: Option<&'a Name>,
        name: &Name,
    ) -> impl Iterator<Item = &'a Function> + 'a {
        let oids = self.facts.function_names.get(name).map(Vec::as_slice).unwrap_or_default();
        oids.iter()
            .filter_map(|oid| self.facts.functions.get(oid))
            .filter(move |function| schema.is_none_or(|wanted| *wanted == function.schema))
    }

    /// Whether something of the schema `there` may be meant by a name with that schema written before it.
    pub fn may_be_in(&self, written: Option<&Name>, there: &Name) -> bool {
        let moved = |schema| self.doubt.of_schema(schema) && !matches!(there.as_str(), "pg_catalog" | "pg_toast");
        written.is_none_or(|schema| schema == there || moved(schema))
    }

    /// Whether a login is a superuser's.
    pub fn is_superuser(&self, login: &Name) -> bool {
        self.facts.superusers.contains(login)
    }

    /// The roles that a login holds, directly or through other roles, itself left out. `None`: no such login.
    pub fn roles_of(&self, login: &Name) -> Option<&BTreeSet<Name>> {
        self.facts.memberships.get(login)
    }
}
