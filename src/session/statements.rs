//! What the session knows of its prepared statements, portals and cursors.
//!
//! It is a mirror of the server's own tables, kept at the time of the *replies*: an entry exists once the server has
//! confirmed it, so a Parse or Bind that fails leaves its predecessor in place. Statements of the protocol and of SQL
//! (`PREPARE`) share one name space, as do portals and cursors.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::delivery::Delivery;
use crate::catalog::Name;
use crate::plan::{Protection, Verdict};
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};

/// What is to be done with the rows of a statement.
#[derive(Clone, Debug)]
pub(super) enum Watch {
    /// Nothing: they are not looked at.
    Pass,
    /// They are rewritten.
    Protect(Arc<Protection>),
    /// What is to be done with those of the statement or cursor of this name.
    Recall(Name),
}

impl Watch {
    /// What a verdict asks for; `None`: a refusal.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Pass => Some(Self::Pass),
            Verdict::Protect(protection) => Some(Self::Protect(Arc::clone(protection))),
            Verdict::Recall(name) => Some(Self::Recall(name.clone())),
            Verdict::Refuse(_) => None,
        }
    }

    /// Whether rows go through untouched for certain.
    pub(super) fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// Whether errors may quote what the caller must not see.
    pub(super) fn scrubs(&self) -> bool {
        match self {
            Self::Pass => false,
            Self::Protect(protection) => protection.scrub,
            Self::Recall(_) => true,
        }
    }
}

/// What running a statement does to what the session knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The catalog may say something else when it is committed.
    ChangesCatalog,
    /// There is a cursor of that name; whether it may outlive its transaction (`WITH HOLD`).
    Declares(Name, bool),
    /// The cursor of that name is no more; `None`: no cursor is.
    Closes(Option<Name>),
    /// There is a prepared statement of that name, made by this `PREPARE`.
    Prepares(Name, Bytes),
    /// There are no more prepared statements.
    Discards,
}

impl Effect {
    /// The effect of a statement.
    pub(super) fn of(statement: &Statement, text: &str) -> Self {
        let into = match &statement.reading {
            Reading::Understood(lineage) => lineage.writes.iter().any(|write| write.relation.is_none()),
            Reading::NoQuery => false,
            Reading::NotUnderstood(_) => true,
        };
        match (statement.kind, &statement.detail) {
            (StatementKind::DeclareCursor, Detail::Cursor(Some(name))) => {
                Self::Declares(name.clone(), statement.words.contains("hold") && !statement.words.contains("without"))
            }
            (StatementKind::CloseCursor, Detail::Cursor(name)) => Self::Closes(name.clone()),
            (StatementKind::Prepare, Detail::Prepared(Some(name))) => {
                let text = text.get(statement.span.clone()).unwrap_or_default();
                Self::Prepares(name.clone(), Bytes::copy_from_slice(text.as_bytes()))
            }
            (StatementKind::Discard, _) | (StatementKind::Deallocate, Detail::Prepared(None)) => Self::Discards,
            (kind, _) if kind.changes_catalog() || into => Self::ChangesCatalog,
            _ => Self::None,
        }
    }
}

/// A prepared statement as it was judged.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its text, to judge it again under a later snapshot.
    pub text: Bytes,
    /// The snapshot that it was judged under.
    pub version: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// What running it does.
    pub effect: Effect,
}

/// A portal or cursor.
pub(super) struct Portal {
    /// What is to be done with its rows.
    pub watch: Watch,
    /// How far that is.
    pub delivery: Delivery,
    /// The statement that it runs, where that was seen.
    pub prepared: Option<Arc<Prepared>>,
    /// Whether SQL made it (`DECLARE`), so that SQL may move its position.
    pub cursor: bool,
    /// Whether it may outlive its transaction.
    pub hold: bool,
}

/// The mirror of the server's tables.
#[derive(Default)]
pub(super) struct Registry {
    statements: HashMap<Bytes, Arc<Prepared>>,
    portals: HashMap<Bytes, Portal>,
}

impl Registry {
    /// The server has this statement now.
    pub(super) fn parsed(&mut self, name: Bytes, prepared: Arc<Prepared>) {
        self.statements.insert(name, prepared);
    }

    /// A statement was judged again under a later snapshot.
    pub(super) fn rejudged(&mut self, before: &Arc<Prepared>, now: &Arc<Prepared>) {
        for known in self.statements.values_mut().filter(|known| Arc::ptr_eq(known, before)) {
            *known = Arc::clone(now);
        }
    }

    /// The statement of that name.
    pub(super) fn statement(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        self.statements.get(name)
    }

    /// The server has this portal now; the one that it replaces, if any.
    pub(super) fn bound(&mut self, name: Bytes, portal: Portal) -> Option<Portal> {
        self.portals.insert(name, portal)
    }

    /// The portal of that name.
    pub(super) fn portal(&mut self, name: &[u8]) -> Option<&mut Portal> {
        self.portals.get_mut(name)
    }

    /// The server dropped the statement.
    pub(super) fn close_statement(&mut self, name: &[u8]) {
        self.statements.remove(name);
    }

    /// The server dropped the portal.
    pub(super) fn close_portal(&mut self, name: &[u8]) -> Option<Portal> {
        self.portals.remove(name)
    }

    /// The server dropped every statement.
    pub(super) fn close_statements(&mut self) {
        self.statements.clear();
    }

    /// The transaction is over, and with it the protocol's portals; those that were open.
    pub(super) fn end_transaction(&mut self) -> Vec<Portal> {
        if self.portals.is_empty() {
            return Vec::new();
        }
        self.portals.extract_if(|_, portal| !portal.hold).map(|(_, portal)| portal).collect()
    }

    /// Whether a name is that of a cursor of SQL.
    pub(super) fn is_cursor(&self, name: &[u8]) -> bool {
        self.portals.get(name).is_some_and(|portal| portal.cursor)
    }

    /// The session is over, or the server dropped every portal.
    pub(super) fn end(&mut self) -> Vec<Portal> {
        std::mem::take(&mut self.portals).into_values().collect()
    }
}
