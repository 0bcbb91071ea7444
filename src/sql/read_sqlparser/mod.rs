//! The first reader: one query-like statement by the `sqlparser` crate into [`super::tree`].
//!
//! sqlparser reads several dialects and accepts more than PostgreSQL does, so it is kept on a short lead:
//! - It never sees the text. It is fed the tokens of our own lexer ([`feed`]): what is a string, an identifier or an
//!   operator, and which words are key words at all, is PostgreSQL's answer. Words come folded.
//! - All tokens have to be consumed, and every identifier among them has to be found in the tree that it built: a
//!   statement from which sqlparser dropped something is not understood.
//! - Reserved words are no columns, tables or functions, whatever sqlparser made of them.
//! - A construct of its syntax tree that PostgreSQL does not have is [`NotUnderstood`].
//!
//! Its syntax tree lives only inside [`read`], is never cloned and never printed. sqlparser logs what it parses through
//! the `log` crate at the debug level: the process must not enable that.

mod call;
mod dml;
mod expr;
mod feed;
mod from;
mod query;
mod types;

use std::collections::BTreeSet;

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token as SqlToken};

use super::NotUnderstood;
use super::lexer::{KeywordClass, Token, keyword_class};
use super::tree::{ObjectName, Query};
use crate::catalog::Name;

type Result<T> = std::result::Result<T, NotUnderstood>;

/// How many nested grammar rules sqlparser may enter. Our own cap on depth is lower; chains of prefix operators meet it.
const RECURSION_MAX: usize = 2_000;

/// Read the tokens of one SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE or MERGE, with its common table expressions.
///
/// Needs a stack of 64 MiB for statements at the caps of [`super::Limits`], which the caller has checked.
///
/// # Errors
/// [`NotUnderstood`] where sqlparser does not parse it, or not as PostgreSQL would.
pub(crate) fn read(tokens: &[Token<'_>]) -> Result<Query> {
    let feed::Feed { tokens, only, identifiers } = feed::feed(tokens)?;
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|_| NotUnderstood::Syntax)?;
    if parser.peek_token_ref().token != SqlToken::EOF {
        return Err(NotUnderstood::Syntax);
    }
    let mut reader = Reader { only, seen: BTreeSet::new() };
    let query = reader.statement(&statement)?;
    if identifiers.iter().all(|identifier| reader.seen.contains(identifier)) {
        Ok(query)
    } else {
        Err(NotUnderstood::Construct("an identifier that the parser dropped"))
    }
}

/// Turns sqlparser's syntax tree into ours.
struct Reader {
    /// Where the names of relations begin that `ONLY` stood before.
    only: BTreeSet<usize>,
    /// Where the identifiers begin that were put into the tree, or knowingly left out.
    seen: BTreeSet<usize>,
}

/// Where in the text a span begins: the lexer's byte offsets travel as column numbers.
fn offset(span: Span) -> Option<usize> {
    usize::try_from(span.start.column).ok()?.checked_sub(1)
}

fn construct<T>(what: &'static str) -> Result<T> {
    Err(NotUnderstood::Construct(what))
}

/// Not understood, unless this clause of another dialect is absent.
fn require(absent: bool) -> Result<()> {
    if absent { Ok(()) } else { construct("a clause of another dialect") }
}

impl Reader {
    /// A name in a place where any word may stand: behind a dot or as a label.
    fn name(&mut self, identifier: &ast::Ident) -> Result<Name> {
        if let Some(at) = offset(identifier.span) {
            self.seen.insert(at);
        }
        match identifier.quote_style {
            None | Some('"') => Ok(Name::exact(&identifier.value)),
            Some(_) => construct("a string as a name"),
        }
    }

    /// A name in a place where only a column's or table's name may stand (`ColId` in PostgreSQL's grammar).
    fn column_or_table(&mut self, identifier: &ast::Ident) -> Result<Name> {
        if let Some(KeywordClass::Reserved | KeywordClass::TypeFunctionName) = class(identifier) {
            return Err(NotUnderstood::Syntax);
        }
        self.name(identifier)
    }

    /// The parts of a qualified name; the first is a column's or table's.
    fn parts(&mut self, identifiers: &[ast::Ident]) -> Result<Vec<Name>> {
        let mut names = Vec::with_capacity(identifiers.len());
        for identifier in identifiers {
            names.push(if names.is_empty() { self.column_or_table(identifier)? } else { self.name(identifier)? });
        }
        Ok(names)
    }

    fn object_parts(&mut self, name: &ast::ObjectName) -> Result<Vec<Name>> {
        let mut names = Vec::with_capacity(name.0.len());
        for part in &name.0 {
            let ast::ObjectNamePart::Identifier(identifier) = part else { return construct("a function as a name") };
            names.push(if names.is_empty() { self.column_or_table(identifier)? } else { self.name(identifier)? });
        }
        Ok(names)
    }

    fn object_name(&mut self, name: &ast::ObjectName) -> Result<ObjectName> {
        object_name(self.object_parts(name)?)
    }

    /// Whether `ONLY` stood before that name.
    fn is_only(&self, name: &ast::ObjectName) -> bool {
        match name.0.first() {
            Some(ast::ObjectNamePart::Identifier(first)) => {
                offset(first.span).is_some_and(|at| self.only.contains(&at))
            }
            _ => false,
        }
    }
}

/// The key word class of an unquoted identifier.
fn class(identifier: &ast::Ident) -> Option<KeywordClass> {
    match identifier.quote_style {
        None => keyword_class(&identifier.value),
        Some(_) => None,
    }
}

fn object_name(mut parts: Vec<Name>) -> Result<ObjectName> {
    let Some(name) = parts.pop() else { return Err(NotUnderstood::Syntax) };
    let (schema, database) = (parts.pop(), parts.pop());
    if parts.is_empty() {
        Ok(ObjectName { database, schema, name })
    } else {
        construct("a name of more than three parts")
    }
}

#[cfg(test)]
pub(crate) mod shown;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;
