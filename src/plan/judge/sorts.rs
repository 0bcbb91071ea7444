//! What has to be known of a kind of statement beside the query in it.

use crate::sql::statement::StatementKind as Kind;

/// The sorts of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// It can only end what a session has made, or a transaction.
    Ends,
    /// It runs what was judged earlier under a name.
    Recalls,
    /// What it makes calls the functions that it names later, too.
    KeepsCalls,
    /// It stores the rows of its query.
    StoresRows,
    /// It keeps its query, and shows or stores the rows of it under another name.
    KeepsQuery,
    /// None of these.
    Other,
}

/// The sort of a kind.
pub(super) fn sort(kind: Kind) -> Sort {
    match kind {
        Kind::Begin
        | Kind::Commit
        | Kind::Rollback
        | Kind::Savepoint
        | Kind::ReleaseSavepoint
        | Kind::RollbackToSavepoint
        | Kind::Discard
        | Kind::Drop => Sort::Ends,
        Kind::Fetch | Kind::Execute => Sort::Recalls,
        Kind::CreateIndex | Kind::CreateStatistics | Kind::AlterTable => Sort::KeepsCalls,
        Kind::CreateTableAs => Sort::StoresRows,
        Kind::CreateView | Kind::CreateMaterializedView => Sort::KeepsQuery,
        Kind::Select
        | Kind::Values
        | Kind::Table
        | Kind::Insert
        | Kind::Update
        | Kind::Delete
        | Kind::Merge
        | Kind::Explain
        | Kind::DeclareCursor
        | Kind::Move
        | Kind::CloseCursor
        | Kind::Prepare
        | Kind::Deallocate
        | Kind::Copy
        | Kind::Do
        | Kind::Call
        | Kind::CreateFunction
        | Kind::CreateTrigger
        | Kind::CreateRule
        | Kind::Set
        | Kind::SetRole
        | Kind::Reset
        | Kind::Show
        | Kind::Listen
        | Kind::Notify
        | Kind::Unlisten
        | Kind::Load
        | Kind::PrepareTransaction
        | Kind::SetTransaction
        | Kind::SetConstraints
        | Kind::Lock
        | Kind::CreateTable
        | Kind::CreateForeignTable
        | Kind::CreateAggregate
        | Kind::CreateCast
        | Kind::CreateDomain
        | Kind::CreateExtension
        | Kind::CreateOperator
        | Kind::CreatePolicy
        | Kind::CreatePublication
        | Kind::CreateRole
        | Kind::CreateSchema
        | Kind::CreateSequence
        | Kind::CreateServer
        | Kind::CreateSubscription
        | Kind::CreateType
        | Kind::CreateOther
        | Kind::AlterRoutine
        | Kind::AlterType
        | Kind::AlterOther
        | Kind::Truncate
        | Kind::Comment
        | Kind::SecurityLabel
        | Kind::Grant
        | Kind::Revoke
        | Kind::ReassignOwned
        | Kind::ImportForeignSchema
        | Kind::RefreshMaterializedView
        | Kind::Vacuum
        | Kind::Analyze
        | Kind::Cluster
        | Kind::Reindex
        | Kind::Checkpoint
        | Kind::Unrecognised => Sort::Other,
    }
}
