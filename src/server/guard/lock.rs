//! Accounts that are locked out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access_log::{GuardAction, GuardEvent};
use crate::catalog::Name;
use crate::plan::guard::Subject;
use crate::server::shared_state::{Kept, Kind, SubjectText};

/// An account that is locked out, and why. This is what the store has, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who: a database user, from one address or from all; or all from one address; or an end user behind an account.
    pub subject: SubjectText,
    /// The limit that was exceeded; `None`: somebody did it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Who did it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in the words of who did it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Until when; `None`: until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Lock {
    /// For exceeding a limit.
    pub fn by_limit(limit: &str, subject: SubjectText, now: Duration, until: Option<Duration>) -> Self {
        let limit = Some(limit.to_owned());
        Self { subject, limit, by: None, reason: None, since: millis(now), until: until.map(millis) }
    }

    /// By hand.
    pub fn by_hand(
        subject: SubjectText,
        by: &str,
        reason: Option<&str>,
        now: Duration,
        until: Option<Duration>,
    ) -> Self {
        let (by, reason) = (Some(by.to_owned()), reason.map(str::to_owned));
        Self { subject, limit: None, by, reason, since: millis(now), until: until.map(millis) }
    }

    /// Whose it is, by its id; `None`: a later version's.
    pub(super) fn subject_of(id: &str) -> Option<Subject> {
        serde_json::from_str::<SubjectText>(id).ok().map(|subject| Subject::from(&subject))
    }

    /// There is one for each subject.
    pub fn id(&self) -> String {
        self.subject.text()
    }

    /// Whether it holds.
    pub fn holds(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| u128::from(until) > now.as_millis())
    }

    /// Until when, for people (RFC 3339).
    pub fn until_text(&self) -> Option<Arc<str>> {
        self.until.map(|until| time_text(until).into())
    }

    /// As the store keeps it.
    pub fn kept(&self) -> Kept {
        let document = serde_json::to_string(self).unwrap_or_default();
        Kept { kind: Kind::Lock, id: self.id(), document, ends: self.until }
    }

    /// As the store kept it; `None`: a later version's, or damaged.
    pub fn of(kept: &Kept) -> Option<Self> {
        serde_json::from_str(&kept.document).ok()
    }

    /// What is written down of it.
    pub(super) fn event(&self, action: GuardAction) -> GuardEvent {
        let Self { subject, limit, by, reason, since: _, until: _ } = self;
        GuardEvent {
            action,
            limit: limit.as_deref().map(Into::into),
            rule: None,
            user: subject.user.as_deref().map(Name::exact),
            actor: subject.actor.as_deref().map(Into::into),
            client_address: subject.address,
            by: by.as_deref().map(Into::into),
            reason: reason.as_deref().map(Into::into),
            until: self.until_text(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time in milliseconds since the Unix epoch, as of RFC 3339 to the second.
pub fn time_text(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "?".to_owned(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_kept_as_it_is() {
        let subject = SubjectText { user: Some("ann".into()), ..SubjectText::default() };
        let (now, until) = (Duration::from_secs(1_800_000_000), Duration::from_secs(1_800_001_800));
        for lock in [
            Lock::by_limit("rows", subject.clone(), now, Some(until)),
            Lock::by_hand(subject, "root", Some("\"leaves\"\n"), now, None),
        ] {
            assert_eq!(Lock::of(&lock.kept()), Some(lock.clone()));
            assert_eq!(lock.holds(until), lock.until.is_none());
        }
        assert_eq!(time_text(1_800_000_000_123), "2027-01-15T08:00:00Z");
    }
}
