//! Who has done how much of what the policy's limits count: sliding windows.
//!
//! A window is cut into [`BUCKETS`] pieces, and its oldest piece counts until all of it is over: there is never more than
//! a limit allows in any stretch of its length, and up to a sixtieth of it longer. What this process has counted is kept
//! apart from what all processes have, as their common store says: see [`Windows::changes`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Name;
use crate::policy::{Counted, Limit, Per};

/// Pieces of a window.
pub const BUCKETS: u64 = 60;
/// Windows that are kept, at the most; what comes after shares one for each limit.
pub const WINDOWS_MAX: usize = 100_000;
/// Between two looks at all windows for those that may be let go of.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);
/// Longest name of a database user in bytes (`NAMEDATALEN`); what a client calls itself before its login may be longer.
const NAME_BYTES_MAX: usize = 63;

/// Whom something is counted for. What is `None` is not told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The database user.
    pub user: Option<Name>,
    /// The end user that it asserts.
    pub actor: Option<Arc<str>>,
    /// The client's address; of IPv6 its first 64 bits, which is what one host can choose from.
    pub address: Option<IpAddr>,
}

impl Subject {
    /// What this limit counts together.
    fn of(watched: &Watched, per: Per) -> Self {
        let user = || Some(watched.user.clone());
        let address = || Some(network_of(watched.address));
        match per {
            Per::Principal => Self { user: user(), actor: watched.actor.clone(), address: None },
            Per::UserAndAddress => Self { user: user(), actor: None, address: address() },
            Per::User => Self { user: user(), actor: None, address: None },
            Per::Address => Self { user: None, actor: None, address: address() },
        }
    }

    /// All that this caller is one of, but everybody.
    pub fn covering(user: &Name, actor: Option<&Arc<str>>, address: IpAddr) -> impl Iterator<Item = Self> {
        let (user, actor, address) = (Some(user.clone()), actor.cloned(), Some(network_of(address)));
        let all = (1..8_u8).map(move |of| Self {
            user: user.clone().filter(|_| of & 1 != 0),
            address: address.filter(|_| of & 2 != 0),
            actor: actor.clone().filter(|_| of & 4 != 0),
        });
        all.filter(|of| *of != Self::default())
    }
}

/// An address, or of IPv6 the network of 64 bits that it is from.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// A caller, and the limits that hold for it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The database user; of a failed login who it wanted to be.
    pub user: Name,
    /// The end user that it asserts.
    pub actor: Option<Arc<str>>,
    /// Where it comes from.
    pub address: IpAddr,
    /// What holds for it.
    pub limits: Vec<Arc<Limit>>,
}

impl Watched {
    /// A caller; names that are longer than any user's are cut.
    pub fn new(user: &Name, actor: Option<Arc<str>>, address: IpAddr, limits: Vec<Arc<Limit>>) -> Self {
        let text = user.as_str();
        let user = match text.len() {
            0..=NAME_BYTES_MAX => user.clone(),
            _ => Name::exact(text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()),
        };
        Self { user, actor, address, limits }
    }

    /// The limits for that.
    pub fn limits_for(&self, what: Counted) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.iter().filter(move |limit| limit.what == what)
    }
}

/// Why something may not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A limit is reached.
    Limit {
        /// Which.
        limit: Arc<Limit>,
        /// In how long there will be room again.
        wait: Duration,
        /// Whether the session ends with it.
        ends_session: bool,
    },
    /// The store that several processes count in can not be reached.
    StoreAway,
    /// The account, or the end user behind it, is locked out until then; `None`: until it is let in again.
    LockedOut(Option<Arc<str>>),
}

impl Stop {
    /// Whether the session is to end.
    pub fn ends_session(&self) -> bool {
        match self {
            Self::Limit { ends_session, .. } => *ends_session,
            // A session of an account that is locked out ends by itself; those of an end user are others' too.
            Self::StoreAway | Self::LockedOut(_) => false,
        }
    }
}

/// More than a limit allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Who.
    pub subject: Subject,
    /// In how long there will be room again.
    pub wait: Duration,
    /// Whether it is the first in the limit's time: later ones are not told again.
    pub first: bool,
}

impl Breach {
    /// Why what was asked for may not happen.
    pub fn stop(&self) -> Stop {
        let consequences = &self.limit.on_breach;
        // Behind an account for many end users, the session serves the others when one of them is locked out.
        let locks = consequences.lock.is_some() && self.subject.actor.is_none();
        let ends_session = consequences.block_session || locks;
        Stop::Limit { limit: Arc::clone(&self.limit), wait: self.wait, ends_session }
    }
}

/// What [`Windows::take`] comes to.
#[derive(Debug, Default)]
pub struct Taken {
    /// How many may happen; `None`: none, for a limit forbids it.
    pub granted: Option<u64>,
    /// What limits are exceeded by it, those that refuse and those that only tell.
    pub breaches: Vec<Breach>,
}

/// Which window: a limit's name and whom it counts for.
pub type WindowKey = (Arc<str>, Subject);

/// A number that is to be added to, or is, what all processes have counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The window.
    pub key: WindowKey,
    /// The piece of it: the time since the Unix epoch, divided by the piece's length.
    pub bucket: u64,
    /// Length of a piece in milliseconds.
    pub width: u64,
    /// How many.
    pub count: i64,
}

/// All windows. A pure value: the time is handed in, since the Unix epoch.
#[derive(Default)]
pub struct Windows {
    windows: HashMap<WindowKey, Window>,
    /// Those that the store has not heard all of, and those that are on their way.
    unsent: HashSet<WindowKey>,
    sending: Vec<WindowKey>,
    /// When windows were let go of last.
    forgotten: Duration,
}

#[derive(Default)]
struct Window {
    /// Length of a piece in milliseconds.
    width: u64,
    buckets: BTreeMap<u64, Bucket>,
    /// When somebody was told of a breach.
    told: Option<Duration>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// What the store says that all processes have counted.
    known: i64,
    /// What was counted here and is on its way to the store.
    sent: i64,
    /// What was counted here since.
    own: i64,
}

impl Bucket {
    fn sum(self) -> i64 {
        self.known.saturating_add(self.sent).saturating_add(self.own)
    }
}

impl Window {
    /// Forget what is over, and count the rest.
    fn sum(&mut self, at: u64) -> u64 {
        let oldest = at.saturating_sub(BUCKETS);
        if self.buckets.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.buckets = self.buckets.split_off(&oldest);
        }
        let sum = self.buckets.values().fold(0_i64, |sum, bucket| sum.saturating_add(bucket.sum()));
        u64::try_from(sum).unwrap_or(0)
    }

    /// When the oldest piece that counts is over.
    fn room_at(&self) -> Duration {
        let oldest = self.buckets.iter().find(|(_, bucket)| bucket.sum() > 0).map_or(0, |(at, _)| *at);
        Duration::from_millis(oldest.saturating_add(BUCKETS).saturating_add(1).saturating_mul(self.width))
    }
}

impl Windows {
    /// Take `least` to `most` of this from what all limits leave that hold for it.
    pub fn take(&mut self, watched: &Watched, what: Counted, (least, most): (u64, u64), now: Duration) -> Taken {
        let mut breaches = Vec::new();
        let (mut granted, mut refused) = (most, false);
        for limit in watched.limits_for(what) {
            let key = self.key(limit, Subject::of(watched, limit.per), now);
            let window = self.windows.entry(key.clone()).or_default();
            window.width = width(limit);
            let left = limit.max.get().saturating_sub(window.sum(bucket(limit, now)));
            if left >= least {
                granted = granted.min(left);
                continue;
            }
            refused |= limit.on_breach.refuse;
            let first = window.told.is_none_or(|told| now.saturating_sub(told) >= limit.within);
            if first {
                window.told = Some(now);
            }
            let wait = window.room_at().saturating_sub(now).max(Duration::from_millis(window.width));
            breaches.push(Breach { limit: Arc::clone(limit), subject: key.1, wait, first });
        }
        if refused {
            return Taken { granted: None, breaches };
        }
        self.add(watched, what, i64::try_from(granted).unwrap_or(i64::MAX), now);
        Taken { granted: Some(granted), breaches }
    }

    /// So many of what was taken have not happened.
    pub fn give_back(&mut self, watched: &Watched, what: Counted, count: u64, now: Duration) {
        self.add(watched, what, i64::try_from(count).unwrap_or(i64::MAX).saturating_neg(), now);
    }

    fn add(&mut self, watched: &Watched, what: Counted, count: i64, now: Duration) {
        for limit in watched.limits_for(what) {
            let key = self.key(limit, Subject::of(watched, limit.per), now);
            self.unsent.insert(key.clone());
            let window = self.windows.entry(key).or_default();
            window.width = width(limit);
            let counted = window.buckets.entry(bucket(limit, now)).or_default();
            counted.own = counted.own.saturating_add(count);
        }
    }

    /// Where there is no room for a window of its own, that of all who have none.
    fn key(&mut self, limit: &Limit, subject: Subject, now: Duration) -> WindowKey {
        let key = (Arc::clone(&limit.name), subject);
        if self.windows.contains_key(&key) {
            return key;
        }
        // Looking at all of them takes its time: who opens one after the other must not make the others wait for that.
        if self.windows.len() >= WINDOWS_MAX && now.abs_diff(self.forgotten) >= FORGET_INTERVAL {
            self.forget(now);
        }
        if self.windows.len() >= WINDOWS_MAX { (key.0, Subject::default()) } else { key }
    }

    /// Let go of windows that nothing is counted in any more.
    pub fn forget(&mut self, now: Duration) {
        self.windows.retain(|_, window| {
            let at = millis(now) / window.width.max(1);
            window.sum(at);
            !window.buckets.is_empty()
        });
        self.unsent.retain(|key| self.windows.contains_key(key));
        self.forgotten = now;
    }

    /// An account was let in again: what is counted for it begins anew. The store has to forget it too.
    pub fn clear(&mut self, subject: &Subject) {
        for ((_, of), window) in &mut self.windows {
            let user = subject.user.is_none() || of.user == subject.user;
            // What is counted for all end users of an account is not one's own.
            let actor = subject.actor.is_none() || of.actor == subject.actor;
            let address = subject.address.is_none() || of.address.is_none() || of.address == subject.address;
            if user && actor && address {
                window.told = None;
                for bucket in window.buckets.values_mut() {
                    (bucket.own, bucket.known) = (0, 0);
                }
            }
        }
    }

    /// How many were counted here that the store has not heard of, of the window that has most of them.
    pub fn unsent_of(&self, watched: &Watched, what: Counted) -> u64 {
        let unsent = watched.limits_for(what).filter_map(|limit| {
            let window = self.windows.get(&(Arc::clone(&limit.name), Subject::of(watched, limit.per)))?;
            Some(window.buckets.values().fold(0_i64, |sum, bucket| sum.saturating_add(bucket.own + bucket.sent)))
        });
        u64::try_from(unsent.max().unwrap_or(0)).unwrap_or(0)
    }

    /// What was counted here since the last call, for the store. Until [`Windows::sent`] it counts as on its way.
    pub fn changes(&mut self) -> Vec<Count> {
        let mut changes = Vec::new();
        self.sending = self.unsent.drain().collect();
        for key in &self.sending {
            let Some(window) = self.windows.get_mut(key) else { continue };
            for (at, bucket) in &mut window.buckets {
                if bucket.own != 0 {
                    let count = std::mem::take(&mut bucket.own);
                    bucket.sent = bucket.sent.saturating_add(count);
                    changes.push(Count { key: key.clone(), bucket: *at, width: window.width, count });
                }
            }
        }
        changes
    }

    /// The store has all of the last changes, or has none of them. What it has goes on counting until it says how many
    /// there are: else there would be a moment in which a limit leaves more than it has.
    pub fn sent(&mut self, stored: bool) {
        for key in std::mem::take(&mut self.sending) {
            let Some(window) = self.windows.get_mut(&key) else { continue };
            if !stored {
                self.unsent.insert(key);
            }
            for bucket in window.buckets.values_mut() {
                let sent = std::mem::take(&mut bucket.sent);
                let counted = if stored { &mut bucket.known } else { &mut bucket.own };
                *counted = counted.saturating_add(sent);
            }
        }
    }

    /// What all processes have counted, as the store says. To be called after [`Windows::sent`].
    pub fn learn(&mut self, count: Count, now: Duration) {
        let over = count.bucket.saturating_add(BUCKETS).saturating_mul(count.width) < millis(now);
        if over || (self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&count.key)) {
            return;
        }
        let window = self.windows.entry(count.key).or_default();
        if window.width != count.width && window.width != 0 {
            // Of a limit that had another length.
            return;
        }
        window.width = count.width;
        window.buckets.entry(count.bucket).or_default().known = count.count;
    }
}

impl fmt::Debug for Windows {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} windows", self.windows.len())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Length of a piece in milliseconds.
fn width(limit: &Limit) -> u64 {
    (millis(limit.within) / BUCKETS).max(1)
}

fn bucket(limit: &Limit, now: Duration) -> u64 {
    millis(now) / width(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_800_000_000 + seconds)
    }

    fn watched(user: &str, limits: &[Limit]) -> Watched {
        let address = "192.0.2.1".parse().unwrap();
        Watched::new(&Name::exact(user), None, address, limits.iter().cloned().map(Arc::new).collect())
    }

    fn rows(max: u64, within: Duration) -> Limit {
        Limit::example("rows", Counted::RevealedRows, max, within)
    }

    #[test]
    fn a_limit_is_used_up_and_comes_back_when_its_time_is_over() {
        let ann = watched("ann", &[rows(100, HOUR)]);
        let mut windows = Windows::default();
        let mut take =
            |seconds, least, most| windows.take(&ann, Counted::RevealedRows, (least, most), at(seconds)).granted;
        assert_eq!(take(0, 1, 64), Some(64));
        assert_eq!(take(1, 1, 64), Some(36));
        assert_eq!(take(2, 1, 64), None);
        assert_eq!(take(3_599, 1, 1), None);
        assert_eq!(take(3_600 + 120, 80, 80), Some(80));
        assert_eq!(take(3_600 + 120, 30, 30), None);
        assert_eq!(take(3_600 + 120, 20, 20), Some(20));
    }

    #[test]
    fn who_is_counted_together_is_the_limit_s_to_say() {
        let limit = |name: &str, per| {
            let mut limit = Limit::example(name, Counted::FailedLogins, 1, HOUR);
            limit.per = per;
            limit
        };
        let from = |user: &str, address: &str, per| Watched {
            address: address.parse().unwrap(),
            ..watched(user, &[limit("x", per)])
        };
        for (per, others) in [
            (Per::UserAndAddress, [true, true]),
            (Per::User, [true, false]),
            (Per::Address, [false, true]),
            (Per::Principal, [true, false]),
        ] {
            let mut windows = Windows::default();
            let mut fails = |user: &str, address: &str| {
                windows.take(&from(user, address, per), Counted::FailedLogins, (1, 1), at(0)).granted.is_some()
            };
            assert!(fails("ann", "2001:db8::1"));
            assert!(!fails("ann", "2001:db8::ffff"), "{per:?}");
            assert_eq!([fails("bob", "2001:db8::2"), fails("ann", "2001:db8:0:1::1")], others, "{per:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_back() {
        let ann = watched("ann", &[rows(10, HOUR)]);
        let mut windows = Windows::default();
        let mut take = |seconds| windows.take(&ann, Counted::RevealedRows, (1, 6), at(seconds)).granted;
        assert_eq!([take(86_400), take(86_400), take(86_400)], [Some(6), Some(4), None]);
        for seconds in [86_399, 86_400 - 3_600, 86_400 - 7_200, 0] {
            assert_eq!(take(seconds), None, "{seconds}");
        }
        assert_eq!(take(86_400 + 3_600 + 120), Some(6));
    }

    #[test]
    fn who_is_covered_by_a_lock_is_who_has_all_that_it_names() {
        let (user, actor, address) = (Name::exact("ann"), Arc::<str>::from("jane"), "2001:db8::7".parse().unwrap());
        let lock = |user: Option<&str>, actor: Option<&str>, address: Option<&str>| Subject {
            user: user.map(Name::exact),
            actor: actor.map(Into::into),
            address: address.map(|address| network_of(address.parse().unwrap())),
        };
        for (subject, alone, for_jane) in [
            (lock(Some("ann"), None, None), true, true),
            (lock(Some("bob"), None, None), false, false),
            (lock(None, None, Some("2001:db8::8")), true, true),
            (lock(None, None, Some("2001:db9::8")), false, false),
            (lock(Some("ann"), None, Some("2001:db8::8")), true, true),
            (lock(Some("ann"), Some("jane"), None), false, true),
            (lock(Some("ann"), Some("john"), None), false, false),
            (Subject::default(), false, false),
        ] {
            let covered = |actor| Subject::covering(&user, actor, address).any(|of| of == subject);
            assert_eq!((covered(None), covered(Some(&actor))), (alone, for_jane), "{subject:?}");
        }
    }

    #[test]
    fn a_breach_is_told_once_in_the_limit_s_time() {
        let ann = watched("ann", &[rows(1, HOUR)]);
        let mut windows = Windows::default();
        let mut firsts = |seconds| {
            let taken = windows.take(&ann, Counted::RevealedRows, (1, 1), at(seconds));
            taken.breaches.iter().map(|breach| breach.first).collect::<Vec<_>>()
        };
        assert_eq!(firsts(0), Vec::<bool>::new());
        assert_eq!((firsts(1), firsts(2), firsts(3_000)), (vec![true], vec![false], vec![false]));
        assert_eq!((firsts(4_000), firsts(4_001)), (vec![], vec![true]));
    }

    #[test]
    fn a_limit_that_only_tells_stops_nothing_and_all_limits_count() {
        let mut soft = Limit::example("soft", Counted::RevealedRows, 2, HOUR);
        soft.on_breach.refuse = false;
        let ann = watched("ann", &[soft, rows(4, HOUR), Limit::example("other", Counted::Refusals, 1, HOUR)]);
        let mut windows = Windows::default();
        let mut take = || {
            let taken = windows.take(&ann, Counted::RevealedRows, (1, 1), at(0));
            let names: Vec<_> = taken.breaches.iter().map(|breach| breach.limit.name.to_string()).collect();
            (taken.granted, names)
        };
        assert_eq!((take(), take()), ((Some(1), vec![]), (Some(1), vec![])));
        assert_eq!((take(), take()), ((Some(1), vec!["soft".into()]), (Some(1), vec!["soft".into()])));
        assert_eq!(take(), (None, vec!["soft".into(), "rows".into()]));
    }

    #[test]
    fn two_processes_count_together_through_their_store() {
        let ann = watched("ann", &[rows(10, HOUR)]);
        let (mut one, mut two) = (Windows::default(), Windows::default());
        let mut store: HashMap<(WindowKey, u64), i64> = HashMap::new();
        let mut exchange = |windows: &mut Windows, works: bool| {
            for change in windows.changes() {
                if works {
                    *store.entry((change.key, change.bucket)).or_default() += change.count;
                }
            }
            windows.sent(works);
            for ((key, bucket), count) in &store {
                windows.learn(Count { key: key.clone(), bucket: *bucket, width: 60_000, count: *count }, at(0));
            }
        };
        assert_eq!(one.take(&ann, Counted::RevealedRows, (1, 6), at(0)).granted, Some(6));
        assert_eq!(one.unsent_of(&ann, Counted::RevealedRows), 6);
        exchange(&mut one, false);
        exchange(&mut two, true);
        assert_eq!(two.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, Some(1));
        exchange(&mut one, true);
        exchange(&mut two, true);
        assert_eq!(one.unsent_of(&ann, Counted::RevealedRows), 0);
        assert_eq!(two.take(&ann, Counted::RevealedRows, (1, 9), at(0)).granted, Some(3));
        exchange(&mut two, true);
        exchange(&mut one, true);
        assert_eq!(one.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, None);
        let everything = Subject { user: Some(Name::exact("ann")), ..Subject::default() };
        one.clear(&everything);
        two.clear(&everything);
        store.clear();
        let exchange = |windows: &mut Windows| {
            assert_eq!(windows.changes(), []);
            windows.sent(true);
        };
        exchange(&mut one);
        exchange(&mut two);
        assert_eq!(two.take(&ann, Counted::RevealedRows, (10, 10), at(0)).granted, Some(10));
    }

    #[test]
    fn who_is_let_in_again_begins_anew_and_the_others_behind_the_account_do_not() {
        let behind = |actor: &str| Watched { actor: Some(actor.into()), ..watched("app", &[rows(1, HOUR)]) };
        let granted = |windows: &mut Windows, who: &Watched| {
            windows.take(who, Counted::RevealedRows, (1, 1), at(0)).granted.is_some()
        };
        for (user, actor, jane, eve) in [
            ("app", Some("jane"), true, false),
            ("app", Some("eve"), false, true),
            ("app", None, true, true),
            ("other", Some("jane"), false, false),
        ] {
            let mut windows = Windows::default();
            assert!(granted(&mut windows, &behind("jane")) && granted(&mut windows, &behind("eve")));
            assert!(!granted(&mut windows, &behind("jane")) && !granted(&mut windows, &behind("eve")));
            let (user, actor) = (Some(Name::exact(user)), actor.map(Into::into));
            windows.clear(&Subject { user, actor, address: None });
            assert_eq!((granted(&mut windows, &behind("jane")), granted(&mut windows, &behind("eve"))), (jane, eve));
        }
    }

    #[test]
    fn what_the_store_was_told_counts_at_every_moment_until_it_says_how_many_there_are() {
        let ann = watched("ann", &[rows(1, HOUR)]);
        for works in [true, false] {
            let mut windows = Windows::default();
            assert_eq!(windows.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, Some(1));
            let told = windows.changes();
            assert_eq!(windows.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, None, "on its way");
            windows.sent(works);
            assert_eq!(windows.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, None, "told: {works}");
            if !works {
                assert_eq!(windows.changes(), told, "it is told again");
                continue;
            }
            assert_eq!(windows.changes(), []);
            for count in told {
                windows.learn(count, at(0));
            }
            assert_eq!(windows.take(&ann, Counted::RevealedRows, (1, 1), at(0)).granted, None, "known");
        }
    }

    #[test]
    fn windows_are_bounded_and_who_has_none_shares_one() {
        let limit = rows(3, HOUR);
        let mut windows = Windows::default();
        for number in 0..WINDOWS_MAX {
            windows.take(
                &watched(&format!("u{number}"), std::slice::from_ref(&limit)),
                Counted::RevealedRows,
                (1, 1),
                at(0),
            );
        }
        let mut late = |user: &str, seconds| {
            windows
                .take(&watched(user, std::slice::from_ref(&limit)), Counted::RevealedRows, (2, 2), at(seconds))
                .granted
        };
        assert_eq!((late("late", 1), late("later", 1)), (Some(2), None));
        assert_eq!((late("late", 4_000), late("later", 4_000)), (Some(2), Some(2)));
    }

    proptest! {
        /// In no stretch of a limit's length there is more than it allows, whenever what is taken and given back.
        #[test]
        fn no_window_holds_more_than_its_limit(
            max in 1_u64..20,
            within in 1_u64..200,
            steps in prop::collection::vec((0_u64..40, 1_u64..8, 0_u64..3), 1..80),
        ) {
            let ann = watched("ann", &[rows(max, Duration::from_secs(within))]);
            let mut windows = Windows::default();
            let (mut now, mut happened) = (0, Vec::new());
            for (pause, most, unused) in steps {
                now += pause;
                let Some(granted) = windows.take(&ann, Counted::RevealedRows, (1, most), at(now)).granted else { continue };
                prop_assert!(granted >= 1 && granted <= most);
                let unused = unused.min(granted);
                windows.give_back(&ann, Counted::RevealedRows, unused, at(now));
                happened.push((now, granted - unused));
                let recent: u64 = happened.iter().filter(|(when, _)| when + within > now).map(|(_, count)| count).sum();
                prop_assert!(recent <= max, "{recent} of {max} within {within} s");
            }
        }
    }
}
