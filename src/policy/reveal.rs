//! Reveal on request: what a role may see in clear for a limited time, and on what conditions.
//!
//! A role's `reveal` offers clear values of some tags to those who ask for them with a reason. A grant is made by the
//! session that asks, under the offer of that moment, and it has to be allowed by the offer of each later one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::{Policy, Roles};
use crate::catalog::Name;

/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// How long a reveal lasts where the policy does not say.
pub(super) const LASTS: Duration = Duration::from_secs(15 * 60);
/// How many rows it covers where the policy does not say.
pub(super) const ROWS: u64 = 1_000;

/// What a role offers to those who ask.
#[derive(Clone, Debug)]
pub(super) struct RevealRule {
    pub(super) tags: Tags,
    pub(super) lasts: Duration,
    /// `None`: without a limit.
    pub(super) rows: Option<u64>,
    pub(super) reason: Option<Regex>,
    pub(super) subject_required: bool,
    pub(super) totp: bool,
    /// The roles of the policy one of which a second person has to have; none: nobody is asked.
    pub(super) approval: Vec<Arc<str>>,
    pub(super) urgent: bool,
    pub(super) notice: bool,
    /// `file:line`.
    pub(super) rule: Arc<str>,
}

/// Tags by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// All of them.
    All,
    /// These.
    Named(BTreeSet<Arc<str>>),
}

impl Tags {
    /// Whether a tag is one of them.
    pub fn contains(&self, tag: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(tag),
        }
    }

    /// Whether each of the others is one of them.
    pub fn covers(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::Named(_), Self::All) => false,
            (Self::Named(own), Self::Named(others)) => own.is_superset(others),
        }
    }

    fn common(self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, other) => other.clone(),
            (own, Self::All) => own,
            (Self::Named(own), Self::Named(other)) => Self::Named(own.intersection(other).cloned().collect()),
        }
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("*"),
            Self::Named(names) => {
                for (at, name) in names.iter().enumerate() {
                    write!(out, "{}{name}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// What is offered to somebody: where several of his roles offer something, what all of them do, on the strictest of their
/// conditions.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The tags.
    pub tags: Tags,
    /// How long.
    pub lasts: Duration,
    /// How many rows; `None`: as many as there are.
    pub rows: Option<u64>,
    /// What the reason has to look like: each of these.
    pub reasons: Vec<Regex>,
    /// Whether it has to be for one subject.
    pub subject_required: bool,
    /// Whether a one-time code has to be given.
    pub totp: bool,
    /// Of each of these lists a second person has to have a role.
    pub approval: Vec<Vec<Arc<str>>>,
    /// Whether that may be left out in urgent cases.
    pub urgent: bool,
    /// Whether those who are shown masks are told.
    pub notice: bool,
    /// The roles that offer it.
    pub role: Arc<str>,
    /// `file:line` of their rules.
    pub rule: Arc<str>,
}

/// What a grant was given for, to hold later offers against.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The tags.
    pub tags: &'a Tags,
    /// How long it lasts, altogether.
    pub lasts: Duration,
    /// How many rows it covers, altogether.
    pub rows: Option<u64>,
    /// The reason.
    pub reason: &'a str,
    /// Whether it is for one subject.
    pub subject: bool,
    /// Whether a one-time code was given.
    pub totp: bool,
    /// Whether somebody has approved it.
    pub approved: bool,
    /// Whether it was urgent.
    pub urgent: bool,
}

impl Offer {
    /// Whether a reason is what it has to look like.
    pub fn takes(&self, reason: &str) -> bool {
        !reason.trim().is_empty()
            && reason.chars().count() <= REASON_CHARS_MAX
            && !reason.chars().any(char::is_control)
            && self.reasons.iter().all(|pattern| pattern.is_match(reason))
    }

    /// Whether a second person has to be asked.
    pub fn needs_approval(&self) -> bool {
        !self.approval.is_empty()
    }

    /// Whether what was granted would be granted still.
    pub fn allows(&self, terms: Terms<'_>) -> bool {
        let rows = match (self.rows, terms.rows) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(now), Some(then)) => then <= now,
        };
        self.tags.covers(terms.tags)
            && terms.lasts <= self.lasts
            && rows
            && self.takes(terms.reason)
            && (terms.subject || !self.subject_required)
            && (terms.totp || !self.totp)
            && (terms.approved || !self.needs_approval() || (terms.urgent && self.urgent))
    }
}

impl Policy {
    /// What is offered to somebody with these roles: by those of the highest priority that offer anything. `None`: nothing.
    pub fn offer(&self, roles: &Roles) -> Option<Offer> {
        if roles.masked_only {
            return None;
        }
        let offering = || {
            let known = roles.numbers.iter().filter_map(|&number| self.role(number));
            known.filter_map(|role| Some((role, role.reveal.as_ref()?)))
        };
        let highest = offering().map(|(role, _)| role.priority).max()?;
        let mut whole: Option<Offer> = None;
        for (role, rule) in offering().filter(|(role, _)| role.priority == highest) {
            let approval = if rule.approval.is_empty() { Vec::new() } else { vec![rule.approval.clone()] };
            let one = Offer {
                tags: rule.tags.clone(),
                lasts: rule.lasts,
                rows: rule.rows,
                reasons: rule.reason.iter().cloned().collect(),
                subject_required: rule.subject_required,
                totp: rule.totp,
                approval,
                urgent: rule.urgent,
                notice: rule.notice,
                role: Arc::clone(&role.name),
                rule: Arc::clone(&rule.rule),
            };
            whole = Some(match whole {
                None => one,
                Some(whole) => whole.stricter(one),
            });
        }
        whole.filter(|offer| !matches!(&offer.tags, Tags::Named(names) if names.is_empty()))
    }

    /// Whether any role offers a reveal.
    pub fn offers(&self) -> bool {
        self.roles.iter().any(|role| role.reveal.is_some())
    }

    /// The sort of subject of that name.
    pub fn subject(&self, name: &str) -> Option<&Arc<str>> {
        self.subjects().find(|known| ***known == *name)
    }

    /// The column that has the key of that sort of subject in a table; `None`: there is none, or several that do.
    pub fn subject_key(&self, name: &str, schema: &Name, table: &Name) -> Option<&Name> {
        let mut columns = self.subjects_of(schema, table).filter(|(known, _)| ***known == *name);
        let (_, column) = columns.next()?;
        columns.next().is_none().then_some(column)
    }

    /// The names of the sorts of subjects.
    pub fn subjects(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subjects.iter().map(|subject| &subject.name)
    }
}

impl Offer {
    fn stricter(self, other: Self) -> Self {
        let rows = match (self.rows, other.rows) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let both = |one: &str, two: &str| Arc::from(format!("{one}, {two}"));
        Self {
            tags: self.tags.common(&other.tags),
            lasts: self.lasts.min(other.lasts),
            rows,
            reasons: [self.reasons, other.reasons].concat(),
            subject_required: self.subject_required || other.subject_required,
            totp: self.totp || other.totp,
            // What is urgent for one of them has to be so for each that asks somebody.
            urgent: match (self.approval.is_empty(), other.approval.is_empty()) {
                (true, _) => other.urgent,
                (_, true) => self.urgent,
                (false, false) => self.urgent && other.urgent,
            },
            approval: [self.approval, other.approval].concat(),
            notice: self.notice && other.notice,
            role: both(&self.role, &other.role),
            rule: both(&self.rule, &other.rule),
        }
    }
}
