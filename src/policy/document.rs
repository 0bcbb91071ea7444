//! The policy file as its author wrote it: every key checked by name and form, nothing looked up yet.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use regex::Regex;

use super::actor::Account;
use super::diagnostic::{Diagnostic, Place, PolicyFile};
use super::form::Reader;
use super::node::{Node, Value, Word};
use super::read_guard::GuardEntry;
use super::{Budget, Encryption, FilterMode, WriteBackMode};
use crate::catalog::Name;
use crate::mask::{HiddenForm, Mask};

/// The keys of a policy file.
pub(super) const FILE_KEYS: &[&str] =
    &["version", "default", "tags", "columns", "subjects", "roles", "actors", "guard"];
/// The keys of `default`.
pub(super) const DEFAULT_KEYS: &[&str] = &["sees", "hidden", "filter", "budget", "write_back"];
/// The keys of a tag.
pub(super) const TAG_KEYS: &[&str] = &["mask", "hidden", "filter", "budget", "write_back"];
/// The keys of a column that has more than its tag.
pub(super) const COLUMN_KEYS: &[&str] = &["tag", "mask", "hidden", "filter", "budget", "write_back", "encrypted"];
/// The keys of `encrypted` of a column.
pub(super) const ENCRYPTION_KEYS: &[&str] = &["type", "mode", "key", "domain", "stored", "tenant", "blind_index"];
/// The keys of `tenant` of `encrypted`.
pub(super) const TENANT_KEYS: &[&str] = &["column", "setting"];
/// The keys of a role.
pub(super) const ROLE_KEYS: &[&str] = &[
    "users",
    "member_of",
    "actors",
    "actor_groups",
    "networks",
    "certificates",
    "priority",
    "replication",
    "sees",
    "reveal",
];
/// The keys of an account that asserts end users.
pub(super) const ACCOUNT_KEYS: &[&str] = &["assert", "required", "by", "keys", "claim", "groups", "audience", "issuer"];
/// The keys of `reveal` of a role.
pub(super) const REVEAL_KEYS: &[&str] =
    &["tags", "lasts", "rows", "reason", "subject", "totp", "approval", "urgent", "notice"];
/// What a role may see, as a word.
pub(super) const SIGHT_WORDS: &[&str] = &["clear", "masked", "hidden", "denied"];
/// The keys of a sight that has parameters.
pub(super) const SIGHT_KEYS: &[&str] = &["masked", "hidden", "filter", "budget"];

/// One policy file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) default: Option<DefaultEntry>,
    pub(super) tags: Vec<TagEntry>,
    /// Whether it has a `columns` section, be it `{}`.
    pub(super) states_columns: bool,
    pub(super) columns: Vec<ColumnEntry>,
    pub(super) subjects: Vec<SubjectEntry>,
    pub(super) roles: Vec<RoleEntry>,
    pub(super) guard: Option<GuardEntry>,
    pub(super) accounts: Vec<AccountEntry>,
}

/// An account that asserts end users.
#[derive(Debug)]
pub(super) struct AccountEntry {
    pub(super) account: Account,
    pub(super) place: Place,
}

/// What a role may see in clear on request.
#[derive(Debug)]
pub(super) struct RevealEntry {
    pub(super) place: Place,
    pub(super) tags: Vec<Word>,
    pub(super) lasts: Duration,
    pub(super) rows: Option<u64>,
    pub(super) reason: Option<Regex>,
    pub(super) subject_required: bool,
    pub(super) totp: bool,
    pub(super) approval: Vec<Word>,
    pub(super) urgent: bool,
    pub(super) notice: bool,
}

/// `default`: what holds where nothing else is said.
#[derive(Debug)]
pub(super) struct DefaultEntry {
    pub(super) place: Place,
    pub(super) sees: Option<(DefaultSight, Place)>,
    pub(super) hidden: Option<HiddenForm>,
    pub(super) filter: Option<FilterMode>,
    pub(super) budget: Option<Budget>,
    pub(super) write_back: Option<WriteBackMode>,
}

/// What those see of a tagged column for whom no rule matches. There is no `clear`: it has to be given to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultSight {
    Masked,
    Hidden,
    Denied,
}

/// A tag.
#[derive(Debug)]
pub(super) struct TagEntry {
    pub(super) name: Word,
    /// `None`: a diagnostic was made of it.
    pub(super) mask: Option<MaskEntry>,
    pub(super) hidden: Option<HiddenForm>,
    pub(super) filter: Option<FilterMode>,
    pub(super) budget: Option<Budget>,
    pub(super) write_back: Option<WriteBackMode>,
}

/// A mask and where it is written.
#[derive(Clone, Debug)]
pub(super) struct MaskEntry {
    pub(super) mask: Arc<Mask>,
    pub(super) place: Place,
}

/// A table, as it is named in the policy.
#[derive(Clone, Debug)]
pub(super) struct TableName {
    pub(super) schema: Name,
    pub(super) table: Name,
    pub(super) place: Place,
}

/// A column with its tag.
#[derive(Debug)]
pub(super) struct ColumnEntry {
    pub(super) table: TableName,
    pub(super) column: Word,
    pub(super) tag: Word,
    pub(super) mask: Option<MaskEntry>,
    pub(super) hidden: Option<HiddenForm>,
    pub(super) filter: Option<FilterMode>,
    pub(super) budget: Option<Budget>,
    pub(super) write_back: Option<WriteBackMode>,
    pub(super) encryption: Option<EncryptionEntry>,
}

/// How a column is encrypted, and where that is written.
#[derive(Clone, Debug)]
pub(super) struct EncryptionEntry {
    pub(super) encryption: Arc<Encryption>,
    pub(super) place: Place,
    /// Where the column of its blind index is named, if it has one.
    pub(super) index_place: Option<Place>,
}

/// A sort of persons or things that rows are of, and the columns that say which one it is.
#[derive(Debug)]
pub(super) struct SubjectEntry {
    pub(super) name: Word,
    pub(super) columns: Vec<(TableName, Name)>,
}

/// A role of the policy.
#[derive(Debug)]
pub(super) struct RoleEntry {
    pub(super) name: Word,
    pub(super) users: Vec<Word>,
    pub(super) member_of: Vec<Word>,
    pub(super) actors: Vec<Word>,
    pub(super) actor_groups: Vec<Word>,
    pub(super) networks: Vec<IpNet>,
    pub(super) certificates: Vec<Word>,
    pub(super) priority: i32,
    pub(super) replication: Option<bool>,
    pub(super) sees: Vec<SightEntry>,
    pub(super) reveal: Option<RevealEntry>,
}

/// What a role sees of a tag, a column or everything.
#[derive(Debug)]
pub(super) struct SightEntry {
    pub(super) target: Word,
    /// `file:line` of the target.
    pub(super) rule: Arc<str>,
    pub(super) sight: RuleSight,
    pub(super) filter: Option<FilterMode>,
    pub(super) budget: Option<Budget>,
}

/// A sight, before the column's own mask is filled in.
#[derive(Clone, Debug)]
pub(super) enum RuleSight {
    Clear,
    Masked(Option<MaskEntry>),
    Hidden(Option<HiddenForm>),
    Denied,
}

impl Document {
    /// Read one file. What is wrong goes into `found`, and what could be read is returned.
    pub(super) fn read(file: &Arc<PolicyFile>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let start = Place::start_of(file);
        let root = match Node::parse(file) {
            Ok(root) => root,
            Err(diagnostic) => {
                found.push(*diagnostic);
                return None;
            }
        };
        if matches!(root.value, Value::Null) {
            let empty = Diagnostic::error(&start, "the policy file is empty");
            found.push(empty.with_help("a policy starts with `version: 1`; without any policy file nothing is tagged"));
            return None;
        }
        let mut reader = Reader { found };
        let mut fields = reader.fields(&root, &start, "a policy file", FILE_KEYS)?;
        match fields.take("version") {
            Some((_, Node { value: Value::Number(number), .. })) if number == "1" => {}
            Some((_, node)) => {
                let help = "this pgveil reads policies of `version: 1`";
                reader.found.push(Diagnostic::error(&node.place, "not a policy version").with_help(help));
            }
            None => {
                let missing = Diagnostic::error(&start, "the policy does not say its version");
                reader.found.push(missing.with_help("put `version: 1` on its first line"));
            }
        }
        let mut document = Self::default();
        if let Some((key, node)) = fields.take("default") {
            document.default = reader.default_entry(&key, &node);
        }
        if let Some((key, node)) = fields.take("tags") {
            for (name, node) in reader.entries(&node, &key.place, "`tags`").unwrap_or_default() {
                document.tags.extend(reader.tag(name, &node));
            }
        }
        if let Some((key, node)) = fields.take("columns") {
            document.states_columns = true;
            for (table, node) in reader.entries(&node, &key.place, "`columns`").unwrap_or_default() {
                document.columns.extend(reader.table(&table, &node));
            }
        }
        if let Some((key, node)) = fields.take("subjects") {
            for (name, node) in reader.entries(&node, &key.place, "`subjects`").unwrap_or_default() {
                document.subjects.push(reader.subject(name, &node));
            }
        }
        if let Some((key, node)) = fields.take("roles") {
            for (name, node) in reader.entries(&node, &key.place, "`roles`").unwrap_or_default() {
                document.roles.extend(reader.role(name, &node));
            }
        }
        if let Some((key, node)) = fields.take("actors") {
            for (user, node) in reader.entries(&node, &key.place, "`actors`").unwrap_or_default() {
                document.accounts.extend(reader.account(user, &node));
            }
        }
        if let Some((key, node)) = fields.take("guard") {
            document.guard = reader.guard(&key, &node);
        }
        Some(document)
    }
}

/// The schema, table and further parts of a name as the policy writes it: parts between dots, exact as in the catalog;
/// a part that has dots or spaces of its own stands in double quotes, as in SQL. `None`: an empty part, an open quote.
pub(super) fn name_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest.get(..end)?.to_owned(), rest.get(end..)?)
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// What is between an opening quote, already taken off, and its closing one; and what follows.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        part.push_str(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        match rest.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, rest)),
        }
    }
}

/// A name as [`name_parts`] reads it.
pub(super) fn written_name(parts: &[&str]) -> String {
    let written = parts.iter().map(|part| {
        let plain = !part.is_empty() && !part.contains(['.', '"', ' ']);
        if plain { (*part).to_owned() } else { format!("\"{}\"", part.replace('"', "\"\"")) }
    });
    written.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_dots_outside_of_quotes() {
        for (text, parts) in [
            ("customer", Some(vec!["customer"])),
            ("public.customer", Some(vec!["public", "customer"])),
            ("public.Customer.E-Mail", Some(vec!["public", "Customer", "E-Mail"])),
            ("\"a.b\".\"say \"\"x\"\"\"", Some(vec!["a.b", "say \"x\""])),
            ("", None),
            ("a.", None),
            (".a", None),
            ("\"a", None),
            ("\"a\"b", None),
        ] {
            let found = name_parts(text);
            assert_eq!(found.as_ref().map(|parts| parts.iter().map(String::as_str).collect()), parts, "{text}");
            if let Some(found) = found {
                let written = written_name(&found.iter().map(String::as_str).collect::<Vec<_>>());
                assert_eq!(name_parts(&written), Some(found), "{written}");
            }
        }
    }
}
