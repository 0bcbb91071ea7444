//! What parameters say of the filters that they are part of.

use std::sync::Arc;

use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};

/// What is known of the value of a parameter; the value itself is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// How many elements it has as an array, at the most; `None`: not known.
    pub elements: Option<usize>,
    /// Whether LIKE may take something in it for a wildcard.
    pub pattern: bool,
}

impl Given {
    /// NULL, or no value at all: there the server says that it is missing.
    pub const NULL: Self = Self { elements: Some(0), pattern: false };
    /// What the statement computes.
    pub const COMPUTED: Self = Self { elements: None, pattern: true };

    /// A value in text format, in an encoding where commas and `%` are bytes of their own. Each comma may be part of an
    /// element: that only counts too many.
    pub fn text(value: &[u8]) -> Self {
        let commas = value.iter().filter(|&&byte| byte == b',').count();
        Self { elements: Some(commas.saturating_add(1)), pattern: has_wildcard(value) }
    }

    /// A value in binary format.
    pub fn binary(value: &[u8]) -> Self {
        Self { elements: binary_elements(value), pattern: has_wildcard(value) }
    }
}

fn has_wildcard(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'%' | b'_' | b'\\'))
}

/// The number of elements of an array in binary format (`array_send`): number of dimensions, flags, type, and of each
/// dimension length and lower bound.
fn binary_elements(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(i32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    let dimensions = word(0)?;
    if dimensions == 0 {
        return Some(0);
    }
    // MAXDIM of PostgreSQL
    (dimensions <= 6).then_some(())?;
    let lengths = (0..dimensions).map(|dimension| word(dimension.checked_mul(8)?.checked_add(12)?));
    lengths.into_iter().try_fold(1_usize, |count, length| count.checked_mul(length?))
}

/// What the arguments of `EXECUTE name (...)` say, in their order: constants, alone or with a cast, and `ARRAY[...]` of
/// known length; others are computed.
pub fn arguments(text: &str) -> Arc<[Given]> {
    let tokens: Vec<_> = Lexer::new(text).map_while(Result::ok).collect();
    let open = tokens.iter().position(|token| token.is_mark(Mark::LeftParen));
    let Some(inside) = open.and_then(|at| tokens.get(at.saturating_add(1)..)) else { return Arc::default() };
    let parts = split(inside);
    parts.into_iter().map(argument).collect()
}

/// The parts between the commas up to the parenthesis or bracket that ends the list.
fn split<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut depth, mut start, mut parts) = (0_usize, 0_usize, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        let TokenKind::Mark(mark) = token.kind else { continue };
        let ends = matches!(mark, Mark::RightParen | Mark::RightBracket);
        if depth == 0 && (ends || mark == Mark::Comma) {
            parts.push(tokens.get(start..at).unwrap_or_default());
            start = at.saturating_add(1);
        }
        match mark {
            Mark::LeftParen | Mark::LeftBracket => depth = depth.saturating_add(1),
            Mark::RightParen | Mark::RightBracket if depth == 0 => return parts,
            Mark::RightParen | Mark::RightBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    parts.push(tokens.get(start..).unwrap_or_default());
    parts
}

fn argument(tokens: &[Token<'_>]) -> Given {
    let cast = tokens.iter().position(|token| token.is_mark(Mark::DoubleColon)).unwrap_or(tokens.len());
    let (value, cast) = tokens.split_at(cast);
    let casts_only = cast.iter().all(|token| match token.kind {
        TokenKind::Word(_) | TokenKind::Quoted(_) | TokenKind::Number(_) => true,
        TokenKind::Mark(mark) => !matches!(mark, Mark::Semicolon | Mark::Colon | Mark::ColonEquals),
        TokenKind::Text(_) | TokenKind::Parameter(_) | TokenKind::Operator(_) => false,
    });
    if !casts_only {
        return Given::COMPUTED;
    }
    match value {
        [only] => match &only.kind {
            TokenKind::Text(literal) => literal.value().map_or(Given::COMPUTED, |value| Given::text(value.as_bytes())),
            TokenKind::Number(_) => Given::text(b"0"),
            TokenKind::Word(_) if only.is_any(&["null", "true", "false"]) => Given::NULL,
            TokenKind::Word(_)
            | TokenKind::Quoted(_)
            | TokenKind::Parameter(_)
            | TokenKind::Operator(_)
            | TokenKind::Mark(_) => Given::COMPUTED,
        },
        [array, open, elements @ ..] if array.is("array") && open.is_mark(Mark::LeftBracket) => {
            let nested =
                elements.iter().any(|token| token.is_mark(Mark::LeftBracket) || token.is_mark(Mark::LeftParen));
            let ends = elements.last().is_some_and(|token| token.is_mark(Mark::RightBracket));
            let elements = (!nested && ends).then(|| split(elements).len());
            Given { elements, pattern: true }
        }
        _ => Given::COMPUTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_execute_are_constants_or_computed() {
        let list = |elements| Given { elements: Some(elements), pattern: true };
        for (text, expected) in [
            ("EXECUTE q", vec![]),
            (
                "EXECUTE q ('x', 7, NULL, E'a\\x25')",
                vec![Given::text(b"x"), Given::text(b"0"), Given::NULL, Given::text(b"a%")],
            ),
            ("EXECUTE q ('{a,b}'::text[], 'x'::varchar(7));", vec![Given::text(b"{a,b}"), Given::text(b"x")]),
            ("EXECUTE q (ARRAY['a', 'b']::text[], 'z_')", vec![list(2), Given::text(b"z_")]),
            (
                "EXECUTE q (ARRAY[f('a', 'b')], 'a' || 'b', (SELECT 'x'), $1, lower('x'), x, ARRAY[ARRAY['a','b']])",
                vec![
                    Given { elements: None, pattern: true },
                    Given::COMPUTED,
                    Given::COMPUTED,
                    Given::COMPUTED,
                    Given::COMPUTED,
                    Given::COMPUTED,
                    Given { elements: None, pattern: true },
                ],
            ),
            ("EXECUTE q ('x'::text || '%')", vec![Given::COMPUTED]),
        ] {
            assert_eq!(arguments(text)[..], expected, "{text}");
        }
    }

    #[test]
    fn arrays_are_counted_in_both_formats() {
        // 1 dimension, no NULLs, text, 2 elements from 1
        let two = b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01";
        assert_eq!(Given::binary(two).elements, Some(2));
        assert_eq!(Given::binary(&two[..13]).elements, None);
        assert_eq!(Given::binary(b"\0\0\0\0\0\0\0\0\0\0\0\x19").elements, Some(0));
        let four = b"\0\0\0\x02\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01";
        assert_eq!(Given::binary(four).elements, Some(4));
        assert_eq!(Given::binary(b"\xff\xff\xff\xff").elements, None);
        assert_eq!(Given::text(b"{a,b,c}").elements, Some(3));
        for pattern in [&b"x%"[..], b"%", b"a_b", b"a\\b"] {
            assert!(Given::text(pattern).pattern && Given::binary(pattern).pattern);
        }
        assert!(!Given::text(b"x@example.org").pattern);
    }
}
