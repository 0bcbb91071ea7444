//! Grants: reveals on request that are in force.
//!
//! A grant lifts masks from result columns, and does nothing else: what may be filtered by, written, copied elsewhere or run
//! is as the caller's roles have it. Each row that shows something by it is taken from its quota, over all statements of the
//! session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::access_log::{Grounds, RevealTerms};
use crate::policy::{Actor, Offer, Policy, Tags, Terms};

/// A reveal on request that is in force, or asked for.
#[derive(Debug)]
pub struct Grant {
    /// Its number and reason, as events have it.
    pub grounds: Arc<Grounds>,
    /// For whom, where an end user is asserted.
    pub actor: Option<Arc<Actor>>,
    /// The tags.
    pub tags: Tags,
    /// For which subject only.
    pub subject: Option<SubjectKey>,
    /// For how long, altogether.
    pub lasts: Duration,
    /// For how many rows, altogether.
    pub rows: Option<u64>,
    /// Whether a one-time code was given.
    pub totp: bool,
    /// Who has approved it.
    pub approved_by: Option<Arc<str>>,
    /// Whether it was urgent.
    pub urgent: bool,
    /// The roles that offer it, and `file:line` of their rules.
    pub role: Arc<str>,
    /// The same.
    pub rule: Arc<str>,
    /// When it ends, by the shell's clock.
    pub ends: Duration,
    /// How many rows it has shown.
    shown: AtomicU64,
}

/// One subject: a sort of people, and the key of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectKey {
    /// The sort, as the policy calls it.
    pub name: Arc<str>,
    /// The key, as text.
    pub key: Arc<str>,
}

impl SubjectKey {
    /// Read `customer:42`; the policy has to know the sort.
    pub fn read(text: &str, policy: &Policy) -> Option<Self> {
        let (name, key) = text.split_once(':')?;
        let name = policy.subject(name.trim())?;
        let key = key.trim();
        let good = !key.is_empty() && key.len() <= 200 && !key.chars().any(char::is_control);
        good.then(|| Self { name: Arc::clone(name), key: key.into() })
    }

    /// `customer:42`.
    pub fn text(&self) -> Arc<str> {
        format!("{}:{}", self.name, self.key).into()
    }
}

impl Grant {
    /// What an offer gives.
    pub fn of(offer: &Offer, grounds: Grounds, actor: Option<Arc<Actor>>, ends: Duration) -> Self {
        Self {
            grounds: Arc::new(grounds),
            actor,
            tags: offer.tags.clone(),
            subject: None,
            lasts: offer.lasts,
            rows: offer.rows,
            totp: false,
            approved_by: None,
            urgent: false,
            role: Arc::clone(&offer.role),
            rule: Arc::clone(&offer.rule),
            ends,
            shown: AtomicU64::new(0),
        }
    }

    /// Take one row from its quota; `false`: there is none left.
    pub(super) fn take_row(&self) -> bool {
        match self.rows {
            // A session runs on one thread: nobody else counts.
            Some(rows) if self.shown() >= rows => false,
            _ => {
                self.shown.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }

    /// How many rows it has shown.
    pub fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// How many rows are left; `None`: as many as there are.
    pub fn left(&self) -> Option<u64> {
        self.rows.map(|rows| rows.saturating_sub(self.shown()))
    }

    /// Whether an offer of now allows it.
    pub fn is_allowed(&self, offer: &Offer) -> bool {
        offer.allows(Terms {
            tags: &self.tags,
            lasts: self.lasts,
            rows: self.rows,
            reason: &self.grounds.reason,
            subject: self.subject.is_some(),
            totp: self.totp,
            approved: self.approved_by.is_some(),
            urgent: self.urgent,
        })
    }

    /// What the access log says of it.
    pub fn terms(&self) -> RevealTerms {
        RevealTerms {
            role: Arc::clone(&self.role),
            rule: Arc::clone(&self.rule),
            tags: self.tags.to_string().into(),
            reason: Arc::clone(&self.grounds.reason),
            subject: self.subject.as_ref().map(SubjectKey::text),
            seconds: self.lasts.as_secs(),
            rows: self.rows,
            totp: self.totp,
            approved_by: self.approved_by.clone(),
            urgent: self.urgent,
        }
    }
}
