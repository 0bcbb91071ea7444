//! The policy: which columns are personal data, who is who, and who sees what.
//!
//! [`Policy::parse`] turns policy files into a value or into diagnostics; [`Policy::check_against`] holds it against a
//! catalog; [`Policy::decide`] answers for one (roles, tagged column). All of it pure: reading files is the shell's work.

//!
//! A file is read in three steps, each of which reports all that it finds: YAML to a tree of nodes (`node`), the tree to
//! a document with every key and value checked by its form (`form`, `read`, `document`), the documents together to a
//! policy with every name looked up (`compile`).

mod actor;
mod blind_index;
mod budget;
mod check;
mod compile;
mod diagnostic;
mod document;
mod encryption;
mod evaluate;
mod form;
mod guard;
mod mask_form;
mod node;
mod principal;
mod read;
mod read_guard;
mod read_reveal;
mod reveal;
mod schema;
mod strictness;
mod suggest;

#[cfg(test)]
mod evaluate_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod manual_tests;
#[cfg(test)]
mod test_catalog;

pub use actor::{ACTOR_BYTES_MAX, Account, Actor, ActorError, ActorKeyError, ActorKeys, Assertion, TokenRules};
pub use blind_index::{index_definition, index_expression, is_index_expression, is_index_of};
pub use budget::{Allowance, Budget, Period};
pub use diagnostic::{Diagnostic, PolicySource, Severity};
pub use encryption::{Encryption, Stored, Tenant, tenant_type};
pub use guard::{Consequences, Counted, Limit, LockTime, Per, Period as GuardPeriod};
pub use principal::Principal;
pub use reveal::{Offer, REASON_CHARS_MAX, Tags, Terms};

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use crate::catalog::Name;
use crate::mask::{HiddenForm, Mask};
use diagnostic::Place;
use reveal::RevealRule;

/// A compiled policy: one value, made by [`Policy::parse`], never changed.
#[derive(Debug)]
pub struct Policy {
    columns: Vec<ColumnRow>,
    roles: Vec<RoleRow>,
    accounts: Vec<Account>,
    limits: Vec<Arc<Limit>>,
    subjects: Vec<SubjectRow>,
    encrypts: bool,
    fingerprint: String,
}

/// What the policy says of a tagged column.
#[derive(Debug)]
struct ColumnRow {
    tagged: TaggedColumn,
    place: Place,
    table_place: Place,
    /// Where its mask is written: its own, or its tag's.
    mask_place: Place,
    /// What those see for whom no rule matches.
    unmatched: Decision,
}

/// A sort of persons or things that rows are of.
#[derive(Debug)]
struct SubjectRow {
    name: Arc<str>,
    place: Place,
    columns: Vec<SubjectColumn>,
}

/// A column that says of which one a row of its table is.
#[derive(Debug)]
struct SubjectColumn {
    schema: Name,
    table: Name,
    column: Name,
    place: Place,
}

/// A role of the policy, its rules worked out for each tagged column.
#[derive(Debug)]
struct RoleRow {
    name: Arc<str>,
    place: Place,
    users: Vec<(Name, Place)>,
    member_of: Vec<(Name, Place)>,
    /// Patterns of the names of end users.
    actors: Vec<Arc<str>>,
    actor_groups: Vec<Arc<str>>,
    networks: Vec<IpNet>,
    certificates: Vec<Arc<str>>,
    priority: i32,
    replication: Option<bool>,
    /// One for each of the policy's columns.
    rules: Vec<Option<Rule>>,
    /// What it may see in clear on request.
    reveal: Option<RevealRule>,
}

/// What a role sees of a column.
#[derive(Debug)]
struct Rule {
    sight: Sight,
    filter: FilterMode,
    budget: Budget,
    place: Place,
    /// `file:line` of that place.
    rule: Arc<str>,
    /// Where the rule's own mask is written, if it has one.
    mask_place: Option<Place>,
    target: Target,
}

/// What a rule was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Everything,
    Tag,
    Column,
}

impl Policy {
    /// Every column that it tags.
    pub fn columns(&self) -> impl Iterator<Item = (TaggedColumnId, &TaggedColumn)> {
        self.columns.iter().zip(0..).map(|(row, index)| (TaggedColumnId(index), &row.tagged))
    }

    /// The tagged column of that number; `None`: it is not of this policy.
    pub fn column(&self, id: TaggedColumnId) -> Option<&TaggedColumn> {
        self.columns.get(usize::try_from(id.0).ok()?).map(|row| &row.tagged)
    }

    /// The settings that values of encrypted columns are bound to, each once for each such column.
    pub fn tenant_settings(&self) -> impl Iterator<Item = &Arc<str>> {
        self.columns.iter().filter_map(|row| row.tagged.encryption.as_ref()?.tenant_setting())
    }

    /// The encrypted column whose blind index a column has.
    pub fn index_of(&self, id: TaggedColumnId) -> Option<TaggedColumnId> {
        self.column(id)?.index_of
    }

    /// Whether a column of it is encrypted.
    pub fn encrypts(&self) -> bool {
        self.encrypts
    }

    /// The columns of a table that say whose its rows are, each with the subject's name.
    pub fn subjects_of(&self, schema: &Name, table: &Name) -> impl Iterator<Item = (&Arc<str>, &Name)> {
        let of_table = move |column: &&SubjectColumn| (&column.schema, &column.table) == (schema, table);
        self.subjects.iter().flat_map(move |subject| {
            subject.columns.iter().filter(of_table).map(|column| (&subject.name, &column.column))
        })
    }

    /// The names of its roles, in the order of [`Roles`].
    pub fn role_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.roles.iter().map(|role| &role.name)
    }

    /// The names of these roles.
    pub fn names_of(&self, roles: &Roles) -> impl Iterator<Item = &Arc<str>> {
        roles.numbers.iter().filter_map(|&number| self.role(number)).map(|role| &role.name)
    }

    /// Whether pgveil's own settings matter under it: end users are asserted, or something is revealed on request.
    pub fn has_settings(&self) -> bool {
        self.offers() || !self.accounts.is_empty()
    }

    /// The same, each with the database users that it names.
    pub fn role_users(&self) -> impl Iterator<Item = (&Arc<str>, Vec<&Name>)> {
        self.roles.iter().map(|role| (&role.name, role.users.iter().map(|(name, _)| name).collect()))
    }

    /// Whether it tells people apart by this database role: as a user, or as a role that they hold.
    pub fn knows_people_by(&self, role: &Name) -> bool {
        self.roles.iter().any(|row| row.users.iter().chain(&row.member_of).any(|(name, _)| name == role))
    }

    /// The account of that database user, if it may assert end users.
    pub fn account(&self, user: &Name) -> Option<&Account> {
        self.accounts.iter().find(|account| account.user == *user)
    }

    /// The names of the keys that tokens of its accounts are checked with.
    pub fn actor_keys(&self) -> BTreeSet<Arc<str>> {
        let rules = self.accounts.iter().filter_map(|account| match &account.assertion {
            Assertion::Signed(rules) => Some(&rules.keys),
            Assertion::Plain => None,
        });
        rules.flatten().cloned().collect()
    }

    /// Whether it tags nothing, so that nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The names of the secret keys that its masks use.
    pub fn keys(&self) -> BTreeSet<Arc<str>> {
        let of_tags = self.columns.iter().map(|row| &row.tagged.tag.mask);
        let rules = self.roles.iter().flat_map(|role| &role.rules).flatten();
        let of_rules = rules.filter_map(|rule| match &rule.sight {
            Sight::Masked(mask) => Some(mask),
            Sight::Clear | Sight::Hidden(_) | Sight::Denied => None,
        });
        of_tags.chain(of_rules).filter_map(|mask| mask.keyed().cloned()).collect()
    }

    /// What tells this policy from others: SHA-256 over the texts of its files, 64 hexadecimal digits. The same texts
    /// give the same, whatever the files are called and in whatever order they are read.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// A column that the policy tags: an index into the policy's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaggedColumnId(pub u32);

/// A column that the policy tags.
#[derive(Clone, Debug)]
pub struct TaggedColumn {
    /// The schema.
    pub schema: Name,
    /// The table, partitioned table, foreign table, view or materialised view.
    pub table: Name,
    /// The column.
    pub column: Name,
    /// The tag.
    pub tag: Arc<Tag>,
    /// How it is encrypted, if it is.
    pub encryption: Option<Arc<Encryption>>,
    /// The encrypted column whose blind index it has: nobody is shown it.
    pub index_of: Option<TaggedColumnId>,
    /// `file:line` of its entry.
    pub place: Arc<str>,
}

/// A tag: a sort of personal data, and what those see of it for whom no rule says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// Its name.
    pub name: Arc<str>,
    /// The mask for `masked`.
    pub mask: Arc<Mask>,
    /// What `hidden` looks like.
    pub hidden: HiddenForm,
    /// What filters may do with a column that the caller does not see in clear.
    pub filter: FilterMode,
    /// How many of them there may be.
    pub budget: Budget,
    /// What becomes of a mask that comes back in an UPDATE.
    pub write_back: WriteBackMode,
}

/// What becomes of a mask that a caller sends back in an UPDATE of the column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteBackMode {
    /// The stored value is kept.
    #[default]
    Keep,
    /// The statement is refused.
    Refuse,
}

/// What filters may do with a column that is not clear to the caller, from the strictest up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterMode {
    /// Nothing but `IS NULL` and counting.
    Refuse,
    /// Equality with constants and parameters, joins between columns of the same tag, grouping.
    #[default]
    Equality,
    /// Also prefix, pattern, range and sort.
    Search,
    /// Anything.
    Allow,
}

/// The roles of the policy that a principal has, worked out once for each (principal, policy).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Their numbers.
    pub numbers: Vec<u32>,
    /// Whether nothing is clear whatever they say: an account that has to assert an end user, and has not.
    pub masked_only: bool,
}

/// What a principal sees of a tagged column.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is shown.
    pub sight: Sight,
    /// What filters may do; [`FilterMode::Allow`] where the sight is clear.
    pub filter: FilterMode,
    /// How many of them there may be; of no account where the sight is clear.
    pub budget: Budget,
    /// The policy role that the rule belongs to; `None`: no rule matched.
    pub role: Option<Arc<str>>,
    /// `file:line` of the rule (or of the tag, where none matched).
    pub rule: Arc<str>,
}

/// What is shown of a tagged column. Later variants are stricter.
#[derive(Clone, Debug, PartialEq)]
pub enum Sight {
    /// The value.
    Clear,
    /// The value under this mask.
    Masked(Arc<Mask>),
    /// NULL or the type's empty value.
    Hidden(HiddenForm),
    /// Nothing: the statement is refused.
    Denied,
}
