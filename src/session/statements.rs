//! What the session knows of its prepared statements, portals and cursors.
//!
//! It is a mirror of the server's own tables, kept at the time of the *replies*: an entry exists once the server has
//! confirmed it, so a Parse or Bind that fails leaves its predecessor in place. Statements of the protocol and of SQL
//! (`PREPARE`) share one name space, as do portals and cursors.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::delivery::Delivery;
use super::gate::Words;
use super::savepoints::Savepoints;
use super::sealing::SealedStatement;
use super::settings::OwnUse;
use super::standing::Changes;
use crate::catalog::{NAME_BYTES_MAX, Name};
use crate::plan::budget::{Given, arguments};
use crate::plan::{Ended, Passed, Protection, Verdict};
use crate::policy::Actor;
use crate::sql::statement::{Change, Code, Detail, Reading, Statement, StatementKind};
use crate::sql::words;
use crate::wire::backend::RowDescription;

/// What is to be done with the rows of a statement.
#[derive(Clone, Debug)]
pub(super) enum Watch {
    /// Nothing: they are not looked at.
    Pass,
    /// They are rewritten.
    Protect(Arc<Protection>),
    /// What is to be done with those of the statement or cursor of this name.
    Recall(Name),
    /// They are the plan of the statement of this name: it passes where that does.
    RecallPlan(Name),
}

impl Watch {
    /// What a verdict asks for; `None`: a refusal.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Pass => Some(Self::Pass),
            Verdict::Protect(protection) => Some(Self::Protect(Arc::clone(protection))),
            Verdict::Recall(name) => Some(Self::Recall(name.clone())),
            Verdict::RecallPlan(name) => Some(Self::RecallPlan(name.clone())),
            Verdict::Refuse(_) => None,
        }
    }

    /// The name of the statement or cursor that it depends on.
    pub(super) fn recalled(&self) -> Option<&Name> {
        match self {
            Self::Recall(name) | Self::RecallPlan(name) => Some(name),
            Self::Pass | Self::Protect(_) => None,
        }
    }

    /// Whether rows go through untouched for certain.
    pub(super) fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// Whether its rows show tagged columns in clear, by what is known of them.
    pub(super) fn reveals(&self) -> bool {
        match self {
            Self::Protect(protection) => protection.reveals,
            Self::Pass | Self::Recall(_) | Self::RecallPlan(_) => false,
        }
    }

    /// Whether errors may quote what the caller must not see.
    pub(super) fn scrubs(&self) -> bool {
        match self {
            Self::Pass => false,
            Self::Protect(protection) => protection.scrub,
            Self::Recall(_) | Self::RecallPlan(_) => true,
        }
    }
}

/// What running a statement does to what the session knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The catalog may say something else when it is committed.
    ChangesCatalog {
        /// Whether it may to other sessions: not where it only makes what is temporary, or takes something away.
        for_others: bool,
        /// The words of its definition, where it changes the meaning of nothing that they do not name.
        words: Words,
    },
    /// The transaction under way ends with it.
    EndsTransaction,
    /// There is a cursor of that name; whether it may outlive its transaction (`WITH HOLD`); what it was judged by.
    Declares(Name, bool, Option<Arc<Passed>>),
    /// The cursor of that name is no more.
    Closes(Name),
    /// There is a prepared statement of that name, made by this `PREPARE`; what it was judged by, and what the server has of it.
    Prepares(Name, Bytes, Option<Arc<Passed>>, Option<Arc<SealedStatement>>),
    /// It runs the prepared statement of that name, with these arguments.
    Executes(Name, Arc<[Given]>),
    /// The prepared statement of that name is no more.
    Deallocates(Name),
    /// There is a savepoint of that name.
    Saves(Name),
    /// The savepoint of that name, and those after it, are no more.
    Releases(Name),
    /// It changes or shows pgveil's own settings.
    Configures(Arc<OwnUse>),
    /// The same, and this is what comes of it in this execution.
    Configured(Changes),
    /// What was made since the savepoint of that name is no more. (`ROLLBACK TO` has the same command tag as `ROLLBACK`.)
    RollsBackTo(Option<Name>),
}

impl Effect {
    fn changes(statement: &Statement, text: &str, for_others: bool) -> Self {
        // Another name of a schema gives other names another meaning, too; operators and casts run without being named;
        // what code does that runs now is not known.
        let runs = matches!(
            statement.kind,
            StatementKind::Do | StatementKind::Call | StatementKind::CreateExtension | StatementKind::Unrecognised
        );
        let anything =
            ["schema", "extension", "owned", "operator", "cast"].iter().any(|word| statement.words.contains(*word));
        let named = !(runs || anything) && matches!(statement.reading, Reading::Understood(_) | Reading::NoQuery);
        let words = || changed_alone(statement, text).unwrap_or_else(|| statement.words.clone());
        Self::ChangesCatalog { for_others, words: named.then(|| Arc::new(words())) }
    }

    /// The effect of a statement.
    pub(super) fn of(statement: &Statement, text: &str) -> Self {
        let into = match &statement.reading {
            Reading::Understood(lineage) => {
                lineage.into.is_some() || lineage.writes.iter().any(|write| write.relation.is_none())
            }
            Reading::NoQuery => false,
            Reading::NotUnderstood(_) => true,
        };
        match (statement.kind, &statement.detail) {
            (StatementKind::DeclareCursor, Detail::Cursor(Some(name))) => {
                let hold = statement.words.contains("hold") && !statement.words.contains("without");
                Self::Declares(name.clone(), hold, Passed::of(statement).map(Arc::new))
            }
            (StatementKind::CloseCursor, Detail::Cursor(Some(name))) => Self::Closes(name.clone()),
            (StatementKind::Prepare, Detail::Prepared(Some(name))) => {
                let text = text.get(statement.span.clone()).unwrap_or_default();
                let passed = Passed::of(statement).map(Arc::new);
                Self::Prepares(name.clone(), Bytes::copy_from_slice(text.as_bytes()), passed, None)
            }
            (StatementKind::Execute, Detail::Prepared(Some(name))) => {
                Self::Executes(name.clone(), arguments(text.get(statement.span.clone()).unwrap_or_default()))
            }
            (StatementKind::Deallocate, Detail::Prepared(Some(name))) => Self::Deallocates(name.clone()),
            (StatementKind::Savepoint, Detail::Savepoint(Some(name))) => Self::Saves(name.clone()),
            (StatementKind::ReleaseSavepoint, Detail::Savepoint(Some(name))) => Self::Releases(name.clone()),
            (StatementKind::RollbackToSavepoint, Detail::Savepoint(name)) => Self::RollsBackTo(name.clone()),
            (StatementKind::Commit | StatementKind::Rollback, _) => Self::EndsTransaction,
            // What prepared transactions did is not known.
            (StatementKind::PrepareTransaction, _) => Self::ChangesCatalog { for_others: true, words: None },
            (
                StatementKind::CreateTable | StatementKind::CreateTableAs | StatementKind::CreateView,
                Detail::Makes(definition),
            ) => Self::changes(statement, text, !definition.temporary),
            (kind, _) if kind.changes_catalog() || into => Self::changes(statement, text, true),
            // EXPLAIN ANALYZE CREATE TABLE ... AS EXECUTE makes a table of what is not in its text
            (StatementKind::Explain, _) if statement.words.contains("create") => Self::changes(statement, text, true),
            _ => Self::None,
        }
    }
}

/// How transactions have ended, by the tags of commands.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// How the last one ended.
    last: Option<Ended>,
    /// Whether another one has ended before it, or something was done since.
    others: bool,
}

impl Ends {
    /// A command has completed. `back_to`: it was ROLLBACK TO SAVEPOINT.
    pub(super) fn completed(&mut self, tag: &[u8], back_to: bool) {
        self.others |= self.last.is_some();
        match tag.strip_suffix(b"\0").unwrap_or(tag) {
            b"COMMIT" | b"PREPARE TRANSACTION" => self.last = Some(Ended::Committed),
            b"ROLLBACK" if !back_to => self.last = Some(Ended::RolledBack),
            _ => {}
        }
    }

    /// Whether what was done was taken back by a command, all of it.
    pub(super) fn rolled_back(&self) -> bool {
        self.last == Some(Ended::RolledBack) && !self.others
    }

    /// What has become of everything that was done. `failed`: there was an error.
    pub(super) fn outcome(self, failed: bool) -> Ended {
        match (self.last, self.others, failed) {
            (None, _, false) => Ended::Committed,
            (None, _, true) => Ended::RolledBack,
            (Some(how), false, false) => how,
            (Some(_), _, _) => Ended::Unsure,
        }
    }
}

/// A prepared statement as it was judged.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its text as it was read, to judge it again under a later snapshot: the client's encoding may be another by then.
    /// `None`: it could not be read.
    pub text: Option<Bytes>,
    /// The snapshot that it was judged under.
    pub version: u64,
    /// What the session had made then ([`crate::plan::Own::generation`]), and stood for.
    pub own: (u64, u64),
    /// The end user that its own comment asserts.
    pub spoken: Option<Arc<Actor>>,
    /// The verdict.
    pub verdict: Verdict,
    /// What running it does.
    pub effect: Effect,
    /// Whether SQL made it (`PREPARE`); its text is that of the PREPARE then.
    pub by_sql: bool,
    /// Of one that SQL made and that passed under that snapshot, what says whether it does under one that has come since
    /// its execution was asked for.
    pub passed: Option<Arc<Passed>>,
    /// Its parameters' types as far as they are known: their number as i16 and their OIDs as i32, 0 where the server is to
    /// say.
    pub types: Bytes,
    /// What the server has in its place, where values of encrypted columns are in it.
    pub sealed: Option<Arc<SealedStatement>>,
}

/// A portal or cursor.
pub(super) struct Portal {
    /// What is to be done with its rows.
    pub watch: Watch,
    /// How far that is.
    pub delivery: Delivery,
    /// The statement that it runs, where that was seen.
    pub prepared: Option<Arc<Prepared>>,
    /// The snapshot that its watch was judged under.
    pub version: u64,
    /// What the session stood for then.
    pub standing: u64,
    /// What it does to that.
    pub changes: Option<Changes>,
    /// Of a cursor that passed under that snapshot, what says whether it does under a later one.
    pub passed: Option<Arc<Passed>>,
    /// Whether SQL made it (`DECLARE`), so that SQL may move its position.
    pub cursor: bool,
    /// Whether it may outlive its transaction.
    pub hold: bool,
    /// Whether it has been executed.
    pub begun: bool,
    /// When it was made.
    pub made: Made,
    /// Columns whose stored values are kept: what the client is told when it has run.
    pub told: Option<Arc<str>>,
    /// The changes of the catalog that it was judged by, where others were under way before it was bound.
    pub bound: Option<u64>,
    /// How the server describes its rows, where that was asked.
    pub description: Option<Arc<RowDescription>>,
}

/// When a portal was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Made {
    /// In an earlier transaction: only a cursor `WITH HOLD` gets as old as that.
    Earlier,
    /// In the transaction under way.
    #[default]
    Now,
    /// In the transaction under way, when it had that many savepoints.
    AfterSavepoints(usize),
}

impl Made {
    fn after(savepoints: usize) -> Self {
        match savepoints {
            0 => Self::Now,
            count => Self::AfterSavepoints(count),
        }
    }
}

/// The mirror of the server's tables.
#[derive(Default)]
pub(super) struct Registry {
    statements: HashMap<Bytes, Arc<Prepared>>,
    portals: HashMap<Bytes, Portal>,
    /// The savepoints of the transaction under way.
    savepoints: Savepoints,
    /// Whether a portal may be there that runs what has some name when it is executed.
    recalls: bool,
}

/// A name as the server's tables keep it: cut at 63 bytes, also in the middle of a character, so that two names can be
/// one to it (`NAMEDATALEN`; dynahash.c compares no more).
pub(super) fn cut(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

fn key(mut name: Bytes) -> Bytes {
    name.truncate(NAME_BYTES_MAX);
    name
}

impl Registry {
    /// The server has this statement now.
    pub(super) fn parsed(&mut self, name: Bytes, prepared: Arc<Prepared>) {
        self.renamed();
        self.statements.insert(key(name), prepared);
    }

    /// A name may stand for something else now. What a portal that runs `EXECUTE`, `EXPLAIN EXECUTE` or `FETCH` was described as counts no
    /// more: the server looks the name up when it executes the portal.
    fn renamed(&mut self) {
        if self.recalls {
            for portal in self.portals.values_mut().filter(|portal| !portal.begun) {
                if matches!(portal.watch, Watch::Recall(_) | Watch::RecallPlan(_)) {
                    portal.delivery = Delivery::Undescribed;
                }
            }
        }
    }

    /// A statement was judged again under a later snapshot.
    pub(super) fn rejudged(&mut self, before: &Arc<Prepared>, now: &Arc<Prepared>) {
        for known in self.statements.values_mut().filter(|known| Arc::ptr_eq(known, before)) {
            *known = Arc::clone(now);
        }
    }

    /// The server said of what types a statement's parameters are (the body of a ParameterDescription).
    pub(super) fn described(&mut self, name: &[u8], types: &[u8]) {
        if let Some(known) = self.statements.get_mut(cut(name))
            && *known.types != *types
        {
            let prepared = Prepared {
                text: known.text.clone(),
                version: known.version,
                own: known.own,
                spoken: known.spoken.clone(),
                verdict: known.verdict.clone(),
                effect: known.effect.clone(),
                by_sql: known.by_sql,
                passed: known.passed.clone(),
                types: Bytes::copy_from_slice(types),
                sealed: known.sealed.clone(),
            };
            *known = Arc::new(prepared);
        }
    }

    /// The statement of that name.
    pub(super) fn statement(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        self.statements.get(cut(name))
    }

    /// The server has this portal now; the one that it replaces, if any.
    pub(super) fn bound(&mut self, name: Bytes, mut portal: Portal) -> Option<Portal> {
        if portal.cursor {
            self.renamed();
        }
        self.recalls |= matches!(portal.watch, Watch::Recall(_) | Watch::RecallPlan(_));
        portal.made = Made::after(self.savepoints.count());
        self.portals.insert(key(name), portal)
    }

    /// The portal of that name.
    pub(super) fn portal(&mut self, name: &[u8]) -> Option<&mut Portal> {
        self.portals.get_mut(cut(name))
    }

    /// What is to be done with the rows of the portal of that name.
    pub(super) fn watch(&self, name: &[u8]) -> Option<&Watch> {
        self.portals.get(cut(name)).map(|portal| &portal.watch)
    }

    /// The server dropped the statement.
    pub(super) fn close_statement(&mut self, name: &[u8]) {
        self.renamed();
        self.statements.remove(cut(name));
    }

    /// The server dropped the portal.
    pub(super) fn close_portal(&mut self, name: &[u8]) -> Option<Portal> {
        self.renamed();
        self.portals.remove(cut(name))
    }

    /// The server dropped every statement.
    pub(super) fn close_statements(&mut self) {
        self.renamed();
        self.statements.clear();
    }

    /// The server dropped or made a cursor whose name was not seen; the cursors that were known.
    pub(super) fn forget_cursors(&mut self) -> Vec<Portal> {
        self.keep(|portal| !portal.cursor)
    }

    /// The client's encoding is another one: names outside of ASCII are other bytes now.
    pub(super) fn forget_foreign_names(&mut self) {
        self.statements.retain(|name, _| name.is_ascii());
        self.portals.retain(|name, _| name.is_ascii());
    }

    /// There is a savepoint; its name, where that was seen.
    pub(super) fn saved(&mut self, name: Option<&Name>) {
        self.savepoints.add(name);
    }

    /// The savepoint of that name is no more: what was made after it is as if made before it.
    pub(super) fn released(&mut self, name: Option<&Name>) {
        let left = self.savepoints.release(name);
        for portal in self.portals.values_mut() {
            if let Made::AfterSavepoints(count) = portal.made {
                portal.made = Made::after(count.min(left));
            }
        }
    }

    /// What was made after the savepoint of that name is gone; the portals.
    pub(super) fn roll_back_to(&mut self, name: Option<&Name>) -> Vec<Portal> {
        let left = self.savepoints.roll_back_to(name);
        self.keep(|portal| match portal.made {
            Made::AfterSavepoints(count) => count < left,
            Made::Earlier | Made::Now => true,
        })
    }

    /// The transaction is committed, or was aborted; the portals that ended with it.
    pub(super) fn end_transaction(&mut self, committed: bool) -> Vec<Portal> {
        self.savepoints = Savepoints::default();
        if self.portals.is_empty() {
            self.recalls = false;
            return Vec::new();
        }
        let ended = self.keep(|portal| portal.hold && (committed || portal.made == Made::Earlier));
        for portal in self.portals.values_mut() {
            portal.made = Made::Earlier;
        }
        self.recalls = false;
        ended
    }

    /// Drop the other portals, and return them.
    fn keep(&mut self, stays: impl Fn(&Portal) -> bool) -> Vec<Portal> {
        self.renamed();
        self.portals.extract_if(|_, portal| !stays(portal)).map(|(_, portal)| portal).collect()
    }

    /// Whether a name is that of a cursor of SQL.
    pub(super) fn is_cursor(&self, name: &[u8]) -> bool {
        self.portals.get(cut(name)).is_some_and(|portal| portal.cursor)
    }

    /// The session is over, or the server dropped every portal.
    pub(super) fn end(&mut self) -> Vec<Portal> {
        std::mem::take(&mut self.portals).into_values().collect()
    }
}

/// The names of the relations that a statement makes or changes, if it changes nothing else that there is.
fn changed_alone<'a>(statement: &'a Statement, text: &str) -> Option<BTreeSet<Name>> {
    let mut others = BTreeSet::new();
    let names = match (statement.kind, &statement.detail) {
        (
            StatementKind::CreateTable | StatementKind::CreateTableAs | StatementKind::CreateView,
            Detail::Makes(definition),
        ) => {
            others = joined(text.get(statement.span.clone())?)?;
            vec![&definition.name.as_ref()?.name]
        }
        // What it is called by, whatever it says: of what is handed values or seen by that name alone.
        (StatementKind::CreateFunction, _) => {
            let routine = |code: &'a Code| match code {
                Code::Routine(name) => Some(name),
                Code::Type(_) | Code::Operator | Code::Schema | Code::Anything => None,
            };
            statement.code.iter().map(routine).collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())?
        }
        (StatementKind::AlterTable, Detail::Alters(alteration)) => {
            let mut names = vec![&alteration.relation.as_ref()?.name];
            for change in &alteration.changes {
                match change {
                    Change::Plain
                    | Change::Tighten(_)
                    | Change::AddColumn(_)
                    | Change::AddComputed(_)
                    | Change::RenameColumn(..) => {}
                    Change::Rename(name) => names.push(name),
                    Change::Inherit(other) | Change::Attach(other) => names.push(&other.name),
                    Change::SetSchema(_) | Change::Other => return None,
                }
            }
            names
        }
        _ => return None,
    };
    others.extend(names.into_iter().cloned());
    Some(others)
}

/// Words behind `INHERITS` or `PARTITION OF`: what a table is joined to shows its rows.
fn joined(text: &str) -> Option<BTreeSet<Name>> {
    let (mut found, mut joins, mut partition) = (BTreeSet::new(), false, false);
    words(text, |word| {
        if joins {
            found.insert(Name::exact(word.text));
        }
        joins |= !word.quoted && (word.text == "inherits" || (partition && word.text == "of"));
        partition = !word.quoted && word.text == "partition";
    })
    .ok()?;
    Some(found)
}
