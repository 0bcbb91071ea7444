//! What pgveil asks ahead of a client's message, and when it need not.
//!
//! In a transaction that has failed the server refuses questions, and its error would stand for that of the client's message,
//! which it may refuse in other words: an Execute of a portal that is not there by 34000, in place of 25P02. Nothing but
//! the end of the transaction runs there, and that shows no rows; so nothing is asked. Where the answers to what was sent
//! before have still to say whether the transaction has failed, the message waits for them.

use super::conversation::{Conversation, Waiting};
use super::expect::Expect;
use super::io::Context;
use super::statements::cut;
use crate::wire::backend::TransactionStatus;

impl Conversation {
    /// ReadyForQuery says where the transaction is.
    pub(super) fn note_status(&mut self, status: TransactionStatus) {
        self.status = status;
        self.aborted = status == TransactionStatus::Failed;
    }

    /// Whether the server will be in a transaction that has failed when it comes to a message that is sent now, and does
    /// not skip it; `None`: its answers to what was sent before have to tell. `portal`: the one that the message runs.
    pub(super) fn comes_to_aborted(&self, portal: Option<&[u8]>) -> Option<bool> {
        if self.replies.is_empty() {
            return Some(self.aborted);
        }
        for expect in self.replies.iter().rev() {
            match expect {
                // There it would have failed, and the server skip what is behind it.
                Expect::Bind { portal: bound, .. } if portal.is_some_and(|portal| cut(portal) == cut(bound)) => {
                    return Some(false);
                }
                _ if expect.is_ready() => return None,
                _ => {}
            }
        }
        if self.aborted { None } else { Some(false) }
    }

    /// The same of an Execute, where something may be asked ahead of it.
    pub(super) fn execute_comes_to_aborted(&mut self, name: &[u8], context: &Context<'_>) -> Option<bool> {
        if context.snapshot.inventory.is_empty() {
            return Some(false);
        }
        let declared = || self.declared.iter().any(|declared| declared.as_str().as_bytes() == cut(name));
        if self.registry.is_cursor(name) || (!self.replies.is_empty() && declared()) {
            // SQL on its way may make or close it as well.
            return self.replies.is_empty().then_some(self.aborted);
        }
        let version = context.snapshot.version;
        let under = (version, self.standing.generation);
        let portal = self.registry.portal(name);
        let overtaken =
            portal.is_some_and(|portal| portal.prepared.is_some() && (portal.version, portal.standing) != under);
        if overtaken || self.copies.asks_about(name) { self.comes_to_aborted(Some(name)) } else { Some(false) }
    }

    /// A message waits no more, if all that was sent before it is answered. (While the server reads COPY data, no message
    /// but its data is answered.)
    pub(super) fn answers_settled(&mut self) {
        if self.waiting == Some(Waiting::Answers) && (self.replies.is_empty() || self.copy_in.reads) {
            self.waiting = None;
        }
        self.settings_settled();
    }
}
