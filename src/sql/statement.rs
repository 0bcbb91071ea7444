//! What a statement is, before anything is said of what may be shown of it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::NotUnderstood;
use super::copy::CopyStatement;
use super::lineage::Lineage;
use super::tree::ObjectName;
use crate::catalog::Name;

/// The statements of one Query or Parse message.
#[derive(Clone, Debug)]
pub enum Analysis {
    /// The text could be split into statements (none: an empty query).
    Statements(Vec<Statement>),
    /// It could not even be split; what was found of names in it, if anything could be read.
    Opaque(NotUnderstood, BTreeSet<Name>),
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What its first words say it is.
    pub kind: StatementKind,
    /// Where it stands in the message's text, in bytes, without the semicolon.
    pub span: Range<usize>,
    /// The query in it: the statement itself, or what EXPLAIN, DECLARE, PREPARE, CREATE ... AS, COPY (...) hold; the
    /// conditions and computed values of CREATE INDEX, CREATE STATISTICS and ALTER TABLE as a query that has them.
    pub reading: Reading,
    /// What pgveil has to know of particular kinds.
    pub detail: Detail,
    /// Every identifier and keyword in it, outside of strings and comments, folded and truncated; of dollar-quoted and
    /// other strings the words too where the kind runs them (`DO`, `CREATE FUNCTION`). The safety net.
    pub words: BTreeSet<Name>,
    /// The code that running it makes or changes; of `DO`, what its body makes.
    pub code: Vec<Code>,
    /// Whether it makes code that makes or changes code when it is run.
    pub makes_makers: bool,
}

/// Code of users that a statement makes, changes, moves or renames: a name may mean something else after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A function, procedure or aggregate goes by this name.
    Routine(Name),
    /// A type or domain goes by this name.
    Type(Name),
    /// An operator or cast.
    Operator,
    /// A schema goes by another name.
    Schema,
    /// It is not known what: that of an extension, of a transaction that was prepared.
    Anything,
}

/// What was made of the query in a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// It has none.
    NoQuery,
    /// Both readers say the same.
    Understood(Arc<Lineage>),
    /// Not understood, and why.
    NotUnderstood(NotUnderstood),
}

/// Particulars of some kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// None needed.
    None,
    /// `DECLARE`, `FETCH`, `MOVE`, `CLOSE`: the cursor; `None` is `CLOSE ALL`.
    Cursor(Option<Name>),
    /// `PREPARE`, `EXECUTE`, `DEALLOCATE`, also `EXPLAIN EXECUTE` and `CREATE TABLE AS EXECUTE`: the statement; `None` is
    /// `DEALLOCATE ALL`.
    Prepared(Option<Name>),
    /// `SET`, `RESET`, `SHOW`: the setting, and the new value where it is one constant or word.
    Setting(Option<Name>, Option<String>),
    /// `COPY`. `COPY TO` has a reading, also that of a table: as if its columns were selected.
    Copy(Arc<CopyStatement>),
    /// `EXPLAIN`: whether it executes (`ANALYZE`).
    Explain {
        /// Whether the statement is executed.
        analyze: bool,
    },
    /// The relation that a statement changes, locks or names first: `TRUNCATE x`, `CREATE INDEX ON x`.
    Object(Option<ObjectName>),
    /// The relation that a statement makes: `CREATE TABLE`, `CREATE TABLE AS`, `CREATE VIEW`, `SELECT INTO`.
    Makes(Definition),
    /// `ALTER TABLE` and its like.
    Alters(Alteration),
}

/// A relation in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: Option<ObjectName>,
    /// Whether the statement says that only this session shall see it.
    pub temporary: bool,
    /// `ON COMMIT DROP`.
    pub drops_on_commit: bool,
    /// `OR REPLACE`.
    pub replaces: bool,
    /// Whether it holds rows at once: not `WITH NO DATA`.
    pub filled: bool,
    /// Its columns.
    pub columns: Columns,
}

/// The columns of a [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Those of the query, the first of them under these names.
    OfQuery(Vec<Name>),
    /// As they are listed.
    Listed(Vec<Element>),
    /// Said in a way that pgveil does not read: `CREATE TABLE x OF type`.
    Unknown,
}

/// One element of a table's list of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A column.
    Column(Name),
    /// The columns of another relation: `LIKE x`, `INHERITS (x)`, `PARTITION OF x`.
    Of(ObjectName),
}

/// What a statement changes of a relation that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The relation.
    pub relation: Option<ObjectName>,
    /// What is changed. Conditions and computed values are in the statement's reading.
    pub changes: Vec<Change>,
}

/// One action of an [`Alteration`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It shows and moves no value: what it finds out of the rows is whether they fulfil a constraint.
    Plain,
    /// A column under this name, behind the others.
    AddColumn(Name),
    /// A column gets another name.
    RenameColumn(Name, Name),
    /// The relation gets another name.
    Rename(Name),
    /// A constraint is dropped.
    DropConstraint,
    /// Anything else.
    Other,
}

/// Every kind of statement that pgveil tells apart; none by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the variants are the SQL commands of their names
pub enum StatementKind {
    // rows
    Select,
    Values,
    Table,
    Insert,
    Update,
    Delete,
    Merge,
    // around a query
    Explain,
    DeclareCursor,
    Fetch,
    Move,
    CloseCursor,
    Prepare,
    Execute,
    Deallocate,
    CreateTableAs,
    CreateView,
    CreateMaterializedView,
    Copy,
    // procedural
    Do,
    Call,
    CreateFunction,
    CreateTrigger,
    CreateRule,
    // session
    Set,
    SetRole,
    Reset,
    Show,
    Discard,
    Listen,
    Notify,
    Unlisten,
    Load,
    // transaction
    Begin,
    Commit,
    Rollback,
    Savepoint,
    ReleaseSavepoint,
    RollbackToSavepoint,
    PrepareTransaction,
    SetTransaction,
    SetConstraints,
    Lock,
    // definition
    CreateTable,
    CreateForeignTable,
    CreateIndex,
    CreateStatistics,
    CreateOther,
    Alter,
    Drop,
    Truncate,
    Comment,
    SecurityLabel,
    Grant,
    Revoke,
    ReassignOwned,
    ImportForeignSchema,
    RefreshMaterializedView,
    // upkeep
    Vacuum,
    Analyze,
    Cluster,
    Reindex,
    Checkpoint,
    /// The first words are those of no command that pgveil knows.
    Unrecognised,
}

impl StatementKind {
    /// Whether it may change what the catalog says (or ends a transaction that did: that is the session's to know).
    pub fn changes_catalog(self) -> bool {
        matches!(
            self,
            Self::CreateTableAs
                | Self::CreateView
                | Self::CreateMaterializedView
                | Self::Do
                | Self::Call
                | Self::CreateFunction
                | Self::CreateTrigger
                | Self::CreateRule
                | Self::CreateTable
                | Self::CreateForeignTable
                | Self::CreateOther
                | Self::Alter
                | Self::Drop
                | Self::Grant
                | Self::Revoke
                | Self::ReassignOwned
                | Self::ImportForeignSchema
                | Self::Unrecognised
        )
    }

    /// The command's name, as in PostgreSQL's manual.
    pub fn command(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Values => "VALUES",
            Self::Table => "TABLE",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
            Self::Explain => "EXPLAIN",
            Self::DeclareCursor => "DECLARE",
            Self::Fetch => "FETCH",
            Self::Move => "MOVE",
            Self::CloseCursor => "CLOSE",
            Self::Prepare => "PREPARE",
            Self::Execute => "EXECUTE",
            Self::Deallocate => "DEALLOCATE",
            Self::CreateTableAs => "CREATE TABLE AS",
            Self::CreateView => "CREATE VIEW",
            Self::CreateMaterializedView => "CREATE MATERIALIZED VIEW",
            Self::Copy => "COPY",
            Self::Do => "DO",
            Self::Call => "CALL",
            Self::CreateFunction => "CREATE FUNCTION",
            Self::CreateTrigger => "CREATE TRIGGER",
            Self::CreateRule => "CREATE RULE",
            Self::Set => "SET",
            Self::SetRole => "SET ROLE",
            Self::Reset => "RESET",
            Self::Show => "SHOW",
            Self::Discard => "DISCARD",
            Self::Listen => "LISTEN",
            Self::Notify => "NOTIFY",
            Self::Unlisten => "UNLISTEN",
            Self::Load => "LOAD",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Savepoint => "SAVEPOINT",
            Self::ReleaseSavepoint => "RELEASE SAVEPOINT",
            Self::RollbackToSavepoint => "ROLLBACK TO SAVEPOINT",
            Self::PrepareTransaction => "PREPARE TRANSACTION",
            Self::SetTransaction => "SET TRANSACTION",
            Self::SetConstraints => "SET CONSTRAINTS",
            Self::Lock => "LOCK",
            Self::CreateTable => "CREATE TABLE",
            Self::CreateForeignTable => "CREATE FOREIGN TABLE",
            Self::CreateIndex => "CREATE INDEX",
            Self::CreateStatistics => "CREATE STATISTICS",
            Self::CreateOther => "CREATE",
            Self::Alter => "ALTER",
            Self::Drop => "DROP",
            Self::Truncate => "TRUNCATE",
            Self::Comment => "COMMENT",
            Self::SecurityLabel => "SECURITY LABEL",
            Self::Grant => "GRANT",
            Self::Revoke => "REVOKE",
            Self::ReassignOwned => "REASSIGN OWNED",
            Self::ImportForeignSchema => "IMPORT FOREIGN SCHEMA",
            Self::RefreshMaterializedView => "REFRESH MATERIALIZED VIEW",
            Self::Vacuum => "VACUUM",
            Self::Analyze => "ANALYZE",
            Self::Cluster => "CLUSTER",
            Self::Reindex => "REINDEX",
            Self::Checkpoint => "CHECKPOINT",
            Self::Unrecognised => "this statement",
        }
    }
}
