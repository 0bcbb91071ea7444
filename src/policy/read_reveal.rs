//! The parts of a policy file about asking: who asserts end users, what is revealed on request, and to whom rows belong.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::actor::{Account, Assertion, TokenRules};
use super::diagnostic::{Diagnostic, Place};
use super::document::{ACCOUNT_KEYS, AccountEntry, REVEAL_KEYS, RevealEntry};
use super::form::Reader;
use super::node::{Node, Value, Word};
use super::reveal::{LASTS, ROWS};
use crate::catalog::Name;

pub(super) const ASSERT_WORDS: &[(&str, bool)] = &[("plain", false), ("signed", true)];
pub(super) const WAY_WORDS: &[(&str, Way)] = &[("setting", Way::Setting), ("comment", Way::Comment)];
pub(super) const SUBJECT_WORDS: &[(&str, bool)] = &[("optional", false), ("required", true)];
/// The longest time that a reveal lasts.
const LASTS_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How an end user is asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Setting,
    Comment,
}

impl Reader<'_> {
    /// `shop_app: { assert: signed, keys: [shop], ... }` of `actors`, or `shop_app: plain`.
    pub(super) fn account(&mut self, user: Word, node: &Node) -> Option<AccountEntry> {
        let what = format!("account `{}`", user.text);
        let rule = user.place.file_line();
        let own = |assertion, required, by_setting, by_comment| Account {
            user: Name::exact(&user.text),
            assertion,
            required,
            by_setting,
            by_comment,
            rule: Arc::clone(&rule),
        };
        let Value::Map(_) = node.value else {
            if self.one_of(node, &user.place, &what, ASSERT_WORDS)? {
                let bare = Diagnostic::error(&node.place, format!("{what} does not say who signs"));
                self.report(bare.with_help(format!("write `{}: {{ assert: signed, keys: [...] }}`", user.text)));
                return None;
            }
            let account = own(Assertion::Plain, true, true, false);
            return Some(AccountEntry { account, place: user.place });
        };
        let mut fields = self.fields(node, &user.place, &what, ACCOUNT_KEYS)?;
        let signed = match fields.take("assert") {
            Some((key, node)) => self.one_of(&node, &key.place, "`assert`", ASSERT_WORDS)?,
            None => {
                let missing = Diagnostic::error(&user.place, format!("{what} does not say how it asserts end users"));
                self.report(missing.with_help("add `assert: plain` or `assert: signed`"));
                return None;
            }
        };
        let required = match fields.take("required") {
            Some((key, node)) => self.boolean(&node, &key.place, "`required`")?,
            None => true,
        };
        let ways = match fields.take("by") {
            Some((key, node)) => {
                let words = self.words(&node, &key.place, &format!("`by` of {what}"));
                let mut ways = Vec::new();
                for word in words {
                    let node = Node { value: Value::Text(word.text), place: word.place };
                    ways.push(self.one_of(&node, &key.place, "`by`", WAY_WORDS)?);
                }
                ways
            }
            None => vec![Way::Setting],
        };
        let keys = match fields.take("keys") {
            Some((key, node)) => Some((self.words(&node, &key.place, &format!("`keys` of {what}")), key.place)),
            None => None,
        };
        let mut word = |reader: &mut Self, name: &str| match fields.take(name) {
            Some((key, node)) => {
                let word = reader.word(&node, &key.place, &format!("`{name}` of {what}"), "a name");
                word.map(|word| (Arc::<str>::from(word.text), key.place))
            }
            None => None,
        };
        let (claim, groups) = (word(self, "claim"), word(self, "groups"));
        let (audience, issuer) = (word(self, "audience"), word(self, "issuer"));
        let assertion = if signed {
            let Some((keys, _)) = keys.filter(|(keys, _)| !keys.is_empty()) else {
                let missing = Diagnostic::error(&user.place, format!("{what} does not say whose signature counts"));
                self.report(missing.with_help("add `keys:`, names of keys in the file of setting actor_keys_file"));
                return None;
            };
            Assertion::Signed(TokenRules {
                keys: keys.into_iter().map(|key| key.text.into()).collect(),
                claim: claim.map_or_else(|| "sub".into(), |(claim, _)| claim),
                groups: groups.map(|(groups, _)| groups),
                audience: audience.map(|(audience, _)| audience),
                issuer: issuer.map(|(issuer, _)| issuer),
            })
        } else {
            let idle = keys.map(|(_, place)| place);
            let idle =
                idle.or_else(|| [claim, groups, audience, issuer].into_iter().flatten().next().map(|(_, at)| at));
            if let Some(place) = idle {
                let idle = Diagnostic::error(&place, format!("{what} asserts plain names, which nobody signs"));
                self.report(idle.with_help("write `assert: signed`, or leave this out"));
                return None;
            }
            Assertion::Plain
        };
        let account = own(assertion, required, ways.contains(&Way::Setting), ways.contains(&Way::Comment));
        Some(AccountEntry { account, place: user.place })
    }

    /// `reveal: { tags: [email], lasts: 15min, ... }` of a role.
    pub(super) fn reveal(&mut self, key: &Word, node: &Node, role: &str) -> Option<RevealEntry> {
        let what = format!("`reveal` of {role}");
        let mut fields = self.fields(node, &key.place, &what, REVEAL_KEYS)?;
        let tags = match fields.take("tags") {
            Some((key, node)) => self.words(&node, &key.place, &format!("`tags` of {what}")),
            None => {
                let missing = Diagnostic::error(&key.place, format!("{what} does not say of which tags"));
                self.report(missing.with_help("add `tags: [...]`, or `tags: \"*\"` for all of them"));
                return None;
            }
        };
        let lasts = match fields.take("lasts") {
            Some((key, node)) => self.lasting(&node, &key.place)?,
            None => LASTS,
        };
        let rows = match fields.take("rows") {
            Some((key, node)) => self.row_quota(&node, &key.place)?,
            None => Some(ROWS),
        };
        let reason = match fields.take("reason") {
            Some((key, node)) => {
                let word = self.word(&node, &key.place, "`reason`", "a regular expression in quotes")?;
                match Regex::new(&word.text) {
                    Ok(pattern) => Some(pattern),
                    Err(_) => {
                        let wrong = Diagnostic::error(&word.place, "that is not a regular expression");
                        self.report(wrong.with_help("for a ticket number: `reason: '^[A-Z]+-[0-9]+'`"));
                        return None;
                    }
                }
            }
            None => None,
        };
        let subject_required = match fields.take("subject") {
            Some((key, node)) => self.one_of(&node, &key.place, "`subject`", SUBJECT_WORDS)?,
            None => false,
        };
        let approval = match fields.take("approval") {
            Some((key, node)) => self.words(&node, &key.place, &format!("`approval` of {what}")),
            None => Vec::new(),
        };
        let mut flag = |reader: &mut Self, name: &str, default: bool| match fields.take(name) {
            Some((key, node)) => reader.boolean(&node, &key.place, &format!("`{name}`")),
            None => Some(default),
        };
        let (totp, urgent, notice) =
            (flag(self, "totp", false)?, flag(self, "urgent", false)?, flag(self, "notice", true)?);
        if urgent && approval.is_empty() {
            let idle = Diagnostic::error(&key.place, format!("{what} is urgent, and nobody is asked anyhow"));
            self.report(idle.with_help("`urgent: true` goes with `approval`"));
            return None;
        }
        let place = key.place.clone();
        Some(RevealEntry { place, tags, lasts, rows, reason, subject_required, totp, approval, urgent, notice })
    }

    /// `90s`, `15min`, `2h`.
    fn lasting(&mut self, node: &Node, owner: &Place) -> Option<Duration> {
        let word = self.word(node, owner, "`lasts`", "a time")?;
        let digits = word.text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(word.text.len());
        let (number, unit) = word.text.split_at_checked(digits)?;
        let seconds = match unit.trim_start() {
            "s" => Some(1),
            "min" => Some(60),
            "h" => Some(3_600),
            _ => None,
        };
        let seconds = seconds.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
        let lasts =
            seconds.map(Duration::from_secs).filter(|lasts| (Duration::from_secs(1)..=LASTS_MAX).contains(lasts));
        if lasts.is_none() {
            let wrong = Diagnostic::error(&word.place, format!("`{}` is not a time that a reveal can last", word.text));
            self.report(wrong.with_help("write `90s`, `15min` or `2h`, up to `24h`"));
        }
        lasts
    }

    /// `100`, `unlimited`.
    fn row_quota(&mut self, node: &Node, owner: &Place) -> Option<Option<u64>> {
        if matches!(&node.value, Value::Text(text) if text == "unlimited") {
            return Some(None);
        }
        let word = self.word(node, owner, "`rows`", "a number of rows, or `unlimited`")?;
        let rows = word.text.parse::<u64>().ok().filter(|rows| *rows > 0);
        if rows.is_none() {
            let wrong = Diagnostic::error(&word.place, format!("`{}` is not a number of rows", word.text));
            self.report(wrong.with_help("write a number from 1 up, or `unlimited`"));
        }
        rows.map(Some)
    }
}
