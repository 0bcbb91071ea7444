//! Requests that wait and reveals that wait for a review, as the common store has them: what was asked for at one instance
//! is answered at another.
//!
//! The instance that was asked decides: what is in the store is held against its own knowledge of who has asked. Everything
//! here is a copy; it is told behind, and nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codes::Codes;
use super::kept::Review;
use super::{may_answer, may_be_same};
use crate::catalog::Name;
use crate::server::shared_state::{Change, Kept, Kind, StateStore};
use crate::session::io::{DecideError, Who};

/// How long it is known that a reveal was reviewed, for the instance that has to hear of it.
const REVIEWED: Duration = Duration::from_secs(31 * 86_400);

/// How long others have to know of somebody's codes: longer than wrong ones lock.
const CODES: Duration = Duration::from_secs(3_600);

/// The common store, as far as it is about reveals.
pub(super) struct Shared {
    store: StateStore,
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub user: String,
    pub actor: Option<String>,
    pub reason: String,
    pub subject: Option<String>,
    pub tags: String,
    pub seconds: u64,
    pub rows: Option<u64>,
    pub approval: Vec<Vec<String>>,
    /// Since the Unix epoch, in seconds.
    pub asked: u64,
    /// What somebody has said to it at another instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
}

/// What somebody has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub approved: bool,
    pub user: String,
    pub actor: Option<String>,
    /// By the store's clock, in milliseconds since the Unix epoch.
    pub at: u64,
}

#[derive(Serialize, Deserialize)]
struct Reviewed {
    review: Review,
    /// Whether somebody has looked at it.
    done: bool,
}

impl Asked {
    fn who(&self) -> Who {
        who(&self.user, self.actor.as_deref())
    }

    fn takes(&self, roles: &[Arc<str>]) -> bool {
        may_answer(&lists(&self.approval), roles)
    }
}

impl Answered {
    pub(super) fn who(&self) -> Who {
        who(&self.user, self.actor.as_deref())
    }
}

impl Shared {
    pub(super) fn new(store: &StateStore) -> Self {
        Self { store: store.clone() }
    }

    /// A request waits here: others hear of it.
    pub(super) fn tell(&self, id: &str, asked: &Asked, patience: Duration) {
        let ends = self.millis().saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        self.keep(Kind::RevealRequest, id, asked, Some(ends));
    }

    /// It waits no longer.
    pub(super) fn drop_request(&self, id: &str) {
        if self.store.keeps() {
            self.store.change(Change::Drop(Kind::RevealRequest, id.to_owned()));
        }
    }

    /// What was said to it at another instance, and how long ago.
    pub(super) fn answer(&self, id: &str) -> Option<(Answered, Duration)> {
        let (_, asked) = self.request(id)?;
        let answer = asked.answer?;
        let ago = Duration::from_millis(self.millis().saturating_sub(answer.at));
        Some((answer, ago))
    }

    /// Somebody answers a request of another instance.
    pub(super) fn decide(&self, id: &str, approved: bool, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError> {
        let (kept, asked) = self.request(id).filter(|(_, it)| it.answer.is_none()).ok_or(DecideError::Unknown)?;
        if may_be_same(&asked.who(), by) {
            return Err(DecideError::Own);
        }
        if !asked.takes(roles) {
            return Err(DecideError::NotAllowed);
        }
        if self.store.is_failing() {
            return Err(DecideError::Unwritable);
        }
        let (user, actor) = (by.user.to_string(), by.actor.as_ref().map(ToString::to_string));
        let answer = Some(Answered { approved, user, actor, at: self.millis() });
        self.keep(Kind::RevealRequest, id, &Asked { answer, ..asked }, kept.ends);
        Ok(())
    }

    /// The requests that somebody may answer, with their ids.
    pub(super) fn requests(&self, by: &Who, roles: &[Arc<str>]) -> Vec<(String, Asked)> {
        let known = self.store.kept(Kind::RevealRequest).into_iter();
        let read = known.filter_map(|kept| Some((kept.id, serde_json::from_str::<Asked>(&kept.document).ok()?)));
        read.filter(|(_, it)| it.answer.is_none() && !may_be_same(&it.who(), by) && it.takes(roles)).collect()
    }

    /// The codes that somebody has used at other instances.
    pub(super) fn codes(&self, name: &str) -> Codes {
        let kept = self.store.kept_as(Kind::RevealCodes, name);
        kept.and_then(|kept| serde_json::from_str(&kept.document).ok()).unwrap_or_default()
    }

    /// And here.
    pub(super) fn tell_codes(&self, name: &str, codes: &Codes) {
        let ends = self.millis().saturating_add(u64::try_from(CODES.as_millis()).unwrap_or(u64::MAX));
        self.keep(Kind::RevealCodes, name, codes, Some(ends));
    }

    /// A reveal waits for a review: others hear of it.
    pub(super) fn tell_review(&self, review: &Review) {
        self.keep(Kind::RevealReview, &review.id, &Reviewed { review: review.clone(), done: false }, None);
    }

    /// Somebody has looked at one that is kept here.
    pub(super) fn drop_review(&self, id: &str) {
        if self.store.keeps() {
            self.store.change(Change::Drop(Kind::RevealReview, id.to_owned()));
        }
    }

    /// Whether somebody has looked at it at another instance.
    pub(super) fn was_reviewed(&self, id: &str) -> bool {
        self.review_of(id).is_some_and(|known| known.done)
    }

    /// Somebody has looked at one that another instance keeps.
    pub(super) fn review(&self, id: &str, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError> {
        let known = self.review_of(id).filter(|known| !known.done).ok_or(DecideError::Unknown)?;
        if may_be_same(&known.review.who(), by) {
            return Err(DecideError::Own);
        }
        if !may_answer(&known.review.approval(), roles) {
            return Err(DecideError::NotAllowed);
        }
        if self.store.is_failing() {
            return Err(DecideError::Unwritable);
        }
        let ends = self.millis().saturating_add(u64::try_from(REVIEWED.as_millis()).unwrap_or(u64::MAX));
        self.keep(Kind::RevealReview, id, &Reviewed { done: true, ..known }, Some(ends));
        Ok(())
    }

    /// Those that nobody has looked at, of all instances.
    pub(super) fn reviews(&self) -> Vec<Review> {
        let known = self.store.kept(Kind::RevealReview).into_iter();
        let read = known.filter_map(|kept| serde_json::from_str::<Reviewed>(&kept.document).ok());
        read.filter(|known| !known.done).map(|known| known.review).collect()
    }

    fn request(&self, id: &str) -> Option<(Kept, Asked)> {
        let kept = self.store.kept_as(Kind::RevealRequest, id)?;
        let asked = serde_json::from_str(&kept.document).ok()?;
        Some((kept, asked))
    }

    fn review_of(&self, id: &str) -> Option<Reviewed> {
        serde_json::from_str(&self.store.kept_as(Kind::RevealReview, id)?.document).ok()
    }

    fn keep(&self, kind: Kind, id: &str, document: &impl Serialize, ends: Option<u64>) {
        if self.store.keeps()
            && let Ok(document) = serde_json::to_string(document)
        {
            self.store.change(Change::Keep(Kept { kind, id: id.to_owned(), document, ends }));
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.store.now().as_millis()).unwrap_or(u64::MAX)
    }
}

fn who(user: &str, actor: Option<&str>) -> Who {
    Who { user: Name::exact(user), actor: actor.map(Into::into) }
}

fn lists(approval: &[Vec<String>]) -> Vec<Vec<Arc<str>>> {
    approval.iter().map(|any| any.iter().map(|role| role.as_str().into()).collect()).collect()
}
