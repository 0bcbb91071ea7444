//! The policy: which columns are personal data, who is who, and who sees what.
//!
//! [`Policy::parse`] turns policy files into a value or into diagnostics; [`Policy::check_against`] holds it against a
//! catalog; [`Policy::decide`] answers for one (roles, tagged column). All of it pure: reading files is the shell's work.

mod principal;

pub use principal::Principal;

use std::sync::Arc;

use crate::catalog::Name;
use crate::mask::{HiddenForm, Mask};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {}

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
}

/// What filters may do with a column that is not clear to the caller (`semantics`: flow "filter").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
pub struct Roles(pub Vec<u32>);

/// What a principal sees of a tagged column.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is shown.
    pub sight: Sight,
    /// What filters may do; [`FilterMode::Allow`] where the sight is clear.
    pub filter: FilterMode,
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
