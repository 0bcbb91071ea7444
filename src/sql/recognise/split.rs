//! Cutting a text into statements.

use crate::sql::NotUnderstood;
use crate::sql::lexer::{Mark, Token, TokenKind};

/// Finds the semicolons that separate statements, token by token. Those in parentheses (`CREATE RULE ... DO (...; ...)`)
/// and in a `BEGIN ATOMIC` body do not.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    depth: usize,
    body: Body,
    /// The token before, of the same statement.
    previous: Previous,
    /// How far the beginning of the statement is that of a routine's definition.
    opening: Opening,
}

/// Where the scan is with regard to a `BEGIN ATOMIC ... END` body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Begin,
    Atomic,
    Semicolon,
}

/// `CREATE [OR REPLACE] FUNCTION|PROCEDURE ...`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    Start,
    Create,
    CreateOr,
    CreateOrReplace,
    Routine,
    Other,
}

impl Opening {
    fn after(self, token: &Token<'_>) -> Self {
        match self {
            Self::Start if token.is("create") => Self::Create,
            Self::Create if token.is("or") => Self::CreateOr,
            Self::CreateOr if token.is("replace") => Self::CreateOrReplace,
            Self::Create | Self::CreateOrReplace if token.is_any(&["function", "procedure"]) => Self::Routine,
            Self::Routine => Self::Routine,
            Self::Start | Self::Create | Self::CreateOr | Self::CreateOrReplace | Self::Other => Self::Other,
        }
    }
}

impl Splitter {
    /// Whether this token, the next of the text, is a semicolon that ends a statement.
    ///
    /// # Errors
    /// [`NotUnderstood::Construct`] where the end of a body is not certain.
    pub(crate) fn separates(&mut self, token: &Token<'_>) -> Result<bool, NotUnderstood> {
        self.opening = self.opening.after(token);
        let previous = std::mem::replace(&mut self.previous, Previous::Other);
        match token.kind {
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => self.depth = self.depth.saturating_add(1),
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => self.depth = self.depth.saturating_sub(1),
            TokenKind::Mark(Mark::Semicolon) if self.depth == 0 => {
                if self.body != Body::Open {
                    *self = Self::default();
                    return Ok(true);
                }
                self.previous = Previous::Semicolon;
            }
            TokenKind::Word(_) if self.depth == 0 && self.opening == Opening::Routine => self.word(token, previous)?,
            _ => {}
        }
        Ok(false)
    }

    fn word(&mut self, token: &Token<'_>, previous: Previous) -> Result<(), NotUnderstood> {
        if token.is("begin") {
            self.previous = Previous::Begin;
        } else if token.is("atomic") && previous == Previous::Begin {
            match self.body {
                Body::None => self.body = Body::Open,
                // it may be a table `begin` with the alias `atomic`, or a nested body
                Body::Open => return Err(NotUnderstood::Construct("BEGIN ATOMIC in a BEGIN ATOMIC body")),
                Body::Closed => {}
            }
            self.previous = Previous::Atomic;
        } else if token.is("end")
            && self.body == Body::Open
            && matches!(previous, Previous::Semicolon | Previous::Atomic)
        {
            // the statements of a body each end with a semicolon, and none of them begins with END: an END elsewhere is
            // that of a CASE, or a label
            self.body = Body::Closed;
        }
        Ok(())
    }
}

/// The statements of a text, as ranges of its tokens without the semicolons; empty ones are left out.
#[cfg(test)]
pub(crate) fn split(tokens: &[Token<'_>], statements_max: usize) -> Result<Vec<std::ops::Range<usize>>, NotUnderstood> {
    let mut statements = Vec::new();
    let mut splitter = Splitter::default();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        if splitter.separates(token)? {
            statements.push(start..at);
            start = at + 1;
        }
    }
    statements.push(start..tokens.len());
    statements.retain(|range| !range.is_empty());
    if statements.len() > statements_max { Err(NotUnderstood::TooLarge) } else { Ok(statements) }
}
