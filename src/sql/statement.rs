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
    /// `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`: the savepoint.
    Savepoint(Option<Name>),
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
    /// Not every value fits into this column: it has a length or a type that is no text, or is `NOT NULL`.
    Tight(Name),
    /// The columns of another relation: `LIKE x`, `INHERITS (x)`, `PARTITION OF x`.
    Of(ObjectName),
    /// `UNIQUE`, `PRIMARY KEY`: what is stored in these columns is compared with what is there.
    Unique(Vec<Name>),
    /// `DEFAULT`: what nobody stores in this column is made up.
    Default(Name),
    /// What is stored is tested or computed with: `CHECK`, `EXCLUDE`, `GENERATED ALWAYS AS (...)`, and what comes with
    /// the constraints of another relation.
    Tests,
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
    /// A column that is computed from the others, behind them.
    AddComputed(Name),
    /// A column gets another name.
    RenameColumn(Name, Name),
    /// The relation gets another name.
    Rename(Name),
    /// The relation goes to this schema.
    SetSchema(Name),
    /// A column gets a type that not every value fits into, or is `NOT NULL` from now on.
    Tighten(Name),
    /// The relation becomes a child of this one.
    Inherit(ObjectName),
    /// This one becomes a partition of the relation.
    Attach(ObjectName),
    /// Anything else.
    Other,
}

/// The kinds, each with its command's name as in PostgreSQL's manual.
macro_rules! statement_kinds {
    ($($(#[$about:meta])* $kind:ident => $command:literal,)*) => {
        /// Every kind of statement that pgveil tells apart; none by default.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // the variants are the SQL commands of their names
        pub enum StatementKind {
            $($(#[$about])* $kind,)*
        }

        impl StatementKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Whether it reads or writes rows and does no more.
            pub fn is_of_rows(self) -> bool {
                matches!(
                    self,
                    Self::Select | Self::Values | Self::Table | Self::Insert | Self::Update | Self::Delete | Self::Merge
                )
            }

            /// The command's name, as in PostgreSQL's manual.
            pub fn command(self) -> &'static str {
                match self {
                    $(Self::$kind => $command,)*
                }
            }
        }
    };
}

statement_kinds! {
    // rows
    Select => "SELECT",
    Values => "VALUES",
    Table => "TABLE",
    Insert => "INSERT",
    Update => "UPDATE",
    Delete => "DELETE",
    Merge => "MERGE",
    // around a query
    Explain => "EXPLAIN",
    DeclareCursor => "DECLARE",
    Fetch => "FETCH",
    Move => "MOVE",
    CloseCursor => "CLOSE",
    Prepare => "PREPARE",
    Execute => "EXECUTE",
    Deallocate => "DEALLOCATE",
    CreateTableAs => "CREATE TABLE AS",
    CreateView => "CREATE VIEW",
    CreateMaterializedView => "CREATE MATERIALIZED VIEW",
    Copy => "COPY",
    // procedural
    Do => "DO",
    Call => "CALL",
    CreateFunction => "CREATE FUNCTION",
    CreateTrigger => "CREATE TRIGGER",
    CreateRule => "CREATE RULE",
    // session
    Set => "SET",
    SetRole => "SET ROLE",
    Reset => "RESET",
    Show => "SHOW",
    Discard => "DISCARD",
    Listen => "LISTEN",
    Notify => "NOTIFY",
    Unlisten => "UNLISTEN",
    Load => "LOAD",
    // transaction
    Begin => "BEGIN",
    Commit => "COMMIT",
    Rollback => "ROLLBACK",
    Savepoint => "SAVEPOINT",
    ReleaseSavepoint => "RELEASE SAVEPOINT",
    RollbackToSavepoint => "ROLLBACK TO SAVEPOINT",
    PrepareTransaction => "PREPARE TRANSACTION",
    SetTransaction => "SET TRANSACTION",
    SetConstraints => "SET CONSTRAINTS",
    Lock => "LOCK",
    // definition
    CreateTable => "CREATE TABLE",
    CreateForeignTable => "CREATE FOREIGN TABLE",
    CreateIndex => "CREATE INDEX",
    CreateStatistics => "CREATE STATISTICS",
    CreateAggregate => "CREATE AGGREGATE",
    CreateCast => "CREATE CAST",
    CreateDomain => "CREATE DOMAIN",
    CreateExtension => "CREATE EXTENSION",
    /// CREATE OPERATOR, OPERATOR CLASS, OPERATOR FAMILY.
    CreateOperator => "CREATE OPERATOR",
    CreatePolicy => "CREATE POLICY",
    CreatePublication => "CREATE PUBLICATION",
    /// CREATE ROLE, USER, GROUP.
    CreateRole => "CREATE ROLE",
    CreateSchema => "CREATE SCHEMA",
    CreateSequence => "CREATE SEQUENCE",
    /// CREATE SERVER, FOREIGN DATA WRAPPER, USER MAPPING: what rows of elsewhere come through.
    CreateServer => "CREATE SERVER",
    CreateSubscription => "CREATE SUBSCRIPTION",
    CreateType => "CREATE TYPE",
    /// CREATE of anything else: access methods, collations, conversions, databases, languages, tablespaces, text search, transforms.
    CreateOther => "CREATE",
    /// ALTER TABLE, VIEW, MATERIALIZED VIEW, FOREIGN TABLE.
    AlterTable => "ALTER TABLE",
    /// ALTER FUNCTION, PROCEDURE, ROUTINE, AGGREGATE.
    AlterRoutine => "ALTER FUNCTION",
    /// ALTER TYPE, DOMAIN.
    AlterType => "ALTER TYPE",
    /// ALTER of anything else.
    AlterOther => "ALTER",
    Drop => "DROP",
    Truncate => "TRUNCATE",
    Comment => "COMMENT",
    SecurityLabel => "SECURITY LABEL",
    Grant => "GRANT",
    Revoke => "REVOKE",
    ReassignOwned => "REASSIGN OWNED",
    ImportForeignSchema => "IMPORT FOREIGN SCHEMA",
    RefreshMaterializedView => "REFRESH MATERIALIZED VIEW",
    // upkeep
    Vacuum => "VACUUM",
    Analyze => "ANALYZE",
    Cluster => "CLUSTER",
    Reindex => "REINDEX",
    Checkpoint => "CHECKPOINT",
    /// The first words are those of no command that pgveil knows.
    Unrecognised => "this statement",
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
                | Self::CreateAggregate
                | Self::CreateCast
                | Self::CreateDomain
                | Self::CreateExtension
                | Self::CreateOperator
                | Self::CreatePolicy
                | Self::CreatePublication
                | Self::CreateRole
                | Self::CreateSchema
                | Self::CreateSequence
                | Self::CreateServer
                | Self::CreateSubscription
                | Self::CreateType
                | Self::CreateOther
                | Self::AlterTable
                | Self::AlterRoutine
                | Self::AlterType
                | Self::AlterOther
                | Self::Drop
                | Self::Grant
                | Self::Revoke
                | Self::ReassignOwned
                | Self::ImportForeignSchema
                | Self::Unrecognised
        )
    }
}
