//! Lineage × policy: what to do with each statement and each result column.
//!
//! A [`Snapshot`] holds all that decisions depend on under one version. [`Inventory`] is the policy bound to a catalog.
//! [`judge()`] says of a statement whether it passes untouched, is protected, or is refused; [`Protection::bind`] meets
//! the lineage with the server's own RowDescription; the [`ResultPlan`] that it yields rewrites rows, and gives clear
//! values away only against access events ([`permit`]).

pub mod budget;
mod column_rule;
mod copy;
mod copy_in;
mod encryption;
mod entities;
mod filling;
mod grant;
pub mod guard;
mod inventory;
mod judge;
mod lifted;
mod observation;
mod own;
mod passed;
pub mod permit;
mod powers;
mod reach;
mod refusal;
mod result;
mod spread;
mod storing;
mod system;
#[cfg(test)]
mod tests;
mod write_back;

pub use column_rule::{ColumnRule, RowError, Spoiled};
pub use copy::CopyPlan;
pub use copy_in::{CopyInPlan, copy_in};
pub use encryption::{
    BoundValue, Means, RowTenants, Sealed, Sealing, Slots, TenantSettings, Unopened, introspection, sealing,
    table_of_prepared,
};
pub use entities::Seen;
pub use grant::{Grant, SubjectKey};
pub use inventory::{Inventory, Scan};
pub use judge::{Judgement, Verdict, judge, judge_opaque};
pub use observation::{Observation, RefusalReason, RestrictiveReason, VerdictLabel};
pub use own::{Ended, Held, Own};
pub use passed::Passed;
pub use powers::is_acting;
pub use reach::Reach;
pub use refusal::Refusal;
pub use result::{KeyOfColumn, OpenedRows, PlannedRows, Protection, ResultPlan, SealedRows};
pub use write_back::{Bound, Change, GivenValue, WriteBack, Written, write_back};

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalog::{Catalog, Name, Oid, ValueType};
use crate::crypto::KeyRing;
use crate::mask::MaskKeys;
use crate::policy::{Actor, ActorKeys, Decision, Policy, Principal, Roles, Sight, TaggedColumnId};
use crate::wire::backend::RowDescription;

/// Everything that decisions depend on, of one moment. Taken at each execution.
pub struct Snapshot {
    /// Counts snapshots; also the version that analyses are remembered under.
    pub version: u64,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The database.
    pub catalog: Arc<Catalog>,
    /// The policy bound to the database.
    pub inventory: Arc<Inventory>,
    /// Keys for keyed masks.
    pub keys: Arc<MaskKeys>,
    /// Keys that tokens of asserted end users are checked with.
    pub actor_keys: Arc<ActorKeys>,
    /// Keys of encrypted columns.
    pub ring: Arc<KeyRing>,
    /// Whether access events can be written: if not, statements that would reveal are refused.
    pub access_log_ready: bool,
    /// Caps on analysis.
    pub limits: crate::sql::Limits,
    /// How many changes of the catalog are known to be in it.
    pub epoch: u64,
    /// How many there were when it came to be like this: between that and `epoch` it was as it is now.
    pub since: u64,
    /// Whether it is how the database was after the last of these changes, and nothing of later ones.
    pub exact: bool,
    /// Those before it, the newest last; without their own.
    pub past: Arc<[Arc<Snapshot>]>,
}

impl Snapshot {
    /// Each state before this one that the database was in since that many changes of its catalog, the newest first.
    /// `None`: some of them were not read.
    pub fn states_since(&self, epoch: u64) -> Option<Vec<Arc<Self>>> {
        let (mut states, mut after) = (Vec::new(), self.since);
        if !self.exact {
            return None;
        }
        for past in self.past.iter().rev() {
            if after.saturating_sub(past.epoch) > 1 {
                return None;
            }
            states.push(Arc::clone(past));
            if epoch >= past.since {
                return Some(states);
            }
            after = past.since;
        }
        None
    }

    /// The type that clients see of a tagged column. `None`: it is not in the catalog.
    pub fn type_of(&self, id: TaggedColumnId) -> Option<ValueType> {
        if let Some(encryption) = self.policy.column(id).and_then(|column| column.encryption.as_ref()) {
            return Some(encryption.plain.value_type());
        }
        let binding = self.inventory.bindings().iter().find(|binding| binding.id == id)?;
        let column = self.catalog.relation(binding.relation)?.attribute(binding.attnum)?;
        Some(ValueType::of(&self.catalog, column.type_oid))
    }

    /// Whether the server says of a result that a column of it is a tagged one, or one that came after the catalog was
    /// read and may be made of tagged ones.
    pub fn shows_tagged(&self, description: &RowDescription) -> bool {
        description.fields.iter().any(|field| {
            let Some(relation) = self.catalog.relation(field.table) else { return false };
            match field.attnum {
                0 => self.inventory.relation(relation.oid).is_some(),
                // `ctid`, `tableoid` and the like.
                ..0 => false,
                attnum if relation.attribute(attnum).is_some() => self.inventory.column(relation.oid, attnum).is_some(),
                _ => self.inventory.relation(relation.oid).is_some() || relation.definition.is_some(),
            }
        })
    }

    /// Whether a table has the column of a blind index.
    pub fn has_index(&self, schema: &Name, table: &Name) -> bool {
        self.catalog.relations_named(Some(schema), table).any(|relation| {
            let reach = self.inventory.relation(relation.oid);
            reach.is_some_and(|reach| reach.columns.keys().any(|&id| self.policy.index_of(id).is_some()))
        })
    }

    /// Whether payloads of notifications may hold what a caller does not see in clear.
    pub fn withholds_payloads(&self, caller: &Caller) -> bool {
        let clear = |&id: &TaggedColumnId| self.policy.decide(&caller.roles, id).sight == Sight::Clear;
        self.inventory.notifies() && !self.inventory.everything().columns.keys().all(clear)
    }

    /// Whether the server names a relation of users that the catalog does not have: where the transaction under way has
    /// not made any, another session has since the catalog was read, and what the statement was judged by may be out of
    /// date.
    pub fn shows_unread(&self, description: &RowDescription) -> bool {
        description.fields.iter().any(|field| field.table != Oid(0) && self.catalog.relation(field.table).is_none())
    }
}

/// A principal and the policy roles that it has under one snapshot.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who asks.
    pub principal: Principal,
    /// Its roles in the policy.
    pub roles: Roles,
    /// What is revealed to it on request.
    pub grant: Option<Arc<Grant>>,
}

impl Caller {
    /// Work out the roles of a login under a snapshot: its memberships are read from the snapshot's catalog, so a role
    /// taken away in the database counts from the next reading on.
    pub fn new(mut principal: Principal, snapshot: &Snapshot) -> Self {
        principal.member_of = snapshot.catalog.roles_of(&principal.user).cloned().unwrap_or_default();
        // An account that is not trusted with it any more speaks for itself.
        let account = snapshot.policy.account(&principal.user);
        principal.actor = principal.actor.filter(|actor| account.is_some_and(|account| account.accepts(actor)));
        let roles = snapshot.policy.roles_of(&principal);
        Self { principal, roles, grant: None }
    }

    /// The same, to whom something is revealed on request, if it is allowed still, and was granted to the same end user.
    #[must_use]
    pub fn granted(mut self, grant: Option<&Arc<Grant>>, snapshot: &Snapshot) -> Self {
        let name = |actor: &Option<Arc<Actor>>| actor.as_ref().map(|actor| Arc::clone(&actor.name));
        let offer = grant.and_then(|_| snapshot.policy.offer(&self.roles));
        self.grant = grant
            .filter(|grant| offer.is_some_and(|offer| grant.is_allowed(&offer)))
            .filter(|grant| name(&grant.actor) == name(&self.principal.actor))
            .cloned();
        self
    }

    /// What it is shown of a column in results: what its roles say, or the value, if a grant lifts the mask.
    pub fn shown(&self, snapshot: &Snapshot, id: TaggedColumnId) -> Decision {
        let decision = snapshot.policy.decide(&self.roles, id);
        match &self.grant {
            Some(grant) if decision.sight != Sight::Clear && self.is_lifted(snapshot, id) => Decision {
                sight: Sight::Clear,
                role: Some(Arc::clone(&grant.role)),
                rule: Arc::clone(&grant.rule),
                ..decision
            },
            _ => decision,
        }
    }

    /// Whether a grant is about a column.
    fn is_lifted(&self, snapshot: &Snapshot, id: TaggedColumnId) -> bool {
        let tag = snapshot.policy.column(id).map(|column| &column.tag.name);
        self.grant.as_ref().zip(tag).is_some_and(|(grant, tag)| grant.tags.contains(tag))
    }

    /// Whether it may ask for a reveal of a column.
    pub fn may_ask(&self, snapshot: &Snapshot, id: TaggedColumnId) -> bool {
        let tag = || snapshot.policy.column(id).map(|column| &column.tag.name);
        let offer = snapshot.policy.offers().then(|| snapshot.policy.offer(&self.roles)).flatten();
        offer.is_some_and(|offer| tag().is_some_and(|tag| offer.tags.contains(tag)))
    }

    /// Whether no tagged column of the database is masked, hidden or denied to it.
    pub fn sees_everything(&self, snapshot: &Snapshot) -> bool {
        let mut columns = snapshot.inventory.everything().columns.keys();
        columns.all(|&id| snapshot.policy.decide(&self.roles, id).sight == Sight::Clear)
    }

    /// Whether no column that the policy tags is masked, hidden or denied to it, be it in the database yet or not: then it
    /// may be shown values of which nobody knows the origin.
    pub fn sees_whatever(&self, snapshot: &Snapshot) -> bool {
        let mut columns = snapshot.policy.columns();
        columns.all(|(id, _)| snapshot.policy.decide(&self.roles, id).sight == Sight::Clear)
    }

    /// By which roles and rules it sees everything.
    fn why_everything(&self, snapshot: &Snapshot) -> (Option<Arc<str>>, Arc<str>) {
        let decisions = snapshot.policy.columns().map(|(id, _)| snapshot.policy.decide(&self.roles, id));
        let (mut roles, mut rules) = (BTreeSet::new(), BTreeSet::new());
        for decision in decisions {
            roles.extend(decision.role);
            rules.insert(decision.rule);
        }
        let listed = |names: BTreeSet<Arc<str>>| Arc::from(names.into_iter().collect::<Vec<_>>().join(", "));
        (Some(roles).filter(|roles| !roles.is_empty()).map(listed), listed(rules))
    }
}
