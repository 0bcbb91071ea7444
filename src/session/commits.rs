//! Messages that may commit a change of the catalog, from when they are sent until they are answered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::conversation::Conversation;
use super::gate::{Commit, Words};
use super::io::{CatalogChanges, Context, Output};
use super::outbox::Outbox;
use super::reads::only_reads;
use super::verdicts::only_defines;
use crate::wire::backend::TransactionStatus;

/// Changes of its own that a session remembers; those before it takes for somebody else's.
const LANDED_MAX: usize = 64;

impl Conversation {
    /// The transaction has changed the catalog by something that is about these words.
    pub(super) fn changes_by(&mut self, words: Words) {
        self.about = match (self.changes.then(|| self.about.take()), words) {
            (None, words) => words,
            (Some(Some(known)), Some(words)) => Some(Arc::new(known.union(&words).cloned().collect())),
            (Some(None), _) | (_, None) => None,
        };
        self.changes = true;
    }

    /// The session's own changes: what may be committing now, and those that have.
    pub(super) fn own_changes(&self) -> (Option<&Commit>, &VecDeque<u64>) {
        (self.own_commit(), &self.landed)
    }

    /// What may be committing now.
    pub(super) fn own_commit(&self) -> Option<&Commit> {
        self.commit.as_ref().map(|(commit, _)| commit)
    }

    /// Whether a message can be judged by what is known of the catalog now; if not, that is asked for. `texts`: what it
    /// runs, as it is read, or one of which it does; none, if that is not known.
    pub(super) fn may_go(&mut self, texts: &[&[u8]], context: &Context<'_>, out: &mut Outbox) -> bool {
        let all = |what: &dyn Fn(&[u8]) -> bool| !texts.is_empty() && texts.iter().all(|text| what(text));
        let epoch = context.snapshot.epoch;
        let lacks_a_look_only = self.is_known(epoch, true, context);
        if self.waived.is_some()
            || context.snapshot.inventory.is_empty()
            || self.is_known(epoch, self.requests.are_behind_a_look(), context)
            // definitions show nothing, and may be what others wait for
            || (!lacks_a_look_only && all(&only_defines))
            || (lacks_a_look_only && all(&|text| only_reads(text, context)))
        {
            return true;
        }
        self.await_refresh(CatalogChanges::Lasting, out);
        false
    }

    /// Whether nothing can have changed since the catalog was read up to that many changes. `looked`: it was looked at since
    /// what this is about has come. While a change of the session's own is being committed a look tells nothing: it may show
    /// that, or not yet.
    pub(super) fn is_known(&mut self, epoch: u64, looked: bool, context: &Context<'_>) -> bool {
        context.gate.is_open(epoch, self.own_commit())
            && (looked
                || self.commit.is_some()
                || !context.gate.checks_each()
                || self.caller(context.snapshot).sees_everything(context.snapshot))
    }

    /// Whether the message at hand has waited for a reading of the catalog that has failed.
    pub(super) fn is_unread(&self, context: &Context<'_>) -> bool {
        self.waived == Some(false) && !context.gate.is_open(context.snapshot.epoch, self.own_commit())
    }

    /// A message is about to be sent. Where it may commit what the transaction has changed, others have to know before.
    pub(super) fn note_commit(&mut self, tag: u8, context: &Context<'_>, out: &mut Outbox) {
        let commits = self.status != TransactionStatus::Active || self.ends_transaction;
        if !self.changes || !commits || self.skipping || !matches!(tag, b'Q' | b'E' | b'S') {
            return;
        }
        let owed = self.replies.ready();
        // What is executed is committed by the Sync behind it, at the latest.
        let owed = if tag == b'E' { owed.saturating_add(1) } else { owed };
        match &mut self.commit {
            Some((commit, left)) => {
                *left = owed.max(*left);
                commit.is_about(self.about.clone());
            }
            None => {
                let commit = context.gate.commit(self.about.clone());
                out.push(Output::Commits(commit.patience()));
                self.commit = Some((commit, owed));
            }
        }
    }

    /// A ReadyForQuery that was owed has come.
    pub(super) fn commit_is_nearer(&mut self) {
        if let Some((_, left)) = &mut self.commit {
            *left = left.saturating_sub(1);
        }
    }

    /// The same, and it says where the transaction is.
    pub(super) fn commit_answered(&mut self, out: &mut Outbox) {
        let idle = self.status == TransactionStatus::Idle;
        // An error does not say that nothing was committed: procedures commit on their way.
        self.committed |= self.changes && (self.ends_transaction || idle) && !self.ends.rolled_back();
        if self.commit.as_ref().is_some_and(|(_, left)| *left == 0)
            && let Some((commit, _)) = self.commit.take()
        {
            let committed = std::mem::take(&mut self.committed);
            if let Some(epoch) = commit.land(committed) {
                self.landed.push_back(epoch);
                if self.landed.len() > LANDED_MAX {
                    self.landed.pop_front();
                }
            }
            out.push(Output::Landed(committed));
        }
        if self.commit.is_none() && self.replies.is_empty() {
            self.ends_transaction = false;
        }
        if idle && self.commit.is_none() && !self.replies.may_change_catalog() {
            (self.changes, self.about) = (false, None);
            self.committed = false;
        }
    }
}
