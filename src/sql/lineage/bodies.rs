//! Whether users' functions can fail, by what their bodies say.

use super::forbidden::is_built_in;
use super::total::{Failure, failure};
use crate::catalog::{Catalog, Function, Name};
use crate::sql::lexer::{Lexer, Mark, TokenKind};

/// Words with which a value is turned into something else, counted out or looked up, or a result is ended with an error.
const FAILING_WORDS: &[&str] = &[
    "array",
    "assert",
    "call",
    "cast",
    "exception",
    "execute",
    "exists",
    "fetch",
    "for",
    "foreach",
    "from",
    "int",
    "integer",
    "bigint",
    "smallint",
    "numeric",
    "decimal",
    "real",
    "double",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "boolean",
    "bool",
    "json",
    "jsonb",
    "xml",
    "uuid",
    "into",
    "limit",
    "loop",
    "offset",
    "perform",
    "raise",
    "rowtype",
    "strict",
    "while",
    "escape",
    "similar",
];

/// Whether a user's function may fail for some of its arguments and not for others: unless it is in SQL or PL/pgSQL,
/// returns text, and does nothing but put texts together and compare them.
pub(super) fn may_fail(function: &Function, catalog: &Catalog) -> bool {
    const TEXT: [u32; 2] = [25, 1043];
    let language = function.language.as_str();
    let in_text = TEXT.contains(&function.returns.0) && function.inputs.iter().all(|input| TEXT.contains(&input.0));
    if !(in_text && matches!(language, "sql" | "plpgsql")) {
        return true;
    }
    let Some(body) = &function.body else { return true };
    let mut named: Option<Name> = None;
    for token in Lexer::new(body) {
        let Ok(token) = token else { return true };
        let called = named.take();
        match token.kind {
            TokenKind::Word(_) | TokenKind::Quoted(_) => {
                let Some(name) = token.name() else { return true };
                if FAILING_WORDS.contains(&name.as_str()) {
                    return true;
                }
                named = Some(name);
            }
            TokenKind::Mark(Mark::LeftParen) => {
                let Some(name) = called else { continue };
                let mut meant = catalog.functions_named(None, &name).peekable();
                let all_known = meant.peek().is_some() && meant.all(is_built_in);
                let is_syntax = matches!(
                    name.as_str(),
                    "and"
                        | "or"
                        | "not"
                        | "in"
                        | "when"
                        | "then"
                        | "else"
                        | "if"
                        | "elsif"
                        | "case"
                        | "return"
                        | "select"
                        | "coalesce"
                        | "nullif"
                        | "like"
                        | "ilike"
                        | "varchar"
                );
                if name.as_str() == "varchar" && language == "plpgsql"
                    || !(is_syntax
                        || all_known && (failure(name.as_str(), None) == Failure::NEVER || name.as_str() == "extract"))
                {
                    return true;
                }
            }
            TokenKind::Operator("||" | "=" | "<>" | "!=" | "<" | ">" | "<=" | ">=") => {}
            TokenKind::Operator(_) | TokenKind::Mark(Mark::DoubleColon | Mark::LeftBracket) => return true,
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Mark(_) => {}
        }
    }
    false
}
