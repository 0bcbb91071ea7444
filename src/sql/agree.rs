//! The rule for two readings of one statement.

use super::lineage::{Lineage, lineage};
use super::tree::Query;
use super::{Limits, NotUnderstood};
use crate::catalog::Catalog;

/// What both readings say a statement does.
///
/// `first` is sqlparser's tree, `second` squawk's. Both have to come to the same lineage: the same result columns by name
/// and origin, filters, writes, relations, functions. sqlparser reads less of PostgreSQL than squawk does, and says so:
/// where it alone fails, squawk's tree counts alone. Where squawk fails, nothing is understood.
///
/// # Errors
/// [`NotUnderstood::Disagreement`], or the reason of the reader that failed, or that of the lineage.
pub(crate) fn agreed(
    first: Result<Query, NotUnderstood>,
    second: Result<Query, NotUnderstood>,
    catalog: &Catalog,
    limits: &Limits,
) -> Result<Lineage, NotUnderstood> {
    let second = second?;
    let first = match first {
        Ok(first) => Some(first),
        Err(NotUnderstood::Syntax | NotUnderstood::Construct(_) | NotUnderstood::Disagreement) => None,
        Err(
            reason @ (NotUnderstood::Encoding
            | NotUnderstood::TooLarge
            | NotUnderstood::Lexical
            | NotUnderstood::Unread),
        ) => {
            return Err(reason);
        }
    };
    let mut traced = lineage(&second, catalog, limits)?;
    // equal trees have equal lineages
    let Some(first) = first.filter(|first| *first != second) else { return Ok(traced) };
    let mut other = lineage(&first, catalog, limits)?;
    // how often something is looked at may be written in two ways
    for (&source, &looks) in &other.looks {
        let known = traced.looks.entry(source).or_default();
        *known = looks.max(*known);
    }
    other.looks.clone_from(&traced.looks);
    traced.fails |= other.fails;
    other.fails = traced.fails;
    if other == traced { Ok(traced) } else { Err(NotUnderstood::Disagreement) }
}
