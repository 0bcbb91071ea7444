//! Statements without a query of their own, by their kind.

use std::sync::Arc;

use super::{Bench, Verdict};
use crate::access_log::Fingerprint;
use crate::plan::Refusal;
use crate::plan::inventory::Touched;
use crate::plan::result::Protection;
use crate::sql::lineage::{Flow, Unknown};
use crate::sql::statement::{Detail, Statement, StatementKind};

impl Bench<'_> {
    /// A statement without a query of its own. `text`: its own.
    pub(super) fn other(
        &self,
        statement: &Statement,
        text: &str,
        mut touched: Touched,
        shape: Fingerprint,
    ) -> Result<Verdict, Refusal> {
        let inventory = &self.snapshot.inventory;
        // EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE say nothing of what they run.
        if let Detail::Prepared(name) = &statement.detail
            && matches!(statement.kind, StatementKind::Explain | StatementKind::CreateTableAs)
            && !self.all_clear(inventory.everything())
        {
            let analyzes = ["analyze", "analyse"].iter().any(|word| statement.words.contains(*word));
            let plans = statement.kind == StatementKind::Explain && !analyzes;
            return match name {
                Some(name) if plans && self.arguments_are_clear(statement, name, &touched) => {
                    Ok(Verdict::RecallPlan(name.clone()))
                }
                _ => Err(Refusal::kind(statement.kind.command())),
            };
        }
        // What runs strings, or is in a language that pgveil does not read, can reach anything.
        let runs_strings = statement.words.contains("execute")
            || (statement.words.contains("language") && !statement.words.contains("plpgsql"));
        let made_just_now =
            self.own.pending && statement.words.iter().any(|word| !self.own.knows(word) && !inventory.knows(word));
        if (statement.kind == StatementKind::Do && runs_strings)
            || (statement.kind == StatementKind::Call && made_just_now)
        {
            touched.reach.absorb(inventory.everything(), Flow::Derived);
        }
        if touched.reach.is_clean() && touched.runs.is_clean() {
            return Ok(Verdict::Pass);
        }
        if let Detail::Alters(alteration) = &statement.detail {
            return self.alter(statement, alteration, &touched, shape);
        }
        if let Some(verdict) = self.copy_from(statement, &touched, shape)? {
            return Ok(verdict);
        }
        match statement.kind {
            // No value of a table is read, shown or moved by these.
            StatementKind::Begin
            | StatementKind::Commit
            | StatementKind::Rollback
            | StatementKind::Savepoint
            | StatementKind::ReleaseSavepoint
            | StatementKind::RollbackToSavepoint
            | StatementKind::PrepareTransaction
            | StatementKind::SetTransaction
            | StatementKind::Set
            | StatementKind::SetRole
            | StatementKind::Reset
            | StatementKind::Show
            | StatementKind::Discard
            | StatementKind::Listen
            | StatementKind::Notify
            | StatementKind::Unlisten
            | StatementKind::Load
            | StatementKind::Lock
            | StatementKind::Drop
            | StatementKind::Comment
            | StatementKind::SecurityLabel
            | StatementKind::Grant
            | StatementKind::Revoke
            | StatementKind::ReassignOwned
            | StatementKind::Checkpoint
            | StatementKind::CreateSequence
            | StatementKind::Move
            | StatementKind::CloseCursor
            | StatementKind::Deallocate => Ok(Verdict::Pass),
            // Nor by these, but what they work on may be quoted in an error or notice.
            StatementKind::SetConstraints
            | StatementKind::Truncate
            | StatementKind::Vacuum
            | StatementKind::Analyze
            | StatementKind::Reindex
            | StatementKind::RefreshMaterializedView => Ok(self.watched(&touched, shape)),
            StatementKind::CreateFunction if self.shows_no_choice(text)? => Ok(self.watched(&touched, shape)),
            StatementKind::CreateTable if self.stores_nothing(statement) => Ok(self.watched(&touched, shape)),
            // What a procedure shows is computed from what it reads.
            StatementKind::Call if self.all_clear(&touched.reach) => {
                if !touched.reach.is_clean() && !self.snapshot.access_log_ready {
                    return Err(Refusal::access_log());
                }
                let scrub = !self.all_clear(&touched.runs);
                Ok(Verdict::Protect(Arc::new(Protection::computed(touched.reach, shape, scrub))))
            }
            StatementKind::Select
            | StatementKind::Values
            | StatementKind::Table
            | StatementKind::Insert
            | StatementKind::Update
            | StatementKind::Delete
            | StatementKind::Merge
            | StatementKind::Explain
            | StatementKind::DeclareCursor
            | StatementKind::Fetch
            | StatementKind::Prepare
            | StatementKind::Execute
            | StatementKind::CreateTableAs
            // Rows come out in the order in which they are stored.
            | StatementKind::Cluster
            | StatementKind::CreateView
            | StatementKind::CreateMaterializedView
            | StatementKind::Copy
            | StatementKind::Do
            | StatementKind::Call
            | StatementKind::CreateFunction
            | StatementKind::CreateTrigger
            | StatementKind::CreateRule
            | StatementKind::CreateTable
            | StatementKind::CreateForeignTable
            | StatementKind::CreateIndex
            | StatementKind::CreateStatistics
            | StatementKind::CreateAggregate
            | StatementKind::CreateCast
            | StatementKind::CreateDomain
            | StatementKind::CreateExtension
            | StatementKind::CreateOperator
            | StatementKind::CreatePolicy
            | StatementKind::CreatePublication
            | StatementKind::CreateRole
            | StatementKind::CreateSchema
            | StatementKind::CreateServer
            | StatementKind::CreateSubscription
            | StatementKind::CreateType
            | StatementKind::CreateOther
            | StatementKind::AlterTable
            | StatementKind::AlterRoutine
            | StatementKind::AlterType
            | StatementKind::AlterOther
            | StatementKind::ImportForeignSchema
            | StatementKind::Unrecognised => {
                if self.all_clear(&touched.reach) {
                    Ok(self.watched(&touched, shape))
                } else {
                    Err(Refusal::kind(statement.kind.command()))
                }
            }
        }
    }

    /// The verdict on a statement that shows no rows: its errors are scrubbed where they may quote what the caller does
    /// not see in clear.
    pub(super) fn watched(&self, touched: &Touched, shape: Fingerprint) -> Verdict {
        if self.all_clear(&touched.reach) && self.all_clear(&touched.runs) {
            return Verdict::Pass;
        }
        Verdict::Protect(Arc::new(Protection::unknown(Unknown::Construct, shape, true)))
    }
}
