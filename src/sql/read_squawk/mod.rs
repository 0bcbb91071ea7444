//! The second reader: one query-like statement, by squawk-syntax, into the [`super::tree`].
//!
//! squawk-syntax gives a lossless tree of nodes and tokens. Every function here walks the children of one node from the
//! first to the last through [`parts::Parts`] and has to account for each of them, keywords included: what it does not
//! expect is [`NotUnderstood::Construct`], so no part of a statement is dropped unseen.
//!
//! Where squawk's tree is known to group differently from PostgreSQL's grammar (operators of different precedence,
//! chains of joins, set operations), only the order of its leaves is taken, and they are grouped again by the rules of
//! `gram.y` ([`climb`], [`from`], [`query`]).

mod call;
mod climb;
mod construct;
mod dml;
mod expr;
mod from;
mod lexical;
mod literal;
mod names;
mod parts;
mod query;
mod select;
mod table_expr;
mod types;

#[cfg(test)]
mod tests;

use squawk_syntax::{SourceFile, SyntaxKind as K};

use super::NotUnderstood;
use super::tree::Query;

/// Read one SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE or MERGE, with its CTEs, perhaps in parentheses, perhaps with
/// semicolons after it. The text is UTF-8 under `standard_conforming_strings = on`.
///
/// Uses the stack in proportion to the depth of parentheses, not to the length of chains of operators, joins or set
/// operations; dropping squawk's tree does need stack for those. The caller caps both ([`super::Limits`]).
///
/// # Errors
/// [`NotUnderstood::Syntax`] where squawk reports an error, where its tree can not be what PostgreSQL would read, and
/// for more or less than one statement; [`NotUnderstood::Construct`] for what has no place in the tree.
pub(crate) fn read(text: &str) -> Result<Query, NotUnderstood> {
    let parse = SourceFile::parse(text);
    if !parse.errors().is_empty() {
        return Err(NotUnderstood::Syntax);
    }
    let root = parse.syntax_node();
    lexical::check(&root)?;
    let mut statements = root.children().filter(|node| node.kind() != K::EMPTY_STMT);
    match (statements.next(), statements.next()) {
        (Some(statement), None) if root.first_child().as_ref() == Some(&statement) => query::query(&statement),
        _ => Err(NotUnderstood::Syntax),
    }
}
