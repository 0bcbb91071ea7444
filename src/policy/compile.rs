//! From documents to a policy: every name looked up, every rule worked out for every column that it covers.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::diagnostic::{Diagnostic, Place, PolicyFile, PolicySource};
use super::document::{
    AccountEntry, ColumnEntry, DefaultEntry, DefaultSight, Document, EncryptionEntry, RevealEntry, RoleEntry,
    RuleSight, SightEntry, SubjectEntry, TagEntry, name_parts, written_name,
};
use super::form::listed;
use super::guard::Limit;
use super::node::Word;
use super::read::DEFAULT_SCHEMA;
use super::read_guard::GuardEntry;
use super::reveal::{RevealRule, Tags};
use super::suggest::closest;
use super::{
    Account, ColumnRow, Decision, Encryption, FilterMode, Policy, RoleRow, Rule, Sight, SubjectColumn, SubjectRow, Tag,
    TaggedColumn, TaggedColumnId, Target,
};
use crate::catalog::Name;
use crate::mask::Mask;

impl Policy {
    /// The policy that these files make together. Tags, columns and roles may be spread over them; no file at all is the
    /// empty policy.
    ///
    /// # Errors
    /// Everything that is wrong with them, in the order of files and lines.
    pub fn parse(files: &[PolicySource]) -> Result<Self, Vec<Diagnostic>> {
        let files: Vec<Arc<PolicyFile>> = files.iter().map(PolicyFile::new).collect();
        let Some(first) = files.first() else {
            return Ok(Self::empty());
        };
        let mut found = Vec::new();
        let read: Vec<Option<Document>> = files.iter().map(|file| Document::read(file, &mut found)).collect();
        // What an unreadable file defines would be reported as unknown in all the others.
        let Some(documents) = read.into_iter().collect::<Option<Vec<_>>>() else {
            Diagnostic::sort(&mut found);
            return Err(found);
        };
        let mut compiler =
            Compiler { found, default: None, tags: Vec::new(), columns: Vec::new(), domains: Vec::new() };
        let states_columns = documents.iter().any(|document| document.states_columns);
        let mut roles = Vec::new();
        let mut columns = Vec::new();
        let mut tags = Vec::new();
        let (mut accounts, mut guards, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
        for document in documents {
            compiler.default(document.default);
            tags.extend(document.tags);
            columns.extend(document.columns);
            subjects.extend(document.subjects);
            roles.extend(document.roles);
            guards.extend(document.guard);
            accounts.extend(document.accounts);
        }
        compiler.tags(tags);
        compiler.columns(columns);
        let roles = compiler.roles(roles);
        let limits = compiler.limits(guards, &roles);
        let accounts = compiler.accounts(accounts);
        let subjects = compiler.subjects(subjects);
        let mut found = compiler.found;
        if !states_columns && found.is_empty() {
            let open =
                Diagnostic::error(&Place::start_of(first), "the policy tags no column, so everything would be shown");
            found.push(open.with_help("list columns under `columns`; write `columns: {}` if that is what you mean"));
        }
        if !found.is_empty() {
            Diagnostic::sort(&mut found);
            return Err(found);
        }
        let encrypts = compiler.columns.iter().any(|row| row.tagged.encryption.is_some());
        let (columns, fingerprint) = (compiler.columns, fingerprint(&files));
        Ok(Self { columns, roles, accounts, subjects, limits, encrypts, fingerprint })
    }

    /// The policy that tags nothing.
    pub fn empty() -> Self {
        Self {
            columns: Vec::new(),
            roles: Vec::new(),
            limits: Vec::new(),
            accounts: Vec::new(),
            subjects: Vec::new(),
            encrypts: false,
            fingerprint: fingerprint(&[]),
        }
    }
}

/// SHA-256 over the texts, whatever their paths and order, in hexadecimal digits.
fn fingerprint(files: &[Arc<PolicyFile>]) -> String {
    let mut texts: Vec<_> = files.iter().map(|file| Sha256::digest(file.text().as_bytes())).collect();
    texts.sort();
    let mut whole = Sha256::new();
    for text in texts {
        whole.update(text);
    }
    whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Compiler {
    found: Vec<Diagnostic>,
    default: Option<DefaultEntry>,
    tags: Vec<KnownTag>,
    columns: Vec<ColumnRow>,
    /// The first column of each domain, and where it stands.
    domains: Vec<(Arc<Encryption>, Place)>,
}

struct KnownTag {
    tag: Arc<Tag>,
    place: Place,
    mask_place: Place,
}

impl Compiler {
    fn default(&mut self, entry: Option<DefaultEntry>) {
        match (&self.default, entry) {
            (_, None) => {}
            (None, entry) => self.default = entry,
            (Some(before), Some(entry)) => {
                let twice = Diagnostic::error(&entry.place, "`default` is in two files");
                self.found.push(twice.with_related(&before.place, "first stated here").with_help("keep one of them"));
            }
        }
    }

    fn subjects(&mut self, entries: Vec<SubjectEntry>) -> Vec<SubjectRow> {
        let mut rows: Vec<SubjectRow> = Vec::new();
        for SubjectEntry { name, columns } in entries {
            if let Some(before) = rows.iter().find(|row| *row.name == *name.text) {
                let twice = Diagnostic::error(&name.place, format!("subject `{}` is defined twice", name.text));
                self.found.push(twice.with_related(&before.place, "first defined here").with_help("keep one of them"));
                continue;
            }
            let columns = columns.into_iter().map(|(of, column)| SubjectColumn {
                schema: of.schema,
                table: of.table,
                column,
                place: of.place,
            });
            rows.push(SubjectRow { name: name.text.into(), place: name.place, columns: columns.collect() });
        }
        rows
    }

    fn tags(&mut self, entries: Vec<TagEntry>) {
        for entry in entries {
            if let Some(before) = self.tags.iter().find(|known| *known.tag.name == *entry.name.text) {
                let twice = Diagnostic::error(&entry.name.place, format!("tag `{}` is defined twice", entry.name.text));
                self.found.push(twice.with_related(&before.place, "first defined here").with_help("keep one of them"));
                continue;
            }
            let default = self.default.as_ref();
            let default_hidden = default.and_then(|default| default.hidden);
            let default_filter = default.and_then(|default| default.filter);
            let default_budget = default.and_then(|default| default.budget);
            let default_write_back = default.and_then(|default| default.write_back);
            // A tag whose mask could not be read is kept so that its columns are not reported too.
            let (mask, mask_place) = match entry.mask {
                Some(mask) => (mask.mask, mask.place),
                None => (Arc::new(Mask::Full), entry.name.place.clone()),
            };
            let tag = Tag {
                name: entry.name.text.into(),
                mask,
                hidden: entry.hidden.or(default_hidden).unwrap_or_default(),
                filter: entry.filter.or(default_filter).unwrap_or_default(),
                budget: entry.budget.or(default_budget).unwrap_or_default(),
                write_back: entry.write_back.or(default_write_back).unwrap_or_default(),
            };
            self.tags.push(KnownTag { tag: Arc::new(tag), place: entry.name.place, mask_place });
        }
    }

    fn columns(&mut self, entries: Vec<ColumnEntry>) {
        let mut places: HashMap<(Name, Name, Name), Place> = HashMap::new();
        let mut indexes = Vec::new();
        for entry in entries {
            let column = Name::exact(&entry.column.text);
            let key = (entry.table.schema.clone(), entry.table.table.clone(), column.clone());
            let place = entry.column.place.clone();
            if let Some(before) = places.get(&key) {
                let name = written_name(&[key.0.as_str(), key.1.as_str(), key.2.as_str()]);
                let twice = Diagnostic::error(&place, format!("column `{name}` is tagged twice"));
                self.found.push(twice.with_related(before, "first tagged here").with_help("keep one of them"));
                continue;
            }
            places.insert(key, place.clone());
            if let Some(entry) = &entry.encryption {
                self.domain(entry);
            }
            let Some(known) = self.tags.iter().find(|known| *known.tag.name == *entry.tag.text) else {
                let unknown = self.unknown_tag(&entry.tag);
                self.found.push(unknown);
                continue;
            };
            let own = entry.mask.is_some()
                || entry.hidden.is_some()
                || entry.filter.is_some()
                || entry.budget.is_some()
                || entry.write_back.is_some();
            let mask_place = entry.mask.as_ref().map_or(&known.mask_place, |mask| &mask.place).clone();
            let tag = if own {
                Arc::new(Tag {
                    name: Arc::clone(&known.tag.name),
                    mask: entry.mask.map_or_else(|| Arc::clone(&known.tag.mask), |mask| mask.mask),
                    hidden: entry.hidden.unwrap_or(known.tag.hidden),
                    filter: entry.filter.unwrap_or(known.tag.filter),
                    budget: entry.budget.unwrap_or(known.tag.budget),
                    write_back: entry.write_back.unwrap_or(known.tag.write_back),
                })
            } else {
                Arc::clone(&known.tag)
            };
            let unmatched = self.unmatched(&tag, if own { &place } else { &known.place });
            let tagged = TaggedColumn {
                schema: entry.table.schema,
                table: entry.table.table,
                column,
                tag,
                encryption: entry.encryption.as_ref().map(|entry| Arc::clone(&entry.encryption)),
                index_of: None,
                place: place.file_line(),
            };
            let table_place = entry.table.place;
            let index =
                entry.encryption.and_then(|entry| Some((entry.encryption.blind_index.clone()?, entry.index_place?)));
            self.columns.push(ColumnRow { tagged, place, table_place, mask_place, unmatched });
            indexes.extend(index.map(|index| (self.columns.len() - 1, index)));
        }
        for (of, (column, place)) in indexes {
            self.index(of, column, place, &mut places);
        }
    }

    /// The column that has the blind index of another: it has that one's tag, and no rules of its own.
    fn index(&mut self, of: usize, column: Name, place: Place, places: &mut HashMap<(Name, Name, Name), Place>) {
        let (Some(row), Ok(id)) = (self.columns.get(of), u32::try_from(of)) else { return };
        let (schema, table) = (row.tagged.schema.clone(), row.tagged.table.clone());
        let key = (schema.clone(), table.clone(), column.clone());
        if let Some(before) = places.get(&key) {
            let name = written_name(&[key.0.as_str(), key.1.as_str(), key.2.as_str()]);
            let twice = Diagnostic::error(&place, format!("column `{name}` is more than this blind index"));
            self.found.push(
                twice
                    .with_related(before, "the policy names it here, too")
                    .with_help("give the blind index a column of its own; that one needs no tag: nobody is shown it"),
            );
            return;
        }
        places.insert(key, place.clone());
        let tagged = TaggedColumn {
            schema,
            table,
            column,
            tag: Arc::clone(&row.tagged.tag),
            encryption: None,
            index_of: Some(TaggedColumnId(id)),
            place: place.file_line(),
        };
        let (table_place, mask_place, unmatched) =
            (row.table_place.clone(), row.mask_place.clone(), row.unmatched.clone());
        self.columns.push(ColumnRow { tagged, place, table_place, mask_place, unmatched });
    }

    /// Columns of one domain are encrypted alike: else equal values would not be stored equal.
    fn domain(&mut self, entry: &EncryptionEntry) {
        let own = &entry.encryption;
        let Some((known, before)) = self.domains.iter().find(|(known, _)| known.domain == own.domain) else {
            self.domains.push((Arc::clone(own), entry.place.clone()));
            return;
        };
        if (&known.key, known.mode, known.plain.scalar) != (&own.key, own.mode, own.plain.scalar) {
            let message = format!("columns of domain `{}` differ in key, mode or type", own.domain);
            let differs = Diagnostic::error(&entry.place, message).with_related(before, "the first of them");
            self.found.push(differs.with_help("give them the same, or this one a domain of its own"));
        } else if !known.is_bound_like(own) {
            let message = format!("columns of domain `{}` are bound to tenants in different ways", own.domain);
            let differs = Diagnostic::error(&entry.place, message).with_related(before, "the first of them");
            let help = "all of them by a column of their tables, all by the same setting, or none";
            self.found.push(differs.with_help(help));
        }
    }

    /// What those see of a column for whom no rule matches.
    fn unmatched(&self, tag: &Tag, tag_place: &Place) -> Decision {
        let sees = self.default.as_ref().and_then(|default| default.sees.as_ref());
        let (sight, filter) = match sees.map(|(sight, _)| *sight) {
            None | Some(DefaultSight::Masked) => (Sight::Masked(Arc::clone(&tag.mask)), tag.filter),
            Some(DefaultSight::Hidden) => (Sight::Hidden(tag.hidden), tag.filter),
            Some(DefaultSight::Denied) => (Sight::Denied, FilterMode::Refuse),
        };
        let rule = sees.map_or(tag_place, |(_, place)| place).file_line();
        Decision { sight, filter, budget: tag.budget, role: None, rule }
    }

    fn unknown_tag(&self, word: &Word) -> Diagnostic {
        let names: Vec<&str> = self.tags.iter().map(|known| &*known.tag.name).collect();
        Diagnostic::error(&word.place, format!("there is no tag `{}`", word.text)).suggesting(
            closest(&word.text, names.iter().copied()),
            || match names.as_slice() {
                [] => Some("define it under `tags`".to_owned()),
                names => Some(format!("define it under `tags`, beside {}", listed(names))),
            },
        )
    }

    fn roles(&mut self, entries: Vec<RoleEntry>) -> Vec<RoleRow> {
        let mut rows: Vec<RoleRow> = Vec::with_capacity(entries.len());
        let names: Vec<String> = entries.iter().map(|entry| entry.name.text.clone()).collect();
        for entry in entries {
            if let Some(before) = rows.iter().find(|row| *row.name == *entry.name.text) {
                let twice =
                    Diagnostic::error(&entry.name.place, format!("role `{}` is defined twice", entry.name.text));
                let twice = twice.with_related(&before.place, "first defined here");
                self.found.push(twice.with_help("keep one of them, or give it another name"));
                continue;
            }
            let rules = self.rules(&entry.sees);
            let reveal = entry.reveal.map(|reveal| self.reveal(reveal, &names));
            rows.push(RoleRow {
                name: entry.name.text.into(),
                place: entry.name.place,
                users: named(entry.users),
                member_of: named(entry.member_of),
                actors: entry.actors.into_iter().map(|actor| actor.text.into()).collect(),
                actor_groups: entry.actor_groups.into_iter().map(|group| group.text.into()).collect(),
                networks: entry.networks,
                certificates: entry.certificates.into_iter().map(|certificate| certificate.text.into()).collect(),
                priority: entry.priority,
                replication: entry.replication,
                rules,
                reveal,
            });
        }
        rows
    }

    /// The limits of all files; who is excepted in one of them is so in all.
    fn limits(&mut self, guards: Vec<GuardEntry>, roles: &[RoleRow]) -> Vec<Arc<Limit>> {
        let names = |words: &[Word]| words.iter().map(|word| Name::exact(&word.text)).collect::<Vec<_>>();
        let excepted: Vec<Name> = guards.iter().flat_map(|guard| names(&guard.except)).collect();
        let mut limits: Vec<(Arc<Limit>, Place)> = Vec::new();
        for entry in guards.into_iter().flat_map(|guard| guard.limits) {
            if let Some((_, before)) = limits.iter().find(|(limit, _)| *limit.name == *entry.name.text) {
                let twice =
                    Diagnostic::error(&entry.name.place, format!("limit `{}` is defined twice", entry.name.text));
                let twice = twice.with_related(before, "first defined here");
                self.found.push(twice.with_help("keep one of them, or give it another name"));
                continue;
            }
            let mut of_roles = Vec::with_capacity(entry.roles.len());
            for word in &entry.roles {
                match roles.iter().zip(0_u32..).find(|(role, _)| *role.name == *word.text) {
                    Some((_, index)) => of_roles.push(index),
                    None => {
                        let known: Vec<&str> = roles.iter().map(|role| &*role.name).collect();
                        let unknown = Diagnostic::error(&word.place, format!("there is no role `{}`", word.text));
                        self.found.push(unknown.suggesting(closest(&word.text, known.iter().copied()), || {
                            Some("define it under `roles`; for a database user write `users`".to_owned())
                        }));
                    }
                }
            }
            let except = excepted.iter().cloned().chain(names(&entry.except)).collect();
            let limit = Limit {
                name: entry.name.text.as_str().into(),
                what: entry.what,
                max: entry.max,
                within: entry.within,
                per: entry.per,
                on_breach: entry.on_breach,
                rule: entry.name.place.file_line(),
                users: names(&entry.users),
                roles: of_roles,
                except,
            };
            limits.push((Arc::new(limit), entry.name.place));
        }
        limits.into_iter().map(|(limit, _)| limit).collect()
    }

    /// What a role may see in clear on request; `roles`: the names of all of them.
    fn reveal(&mut self, entry: RevealEntry, roles: &[String]) -> RevealRule {
        let all = entry.tags.iter().any(|tag| tag.text == "*");
        let known = |name: &str| self.tags.iter().any(|known| *known.tag.name == *name);
        let unknown: Vec<_> = entry.tags.iter().filter(|tag| tag.text != "*" && !known(&tag.text)).collect();
        let mut found: Vec<_> = unknown.into_iter().map(|tag| self.unknown_tag(tag)).collect();
        for role in entry.approval.iter().filter(|role| !roles.contains(&role.text)) {
            let unknown = Diagnostic::error(&role.place, format!("there is no role `{}`", role.text));
            found.push(unknown.suggesting(closest(&role.text, roles.iter().map(String::as_str)), || {
                Some("those who approve are a role of this policy".to_owned())
            }));
        }
        self.found.append(&mut found);
        let names = |words: Vec<Word>| words.into_iter().map(|word| Arc::<str>::from(word.text));
        RevealRule {
            tags: if all { Tags::All } else { Tags::Named(names(entry.tags).collect()) },
            lasts: entry.lasts,
            rows: entry.rows,
            reason: entry.reason,
            subject_required: entry.subject_required,
            totp: entry.totp,
            approval: names(entry.approval).collect(),
            urgent: entry.urgent,
            notice: entry.notice,
            rule: entry.place.file_line(),
        }
    }

    fn accounts(&mut self, entries: Vec<AccountEntry>) -> Vec<Account> {
        let mut known: Vec<AccountEntry> = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(before) = known.iter().find(|before| before.account.user == entry.account.user) {
                let twice = format!("account `{}` is listed twice", entry.account.user);
                let twice = Diagnostic::error(&entry.place, twice).with_related(&before.place, "first listed here");
                self.found.push(twice.with_help("keep one of them"));
                continue;
            }
            known.push(entry);
        }
        known.into_iter().map(|entry| entry.account).collect()
    }

    /// The rule of a role for each column: what is said of the column itself, else of its tag, else of everything.
    fn rules(&mut self, sees: &[SightEntry]) -> Vec<Option<Rule>> {
        let mut everything = None;
        let mut by_tag: HashMap<&str, &SightEntry> = HashMap::new();
        let mut by_column: HashMap<usize, &SightEntry> = HashMap::new();
        for entry in sees {
            let target = entry.target.text.as_str();
            if target == "*" {
                everything = Some(entry);
            } else if self.tags.iter().any(|known| &*known.tag.name == target) {
                by_tag.insert(target, entry);
            } else {
                match self.named_column(&entry.target) {
                    Ok(index) => {
                        if let Some(before) = by_column.insert(index, entry) {
                            let message = format!("column `{target}` is listed twice in what the role sees");
                            let twice = Diagnostic::error(&entry.target.place, message);
                            let twice = twice.with_related(&before.target.place, "first listed here");
                            self.found.push(twice.with_help("keep one of them"));
                        }
                    }
                    Err(unknown) => self.found.push(*unknown),
                }
            }
        }
        let rule_for = |(index, row): (usize, &ColumnRow)| {
            if row.tagged.index_of.is_some() {
                return None;
            }
            let (entry, target) = match (by_column.get(&index), by_tag.get(&*row.tagged.tag.name), everything) {
                (Some(entry), _, _) => (*entry, Target::Column),
                (None, Some(entry), _) => (*entry, Target::Tag),
                (None, None, Some(entry)) => (entry, Target::Everything),
                (None, None, None) => return None,
            };
            Some(rule(entry, target, &row.tagged.tag))
        };
        self.columns.iter().enumerate().map(rule_for).collect()
    }

    /// The tagged column that `table.column` or `schema.table.column` names.
    fn named_column(&self, target: &Word) -> Result<usize, Box<Diagnostic>> {
        let parts = name_parts(&target.text).unwrap_or_default();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let full = match parts.as_slice() {
            [table, column] => [DEFAULT_SCHEMA, table, column],
            [schema, table, column] => [*schema, *table, *column],
            _ => return Err(Box::new(self.unknown_tag_in_sees(target))),
        };
        let row_parts = |row: &ColumnRow| {
            let tagged = &row.tagged;
            [tagged.schema.clone(), tagged.table.clone(), tagged.column.clone()]
        };
        let same = |row: &ColumnRow| {
            row.tagged.index_of.is_none()
                && row_parts(row).iter().zip(full).all(|(name, part)| *name == Name::exact(part))
        };
        if let Some(index) = self.columns.iter().position(same) {
            return Ok(index);
        }
        let [schema, table, column] = full;
        let unknown = Diagnostic::error(&target.place, format!("no column `{}` is tagged", target.text));
        // As many parts as were written.
        let written = |found: [&str; 3]| written_name(found.get(3 - parts.len()..).unwrap_or(&found));
        let nearest = self.nearest_column(schema, table, column).map(written);
        Err(Box::new(unknown.suggesting(nearest.as_deref(), || {
            Some("tag it under `columns`; a column without a tag is shown to everyone".to_owned())
        })))
    }

    /// The tagged column that has one part of its name a little different.
    fn nearest_column(&self, schema: &str, table: &str, column: &str) -> Option<[&str; 3]> {
        let names: Vec<[&str; 3]> = self
            .columns
            .iter()
            .filter(|row| row.tagged.index_of.is_none())
            .map(|ColumnRow { tagged, .. }| [tagged.schema.as_str(), tagged.table.as_str(), tagged.column.as_str()])
            .collect();
        let in_table = names.iter().filter(|name| name.starts_with(&[schema, table])).map(|[.., column]| *column);
        if let Some(near) = closest(column, in_table) {
            return names.iter().find(|name| **name == [schema, table, near]).copied();
        }
        let of_name = || names.iter().filter(|[.., named]| *named == column);
        let tables = of_name().filter(|[in_schema, ..]| *in_schema == schema).map(|[_, table, _]| *table);
        match closest(table, tables) {
            Some(near) => of_name().find(|name| name.starts_with(&[schema, near])).copied(),
            None => of_name().find(|[_, in_table, _]| *in_table == table).copied(),
        }
    }

    fn unknown_tag_in_sees(&self, target: &Word) -> Diagnostic {
        let of_that_name = self.columns.iter().find(|row| row.tagged.column.as_str() == target.text);
        match of_that_name {
            Some(row) => {
                let message = format!("there is no tag `{}`", target.text);
                let name = written_name(&[row.tagged.table.as_str(), row.tagged.column.as_str()]);
                Diagnostic::error(&target.place, message).with_help(format!("for the column write `{name}`"))
            }
            None => self.unknown_tag(target),
        }
    }
}

fn named(words: Vec<Word>) -> Vec<(Name, Place)> {
    words.into_iter().map(|word| (Name::exact(&word.text), word.place)).collect()
}

fn rule(entry: &SightEntry, target: Target, tag: &Tag) -> Rule {
    let filter = entry.filter.unwrap_or(tag.filter);
    let budget = entry.budget.unwrap_or(tag.budget);
    let (sight, filter, mask_place) = match &entry.sight {
        RuleSight::Clear => (Sight::Clear, FilterMode::Allow, None),
        RuleSight::Masked(None) => (Sight::Masked(Arc::clone(&tag.mask)), filter, None),
        RuleSight::Masked(Some(own)) => (Sight::Masked(Arc::clone(&own.mask)), filter, Some(own.place.clone())),
        RuleSight::Hidden(form) => (Sight::Hidden(form.unwrap_or(tag.hidden)), filter, None),
        RuleSight::Denied => (Sight::Denied, FilterMode::Refuse, None),
    };
    let place = entry.target.place.clone();
    Rule { sight, filter, budget, place, rule: Arc::clone(&entry.rule), mask_place, target }
}
