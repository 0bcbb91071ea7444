//! Cutting a text into statements.

use std::ops::Range;

use crate::sql::NotUnderstood;
use crate::sql::lexer::{Mark, Token};

/// The statements of a text, as ranges of its tokens without the semicolons; empty ones are left out. Semicolons in
/// parentheses (`CREATE RULE ... DO (...; ...)`) and in a `BEGIN ATOMIC` body do not separate.
///
/// # Errors
/// [`NotUnderstood::TooLarge`] for more than `statements_max`; [`NotUnderstood::Construct`] where the end of a body is not
/// certain.
pub(crate) fn split(tokens: &[Token<'_>], statements_max: usize) -> Result<Vec<Range<usize>>, NotUnderstood> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let mut body = Body::None;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            crate::sql::lexer::TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => depth = depth.saturating_add(1),
            crate::sql::lexer::TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if depth > 0 {
            continue;
        }
        let previous = at.checked_sub(1).and_then(|before| tokens.get(before));
        if token.is("atomic") && previous.is_some_and(|token| token.is("begin")) && body != Body::Closed {
            // a second one may be a table `begin` with the alias `atomic`, or a nested body
            if body == Body::Open {
                return Err(NotUnderstood::Construct("BEGIN ATOMIC in a BEGIN ATOMIC body"));
            }
            if makes_routine(tokens.get(start..at).unwrap_or_default()) {
                body = Body::Open;
            }
        } else if body == Body::Open && token.is("end") {
            // the statements of a body each end with a semicolon, and none of them begins with END: an END elsewhere
            // is that of a CASE, or a label
            if previous.is_some_and(|token| token.is_mark(Mark::Semicolon) || token.is("atomic")) {
                body = Body::Closed;
            }
        } else if body != Body::Open && token.is_mark(Mark::Semicolon) {
            push(&mut statements, start..at, statements_max)?;
            start = at.saturating_add(1);
            body = Body::None;
        }
    }
    push(&mut statements, start..tokens.len(), statements_max)?;
    Ok(statements)
}

/// Where the scan is with regard to a `BEGIN ATOMIC ... END` body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    None,
    Open,
    Closed,
}

fn push(statements: &mut Vec<Range<usize>>, range: Range<usize>, max: usize) -> Result<(), NotUnderstood> {
    if range.is_empty() {
        return Ok(());
    }
    if statements.len() >= max {
        return Err(NotUnderstood::TooLarge);
    }
    statements.push(range);
    Ok(())
}

/// `CREATE [OR REPLACE] FUNCTION|PROCEDURE ...`
fn makes_routine(tokens: &[Token<'_>]) -> bool {
    let rest = match tokens {
        [create, or, replace, rest @ ..] if create.is("create") && or.is("or") && replace.is("replace") => rest,
        [create, rest @ ..] if create.is("create") => rest,
        _ => return false,
    };
    rest.first().is_some_and(|token| token.is_any(&["function", "procedure"]))
}
