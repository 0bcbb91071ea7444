//! The parts of a policy file: tags, columns, roles, sights, masks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::diagnostic::{Diagnostic, Place};
use super::document::{
    COLUMN_KEYS, ColumnEntry, DEFAULT_KEYS, DefaultEntry, DefaultSight, ROLE_KEYS, RoleEntry, RuleSight, SIGHT_KEYS,
    SIGHT_WORDS, SightEntry, SubjectEntry, TAG_KEYS, TableName, TagEntry, name_parts,
};
use super::form::{Fields, Reader};
use super::node::{Node, Value, Word};
use super::{Budget, FilterMode, WriteBackMode};
use crate::catalog::Name;
use crate::mask::HiddenForm;

/// The schema of a table that is named without one.
pub(super) const DEFAULT_SCHEMA: &str = "public";
/// Bytes of a tag's or role's name: they become metric labels and fields of access events.
const WORD_BYTES_MAX: usize = 63;

pub(super) const FILTER_WORDS: &[(&str, FilterMode)] = &[
    ("refuse", FilterMode::Refuse),
    ("equality", FilterMode::Equality),
    ("search", FilterMode::Search),
    ("allow", FilterMode::Allow),
];
pub(super) const WRITE_BACK_WORDS: &[(&str, WriteBackMode)] =
    &[("keep", WriteBackMode::Keep), ("refuse", WriteBackMode::Refuse)];
pub(super) const HIDDEN_WORDS: &[(&str, HiddenForm)] = &[("empty", HiddenForm::Empty), ("null", HiddenForm::Null)];
const DEFAULT_SIGHT_WORDS: &[(&str, DefaultSight)] =
    &[("masked", DefaultSight::Masked), ("hidden", DefaultSight::Hidden), ("denied", DefaultSight::Denied)];

/// `hidden`, `filter`, `budget`, `write_back`.
type Particulars = (Option<HiddenForm>, Option<FilterMode>, Option<Budget>, Option<WriteBackMode>);

impl Reader<'_> {
    /// `default: { ... }`.
    pub(super) fn default_entry(&mut self, key: &Word, node: &Node) -> Option<DefaultEntry> {
        let mut fields = self.fields(node, &key.place, "`default`", DEFAULT_KEYS)?;
        let sees = fields.take("sees").and_then(|(key, node)| {
            if matches!(&node.value, Value::Text(text) if text == "clear") {
                let open = Diagnostic::error(&node.place, "`clear` can not be the default");
                self.report(open.with_help("write a role for those who may see the values, and give `clear` to it"));
                return None;
            }
            Some((self.one_of(&node, &key.place, "`sees` of `default`", DEFAULT_SIGHT_WORDS)?, node.place))
        });
        let (hidden, filter, budget, write_back) = self.particulars(&mut fields);
        Some(DefaultEntry { place: key.place.clone(), sees, hidden, filter, budget, write_back })
    }

    /// `email: { mask: email, ... }` of `tags`.
    pub(super) fn tag(&mut self, name: Word, node: &Node) -> Option<TagEntry> {
        let what = format!("tag `{}`", name.text);
        self.plain_name(&name, "a tag");
        if let Value::Text(mask) = &node.value {
            let short = self.wrong_form(node, &name.place, &what, "a mapping");
            self.report(short.with_help(format!("write `{}: {{ mask: {mask} }}`", name.text)));
            return Some(TagEntry { name, mask: None, hidden: None, filter: None, budget: None, write_back: None });
        }
        let Some(mut fields) = self.fields(node, &name.place, &what, TAG_KEYS) else {
            return Some(TagEntry { name, mask: None, hidden: None, filter: None, budget: None, write_back: None });
        };
        let mask = match fields.take("mask") {
            Some((key, node)) => self.mask(&node, &key.place),
            None => {
                let missing = Diagnostic::error(&name.place, format!("{what} has no mask"));
                self.report(missing.with_help("add `mask: full` (each character becomes `#`) or another mask"));
                None
            }
        };
        let (hidden, filter, budget, write_back) = self.particulars(&mut fields);
        Some(TagEntry { name, mask, hidden, filter, budget, write_back })
    }

    /// `public.customer: { email: email, ... }` of `columns`.
    pub(super) fn table(&mut self, key: &Word, node: &Node) -> Vec<ColumnEntry> {
        let parts = name_parts(&key.text).unwrap_or_default();
        let table = match parts.as_slice() {
            [table] => TableName::new(DEFAULT_SCHEMA, table, &key.place),
            [schema, table] => TableName::new(schema, table, &key.place),
            _ => {
                let wrong = Diagnostic::error(&key.place, format!("`{}` is not the name of a table", key.text));
                self.report(wrong.with_help(
                    "write `table` or `schema.table`, and its columns below it; a part that has a dot in it stands in double \
                     quotes: `'public.\"odd.name\"'`",
                ));
                return Vec::new();
            }
        };
        let what = format!("table `{}`", key.text);
        let mut columns = Vec::new();
        for (column, node) in self.entries(node, &key.place, &what).unwrap_or_default() {
            columns.extend(self.column(&table, column, &node));
        }
        columns
    }

    /// `email: email` or `email: { tag: email, mask: ..., ... }`.
    fn column(&mut self, table: &TableName, column: Word, node: &Node) -> Option<ColumnEntry> {
        let what = format!("column `{}`", column.text);
        let table = table.clone();
        let Value::Map(_) = node.value else {
            let tag = self.word(node, &column.place, &what, "the name of a tag")?;
            return Some(ColumnEntry {
                table,
                column,
                tag,
                mask: None,
                hidden: None,
                filter: None,
                budget: None,
                write_back: None,
                encryption: None,
            });
        };
        let mut fields = self.fields(node, &column.place, &what, COLUMN_KEYS)?;
        let encryption = match fields.take("encrypted") {
            Some((key, node)) => Some(self.encryption(&key, &node, &what)?),
            None => None,
        };
        let mask = fields.take("mask").and_then(|(key, node)| self.mask(&node, &key.place));
        let (hidden, filter, budget, write_back) = self.particulars(&mut fields);
        let Some((key, node)) = fields.take("tag") else {
            let missing = Diagnostic::error(&column.place, format!("{what} has no tag"));
            self.report(missing.with_help("add `tag: ...`"));
            return None;
        };
        let tag = self.word(&node, &key.place, &format!("`tag` of {what}"), "the name of a tag")?;
        Some(ColumnEntry { table, column, tag, mask, hidden, filter, budget, write_back, encryption })
    }

    /// `customer: [public.customer.id, orders.customer_id]` of `subjects`.
    pub(super) fn subject(&mut self, name: Word, node: &Node) -> SubjectEntry {
        self.plain_name(&name, "a subject");
        let mut columns = Vec::new();
        for word in self.words(node, &name.place, &format!("subject `{}`", name.text)) {
            let parts = name_parts(&word.text).unwrap_or_default();
            columns.extend(match parts.as_slice() {
                [table, column] => Some((TableName::new(DEFAULT_SCHEMA, table, &word.place), Name::exact(column))),
                [schema, table, column] => Some((TableName::new(schema, table, &word.place), Name::exact(column))),
                _ => {
                    let wrong = Diagnostic::error(&word.place, format!("`{}` is not the name of a column", word.text));
                    self.report(wrong.with_help("write `table.column` or `schema.table.column`"));
                    None
                }
            });
        }
        SubjectEntry { name, columns }
    }

    /// `billing: { member_of: [billing], sees: { ... } }` of `roles`.
    pub(super) fn role(&mut self, name: Word, node: &Node) -> Option<RoleEntry> {
        let what = format!("role `{}`", name.text);
        self.plain_name(&name, "a role");
        let mut fields = self.fields(node, &name.place, &what, ROLE_KEYS)?;
        let mut criteria = 0_u32;
        let mut words = |reader: &mut Self, key: &str| match fields.take(key) {
            Some((word, node)) => {
                criteria += 1;
                reader.words(&node, &word.place, &format!("`{key}` of {what}"))
            }
            None => Vec::new(),
        };
        let users = words(self, "users");
        let member_of = words(self, "member_of");
        let actors = words(self, "actors");
        let actor_groups = words(self, "actor_groups");
        let certificates = words(self, "certificates");
        let networks = words(self, "networks");
        if criteria == 0 {
            let open = Diagnostic::error(&name.place, format!("{what} does not say who has it"));
            self.report(
                open.with_help("add `users`, `member_of`, `actors`, `actor_groups`, `networks` or `certificates`"),
            );
        }
        let networks = networks.iter().filter_map(|word| self.network(word)).collect();
        let priority =
            fields.take("priority").and_then(|(key, node)| self.integer(&node, &key.place, "`priority`")).unwrap_or(0);
        let replication =
            fields.take("replication").and_then(|(key, node)| self.boolean(&node, &key.place, "`replication`"));
        let reveal = fields.take("reveal").and_then(|(key, node)| self.reveal(&key, &node, &what));
        let sees = match fields.take("sees") {
            Some((key, node)) => self.sees(&key, &node, &what),
            None => {
                if replication.is_none() && reveal.is_none() {
                    let idle = Diagnostic::error(&name.place, format!("{what} does not say what it sees"));
                    self.report(idle.with_help("add `sees`, for example `sees: { \"*\": masked }`"));
                }
                Vec::new()
            }
        };
        Some(RoleEntry {
            name,
            users,
            member_of,
            actors,
            actor_groups,
            networks,
            certificates,
            priority,
            replication,
            sees,
            reveal,
        })
    }

    fn sees(&mut self, key: &Word, node: &Node, role: &str) -> Vec<SightEntry> {
        if let Value::Text(word) = &node.value
            && SIGHT_WORDS.contains(&word.as_str())
        {
            let short = self.wrong_form(node, &key.place, &format!("`sees` of {role}"), "a mapping");
            self.report(short.with_help(format!("for every tag: `sees: {{ \"*\": {word} }}`")));
            return Vec::new();
        }
        let entries = self.entries(node, &key.place, &format!("`sees` of {role}")).unwrap_or_default();
        entries.into_iter().filter_map(|(target, node)| self.sight(target, &node)).collect()
    }

    /// `clear`, `masked`, `hidden`, `denied`, or a mapping with the particulars of `masked` or `hidden`.
    fn sight(&mut self, target: Word, node: &Node) -> Option<SightEntry> {
        let what = format!("`{}` in `sees`", target.text);
        let Value::Map(_) = node.value else {
            const WORDS: [RuleSight; 4] =
                [RuleSight::Clear, RuleSight::Masked(None), RuleSight::Hidden(None), RuleSight::Denied];
            let words: Vec<(&str, usize)> = SIGHT_WORDS.iter().copied().zip(0..).collect();
            let index = self.one_of(node, &target.place, &what, &words)?;
            let sight = WORDS.get(index)?.clone();
            return Some(SightEntry { rule: target.place.file_line(), target, sight, filter: None, budget: None });
        };
        let mut fields = self.fields(node, &target.place, &what, SIGHT_KEYS)?;
        let (filter, budget) = (self.filter(&mut fields), self.budget(&mut fields));
        let sight = match (fields.take("masked"), fields.take("hidden")) {
            (Some((key, node)), None) => RuleSight::Masked(Some(self.mask(&node, &key.place)?)),
            (None, Some((key, node))) => RuleSight::Hidden(Some(self.hidden_form(&node, &key.place)?)),
            (None, None) => RuleSight::Masked(None),
            (Some((masked, _)), Some((hidden, _))) => {
                let both = Diagnostic::error(&hidden.place, format!("{what} can not be both masked and hidden"));
                self.report(both.with_related(&masked.place, "masked here").with_help("keep one of them"));
                return None;
            }
        };
        Some(SightEntry { rule: target.place.file_line(), target, sight, filter, budget })
    }

    /// What tags, columns and the default say beside the mask.
    fn particulars(&mut self, fields: &mut Fields) -> Particulars {
        let hidden = fields.take("hidden").and_then(|(key, node)| self.hidden_form(&node, &key.place));
        let (filter, budget) = (self.filter(fields), self.budget(fields));
        let write_back = fields
            .take("write_back")
            .and_then(|(key, node)| self.one_of(&node, &key.place, "`write_back`", WRITE_BACK_WORDS));
        (hidden, filter, budget, write_back)
    }

    /// `budget: 10000/h`.
    fn budget(&mut self, fields: &mut Fields) -> Option<Budget> {
        let (key, node) = fields.take("budget")?;
        let word = self.word(&node, &key.place, "`budget`", "`unlimited` or a number of filters in a period")?;
        let budget = Budget::read(&word.text);
        if budget.is_none() {
            let wrong = Diagnostic::error(&word.place, format!("`{}` is not a budget", word.text));
            let help = "write `10000/h`, `500/min`, `20/s`, `1000/day` or `unlimited`; where nothing may be filtered by, `filter: refuse`";
            self.report(wrong.with_help(help));
        }
        budget
    }

    fn filter(&mut self, fields: &mut Fields) -> Option<FilterMode> {
        let (key, node) = fields.take("filter")?;
        self.one_of(&node, &key.place, "`filter`", FILTER_WORDS)
    }

    fn hidden_form(&mut self, node: &Node, owner: &Place) -> Option<HiddenForm> {
        // An unquoted `null` can only mean the word; a value that was left out means nothing.
        if matches!(node.value, Value::Null) && node.place.text() == "null" {
            return Some(HiddenForm::Null);
        }
        self.one_of(node, owner, "`hidden`", HIDDEN_WORDS)
    }

    /// A network (`10.0.0.0/8`) or one address.
    fn network(&mut self, word: &Word) -> Option<IpNet> {
        let parsed = word.text.parse::<IpNet>().ok().or_else(|| word.text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(network) = parsed else {
            let wrong = Diagnostic::error(&word.place, format!("`{}` is not a network", word.text));
            self.report(wrong.with_help("write an address, or a network such as `10.0.0.0/8` or `2001:db8::/32`"));
            return None;
        };
        if network.trunc() != network {
            let wrong = format!("`{}` has bits set to the right of its /{}", word.text, network.prefix_len());
            let help = format!("did you mean the network `{}`, or the address `{}`?", network.trunc(), network.addr());
            self.report(Diagnostic::error(&word.place, wrong).with_help(help));
            return None;
        }
        Some(network)
    }

    /// Tags and roles have names that are good as metric labels and never look like a column.
    pub(super) fn plain_name(&mut self, name: &Word, what: &str) {
        let first = name.text.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        let rest = name.text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-'));
        if !first || !rest || name.text.len() > WORD_BYTES_MAX {
            let wrong = Diagnostic::error(&name.place, format!("`{}` can not be the name of {what}", name.text));
            self.report(wrong.with_help(format!(
                "a name is made of letters, digits, `_` and `-`, starts with a letter and has up to {WORD_BYTES_MAX} of them"
            )));
        }
    }
}

impl TableName {
    fn new(schema: &str, table: &str, place: &Place) -> Self {
        Self { schema: Name::exact(schema), table: Name::exact(table), place: place.clone() }
    }
}
