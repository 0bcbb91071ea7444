//! What the permitted filters of a statement cost, and who may still afford them.
//!
//! A filter on a masked column tells something of it each time that it runs: that it is, or is not, the value asked for.
//! Few of them are an application's daily work, very many are a search for the value. So each is counted, by principal
//! and column, against the [`Budget`] that the policy gives.

mod given;

pub use given::{Given, arguments};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Refusal;
use crate::catalog::Name;
use crate::policy::{Allowance, Budget};

/// Who asks: filters are counted together for all sessions of one user (and one end user behind it, where known).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payer {
    /// The database user who logged in.
    pub user: Name,
    /// The asserted end user.
    pub actor: Option<Arc<str>>,
}

/// A tagged column by its names: these outlive a reload of policy and catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnNames(pub Name, pub Name, pub Name);

impl fmt::Display for ColumnNames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What the filters of one statement look at in one tagged column that the caller does not see in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The column.
    pub column: ColumnNames,
    /// Its tag.
    pub tag: Arc<str>,
    /// `file:line` of the rule that permits it.
    pub rule: Arc<str>,
    /// How many there may be.
    pub budget: Budget,
    /// Whether it may be compared for equality only, by the filter mode of the column.
    pub equality_only: bool,
    /// How many looks at it one execution takes; parameters that are arrays count as one here.
    pub times: usize,
    /// Parameters that are arrays of constants: each element is one more look.
    pub arrays: Vec<u32>,
    /// Parameters that are patterns of LIKE.
    pub patterns: Vec<u32>,
}

/// What an execution takes from one column's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// Whose.
    pub look: &'a Look,
    /// How many looks.
    pub times: usize,
}

impl Look {
    /// What an execution with these parameters takes; `list_max`: how many constants an equality may have.
    ///
    /// # Errors
    /// The value of a parameter makes it a filter that the column's mode does not permit.
    pub fn charge(&self, given: &dyn Fn(u32) -> Given, list_max: usize) -> Result<Charge<'_>, Refusal> {
        let refused = |what: &str| Refusal::filter(&self.column, &self.tag, &self.rule, what);
        if self.equality_only && self.patterns.iter().any(|&number| given(number).pattern) {
            return Err(refused("a search by pattern"));
        }
        let mut times = self.times;
        for &number in &self.arrays {
            // One is counted already.
            let more = given(number).elements.unwrap_or(usize::MAX).saturating_sub(1);
            times = times.saturating_add(more);
        }
        if self.equality_only && !self.arrays.is_empty() && times > list_max {
            return Err(refused(
                "a comparison with a list of unknown length, or of more than the permitted constants,",
            ));
        }
        Ok(Charge { look: self, times })
    }
}

/// A budget does not cover a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdrawn {
    /// Which of the charges.
    pub charge: usize,
    /// When it will be covered; `None`: never, for it is more than the whole budget.
    pub wait: Option<Duration>,
}

/// Principals whose spending is remembered, at the most; further ones share one account.
pub const PAYERS_MAX: usize = 100_000;

/// Who has spent how much. A pure value: the time is handed in.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<Payer, HashMap<ColumnNames, Account>>,
    /// Accounts whose spending the store has not heard all of, and those whose is on its way.
    unsent: HashSet<(Payer, ColumnNames)>,
    sending: Vec<(Payer, ColumnNames)>,
}

/// What is spent of one column's budget.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// When it will be whole again.
    whole_at: Duration,
    /// What was spent here that the store has not heard of, and what is on its way there: as the time that it takes to come
    /// back.
    own: Duration,
    sent: Duration,
}

/// What was spent of one column's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// By whom.
    pub payer: Payer,
    /// Of which column's.
    pub column: ColumnNames,
    /// From here to the store: when the budget would have been whole without it. From there: zero.
    pub since: Duration,
    /// From here to the store: in how long what was spent comes back. From there: when the budget will be whole again.
    pub time: Duration,
}

impl Ledger {
    /// Take all of these charges, or none of them. `now`: the time since some fixed moment.
    ///
    /// # Errors
    /// The first charge that is not covered.
    pub fn spend(&mut self, payer: &Payer, charges: &[Charge<'_>], now: Duration) -> Result<(), Overdrawn> {
        let account = self.account(payer, now);
        for (number, charge) in charges.iter().enumerate() {
            let Budget::Limited(allowance) = charge.look.budget else { continue };
            let (whole, cost) = (allowance.period.length(), cost(allowance, charge.times));
            let spent = account.get(&charge.look.column).map_or(now, |account| account.whole_at.max(now));
            let after = spent.saturating_add(cost).saturating_sub(now);
            if after > whole {
                let wait = (cost <= whole).then(|| after.saturating_sub(whole));
                return Err(Overdrawn { charge: number, wait });
            }
        }
        for charge in charges {
            let Budget::Limited(allowance) = charge.look.budget else { continue };
            let cost = cost(allowance, charge.times);
            let spent = account.entry(charge.look.column.clone()).or_default();
            spent.whole_at = spent.whole_at.max(now).saturating_add(cost);
            spent.own = spent.own.saturating_add(cost);
        }
        for charge in charges {
            if let Budget::Limited(_) = charge.look.budget {
                self.unsent.insert((payer.clone(), charge.look.column.clone()));
            }
        }
        Ok(())
    }

    /// What was spent here since the last call, for the store. Until [`Ledger::sent`] it counts as on its way.
    pub fn changes(&mut self) -> Vec<Spent> {
        self.sending = self.unsent.drain().collect();
        let mut changes = Vec::with_capacity(self.sending.len());
        for (payer, column) in &self.sending {
            if let Some(spent) = self.accounts.get_mut(payer).and_then(|account| account.get_mut(column)) {
                spent.sent = std::mem::take(&mut spent.own);
                // When it was spent, not when it is told: it comes back no later for that.
                let since = spent.whole_at.saturating_sub(spent.sent);
                changes.push(Spent { payer: payer.clone(), column: column.clone(), since, time: spent.sent });
            }
        }
        changes
    }

    /// The store has all of the last changes, or has none of them.
    pub fn sent(&mut self, stored: bool) {
        for (payer, column) in std::mem::take(&mut self.sending) {
            let Some(spent) = self.accounts.get_mut(&payer).and_then(|account| account.get_mut(&column)) else {
                continue;
            };
            let sent = std::mem::take(&mut spent.sent);
            if !stored {
                spent.own = spent.own.saturating_add(sent);
                self.unsent.insert((payer, column));
            }
        }
    }

    /// What all processes have spent, as the store says. To be called after [`Ledger::sent`].
    pub fn learn(&mut self, spent: Spent, now: Duration) {
        if spent.time <= now {
            return;
        }
        let account = self.account(&spent.payer, now).entry(spent.column).or_default();
        account.whole_at = spent.time.saturating_add(account.own).saturating_add(account.sent);
    }

    fn account(&mut self, payer: &Payer, now: Duration) -> &mut HashMap<ColumnNames, Account> {
        if !self.accounts.contains_key(payer) {
            if self.accounts.len() >= PAYERS_MAX {
                self.accounts.retain(|_, account| account.values().any(|spent| spent.whole_at > now));
            }
            if self.accounts.len() >= PAYERS_MAX {
                let others = Payer { user: Name::exact(""), actor: None };
                return self.accounts.entry(others).or_default();
            }
        }
        self.accounts.entry(payer.clone()).or_default()
    }
}

/// How long a budget takes to come back by so many looks.
fn cost(allowance: Allowance, times: usize) -> Duration {
    let nanoseconds = allowance.period.length().as_nanos().saturating_mul(u128::try_from(times).unwrap_or(u128::MAX))
        / u128::from(allowance.filters.get());
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(column: &str, budget: &str) -> Look {
        let policy =
            format!("version: 1\ntags: {{ x: {{ mask: full, budget: {budget} }} }}\ncolumns: {{ t: {{ a: x }} }}\n");
        let source = crate::policy::PolicySource { path: "p".to_owned(), text: policy };
        let policy = crate::policy::Policy::parse(&[source]).unwrap();
        let (_, tagged) = policy.columns().next().unwrap();
        Look {
            column: ColumnNames(Name::exact("public"), Name::exact("t"), Name::exact(column)),
            tag: "x".into(),
            rule: "p:2".into(),
            budget: tagged.tag.budget,
            equality_only: true,
            times: 1,
            arrays: vec![1],
            patterns: vec![2],
        }
    }

    fn payer(user: &str) -> Payer {
        Payer { user: Name::exact(user), actor: None }
    }

    #[test]
    fn a_budget_is_spent_and_comes_back_evenly() {
        let look = look("a", "6/min");
        let mut ledger = Ledger::default();
        let mut spend = |second: u64, times: usize| {
            let spent = ledger.spend(&payer("ann"), &[Charge { look: &look, times }], Duration::from_secs(second));
            spent.map_err(|overdrawn| overdrawn.wait.map(|wait| wait.as_secs()))
        };
        assert_eq!(spend(1_000, 4), Ok(()));
        assert_eq!(spend(1_000, 3), Err(Some(10)));
        assert_eq!(spend(1_000, 2), Ok(()));
        assert_eq!(spend(1_009, 1), Err(Some(1)));
        assert_eq!(spend(1_010, 1), Ok(()));
        assert_eq!(spend(1_010, 7), Err(None));
        assert_eq!(spend(9_000, 6), Ok(()));
    }

    #[test]
    fn columns_and_callers_have_budgets_of_their_own_and_a_refused_charge_takes_nothing() {
        let (one, two) = (look("a", "1/h"), look("b", "2/h"));
        let mut ledger = Ledger::default();
        let now = Duration::from_secs(5);
        let charge = |look| Charge { look, times: 1 };
        assert_eq!(ledger.spend(&payer("ann"), &[charge(&one)], now), Ok(()));
        let both = [charge(&two), charge(&one)];
        assert_eq!(ledger.spend(&payer("ann"), &both, now).unwrap_err().charge, 1);
        assert_eq!(ledger.spend(&payer("ann"), &[charge(&two)], now), Ok(()));
        assert_eq!(ledger.spend(&payer("ann"), &[charge(&two)], now), Ok(()));
        assert!(ledger.spend(&payer("ann"), &[charge(&two)], now).is_err());
        assert_eq!(ledger.spend(&payer("bob"), &both, now), Ok(()));
        let unlimited = look("a", "unlimited");
        let much = Charge { look: &unlimited, times: usize::MAX };
        assert_eq!(ledger.spend(&payer("ann"), &[much], now), Ok(()));
    }

    #[test]
    fn a_budget_comes_back_when_it_says_however_late_the_store_hears_of_it() {
        let look = look("a", "4/s");
        let (mut ledger, mut store) = (Ledger::default(), Duration::ZERO);
        let at = |millis| Duration::from_secs(1_000) + Duration::from_millis(millis);
        for (spent, told) in [(0, 240), (1_000, 1_990), (2_000, 2_010)] {
            let charge = || [Charge { look: &look, times: 4 }];
            assert_eq!(ledger.spend(&payer("ann"), &charge(), at(spent)), Ok(()), "{spent}");
            assert!(ledger.spend(&payer("ann"), &charge(), at(spent + 999)).is_err());
            for change in ledger.changes() {
                store = store.max(change.since) + change.time;
            }
            ledger.sent(true);
            let (column, since) = (look.column.clone(), Duration::ZERO);
            ledger.learn(Spent { payer: payer("ann"), column, since, time: store }, at(told));
        }
    }

    #[test]
    fn two_processes_spend_one_budget_through_their_store() {
        let look = look("a", "6/min");
        let (mut one, mut two, mut store) = (Ledger::default(), Ledger::default(), Duration::ZERO);
        let now = Duration::from_secs(1_000);
        let spend =
            |ledger: &mut Ledger, times| ledger.spend(&payer("ann"), &[Charge { look: &look, times }], now).is_ok();
        let mut exchange = |ledger: &mut Ledger, works: bool| {
            for change in ledger.changes() {
                if works {
                    store = store.max(change.since) + change.time;
                }
            }
            ledger.sent(works);
            let since = Duration::ZERO;
            ledger.learn(Spent { payer: payer("ann"), column: look.column.clone(), since, time: store }, now);
        };
        assert!(spend(&mut one, 2) && spend(&mut two, 2));
        exchange(&mut one, false);
        exchange(&mut one, true);
        exchange(&mut two, true);
        exchange(&mut one, true);
        assert!(!spend(&mut one, 3) && !spend(&mut two, 3));
        assert!(spend(&mut one, 2));
        exchange(&mut one, true);
        exchange(&mut two, true);
        assert!(!spend(&mut two, 1));
    }

    #[test]
    fn the_value_of_a_parameter_says_what_a_filter_is() {
        let look = look("a", "1000/h");
        let times = |array: Given, pattern: Given| {
            let given = |number: u32| if number == 1 { array } else { pattern };
            look.charge(&given, 3).map(|charge| charge.times).ok()
        };
        let plain = Given::text(b"x@example.org");
        assert_eq!(times(Given::text(b"{a,b,c}"), plain), Some(3));
        assert_eq!(times(Given::text(b"{a,b,c,d}"), plain), None);
        assert_eq!(times(Given::NULL, plain), Some(1));
        assert_eq!(times(Given::COMPUTED, plain), None);
        assert_eq!(times(Given::NULL, Given::text(b"x%")), None);
        assert_eq!(times(Given::NULL, Given::COMPUTED), None);
    }
}
