//! `guard` of a policy file.

use std::num::NonZeroU64;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Place};
use super::form::{Fields, Reader};
use super::guard::{Consequences, Counted, LockTime, Per, Period};
use super::node::{Node, Value, Word};

/// The keys of `guard`.
pub(super) const GUARD_KEYS: &[&str] = &["except", "limits"];
/// The keys of a limit.
pub(super) const LIMIT_KEYS: &[&str] = &["what", "max", "within", "per", "users", "roles", "except", "on_breach"];
/// What may happen at more than a limit allows, as a word.
pub(super) const BREACH_WORDS: &[&str] = &["alert", "refuse", "block_session", "lock_account"];
/// The keys of what may happen that has a parameter.
pub(super) const BREACH_KEYS: &[&str] = &["lock_account"];

/// `guard`.
#[derive(Debug)]
pub(super) struct GuardEntry {
    pub(super) except: Vec<Word>,
    pub(super) limits: Vec<LimitEntry>,
}

/// A limit.
#[derive(Debug)]
pub(super) struct LimitEntry {
    pub(super) name: Word,
    pub(super) what: Counted,
    pub(super) max: NonZeroU64,
    pub(super) within: Duration,
    pub(super) per: Per,
    pub(super) users: Vec<Word>,
    pub(super) roles: Vec<Word>,
    pub(super) except: Vec<Word>,
    pub(super) on_breach: Consequences,
}

impl Reader<'_> {
    /// `guard: { except: [...], limits: { ... } }`.
    pub(super) fn guard(&mut self, key: &Word, node: &Node) -> Option<GuardEntry> {
        let mut fields = self.fields(node, &key.place, "`guard`", GUARD_KEYS)?;
        let except = self.names(&mut fields, "except", "`guard`");
        let mut limits = Vec::new();
        if let Some((key, node)) = fields.take("limits") {
            for (name, node) in self.entries(&node, &key.place, "`limits`").unwrap_or_default() {
                limits.extend(self.limit(name, &node));
            }
        }
        Some(GuardEntry { except, limits })
    }

    fn limit(&mut self, name: Word, node: &Node) -> Option<LimitEntry> {
        let what = format!("limit `{}`", name.text);
        self.plain_name(&name, "a limit");
        let mut fields = self.fields(node, &name.place, &what, LIMIT_KEYS)?;
        let missing = |reader: &mut Self, why: &str, help: &str| {
            reader.report(Diagnostic::error(&name.place, format!("{what} {why}")).with_help(help.to_owned()));
        };
        let counted = match fields.take("what") {
            Some((key, node)) => self.one_of(&node, &key.place, "`what`", &Counted::WORDS),
            None => {
                missing(
                    self,
                    "does not say what it counts",
                    "add `what: revealed_rows` or another of the words for it",
                );
                None
            }
        };
        let max = match fields.take("max") {
            Some((key, node)) => self.number(&node, &key.place, "`max`"),
            None => {
                missing(self, "has no `max`", "add `max: 1000`: how many there may be");
                None
            }
        };
        let within = match fields.take("within") {
            Some((key, node)) => self.period(&node, &key.place, "`within`"),
            None => {
                missing(self, "has no `within`", "add `within: 1 hour`: in how long");
                None
            }
        };
        let per = fields.take("per").and_then(|(key, node)| {
            let per = self.one_of(&node, &key.place, "`per`", &Per::WORDS)?;
            if matches!(per, Per::Address | Per::UserAndAddress)
                && counted.is_some_and(|it| it != Counted::FailedLogins)
            {
                let wrong = Diagnostic::error(&node.place, "only failed logins are counted by address");
                self.report(wrong.with_help("write `per: principal` or `per: user`"));
                return None;
            }
            Some(per)
        });
        let users = self.names(&mut fields, "users", &what);
        let roles = self.names(&mut fields, "roles", &what);
        let except = self.names(&mut fields, "except", &what);
        let on_breach = match fields.take("on_breach") {
            Some((key, node)) => self.consequences(&node, &key.place),
            None => Consequences { alert: true, refuse: true, ..Consequences::default() },
        };
        let counted = counted?;
        let default = if counted == Counted::FailedLogins { Per::UserAndAddress } else { Per::Principal };
        let per = per.unwrap_or(default);
        Some(LimitEntry { name, what: counted, max: max?, within: within?, per, users, roles, except, on_breach })
    }

    /// A word of what happens, `lock_account: 30 min`, or a list of these. Whatever does more than to tell somebody refuses
    /// as well.
    fn consequences(&mut self, node: &Node, owner: &Place) -> Consequences {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                std::slice::from_ref(node)
            }
        };
        let mut found = Consequences::default();
        for item in items {
            if let Value::Map(_) = item.value {
                let Some(mut fields) = self.fields(item, owner, "`on_breach`", BREACH_KEYS) else { continue };
                let Some((key, node)) = fields.take("lock_account") else { continue };
                let forever = matches!(&node.value, Value::Text(text) if text == "until_unlocked");
                found.lock = match forever {
                    true => Some(LockTime::UntilUnlocked),
                    false => self.period(&node, &key.place, "`lock_account`").map(LockTime::For).or(found.lock),
                };
                continue;
            }
            let words: Vec<(&str, &str)> = BREACH_WORDS.iter().map(|word| (*word, *word)).collect();
            match self.one_of(item, owner, "`on_breach`", &words) {
                Some("alert") => found.alert = true,
                Some("refuse") => found.refuse = true,
                Some("block_session") => found.block_session = true,
                Some(_) => found.lock = Some(LockTime::UntilUnlocked),
                None => {}
            }
        }
        found.refuse |= found.block_session || found.lock.is_some();
        found
    }

    fn names(&mut self, fields: &mut Fields, key: &str, owner: &str) -> Vec<Word> {
        let taken = fields.take(key);
        taken.map(|(word, node)| self.words(&node, &word.place, &format!("`{key}` of {owner}"))).unwrap_or_default()
    }

    fn number(&mut self, node: &Node, owner: &Place, what: &str) -> Option<NonZeroU64> {
        if let Value::Number(text) = &node.value
            && let Ok(number) = text.parse()
        {
            return Some(number);
        }
        let wrong = self.wrong_form(node, owner, what, "a whole number from 1 up");
        self.report(wrong);
        None
    }

    fn period(&mut self, node: &Node, owner: &Place, what: &str) -> Option<Duration> {
        let word = self.word(node, owner, what, "a time such as `1 hour`")?;
        let period = Period::read(&word.text);
        if period.is_none() {
            let wrong = Diagnostic::error(&word.place, format!("`{}` is not a time", word.text));
            self.report(wrong.with_help("write `90 s`, `30 minutes`, `1 hour` or up to `31 days`"));
        }
        period
    }
}
