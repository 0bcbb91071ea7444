//! What a session has made that the catalog does not have: temporary relations, and what its transaction has not
//! committed yet.
//!
//! Nobody else can see these, the catalog login included (or it sees them later, and without knowing where their values
//! came from). So the session keeps in mind which columns they have and what went into them; statements that name them
//! are analysed against the catalog with them ([`Own::catalog`]), and what they hold is followed down by [`Held`].
//!
//! Knowledge is taken in before a statement runs, and only dropped when it is certain that the relation is gone: a name
//! may mean several relations meanwhile, as it may in different schemas, and more candidates only mean more tags.

mod code;
mod content;
mod making;
pub(super) use code::tells_the_planner;
pub(super) use making::covers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use content::Held;
pub(super) use content::is_own;

use super::Inventory;
use super::inventory::Touched;
use crate::catalog::{Catalog, Conduct, Doubt, Name, Relation};
use crate::policy::TaggedColumnId;
use crate::sql::lineage::Flow;
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};

/// More relations than this a session does not keep in mind; what it makes then is not known.
const RELATIONS_MAX: usize = 1_000;

/// What a session has made.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// What the transaction under way has made and what was judged harmless when it was made: relations whose columns are
    /// not kept in mind.
    pub names: BTreeSet<Name>,
    /// Whether the transaction under way has changed the catalog at all.
    pub pending: bool,
    relations: Vec<Made>,
    listed: Arc<[Relation]>,
    held: Arc<Held>,
    generation: u64,
    /// How many OIDs were given to relations.
    given: u32,
    /// The code that was made or changed since the catalog was read.
    doubt: Arc<Doubt>,
    /// Whether some of that was in the transaction under way.
    doubted_now: bool,
    /// Functions among it that may store into encrypted columns, each with one of these.
    storing: BTreeMap<Name, TaggedColumnId>,
    /// Words of the bodies of functions that the transaction under way has made.
    mentioned: BTreeSet<Name>,
    /// Temporary relations may no longer be the first that a name means: `search_path` may name `pg_temp` elsewhere.
    hidden: bool,
    /// Whether the session has changed a setting by which the planner chooses between ways to run a statement.
    plans: bool,
    /// Whether it may have told it how to read tables.
    scans: bool,
    /// Whether the statement that was taken in last makes a relation whose columns are known.
    made_now: bool,
    /// Whether the statement that was taken in last may make or change code.
    code_now: bool,
}

/// A relation as a session has made or changed it.
#[derive(Clone, Debug)]
struct Made {
    relation: Relation,
    life: Life,
    /// Made in the transaction under way.
    now: bool,
    /// Dropped in the transaction under way.
    dropped: bool,
    view: bool,
    /// Whether nothing looks at the rows that are stored in it: no code of users, which may be somebody's who wants to see
    /// them, no test whose failure tells of them.
    plain: bool,
    /// The columns whose values are compared with what is there when rows are stored.
    compared: BTreeSet<i16>,
}

/// How long a relation is there, or has to be kept in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Until the transaction ends.
    Transaction,
    /// Until the session ends.
    Session,
    /// Until the catalog has been read after the transaction's end.
    UntilRead,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was committed.
    Committed,
    /// Nothing of it is left.
    RolledBack,
    /// Some of several transactions were committed, others not.
    Unsure,
}

impl Own {
    /// Changes with everything that is kept in mind: what was judged under another number has to be judged again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether there is anything for [`Own::take_in`] in a statement.
    pub fn concerns(&self, statement: &Statement) -> bool {
        let changes = matches!(statement.detail, Detail::Makes(_) | Detail::Alters(_))
            || !statement.code.is_empty()
            || matches!(
                statement.kind,
                StatementKind::CreateFunction
                    | StatementKind::CreatePolicy
                    | StatementKind::Set
                    | StatementKind::Do
                    | StatementKind::Call
            );
        changes
            || !self.relations.is_empty()
            || statement.words.contains("set_config")
            || match &statement.reading {
                Reading::Understood(lineage) => !lineage.writes.is_empty() || !lineage.functions.is_empty(),
                Reading::NotUnderstood(_) => true,
                Reading::NoQuery => false,
            }
    }

    /// Whether the session may have told the planner how to work: rows that are grouped may come out sorted.
    pub(super) fn plans(&self) -> bool {
        self.plans
    }

    /// Whether it may have told the planner how to read tables: all rows of one may come by an index, in its order.
    pub(super) fn scans(&self) -> bool {
        self.scans
    }

    /// The client has given settings at the start.
    pub fn starts_with(&mut self, settings: &str) {
        self.plans |= code::tells_the_planner(settings);
        self.scans |= code::tells_how_to_read(settings);
    }

    /// Whether the statement that was taken in last may make or change code.
    pub fn made_code(&self) -> bool {
        self.code_now
    }

    /// Whether nothing is kept in mind.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty() && self.doubt.is_none()
    }

    /// The code that was made or changed since the catalog was read.
    pub(super) fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    /// The catalog as this session sees it.
    pub fn catalog(&self, catalog: &Catalog) -> Catalog {
        catalog.with_own(Arc::clone(&self.listed), Arc::clone(&self.doubt))
    }

    /// What the relations hold.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Whether one of these words is the name of something that is kept in mind.
    pub fn is_named<'a>(&self, words: impl IntoIterator<Item = &'a Name>) -> bool {
        !self.is_empty() && words.into_iter().any(|word| self.has(word) || self.doubt.concerns(word))
    }

    /// Whether a relation of that name is kept in mind, or the name is that of something harmless.
    pub fn knows(&self, name: &Name) -> bool {
        self.is_harmless(name) || self.has(name)
    }

    /// Whether a name that the catalog does not have is that of something that the transaction under way has made, and
    /// that was judged harmless then.
    pub(super) fn is_harmless(&self, name: &Name) -> bool {
        match self.doubt.routine(None, name) {
            Some(conduct) => conduct != Conduct::Acts,
            None => self.names.contains(name),
        }
    }

    /// Whether what a name means is not for the catalog to say.
    pub(super) fn is_unsettled(&self) -> bool {
        self.pending || !self.doubt.is_none()
    }

    /// An encrypted column that a function may store into which goes by one of these words and was made since the catalog was read.
    pub(super) fn stores<'a>(&self, mut words: impl Iterator<Item = &'a Name>) -> Option<TaggedColumnId> {
        if self.storing.is_empty() { None } else { words.find_map(|word| self.storing.get(word).copied()) }
    }

    /// Whether a relation of that name is kept in mind.
    pub(super) fn has_relation(&self, name: &Name) -> bool {
        self.has(name)
    }

    fn has(&self, name: &Name) -> bool {
        self.relations.iter().any(|made| made.relation.name == *name)
    }

    pub(super) fn made_now(&self) -> bool {
        self.made_now
    }

    /// The relations of that name.
    pub(super) fn named<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Relation> {
        self.relations.iter().map(|made| &made.relation).filter(move |relation| relation.name == *name)
    }

    /// Whether a relation is one that holds rows of its own and that only this session can see.
    pub(super) fn is_temporary_table(&self, relation: crate::catalog::Oid) -> bool {
        let mut found = self.relations.iter().filter(|made| made.relation.oid == relation).peekable();
        found.peek().is_some() && found.all(|made| !made.view && made.plain && made.life != Life::UntilRead)
    }

    /// Whether what is stored in a column of such a table is compared with what is there. `None`: a column that is not known.
    pub(super) fn compares(&self, relation: crate::catalog::Oid, attnum: Option<i16>) -> bool {
        let mut found = self.relations.iter().filter(|made| made.relation.oid == relation);
        found.any(|made| match attnum {
            Some(attnum) => made.compared.contains(&attnum),
            None => !made.compared.is_empty(),
        })
    }

    /// Add to what words can reach what the relations of these names hold.
    pub(super) fn touch<'a>(
        &self,
        touched: &mut Touched,
        words: impl IntoIterator<Item = &'a Name>,
        inventory: &Inventory,
    ) {
        if self.relations.is_empty() {
            return;
        }
        for word in words {
            for relation in self.named(word) {
                touched.harmless = false;
                for column in &relation.columns {
                    let reach = self.held.column(relation.oid, column.attnum, inventory);
                    touched.reach.absorb(&reach, Flow::Derived);
                }
            }
        }
    }

    /// A name under which a function may read what a relation of this session holds, or one that it has renamed; what it
    /// holds.
    pub(super) fn read_by_code(&self, inventory: &Inventory, catalog: &Catalog) -> Option<(&Name, super::Reach)> {
        self.relations.iter().find_map(|made| {
            let name = &made.relation.name;
            let read = inventory.is_mentioned(name) || self.mentioned.contains(name);
            let renamed = || catalog.relation(made.relation.oid).is_some_and(|known| known.name != *name);
            let own = is_own(made.relation.oid) || renamed();
            let reach = (read && own).then(|| self.held.relation(&made.relation, inventory))?;
            (!reach.is_clean()).then_some((name, reach))
        })
    }

    /// The names of all relations.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.relations.iter().map(|made| &made.relation.name)
    }

    /// The first of these names that is one of a relation with tagged values in it.
    pub(super) fn holds_tagged<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Name>,
        snapshot: &super::Snapshot,
    ) -> Option<&'a Name> {
        let tagged = |relation: &Relation| !self.held.relation(relation, &snapshot.inventory).is_clean();
        names.into_iter().find(|name| self.named(name).any(tagged))
    }

    /// Whether the server's word that a column is one of a relation that the catalog does not have means a relation of
    /// this session.
    pub(super) fn is_first(&self) -> bool {
        !self.hidden
    }

    /// The transaction has ended. `idle`: nothing that changes the catalog is on its way to the server.
    pub fn ended(&mut self, how: Ended, idle: bool) {
        if idle {
            self.names.clear();
            self.mentioned.clear();
            self.doubted_now = false;
            self.pending = false;
        }
        if self.relations.is_empty() {
            return;
        }
        self.keep(|made| {
            let gone = match how {
                Ended::Committed => made.dropped || made.life == Life::Transaction,
                Ended::RolledBack => made.now,
                Ended::Unsure => false,
            };
            !(gone && idle)
        });
        for made in &mut self.relations {
            // What was not run yet is taken for older than it is, and stays longer.
            made.now = false;
            made.dropped = false;
        }
    }

    /// What was made since a savepoint may be gone, what was dropped may be there.
    pub fn rolled_back_to(&mut self) {
        for made in &mut self.relations {
            made.dropped = false;
        }
    }

    /// The catalog was read after the last change of this session was committed.
    pub fn read(&mut self) {
        if !self.pending {
            self.keep(|made| made.now || made.life != Life::UntilRead);
            if !self.doubted_now && !self.doubt.is_none() {
                self.doubt = Arc::default();
                self.storing.clear();
                self.changed();
            }
        }
    }

    /// The server has dropped all temporary relations of the session.
    pub fn discarded(&mut self, idle: bool) {
        if idle {
            self.keep(|made| made.life == Life::UntilRead);
        }
    }

    fn keep(&mut self, stays: impl Fn(&Made) -> bool) {
        let before = self.relations.len();
        self.relations.retain(stays);
        if self.relations.len() != before {
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.generation = self.generation.saturating_add(1);
        self.listed = self.relations.iter().map(|made| made.relation.clone()).collect();
        let relations = &self.relations;
        Arc::make_mut(&mut self.held).keep(|oid| relations.iter().any(|made| made.relation.oid == oid));
    }
}
