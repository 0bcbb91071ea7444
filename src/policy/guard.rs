//! The guard: how much of something a principal may do in which time, and what happens to who does more.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::{Policy, Roles};
use crate::catalog::Name;

/// The longest window of a limit, and the longest lock that ends by itself: 31 days.
pub const GUARD_TIME_MAX: Duration = Duration::from_secs(31 * 86_400);

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// Rows of results that show a tagged column in clear.
    RevealedRows,
    /// Tagged columns shown in clear, one for each execution and column.
    RevealedColumns,
    /// Refused statements.
    Refusals,
    /// Failed logins, relayed ones included.
    FailedLogins,
    /// Filters on columns that the caller does not see in clear: permitted ones as the inference budget counts them, and refused ones.
    InferenceProbes,
}

impl Counted {
    /// All of them, each with its word in a policy, which is its metric label too.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("revealed_rows", Self::RevealedRows),
        ("revealed_columns", Self::RevealedColumns),
        ("refusals", Self::Refusals),
        ("failed_logins", Self::FailedLogins),
        ("inference_probes", Self::InferenceProbes),
    ];

    /// Its word in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Self::RevealedRows => "revealed_rows",
            Self::RevealedColumns => "revealed_columns",
            Self::Refusals => "refusals",
            Self::FailedLogins => "failed_logins",
            Self::InferenceProbes => "inference_probes",
        }
    }

    /// For people.
    pub fn plural(self) -> &'static str {
        match self {
            Self::RevealedRows => "revealed rows",
            Self::RevealedColumns => "revealed columns",
            Self::Refusals => "refused statements",
            Self::FailedLogins => "failed logins",
            Self::InferenceProbes => "filters on columns that are not shown in clear",
        }
    }
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// All sessions of a database user, and of one end user behind it where one is asserted.
    Principal,
    /// What a database user does from one client address. Who fails logins under others' names locks out nobody but itself.
    UserAndAddress,
    /// A database user, wherever from and for whomever.
    User,
    /// A client address, whoever comes from there.
    Address,
}

impl Per {
    /// Each with its word in a policy.
    pub(super) const WORDS: [(&'static str, Self); 4] = [
        ("principal", Self::Principal),
        ("user_and_address", Self::UserAndAddress),
        ("user", Self::User),
        ("address", Self::Address),
    ];
}

/// How long a lock holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockTime {
    /// Until `pgveil guard unlock`.
    UntilUnlocked,
    /// So long, or until then.
    For(Duration),
}

/// What happens at more than a limit allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// Somebody is told.
    pub alert: bool,
    /// It does not happen: the row does not leave, the statement fails.
    pub refuse: bool,
    /// And the session ends.
    pub block_session: bool,
    /// And the account is locked out.
    pub lock: Option<LockTime>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub what: Counted,
    /// How many there may be.
    pub max: NonZeroU64,
    /// In how long.
    pub within: Duration,
    /// What is counted together.
    pub per: Per,
    /// What happens at more.
    pub on_breach: Consequences,
    /// `file:line` of it.
    pub rule: Arc<str>,
    pub(super) users: Vec<Name>,
    pub(super) roles: Vec<u32>,
    pub(super) except: Vec<Name>,
}

impl Limit {
    /// A limit of 1000 revealed rows, for tests.
    #[cfg(test)]
    pub(crate) fn example(name: &str, what: Counted, max: u64, within: Duration) -> Self {
        Self {
            name: name.into(),
            what,
            max: NonZeroU64::new(max).unwrap(),
            within,
            per: Per::Principal,
            on_breach: Consequences { alert: true, refuse: true, ..Consequences::default() },
            rule: "p:1".into(),
            users: Vec::new(),
            roles: Vec::new(),
            except: Vec::new(),
        }
    }

    fn is_for(&self, user: &Name, roles: &Roles) -> bool {
        let everybody = self.users.is_empty() && self.roles.is_empty();
        let named = self.users.contains(user) || self.roles.iter().any(|role| roles.numbers.contains(role));
        (everybody || named) && !self.except.contains(user)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} within {}", self.max, self.what.plural(), Period(self.within))
    }
}

impl Policy {
    /// The limits that hold for a database user with these roles of the policy.
    pub fn limits_of(&self, user: &Name, roles: &Roles) -> Vec<Arc<Limit>> {
        self.limits.iter().filter(|limit| limit.is_for(user, roles)).map(Arc::clone).collect()
    }

    /// All limits.
    pub fn limits(&self) -> &[Arc<Limit>] {
        &self.limits
    }
}

/// A time for people: `90 s`, `2 hours`.
pub struct Period(pub Duration);

/// Units of a time in a policy, in seconds, the usual word first.
const UNITS: [(u64, &[&str]); 4] = [
    (86_400, &["days", "day", "d"]),
    (3_600, &["hours", "hour", "h"]),
    (60, &["minutes", "minute", "min"]),
    (1, &["s", "seconds", "second"]),
];

impl Period {
    /// Read off its spelling in a policy: `1 hour`, `30 min`, `90s`.
    pub fn read(text: &str) -> Option<Duration> {
        let end = text.find(|char: char| !char.is_ascii_digit())?;
        let (number, unit) = (text.get(..end)?, text.get(end..)?.trim_start());
        let (seconds, _) = UNITS.iter().find(|(_, words)| words.contains(&unit))?;
        let time = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(*seconds)?);
        (time > Duration::ZERO && time <= GUARD_TIME_MAX).then_some(time)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole = UNITS.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let (unit, words) = whole.copied().unwrap_or((1, &["s"]));
        let number = seconds / unit;
        let word = if number == 1 { words.get(1).filter(|_| unit > 1) } else { None };
        write!(out, "{number} {}", word.or_else(|| words.first()).unwrap_or(&"s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySource;

    #[test]
    fn a_time_is_a_number_of_units() {
        for (text, shown) in [
            ("1 hour", Some("1 hour")),
            ("60 min", Some("1 hour")),
            ("90s", Some("90 s")),
            ("1 s", Some("1 s")),
            ("30 minutes", Some("30 minutes")),
            ("2d", Some("2 days")),
            ("0 s", None),
            ("32 days", None),
            ("1 week", None),
            ("hour", None),
            ("5", None),
            ("-1 s", None),
            ("99999999999999999999 s", None),
        ] {
            assert_eq!(Period::read(text).map(|time| Period(time).to_string()).as_deref(), shown, "{text}");
        }
    }

    fn policy(guard: &str) -> Result<Policy, String> {
        let text = format!(
            "version: 1\ncolumns: {{}}\nroles:\n  support: {{ users: sue, sees: {{ \"*\": masked }} }}\nguard:\n{guard}"
        );
        Policy::parse(&[PolicySource { path: "p".to_owned(), text }])
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_limit_holds_for_those_whom_it_names_and_without_names_for_everybody() {
        let policy = policy(
            "  except: [root]\n  limits:\n    all: { what: refusals, max: 1, within: 1 min }\n    \
             some: { what: revealed_rows, max: 2, within: 1 h, users: [bob], roles: [support], except: [ted] }\n",
        )
        .unwrap();
        for (user, roles, names) in [
            ("ann", vec![], vec!["all"]),
            ("bob", vec![], vec!["all", "some"]),
            ("sue", vec![0], vec!["all", "some"]),
            ("ted", vec![0], vec!["all"]),
            ("root", vec![0], vec![]),
        ] {
            let limits = policy.limits_of(&Name::exact(user), &Roles { numbers: roles, masked_only: false });
            assert_eq!(limits.iter().map(|limit| &*limit.name).collect::<Vec<_>>(), names, "{user}");
        }
    }

    #[test]
    fn what_happens_at_more_is_a_list_of_words() {
        let of = |on_breach: &str| {
            let limit = format!("  limits:\n    x: {{ what: revealed_rows, max: 1, within: 1 h{on_breach} }}\n");
            policy(&limit).map(|policy| policy.limits()[0].on_breach)
        };
        let all = Consequences { alert: true, refuse: true, ..Consequences::default() };
        assert_eq!(of(""), Ok(all));
        assert_eq!(of(", on_breach: alert"), Ok(Consequences { refuse: false, ..all }));
        assert_eq!(of(", on_breach: [block_session]"), Ok(Consequences { alert: false, block_session: true, ..all }));
        let half_an_hour = Some(LockTime::For(Duration::from_secs(1800)));
        assert_eq!(of(", on_breach: [alert, lock_account: 30 min]"), Ok(Consequences { lock: half_an_hour, ..all }));
        for word in ["lock_account", "{ lock_account: until_unlocked }"] {
            let locked = Consequences { lock: Some(LockTime::UntilUnlocked), alert: false, ..all };
            assert_eq!(of(&format!(", on_breach: {word}")), Ok(locked), "{word}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_named_with_its_place() {
        for (limit, expected) in [
            ("what: rows, max: 1, within: 1 h", "`rows` is not a value of `what`"),
            ("what: refusals, max: 0, within: 1 h", "`max` should be a whole number from 1 up"),
            ("what: refusals, max: 1, within: 1 week", "`1 week` is not a time"),
            ("what: refusals, within: 1 h", "limit `x` has no `max`"),
            ("what: refusals, max: 1", "limit `x` has no `within`"),
            ("max: 1, within: 1 h", "limit `x` does not say what it counts"),
            ("what: refusals, max: 1, within: 1 h, roles: [nobody]", "there is no role `nobody`"),
            ("what: refusals, max: 1, within: 1 h, on_breach: [page]", "`page` is not a value of `on_breach`"),
            ("what: refusals, max: 1, within: 1 h, on_breach: { lock_account: 1 year }", "`1 year` is not a time"),
            ("what: revealed_rows, max: 1, within: 1 h, per: address", "only failed logins are counted by address"),
        ] {
            let found = policy(&format!("  limits:\n    x: {{ {limit} }}\n")).unwrap_err();
            assert!(found.contains(expected), "{limit}: {found}");
        }
    }
}
