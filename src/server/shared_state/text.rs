//! What is exchanged with the store, in its words: names are texts, times numbers.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::Name;
use crate::plan::budget::{ColumnNames, Payer, Spent};
use crate::plan::guard::{Count, Subject};

/// What is kept as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An account that is locked out.
    Lock,
    /// An alert that is to be sent.
    Alert,
    /// A reveal that waits for a second person.
    RevealRequest,
    /// An urgent reveal that waits for a review.
    RevealReview,
    /// What one-time codes somebody has used.
    RevealCodes,
}

impl Kind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Alert => "alert",
            Self::RevealRequest => "reveal_request",
            Self::RevealReview => "reveal_review",
            Self::RevealCodes => "reveal_codes",
        }
    }

    /// Of that word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Lock, Self::Alert, Self::RevealRequest, Self::RevealReview, Self::RevealCodes]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// Something that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub id: String,
    /// What is known of it: JSON.
    pub document: String,
    /// When it ends by itself, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
}

impl Kept {
    /// Whether it has ended.
    pub fn is_over(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| u128::from(ends) <= now.as_millis())
    }
}

/// [`Subject`], as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectText {
    /// The database user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl SubjectText {
    /// As JSON: one text for one subject.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<&Subject> for SubjectText {
    fn from(subject: &Subject) -> Self {
        Self {
            user: subject.user.as_ref().map(ToString::to_string),
            actor: subject.actor.as_ref().map(ToString::to_string),
            address: subject.address,
        }
    }
}

impl From<&SubjectText> for Subject {
    fn from(text: &SubjectText) -> Self {
        Self {
            user: text.user.as_deref().map(Name::exact),
            actor: text.actor.as_deref().map(Into::into),
            address: text.address,
        }
    }
}

/// [`Count`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountRow {
    /// The limit's name.
    pub limit: String,
    /// Whom it counts for: [`SubjectText`].
    pub subject: String,
    /// The piece of the window.
    pub bucket: u64,
    /// Its length in milliseconds.
    pub width: u64,
    /// How many.
    pub count: i64,
}

impl CountRow {
    /// Whether it counts for nothing any more.
    pub fn is_over(&self, now: Duration) -> bool {
        let last = self.bucket.saturating_add(crate::plan::guard::BUCKETS).saturating_add(2);
        u128::from(last) * u128::from(self.width) < now.as_millis()
    }

    /// As the guard knows it; `None`: another version's, or damaged.
    pub fn count(&self) -> Option<Count> {
        let subject: SubjectText = serde_json::from_str(&self.subject).ok()?;
        let key = (self.limit.as_str().into(), Subject::from(&subject));
        Some(Count { key, bucket: self.bucket, width: self.width, count: self.count })
    }
}

impl From<&Count> for CountRow {
    fn from(count: &Count) -> Self {
        let (limit, subject) = &count.key;
        let subject = SubjectText::from(subject).text();
        Self { limit: limit.to_string(), subject, bucket: count.bucket, width: count.width, count: count.count }
    }
}

/// [`Spent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentRow {
    /// By whom: [`SubjectText`].
    pub payer: String,
    /// Of which column: a list of schema, table and column.
    pub column: String,
    /// When the budget would have been whole without it, in nanoseconds since the Unix epoch; 0 from the store.
    pub at: u64,
    /// To the store: in how long it comes back. From it: when all has come back. In nanoseconds.
    pub time: u64,
}

impl From<&Spent> for SpentRow {
    fn from(spent: &Spent) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Spent { payer, column, since, time } = spent;
        Self { payer: account_text(payer), column: column_text(column), at: nanos(*since), time: nanos(*time) }
    }
}

impl SpentRow {
    /// As the ledger knows it; `None`: another version's, or damaged.
    pub fn spent(&self) -> Option<Spent> {
        let payer: SubjectText = serde_json::from_str(&self.payer).ok()?;
        let (schema, table, column): (String, String, String) = serde_json::from_str(&self.column).ok()?;
        Some(Spent {
            payer: Payer { user: Name::exact(&payer.user?), actor: payer.actor.as_deref().map(Into::into) },
            column: ColumnNames(Name::exact(&schema), Name::exact(&table), Name::exact(&column)),
            since: Duration::ZERO,
            time: Duration::from_nanos(self.time),
        })
    }
}

/// Who spends, as a text.
fn account_text(payer: &Payer) -> String {
    let user = Some(payer.user.to_string());
    SubjectText { user, actor: payer.actor.as_ref().map(ToString::to_string), address: None }.text()
}

/// A column, as a text.
fn column_text(column: &ColumnNames) -> String {
    let ColumnNames(schema, table, column) = column;
    serde_json::to_string(&(schema.as_str(), table.as_str(), column.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_the_store_comes_back_the_same() {
        for user in ["ann", "o\"brien, \\ {}", ""] {
            let subject = Subject {
                user: Some(Name::exact(user)),
                actor: Some("jane@shop".into()),
                address: Some("2001:db8::".parse().unwrap()),
            };
            let count = Count { key: ("rows".into(), subject), bucket: 7, width: 1_000, count: -3 };
            assert_eq!(CountRow::from(&count).count(), Some(count));
            let spent = Spent {
                payer: Payer { user: Name::exact(user), actor: None },
                column: ColumnNames(Name::exact("a.b"), Name::exact(user), Name::exact("]")),
                since: Duration::ZERO,
                time: Duration::from_nanos(12_345),
            };
            assert_eq!(SpentRow::from(&spent).spent(), Some(spent));
        }
    }
}
