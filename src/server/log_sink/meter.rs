//! How many records of one kind are written: those that a caller can bring about as often as it likes would fill the disk.
//!
//! Each kind, user and column has a bucket of its own (token bucket): so many records at once, so many a second. What is more
//! is counted, and the count is written every few seconds. Nothing is dropped in silence, and no reveal is ever dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::access_log::{ActorChange, Record, RevealChange, Suppressed, Visit};

/// Records of one kind, user and column that are written each second.
const RECORDS_A_SECOND: f64 = 50.0;
/// Those that are written at once after a time without any.
const BURST: f64 = 500.0;
/// Kinds, users and columns that are told apart; further ones share one bucket of their kind.
const KEYS_MAX: usize = 1_000;

/// Counts records.
#[derive(Default)]
pub(super) struct Meter {
    buckets: Mutex<HashMap<Key, Bucket>>,
}

/// What is counted together; without a user: what is not told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    user: Option<Arc<str>>,
    object: Option<Arc<str>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    suppressed: u64,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { tokens: BURST, at: now, suppressed: 0 }
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens, self.at) = ((self.tokens + since * RECORDS_A_SECOND).min(BURST), now);
    }

    fn takes(&mut self, now: Instant) -> bool {
        self.refill(now);
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        } else {
            self.suppressed = self.suppressed.saturating_add(1);
        }
        takes
    }
}

impl Meter {
    /// Whether a record is to be written; else it has been counted.
    pub(super) fn takes(&self, record: &Record, now: Instant) -> bool {
        let Some((visit, object)) = metered(record) else { return true };
        let key = Key { kind: record.kind(), user: Some(visit.user.as_str().into()), object };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&key) {
            return bucket.takes(now);
        }
        let key = if buckets.len() < KEYS_MAX { key } else { Key { user: None, object: None, ..key } };
        buckets.entry(key).or_insert_with(|| Bucket::new(now)).takes(now)
    }

    /// What has been counted since this was asked last. What has been quiet for long is forgotten.
    pub(super) fn suppressed(&self, now: Instant) -> Vec<Suppressed> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        buckets.retain(|key, bucket| {
            bucket.refill(now);
            let count = std::mem::take(&mut bucket.suppressed);
            if count > 0 {
                let Key { kind, user, object } = key.clone();
                found.push(Suppressed { kind, user, object, count });
            }
            count > 0 || bucket.tokens < BURST
        });
        found
    }
}

/// Whose a record is and what it is about, where a caller can bring about as many as it likes.
fn metered(record: &Record) -> Option<(&Visit, Option<Arc<str>>)> {
    match record {
        Record::Login(login) => Some((&login.visit, None)),
        Record::LoginFailed(failed) => Some((&failed.visit, None)),
        Record::Logout(logout) => Some((&logout.visit, None)),
        Record::Refused(refused) => Some((&refused.visit, None)),
        // Who opens sessions one after the other hides no use of another column's key behind them.
        Record::KeyUse(used) => Some((&used.visit, Some(Arc::clone(&used.column)))),
        Record::Filtered(filtered) => {
            let column = &filtered.column;
            let name = format!("{}.{}.{}", column.schema, column.table, column.column);
            Some((&filtered.visit, Some(name.into())))
        }
        Record::RevealStep(step) => match &step.change {
            RevealChange::Refused { .. } => Some((&step.visit, None)),
            RevealChange::Asked(_)
            | RevealChange::Granted(_)
            | RevealChange::Ended { .. }
            | RevealChange::Approved
            | RevealChange::Denied
            | RevealChange::Reviewed => None,
        },
        Record::ActorStep(step) => match &step.change {
            ActorChange::Refused(_) => Some((&step.visit, None)),
            ActorChange::Asserted { .. } | ActorChange::Ended => None,
        },
        Record::Reveal(_)
        | Record::Closing(_)
        | Record::Entities(_)
        | Record::Guard(_)
        | Record::Reload(_)
        | Record::Administration(_)
        | Record::Suppressed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access_log::{Action, Closing, KeyUse, Refused};
    use crate::catalog::Name;

    fn visit(user: &str) -> Arc<Visit> {
        Arc::new(Visit {
            session: 1,
            user: Name::exact(user),
            actor: None,
            database: Name::exact("shop"),
            client: "127.0.0.1:1".parse().unwrap(),
            application_name: None,
        })
    }

    fn refusal(user: &str) -> Record {
        Record::Refused(Refused {
            visit: visit(user),
            reason: "filter",
            code: "42501",
            column: Some("public.customer.email".into()),
            rule: None,
        })
    }

    #[test]
    fn a_storm_is_cut_and_what_was_cut_is_told() {
        let (meter, start) = (Meter::default(), Instant::now());
        let taken = (0..10_000).filter(|_| meter.takes(&refusal("sam"), start)).count();
        assert_eq!(taken, 500);
        assert!(meter.takes(&refusal("ann"), start), "others are not held to account for it");
        let told = meter.suppressed(start);
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((told.kind, told.user.as_deref(), told.count), ("refusal", Some("sam"), 9_500));
        assert_eq!(meter.suppressed(start), []);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..1_000).filter(|_| meter.takes(&refusal("sam"), later)).count(), 100);
        assert_eq!(meter.suppressed(later).len(), 1);
        let much_later = later + Duration::from_secs(60);
        assert_eq!(meter.suppressed(much_later), []);
        assert!(meter.buckets.lock().unwrap().is_empty(), "what is quiet is forgotten");
    }

    #[test]
    fn uses_of_one_column_s_key_hide_none_of_another_s() {
        let (meter, start) = (Meter::default(), Instant::now());
        let uses = |column: &str| {
            let used = KeyUse { visit: visit("sam"), key: "people".into(), column: column.into() };
            meter.takes(&Record::KeyUse(used), start)
        };
        assert_eq!((0..1_000).filter(|_| uses("public.people.email")).count(), 500);
        assert!(uses("public.people.name"));
        let told = meter.suppressed(start);
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((told.kind, told.object.as_deref(), told.count), ("key_use", Some("public.people.email"), 500));
    }

    #[test]
    fn many_users_share_what_is_left() {
        let (meter, start) = (Meter::default(), Instant::now());
        let taken = (0..10_000).filter(|user| meter.takes(&refusal(&format!("user {user}")), start)).count();
        assert!(taken <= KEYS_MAX + 500, "{taken}");
        let told = meter.suppressed(start);
        assert_eq!(told.iter().map(|told| told.count).sum::<u64>(), 10_000 - u64::try_from(taken).unwrap());
        assert!(told.iter().all(|told| told.user.is_none()));
    }

    #[test]
    fn nothing_that_is_owed_is_metered() {
        let meter = Meter::default();
        let closing = Record::Closing(Closing {
            visit: visit("sam"),
            execution: 1,
            rows: 1,
            complete: true,
            action: Action::View,
            entities: Vec::new(),
        });
        assert!((0..100_000).all(|_| meter.takes(&closing, Instant::now())));
    }
}
