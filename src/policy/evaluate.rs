//! Who has which roles, and what they see of a column.

use std::net::IpAddr;
use std::sync::Arc;

use super::actor::is_like;
use super::strictness::{Showing, strictest};
use super::{Actor, Budget, Decision, FilterMode, Policy, Principal, RoleRow, Roles, Rule, Sight, TaggedColumnId};
use crate::mask::HiddenForm;

impl Policy {
    /// The roles of the policy that this principal has.
    pub fn roles_of(&self, principal: &Principal) -> Roles {
        let mut matching: Vec<_> = self.roles.iter().zip(0_u32..).filter(|(role, _)| role.matches(principal)).collect();
        if matching.iter().any(|(role, _)| role.names_actors()) {
            // Of those that say who, the ones count that speak of the end user.
            matching.retain(|(role, _)| role.names_actors() || !role.names_accounts());
        }
        let account = self.account(&principal.user);
        let masked_only = principal.actor.is_none() && account.is_some_and(|account| account.required);
        Roles { numbers: matching.into_iter().map(|(_, index)| index).collect(), masked_only }
    }

    /// What a principal with these roles sees of a column. Of the rules that its roles have for the column those of the
    /// highest priority count, and of these the strictest; without any rule the tag's mask. A column or roles that are
    /// not of this policy are denied.
    pub fn decide(&self, roles: &Roles, column: TaggedColumnId) -> Decision {
        let decision = self.by_roles(roles, column);
        let index = usize::try_from(column.0).unwrap_or(usize::MAX);
        match self.columns.get(index) {
            Some(row) if roles.masked_only && decision.sight == Sight::Clear => row.unmatched.clone(),
            _ => decision,
        }
    }

    fn by_roles(&self, roles: &Roles, column: TaggedColumnId) -> Decision {
        let index = usize::try_from(column.0).unwrap_or(usize::MAX);
        let Some(row) = self.columns.get(index) else {
            return denied_for(column);
        };
        if let Some(of) = row.tagged.index_of.filter(|of| *of != column) {
            return of_index(self.decide(roles, of));
        }
        let mut rules: Vec<(&RoleRow, &Rule)> = Vec::new();
        for &role in &roles.numbers {
            let Some(role) = self.role(role) else {
                return denied_for(column);
            };
            let Some(rule) = role.rules.get(index).and_then(Option::as_ref) else {
                continue;
            };
            match rules.first().map_or(role.priority, |(first, _)| first.priority) {
                highest if role.priority < highest => continue,
                highest if role.priority > highest => rules.clear(),
                _ => {}
            }
            rules.push((role, rule));
        }
        let Some(((first_role, first_rule), others)) = rules.split_first() else {
            return row.unmatched.clone();
        };
        if others.is_empty() {
            return Decision {
                sight: first_rule.sight.clone(),
                filter: first_rule.filter,
                budget: first_rule.budget,
                role: Some(Arc::clone(&first_role.name)),
                rule: Arc::clone(&first_rule.rule),
            };
        }
        let sights: Vec<&Sight> = rules.iter().map(|(_, rule)| &rule.sight).collect();
        let filter = rules.iter().map(|(_, rule)| rule.filter).min().unwrap_or(FilterMode::Refuse);
        let budget = rules.iter().map(|(_, rule)| rule.budget).fold(Budget::Unlimited, Budget::stricter);
        match strictest(&sights) {
            Showing::Of(index) => {
                let (role, rule) = rules.get(index).copied().unwrap_or((first_role, first_rule));
                let (sight, role) = (rule.sight.clone(), Some(Arc::clone(&role.name)));
                Decision { sight, filter, budget, role, rule: Arc::clone(&rule.rule) }
            }
            Showing::Common(mask) => {
                // The decision is nobody's alone: all rules that took part are named.
                let places: Vec<&str> = rules.iter().map(|(_, rule)| &*rule.rule).collect();
                let sight = mask.map_or(Sight::Hidden(row.tagged.tag.hidden), |mask| Sight::Masked(Arc::new(mask)));
                Decision {
                    sight,
                    filter,
                    budget,
                    role: Some(Arc::clone(&first_role.name)),
                    rule: places.join(", ").into(),
                }
            }
        }
    }

    /// Whether a principal with these roles may open replication connections: by the roles of the highest priority that
    /// speak of it, all of which have to say so.
    pub fn allows_replication(&self, roles: &Roles) -> bool {
        let speaking = || roles.numbers.iter().filter_map(|&role| self.role(role)).filter_map(said_of_replication);
        let highest = speaking().map(|(priority, _)| priority).max();
        !roles.masked_only
            && highest.is_some()
            && speaking().filter(|(priority, _)| Some(*priority) == highest).all(|(_, allowed)| allowed)
    }

    pub(super) fn role(&self, index: u32) -> Option<&RoleRow> {
        self.roles.get(usize::try_from(index).ok()?)
    }
}

/// What holds of the column of a blind index: what holds of the one that it is of, but that no mask of it is shown.
/// (Nor is it itself where that one is clear: the result's columns know it.)
fn of_index(of: Decision) -> Decision {
    let sight = match of.sight {
        Sight::Clear => Sight::Clear,
        Sight::Masked(_) | Sight::Hidden(_) => Sight::Hidden(HiddenForm::Null),
        Sight::Denied => Sight::Denied,
    };
    Decision { sight, ..of }
}

fn said_of_replication(role: &RoleRow) -> Option<(i32, bool)> {
    role.replication.map(|allowed| (role.priority, allowed))
}

fn denied_for(column: TaggedColumnId) -> Decision {
    let rule = format!("column {} is not of this policy", column.0);
    Decision {
        sight: Sight::Denied,
        filter: FilterMode::Refuse,
        budget: Budget::default(),
        role: None,
        rule: rule.into(),
    }
}

impl RoleRow {
    /// `users` or `member_of` say who; `networks` and `certificates`, each where given, must hold besides.
    fn matches(&self, principal: &Principal) -> bool {
        let named = self.users.iter().any(|(user, _)| *user == principal.user);
        // As pg_has_role() sees it, a role is a member of itself.
        let member =
            self.member_of.iter().any(|(role, _)| principal.member_of.contains(role) || *role == principal.user);
        let who = named || member || !self.names_accounts();
        let spoken_for = !self.names_actors() || principal.actor.as_ref().is_some_and(|actor| self.is_of(actor));
        let from = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&plain(principal)));
        let shown = self.certificates.is_empty()
            || principal.certificate.as_ref().is_some_and(|name| self.certificates.contains(name));
        who && spoken_for && from && shown
    }

    /// Whether it says which end users have it.
    fn names_actors(&self) -> bool {
        !self.actors.is_empty() || !self.actor_groups.is_empty()
    }

    /// Whether it says which database accounts have it.
    fn names_accounts(&self) -> bool {
        !self.users.is_empty() || !self.member_of.is_empty()
    }

    fn is_of(&self, actor: &Actor) -> bool {
        self.actors.iter().any(|pattern| is_like(&actor.name, pattern))
            || actor.groups.iter().any(|group| self.actor_groups.contains(group))
    }
}

/// The client's address; one that an IPv6 socket shows as `::ffff:10.0.0.1` is an IPv4 address.
fn plain(principal: &Principal) -> IpAddr {
    principal.address.to_canonical()
}
