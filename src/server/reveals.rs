//! Answers to requests for a reveal: the numbers of grants, one-time codes, what waits for a second person, and what waits
//! for a review. One for all sessions of the process.
//!
//! What sessions ask and are granted ends with them. Which codes were used and which urgent reveals nobody has reviewed
//! outlives the process, in a file (`kept`). What waits is in the common store as well (`shared`): it may be answered at
//! another instance.

mod codes;
mod kept;
mod shared;

pub use codes::secret_uri;
pub use kept::StateError;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::access_log::RevealRefused;
use crate::config::Config;
use crate::server::shared_state::StateStore;
use crate::session::io::{Answer, Authority, DecideError, Now, Request, Waited, Who};
use kept::{Kept, Review};
use shared::{Asked, Shared};

/// Requests that wait at a time, over all sessions.
const WAITING_MAX: usize = 1_000;
/// How long a request waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Answers requests for a reveal.
pub struct Reveals {
    started: Instant,
    totp_file: Option<PathBuf>,
    desk: Mutex<Desk>,
    shared: Shared,
}

struct Desk {
    waiting: HashMap<Arc<str>, Waiting>,
    kept: Kept,
}

struct Waiting {
    who: Who,
    lasts: Duration,
    reason: String,
    subject: Option<Arc<str>>,
    tags: String,
    rows: Option<u64>,
    /// Of each of these lists an answer takes a role.
    approval: Vec<Vec<Arc<str>>>,
    since: Duration,
    asked: Duration,
    answer: Waited,
}

/// A request as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    user: &'a str,
    actor: Option<&'a str>,
    reason: &'a str,
    subject: Option<&'a str>,
    tags: &'a str,
    seconds: u64,
    rows: Option<u64>,
    /// Since the Unix epoch, in seconds.
    asked: u64,
}

impl Reveals {
    /// Read what is kept.
    ///
    /// # Errors
    /// The file is there and can not be read.
    pub fn open(config: &Config, store: &StateStore) -> Result<Self, StateError> {
        let kept = Kept::read(&config.reveal_state_file)?;
        let shared = Shared::new(store);
        for review in kept.reviews.iter().filter(|review| !shared.was_reviewed(&review.id)) {
            shared.tell_review(review);
        }
        let desk = Desk { waiting: HashMap::new(), kept };
        Ok(Self { started: Instant::now(), totp_file: config.totp_file.clone(), desk: Mutex::new(desk), shared })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was reviewed at another instance waits no longer.
    fn forget_reviewed(&self, desk: &mut Desk) {
        let done = |review: &Review| self.shared.was_reviewed(&review.id);
        if !desk.kept.reviews.iter().any(done) {
            return;
        }
        let before = desk.kept.clone();
        desk.kept.reviews.retain(|review| !done(review));
        if desk.kept.write().is_err() {
            desk.kept = before;
        }
    }

    /// Whether a one-time code is good.
    fn code(&self, who: &Who, code: Option<&str>, now: Now) -> Result<(), RevealRefused> {
        let code = code.ok_or(RevealRefused::CodeMissing)?;
        let name = person(who);
        let secret = codes::secret(self.totp_file.as_deref(), name).ok_or(RevealRefused::CodeUnknown)?;
        let mut desk = self.desk();
        let seconds = now.unix.as_secs();
        let before = desk.kept.clone();
        let used = desk.kept.codes.entry(name.to_owned()).or_default();
        *used = used.joined(self.shared.codes(name));
        let checked = used.check(&secret, code, seconds);
        let used = *used;
        if desk.kept != before && desk.kept.write().is_err() {
            // What is not written down could be used once more after a restart.
            desk.kept = before;
            return Err(RevealRefused::Unwritable);
        }
        self.shared.tell_codes(name, &used);
        checked
    }
}

impl Waiting {
    /// As other instances hear of it.
    fn asked(&self) -> Asked {
        Asked {
            user: self.who.user.to_string(),
            actor: self.who.actor.as_ref().map(ToString::to_string),
            reason: self.reason.clone(),
            subject: self.subject.as_ref().map(ToString::to_string),
            tags: self.tags.clone(),
            seconds: self.lasts.as_secs(),
            rows: self.rows,
            approval: self.approval.iter().map(|any| any.iter().map(ToString::to_string).collect()).collect(),
            asked: self.asked.as_secs(),
            answer: None,
        }
    }
}

/// Who somebody is, whatever account he comes by: the end user where one is asserted.
fn person(who: &Who) -> &str {
    who.actor.as_deref().unwrap_or(who.user.as_str())
}

/// Whether two are, or may be, one and the same person.
fn may_be_same(one: &Who, other: &Who) -> bool {
    let nobody_said = one.actor.is_none() || other.actor.is_none();
    person(one) == person(other) || (one.user == other.user && nobody_said)
}

fn id() -> Option<Arc<str>> {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// Whether somebody's roles are those that it takes.
fn may_answer(approval: &[Vec<Arc<str>>], roles: &[Arc<str>]) -> bool {
    approval.iter().all(|any| any.iter().any(|role| roles.contains(role)))
}

impl Authority for Reveals {
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed: self.started.elapsed(), unix }
    }

    fn ask(&self, request: Request<'_>) -> Answer {
        let now = self.now();
        let Request { who, session: _, offer, reason, subject, code, urgent } = request;
        let Some(id) = id() else { return Answer::Refused(RevealRefused::Unwritable) };
        if offer.totp
            && let Err(why) = self.code(&who, code, now)
        {
            return Answer::Refused(why);
        }
        let mut desk = self.desk();
        if offer.needs_approval() && !urgent {
            desk.waiting.retain(|_, waiting| now.elapsed.saturating_sub(waiting.since) < PATIENCE);
            if desk.waiting.len() >= WAITING_MAX {
                return Answer::Refused(RevealRefused::Busy);
            }
            let waiting = Waiting {
                who,
                lasts: offer.lasts,
                reason: reason.to_owned(),
                subject,
                tags: offer.tags.to_string(),
                rows: offer.rows,
                approval: offer.approval.clone(),
                since: now.elapsed,
                asked: now.unix,
                answer: Waited::Still,
            };
            self.shared.tell(&id, &waiting.asked(), PATIENCE);
            desk.waiting.insert(Arc::clone(&id), waiting);
            return Answer::Waiting { id };
        }
        if urgent {
            let review = Review {
                id: id.to_string(),
                user: who.user.to_string(),
                actor: who.actor.map(|actor| actor.to_string()),
                reason: reason.to_owned(),
                subject: subject.map(|subject| subject.to_string()),
                tags: offer.tags.to_string(),
                approval: offer.approval.iter().map(|any| any.iter().map(ToString::to_string).collect()).collect(),
                asked: now.unix.as_secs(),
            };
            desk.kept.reviews.push(review);
            if desk.kept.write().is_err() {
                desk.kept.reviews.pop();
                return Answer::Refused(RevealRefused::Unwritable);
            }
            if let Some(review) = desk.kept.reviews.last() {
                self.shared.tell_review(review);
            }
        }
        Answer::Granted { id, ends: now.elapsed.saturating_add(offer.lasts) }
    }

    fn answer(&self, id: &str) -> Waited {
        let mut desk = self.desk();
        let Some(waiting) = desk.waiting.get_mut(id) else { return Waited::Gone };
        if waiting.answer == Waited::Still
            && let Some((answer, ago)) = self.shared.answer(id)
        {
            let by = answer.who();
            waiting.answer = match waiting.lasts.checked_sub(ago) {
                // Whoever writes to the store: nobody approves what he has asked for.
                Some(left) if answer.approved && !may_be_same(&waiting.who, &by) => {
                    Waited::Approved { by: person(&by).into(), ends: self.started.elapsed().saturating_add(left) }
                }
                Some(_) | None => Waited::Denied,
            };
        }
        if waiting.answer == Waited::Still {
            let late = self.started.elapsed().saturating_sub(waiting.since) >= PATIENCE;
            return if late { Waited::Gone } else { Waited::Still };
        }
        self.shared.drop_request(id);
        desk.waiting.remove(id).map_or(Waited::Gone, |waiting| waiting.answer)
    }

    fn withdraw(&self, id: &str) {
        if self.desk().waiting.remove(id).is_some() {
            self.shared.drop_request(id);
        }
    }

    fn decide(&self, id: &str, approves: bool, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError> {
        let now = self.now();
        let mut desk = self.desk();
        let Some(waiting) = desk.waiting.get_mut(id) else {
            return self.shared.decide(id, approves, by, roles);
        };
        if waiting.answer != Waited::Still {
            return Err(DecideError::Unknown);
        }
        if may_be_same(&waiting.who, by) {
            return Err(DecideError::Own);
        }
        if !may_answer(&waiting.approval, roles) {
            return Err(DecideError::NotAllowed);
        }
        let ends = now.elapsed.saturating_add(waiting.lasts);
        waiting.answer = if approves { Waited::Approved { by: person(by).into(), ends } } else { Waited::Denied };
        self.shared.drop_request(id);
        Ok(())
    }

    fn review(&self, id: &str, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError> {
        let mut desk = self.desk();
        self.forget_reviewed(&mut desk);
        let Some(at) = desk.kept.reviews.iter().position(|review| review.id == id) else {
            return self.shared.review(id, by, roles);
        };
        let review = desk.kept.reviews.get(at).ok_or(DecideError::Unknown)?;
        if may_be_same(&review.who(), by) {
            return Err(DecideError::Own);
        }
        if !may_answer(&review.approval(), roles) {
            return Err(DecideError::NotAllowed);
        }
        let review = desk.kept.reviews.remove(at);
        if desk.kept.write().is_err() {
            desk.kept.reviews.insert(at, review);
            return Err(DecideError::Unwritable);
        }
        self.shared.drop_review(id);
        Ok(())
    }

    fn requests(&self, by: &Who, roles: &[Arc<str>]) -> String {
        let desk = self.desk();
        let mut listed: Vec<_> = desk
            .waiting
            .iter()
            .filter(|(_, it)| it.answer == Waited::Still && !may_be_same(&it.who, by))
            .filter(|(_, it)| may_answer(&it.approval, roles))
            .map(|(id, it)| Listed {
                id,
                user: it.who.user.as_str(),
                actor: it.who.actor.as_deref(),
                reason: &it.reason,
                subject: it.subject.as_deref(),
                tags: &it.tags,
                seconds: it.lasts.as_secs(),
                rows: it.rows,
                asked: it.asked.as_secs(),
            })
            .collect();
        let others = self.shared.requests(by, roles);
        listed.extend(others.iter().filter(|(id, _)| !desk.waiting.contains_key(id.as_str())).map(|(id, it)| Listed {
            id,
            user: &it.user,
            actor: it.actor.as_deref(),
            reason: &it.reason,
            subject: it.subject.as_deref(),
            tags: &it.tags,
            seconds: it.seconds,
            rows: it.rows,
            asked: it.asked,
        }));
        listed.sort_by_key(|request| request.asked);
        serde_json::to_string(&listed).unwrap_or_default()
    }

    fn reviews(&self, by: &Who, roles: &[Arc<str>]) -> String {
        let mut desk = self.desk();
        self.forget_reviewed(&mut desk);
        let mine = |review: &&Review| !may_be_same(&review.who(), by) && may_answer(&review.approval(), roles);
        let mut others = self.shared.reviews();
        others.retain(|other| desk.kept.reviews.iter().all(|own| own.id != other.id));
        let mut listed: Vec<_> = desk.kept.reviews.iter().chain(&others).filter(mine).collect();
        listed.sort_by_key(|review| review.asked);
        serde_json::to_string(&listed).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Name;
    use crate::config::StateConfig;
    use crate::policy::{Offer, Tags};

    fn who(user: &str, actor: Option<&str>) -> Who {
        Who { user: Name::exact(user), actor: actor.map(Into::into) }
    }

    fn offer(approval: &[&str]) -> Offer {
        let approval: Vec<Arc<str>> = approval.iter().map(|role| (*role).into()).collect();
        Offer {
            tags: Tags::All,
            lasts: Duration::from_secs(60),
            rows: Some(10),
            reasons: Vec::new(),
            subject_required: false,
            totp: false,
            approval: if approval.is_empty() { Vec::new() } else { vec![approval] },
            urgent: true,
            notice: true,
            role: "support".into(),
            rule: "p:1".into(),
        }
    }

    fn office(desk: Desk) -> Reveals {
        let (store, _unstarted) = StateStore::new(&StateConfig::Memory);
        Reveals { started: Instant::now(), totp_file: None, desk: Mutex::new(desk), shared: Shared::new(&store) }
    }

    fn desk(name: &str) -> (Reveals, PathBuf) {
        let path = std::env::temp_dir().join(format!("pgveil-reveals-{name}-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let desk = Desk { waiting: HashMap::new(), kept: Kept::read(&path).unwrap() };
        (office(desk), path)
    }

    fn ask(reveals: &Reveals, who: Who, offer: &Offer, urgent: bool) -> Answer {
        reveals.ask(Request { who, session: 1, offer, reason: "T-1", subject: None, code: None, urgent })
    }

    #[test]
    fn a_second_person_with_the_role_answers_and_nobody_their_own() {
        let (reveals, _) = desk("answers");
        let leads: [Arc<str>; 1] = ["leads".into()];
        for (asker, answerer, roles, expected) in [
            (who("sam", None), who("lea", None), &leads[..], Ok(())),
            (who("sam", None), who("lea", None), &[], Err(DecideError::NotAllowed)),
            (who("sam", None), who("sam", None), &leads, Err(DecideError::Own)),
            (who("app", Some("sam")), who("app", Some("lea")), &leads, Ok(())),
            (who("app", Some("sam")), who("app", Some("sam")), &leads, Err(DecideError::Own)),
            (who("app", Some("sam")), who("other", Some("sam")), &leads, Err(DecideError::Own)),
            (who("app", Some("sam")), who("sam", None), &leads, Err(DecideError::Own)),
            // Who it is that comes by the same account, nobody has said.
            (who("app", Some("sam")), who("app", None), &leads, Err(DecideError::Own)),
        ] {
            let Answer::Waiting { id } = ask(&reveals, asker.clone(), &offer(&["leads"]), false) else { panic!() };
            assert_eq!(reveals.answer(&id), Waited::Still);
            assert_eq!(reveals.requests(&answerer, roles).contains(&*id), expected.is_ok(), "{asker:?} {answerer:?}");
            assert_eq!(reveals.decide(&id, true, &answerer, roles), expected, "{asker:?} {answerer:?}");
            if expected.is_ok() {
                assert!(matches!(reveals.answer(&id), Waited::Approved { .. }));
                // Once.
                assert_eq!(reveals.decide(&id, true, &answerer, roles), Err(DecideError::Unknown));
                assert_eq!(reveals.answer(&id), Waited::Gone);
            }
        }
        assert_eq!(reveals.decide("0000000000", true, &who("lea", None), &leads), Err(DecideError::Unknown));
    }

    #[test]
    fn urgent_ones_wait_for_a_review_across_restarts() {
        let (reveals, path) = desk("reviews");
        let leads: [Arc<str>; 1] = ["leads".into()];
        let Answer::Granted { id, .. } = ask(&reveals, who("sam", None), &offer(&["leads"]), true) else { panic!() };
        drop(reveals);
        let desk = Desk { waiting: HashMap::new(), kept: Kept::read(&path).unwrap() };
        let again = office(desk);
        assert!(again.reviews(&who("lea", None), &leads).contains(&*id));
        assert_eq!(again.review(&id, &who("sam", None), &leads), Err(DecideError::Own));
        assert_eq!(again.review(&id, &who("lea", None), &[]), Err(DecideError::NotAllowed));
        assert_eq!(again.review(&id, &who("lea", None), &leads), Ok(()));
        assert_eq!(again.reviews(&who("lea", None), &leads), "[]");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_approval_it_is_granted_at_once_and_a_code_is_asked_for_where_it_has_to_be() {
        let (reveals, _) = desk("granted");
        assert!(matches!(ask(&reveals, who("sam", None), &offer(&[]), false), Answer::Granted { .. }));
        let strict = Offer { totp: true, ..offer(&[]) };
        let missing = Answer::Refused(RevealRefused::CodeMissing);
        assert_eq!(ask(&reveals, who("sam", None), &strict, false), missing);
        let request = Request {
            who: who("sam", None),
            session: 1,
            offer: &strict,
            reason: "x",
            subject: None,
            code: Some("1"),
            urgent: false,
        };
        assert_eq!(reveals.ask(request), Answer::Refused(RevealRefused::CodeUnknown));
    }
}
