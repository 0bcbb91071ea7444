//! Literals: of each only its sort is kept.

use squawk_syntax::ast::{AstNode, Literal};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::parts::{Parts, Read};
use super::types::internal;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Constant, Expr};

/// A `LITERAL` as a value.
pub(super) fn literal(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "a literal of an unusual form");
    let token = parts.token()?;
    let value = match token.kind() {
        K::NULL_KW => Expr::Constant(Constant::Null),
        K::TRUE_KW | K::FALSE_KW => Expr::Constant(Constant::Bool),
        K::DEFAULT_KW => Expr::Default,
        K::INT_NUMBER => Expr::Constant(Constant::number(token.text())),
        K::NUMERIC_NUMBER => Expr::Constant(Constant::number(token.text())),
        K::POSITIONAL_PARAM => {
            let number = token.text().strip_prefix('$').and_then(|digits| digits.parse().ok());
            Expr::Parameter(number.ok_or(NotUnderstood::Syntax)?)
        }
        K::BIT_STRING | K::BYTE_STRING => {
            string_rest(&mut parts)?;
            Expr::Constant(Constant::plain_text())
        }
        K::STRING | K::ESC_STRING | K::DOLLAR_QUOTED_STRING | K::UNICODE_ESC_STRING | K::NATIONAL_STRING => {
            string_rest(&mut parts)?;
            let literal = Literal::cast(node.clone()).ok_or(NotUnderstood::Syntax)?;
            let text = literal.string_value().ok_or(NotUnderstood::Syntax)?;
            let constant = Expr::Constant(Constant::text(&text));
            if token.kind() == K::NATIONAL_STRING {
                // The lexer of PostgreSQL reads N'...' as `NCHAR '...'`.
                Expr::Cast(Box::new(constant), internal("bpchar", false))
            } else {
                constant
            }
        }
        _ => return Err(parts.unexpected()),
    };
    parts.end()?;
    Ok(value)
}

/// A string literal in a place where only its being one matters.
pub(super) fn is_string(node: &SyntaxNode) -> bool {
    matches!(literal(node), Ok(Expr::Constant(Constant::Text(..)) | Expr::Cast(..)))
}

/// Continuations of a string, and its escape character. The lexer has seen to their form.
fn string_rest(parts: &mut Parts) -> Read<()> {
    while parts.eat(K::STRING) {}
    if parts.eat(K::UESCAPE_KW) {
        parts.expect(K::STRING)?;
    }
    Ok(())
}
