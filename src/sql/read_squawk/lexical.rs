//! What is checked on the flat list of tokens, before the tree is believed.

use squawk_syntax::{SyntaxKind as K, SyntaxNode, SyntaxToken};

use super::parts::Read;
use crate::sql::NotUnderstood;

/// White space, comments, semicolons and operators are what PostgreSQL's lexer (`scan.l`) takes them for.
pub(super) fn check(root: &SyntaxNode) -> Read<()> {
    let mut ended = false;
    let mut run: Vec<SyntaxToken> = Vec::new();
    for token in root.descendants_with_tokens().filter_map(|element| element.into_token()) {
        match token.kind() {
            // A vertical tab is white space since PostgreSQL 16 only.
            K::WHITESPACE if token.text().contains('\u{b}') => return Err(NotUnderstood::Syntax),
            K::COMMENT if token.text().starts_with("--") && token.text().contains(['\n', '\r']) => {
                return Err(NotUnderstood::Syntax);
            }
            K::WHITESPACE | K::COMMENT => {}
            K::SEMICOLON => ended = true,
            _ if ended => return Err(NotUnderstood::Syntax),
            _ => {}
        }
        if is_operator(&token) {
            run.push(token);
        } else {
            operators(&run)?;
            run.clear();
        }
    }
    operators(&run)
}

const OPERATOR_CHARACTERS: &[char] =
    &['+', '-', '*', '/', '<', '>', '=', '~', '!', '@', '#', '%', '^', '&', '|', '`', '?'];

fn is_operator(token: &SyntaxToken) -> bool {
    token.text().chars().all(|character| OPERATOR_CHARACTERS.contains(&character))
}

/// A run of operator characters is cut into operators as the lexer would cut it (PostgreSQL manual, section 4.1.3).
fn operators(run: &[SyntaxToken]) -> Read<()> {
    if run.len() < 2 {
        return Ok(());
    }
    let text: String = run.iter().map(SyntaxToken::text).collect();
    let (mut expected, mut rest) = (Vec::new(), text.as_str());
    while !rest.is_empty() {
        let mut length = rest.len();
        if !rest.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
            while length > 1 && rest.get(..length).is_some_and(|operator| operator.ends_with(['+', '-'])) {
                length -= 1;
            }
        }
        let Some((operator, after)) = rest.split_at_checked(length) else { return Err(NotUnderstood::Syntax) };
        expected.push(operator);
        rest = after;
    }
    let (mut expected, mut seen) = (expected.into_iter(), String::new());
    for (at, token) in run.iter().enumerate() {
        seen.push_str(token.text());
        let joined = match (token.parent(), run.get(at + 1).and_then(SyntaxToken::parent)) {
            (Some(parent), Some(next)) => parent.kind() == K::CUSTOM_OP && parent == next,
            _ => false,
        };
        if !joined {
            if expected.next() != Some(seen.as_str()) {
                return Err(NotUnderstood::Syntax);
            }
            seen.clear();
        }
    }
    if expected.next().is_none() { Ok(()) } else { Err(NotUnderstood::Syntax) }
}
