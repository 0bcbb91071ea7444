//! What is in the way of encrypting a column, and what will be different afterwards.

use serde::Serialize;

use super::sample::Sample;
use super::stored::{StoredType, TypeChange, constraint_name};
use super::table::{ColumnFacts, ColumnName, Constraint, ConstraintKind, Index};
use crate::crypto::Mode;
use crate::policy::{Encryption, Stored};

/// The longest text that an entry of a btree index holds: a third of a page (PostgreSQL manual, section 67.4), less what
/// else is in it. Ciphertext can not be compressed.
const BTREE_BYTES_MAX: i64 = 2_680;
/// A deterministic column with fewer different values, or a more frequent value, is easily guessed from the outside.
const DISTINCT_MIN: i64 = 1_000;
const DISTINCT_SHARE_MIN: f64 = 0.01;
const TOP_SHARE_MAX: f64 = 0.05;
/// Values below which shares say nothing.
const VALUES_MIN: i64 = 100;

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    /// What sort of thing it is about: `index`, `constraint`, `type`, ...
    pub(super) about: &'static str,
    pub(super) text: String,
}

/// How much it matters. Later variants matter more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Weight {
    /// Good to know.
    Note,
    /// Something is lost, slow, or less safe than it looks.
    Warning,
    /// The column can not be encrypted as long as that is so.
    Blocks,
}

/// What the policy says of the column at the other end of a foreign key.
pub(super) type Others<'a> = &'a dyn Fn(&ColumnName) -> Option<&'a Encryption>;

/// Everything about one column, what blocks first.
pub(super) fn findings(
    facts: &ColumnFacts,
    encryption: &Encryption,
    sample: Option<&Sample>,
    others: Others<'_>,
) -> Vec<Finding> {
    let mut found = Found { facts, encryption, change: TypeChange::needed(facts), findings: Vec::new() };
    found.table();
    found.declared_type();
    if let Some(sample) = sample {
        found.values(sample);
    }
    for index in &facts.indexes {
        found.index(index, sample);
    }
    for constraint in &facts.constraints {
        found.constraint(constraint, others);
    }
    if let Some(setting) = encryption.tenant_setting() {
        found.warn("tenant", format!("values are bound to setting {setting}, which only sessions of the application have: name the column that has the same by --setting-column {setting}=COLUMN; without one, those that are there stay as they are"));
    }
    found.triggers();
    found.dependents();
    found.copies();
    found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    found.findings
}

struct Found<'a> {
    facts: &'a ColumnFacts,
    encryption: &'a Encryption,
    change: TypeChange,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn blocks(&mut self, about: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { weight: Weight::Blocks, about, text: text.into() });
    }

    fn warn(&mut self, about: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { weight: Weight::Warning, about, text: text.into() });
    }

    fn note(&mut self, about: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { weight: Weight::Note, about, text: text.into() });
    }

    fn is_comparable(&self) -> bool {
        self.encryption.mode.is_comparable()
    }

    fn is_deterministic(&self) -> bool {
        self.encryption.mode == Mode::Deterministic
    }

    fn table(&mut self) {
        let facts = self.facts;
        match facts.kind {
            'r' | 'p' => {}
            'f' => self.blocks("table", "it is a foreign table: encrypt the column where it is stored"),
            _ => self.blocks("table", "it is a view: name the column of the table that holds the values"),
        }
        for leaf in facts.leaves.iter().filter(|leaf| leaf.kind == 'f' && facts.kind != 'f') {
            self.blocks("table", format!("its partition or child {} is a foreign table", leaf.name));
        }
        if !facts.may_change {
            self.blocks("table", "the login does not own the table: give one that does with --against");
        }
        if facts.is_inherited {
            self.blocks("table", "the column comes from a parent table or partitioned table: declare it there");
        }
        if facts.is_partition_key {
            self.blocks("table", "rows are assigned to partitions by it: a ciphertext has no order and no ranges");
        }
        if facts.is_made_by_server {
            self.blocks("column", "its values are made by the server (GENERATED): they never pass pgveil");
        }
        if facts.default.as_ref().is_some_and(|default| !default.starts_with("NULL")) {
            self.blocks(
                "default",
                "it has a default, which the server would store as plaintext: drop it, and let the application send the value",
            );
        }
        if !facts.collation_is_deterministic {
            self.blocks("collation", "its collation is not deterministic: values that are equal under it would not be");
        }
    }

    fn declared_type(&mut self) {
        let (declared, present) = (self.encryption.plain.to_string(), self.facts.type_name.as_str());
        let stored = StoredType::of(self.facts);
        let holds_texts = matches!(present.split('(').next(), Some("text" | "character varying"));
        if self.facts.is_domain {
            self.warn("type", format!("`{present}` is a domain: what it checks is no longer checked"));
        } else if declared != present && (stored.is_bytes() || !holds_texts) {
            self.blocks("type", format!("the policy says `{declared}`, the column is `{present}`"));
        } else if declared != present && present.contains('(') {
            self.warn("type", format!("the policy says `{declared}`, the column is `{present}`"));
        }
        match &self.change {
            TypeChange::None => {}
            TypeChange::Quick(to) => self.note(
                "type",
                format!("becomes `{}`: a change of the catalog alone, under a short ACCESS EXCLUSIVE lock; `pgveil encrypt types` makes it \
                     before pgveil has the policy", to.name()),
            ),
            TypeChange::Rewrite(to) => self.warn(
                "type",
                format!(
                    "becomes `{}`: the server writes the table anew, and nobody reads or writes it meanwhile (ACCESS EXCLUSIVE); \
                     `run` does it with --allow-rewrite only",
                    to.name()
                ),
            ),
        }
    }

    fn values(&mut self, sample: &Sample) {
        let plaintexts = sample.plaintexts();
        if sample.lookalikes > 0 {
            self.blocks(
                "values",
                format!(
                    "{} values are no envelopes but begin like one, and could not be told from them",
                    sample.lookalikes
                ),
            );
        }
        if plaintexts > 0 && self.encryption.stored == Stored::Encrypted {
            self.warn(
                "policy",
                "there is plaintext, and the policy says that there is none: `run` needs `stored: mixed`, and until then \
                 reading such a row fails",
            );
        }
        if plaintexts == 0 && self.encryption.stored == Stored::Mixed && sample.is_whole {
            self.note("policy", "there is no plaintext left: after `encrypt run` take `stored: mixed` away");
        }
        if self.is_comparable() && plaintexts >= VALUES_MIN {
            let few = sample.distinct < DISTINCT_MIN || sample.distinct_share() < DISTINCT_SHARE_MIN;
            if few || sample.top_share() > TOP_SHARE_MAX {
                self.warn(
                    "entropy",
                    format!(
                        "equal values show, with {} different values in {plaintexts} and one that is {:.1} % of them: who reads the \
                         table can guess values by how frequent they are; `randomized` does not show that",
                        sample.distinct,
                        sample.top_share() * 100.0
                    ),
                );
            }
        }
    }

    fn index(&mut self, index: &Index, sample: Option<&Sample>) {
        let Index { name, method, operator_class, is_unique, expressions, condition, is_exclusion } = index;
        if *is_exclusion {
            return;
        }
        let column = &self.facts.name.column;
        let names = |text: &Option<String>| text.as_ref().is_some_and(|text| mentions(text, column));
        if names(condition) && !condition.as_ref().is_some_and(|text| is_null_test(text, column)) {
            let text = format!("{name}: its condition compares the column, and will hold for no ciphertext");
            if *is_unique { self.blocks("index", text) } else { self.warn("index", format!("{text}: drop it")) }
        }
        let Some(class) = operator_class else {
            if names(expressions) {
                let text =
                    format!("{name}: it is made of an expression over the column, which becomes one over ciphertext");
                if *is_unique {
                    let lost =
                        "; it would enforce nothing any more: drop it, or have the application send values in one form";
                    self.blocks("index", format!("{text}{lost}"));
                } else {
                    self.warn("index", format!("{text}: drop it"));
                }
            }
            return;
        };
        if method != "btree" && method != "hash" {
            self.warn("index", format!("{name} ({method}) serves no search on ciphertext: drop it"));
        } else if class.contains("_pattern_ops") {
            self.warn("index", format!("{name} ({class}) serves patterns, which are refused: drop it"));
        } else if !self.is_deterministic() {
            let text = format!("{name}: the column is randomized, and no two values are equal");
            if let (true, Some(index)) = (*is_unique, &self.encryption.blind_index) {
                let text = format!("{text}: drop it, and make a unique one on {index}, the column of the blind index");
                self.blocks("index", text);
            } else if *is_unique {
                self.blocks("index", format!("{text}: nothing is unique about them; `mode: deterministic` keeps it"));
            } else {
                self.warn("index", format!("{text}: drop it"));
            }
        } else {
            self.note("index", format!("{name} goes on serving equality; it grows, and does no ranges or sorting"));
        }
        let longest = sample
            .map_or(0, |sample| StoredType::of(self.facts).envelope_bytes(sample.bytes_max, self.encryption.mode));
        if method == "btree" && longest > BTREE_BYTES_MAX {
            self.blocks(
                "index",
                format!("{name}: the longest envelope has {longest} bytes, and a btree index takes {BTREE_BYTES_MAX}"),
            );
        }
    }

    fn constraint(&mut self, constraint: &Constraint, others: Others<'_>) {
        let Constraint { name, kind, definition, comment: _ } = constraint;
        match kind {
            ConstraintKind::Check if *name == constraint_name(&self.facts.name.column) => {
                self.note("constraint", format!("{name}: the server refuses plaintext already"));
            }
            ConstraintKind::Check if is_null_test(definition, &self.facts.name.column) => {}
            ConstraintKind::Check => self.blocks(
                "constraint",
                format!(
                    "{name} looks at the value, and would look at ciphertext: drop it, and check in the application"
                ),
            ),
            ConstraintKind::Exclusion => {
                self.blocks("constraint", format!("{name} compares values (EXCLUDE), and would compare ciphertexts"));
            }
            ConstraintKind::ForeignKey { child, parent } => self.foreign_key(name, child, parent, others),
            // Its index says it.
            ConstraintKind::Unique | ConstraintKind::Other => {}
        }
    }

    fn foreign_key(&mut self, name: &str, child: &ColumnName, parent: &ColumnName, others: Others<'_>) {
        let (Some(of_child), Some(of_parent)) = (others(child), others(parent)) else {
            let text = format!("{name} ({} to {}): both columns have to be encrypted, or neither", child, parent);
            return self.blocks("foreign key", text);
        };
        let same =
            (of_child.mode, &of_child.key, &of_child.domain) == (of_parent.mode, &of_parent.key, &of_parent.domain);
        if !same || of_child.mode != Mode::Deterministic || of_child.plain.scalar != of_parent.plain.scalar {
            let text = format!(
                "{name} ({} to {}): both columns have to be `mode: deterministic`, of one key, domain and type",
                child, parent
            );
            return self.blocks("foreign key", text);
        }
        self.warn(
            "foreign key",
            format!(
                "{name} ({} to {}): both columns are converted in one transaction, in which the constraint is dropped and made \
                 again; nobody else reads or writes the tables meanwhile",
                child,
                parent
            ),
        );
    }

    fn triggers(&mut self) {
        for trigger in &self.facts.triggers {
            self.warn(
                "trigger",
                format!(
                    "{} ({}) fires for each row that is converted; `run` with --disable-triggers keeps it from that. What it \
                     reads or copies of the column is ciphertext from then on",
                    trigger.name, trigger.function
                ),
            );
        }
    }

    fn dependents(&mut self) {
        let alters = self.change != TypeChange::None;
        for dependent in &self.facts.dependents {
            let what = &dependent.description;
            match (dependent.catalog.rsplit('.').next().unwrap_or_default(), dependent.view_kind) {
                ("pg_rewrite", Some('m')) => {
                    self.warn(
                        "view",
                        format!("{what} holds copies of the values in plaintext: refresh it after the run"),
                    );
                    self.alters(alters, what);
                }
                ("pg_rewrite", Some('v')) => {
                    self.note("view", format!("{what} shows what is stored; what it compares or computes is refused"));
                    self.alters(alters, what);
                }
                ("pg_rewrite", _) => {
                    self.blocks(
                        "rule",
                        format!("{what} rewrites statements on the table, past what is encrypted: drop it"),
                    );
                }
                ("pg_attrdef" | "pg_class", _) => self.blocks(
                    "generated column",
                    format!("{what}: a generated column is computed of the value, and would be of ciphertext: drop it"),
                ),
                ("pg_policy", _) => {
                    self.blocks(
                        "row security",
                        format!("{what} looks at the value, and would look at ciphertext: drop it"),
                    );
                }
                ("pg_statistic_ext", _) => {
                    self.warn(
                        "statistics",
                        format!("{what} keeps frequent values in plaintext until ANALYZE: drop it"),
                    );
                }
                ("pg_publication_rel", _) => {
                    self.note("replication", format!("{what}: subscribers get ciphertext"));
                }
                ("pg_proc", _) => {
                    self.warn(
                        "function",
                        format!("{what} reads or compares what is stored, which is ciphertext from then on"),
                    );
                    self.alters(alters, what);
                }
                ("pg_trigger", _) => self.alters(alters, what),
                _ => self.warn("dependent", format!("{what} depends on the column")),
            }
        }
        for function in &self.facts.functions {
            self.note("function", format!("{function} names table and column in its text"));
        }
    }

    fn alters(&mut self, alters: bool, what: &str) {
        if alters {
            self.blocks(
                "type",
                format!("PostgreSQL does not change the type of a column that is used by {what}: drop that, and make it again afterwards"),
            );
        }
    }

    fn copies(&mut self) {
        if self.facts.replica_identity == 'f' {
            self.note(
                "replication",
                "REPLICA IDENTITY FULL puts both old plaintext and envelope of each row into the log",
            );
        }
    }
}

/// Whether a printed expression names the column.
pub(super) fn mentions(text: &str, column: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    text.match_indices(column).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether a printed condition only asks whether the column is there.
fn is_null_test(text: &str, column: &str) -> bool {
    let bare: String = text.chars().filter(|letter| !matches!(letter, '(' | ')' | '"')).collect();
    let bare = bare.trim_start_matches("CHECK ").trim();
    [format!("{column} IS NOT NULL"), format!("{column} IS NULL")].iter().any(|test| bare == test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_only_asks_for_presence_is_told_from_others() {
        for (text, is_test) in [
            ("(email IS NOT NULL)", true),
            ("CHECK ((email IS NOT NULL))", true),
            ("CHECK (((email)::text <> ''::text))", false),
            ("((email IS NOT NULL) AND (city IS NULL))", false),
        ] {
            assert_eq!(is_null_test(text, "email"), is_test, "{text}");
        }
    }

    #[test]
    fn a_column_is_mentioned_as_a_whole_word() {
        assert!(mentions("lower((email)::text)", "email"));
        assert!(!mentions("lower((email_address)::text)", "email"));
        assert!(!mentions("lower((e_email)::text)", "email"));
    }
}
