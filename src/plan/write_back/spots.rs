//! The places of a statement where the caller gives values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Written;
use crate::mask::Resemblance;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};
use crate::sql::lineage::Flow;

/// A place of a statement where the caller gives a value.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// Where it stands in the statement, in bytes.
    pub span: Range<usize>,
    pub given: Given,
}

/// What stands there. Values are not shown.
#[derive(Clone)]
pub(super) enum Given {
    /// A parameter of this number.
    Parameter(u32),
    /// A literal of this value; `None` is NULL.
    Literal(Option<Box<[u8]>>),
}

impl fmt::Debug for Given {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(number) => write!(out, "${number}"),
            Self::Literal(_) => out.write_str("a literal"),
        }
    }
}

/// Functions that leave a mask what it is, so that the whole call stands for it.
const KEEPERS: &[&str] = &["trim", "btrim", "ltrim", "rtrim", "nullif", "lower", "upper"];

/// Every parameter of a statement, and every literal that looks like what is shown of one of these columns.
pub(super) fn spots(text: &str, written: &BTreeMap<usize, Arc<Written>>) -> Vec<Spot> {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    let mut spots = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let (first, given) = match token.kind {
            TokenKind::Parameter(number) => (at, Given::Parameter(number)),
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Word(_) => match literal(&tokens, at) {
                Some((first, value)) => (first, Given::Literal(value)),
                None => continue,
            },
            TokenKind::Quoted(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => continue,
        };
        if let Given::Literal(value) = &given {
            let resembles = |written: &Arc<Written>| written.literal(value.as_deref(), Flow::Direct) != Resemblance::No;
            if !written.values().any(resembles) {
                continue;
            }
        }
        let (first, last) = widened(&tokens, first, at);
        let ends = tokens.get(first).zip(tokens.get(last));
        spots.extend(ends.map(|(first, last)| Spot { span: first.start..last.end, given }));
    }
    spots
}

/// The values of all literals of a statement; `None`: it can not be read.
pub(super) fn literals(text: &str) -> Option<Vec<Option<Box<[u8]>>>> {
    let tokens = Lexer::new(text).collect::<Result<Vec<_>, _>>().ok()?;
    Some((0..tokens.len()).filter_map(|at| Some(literal(&tokens, at)?.1)).collect())
}

/// The literal whose last token is that one: its first token and its value.
pub(in crate::plan) fn literal(tokens: &[Token<'_>], at: usize) -> Option<(usize, Option<Box<[u8]>>)> {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    let value = match tokens.get(at)?.kind {
        TokenKind::Text(literal) => {
            let value = literal.value().ok()?.into_owned().into_bytes();
            // `DATE '2024-01-31'`: the word is the type's name.
            let typed = before.is_some_and(|before| match before.kind {
                TokenKind::Quoted(_) => true,
                TokenKind::Word(word) => !is_before_values(word),
                TokenKind::Text(_)
                | TokenKind::Number(_)
                | TokenKind::Parameter(_)
                | TokenKind::Operator(_)
                | TokenKind::Mark(_) => false,
            });
            return Some((if typed { at.saturating_sub(1) } else { at }, Some(value.into())));
        }
        // A length is no value, and no parameter can stand there.
        TokenKind::Number(_) if is_of_type(tokens, at) => return None,
        TokenKind::Number(digits) => {
            let signed = before.is_some_and(|before| before.is_operator("-")) && {
                let left = at.checked_sub(2).and_then(|left| tokens.get(left));
                left.is_none_or(|left| match left.kind {
                    TokenKind::Operator(_) | TokenKind::Mark(Mark::LeftParen | Mark::Comma | Mark::LeftBracket) => true,
                    TokenKind::Word(word) => is_before_values(word),
                    TokenKind::Quoted(_)
                    | TokenKind::Text(_)
                    | TokenKind::Number(_)
                    | TokenKind::Parameter(_)
                    | TokenKind::Mark(_) => false,
                })
            };
            let first = if signed { at.saturating_sub(1) } else { at };
            let sign = if signed { "-" } else { "" };
            return Some((first, Some(format!("{sign}{digits}").into_bytes().into())));
        }
        TokenKind::Word(word) if before.is_none_or(|before| !before.is_any(&["is", "not"])) => {
            match word.to_ascii_lowercase().as_str() {
                "null" => None,
                "true" => Some(b"t"[..].into()),
                "false" => Some(b"f"[..].into()),
                _ => return None,
            }
        }
        TokenKind::Word(_)
        | TokenKind::Quoted(_)
        | TokenKind::Parameter(_)
        | TokenKind::Operator(_)
        | TokenKind::Mark(_) => return None,
    };
    Some((at, value))
}

/// Whether a number is the length or precision of a type: `varchar(10)`, `numeric(10, 2)`.
fn is_of_type(tokens: &[Token<'_>], at: usize) -> bool {
    const TYPES: &[&str] = &[
        "varchar",
        "char",
        "character",
        "varying",
        "nchar",
        "bpchar",
        "numeric",
        "decimal",
        "dec",
        "bit",
        "varbit",
        "float",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "interval",
        "second",
    ];
    let token = |back: usize| at.checked_sub(back).and_then(|place| tokens.get(place));
    let opens = |back: usize| {
        token(back).is_some_and(|open| open.is_mark(Mark::LeftParen))
            && token(back.saturating_add(1)).is_some_and(|name| name.is_any(TYPES))
    };
    opens(1) || (token(1).is_some_and(|comma| comma.is_mark(Mark::Comma)) && opens(3))
}

/// Key words behind which a value stands, so that they are no types' names.
fn is_before_values(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "and",
        "any",
        "as",
        "between",
        "by",
        "case",
        "distinct",
        "else",
        "from",
        "ilike",
        "in",
        "is",
        "like",
        "limit",
        "not",
        "offset",
        "on",
        "or",
        "returning",
        "select",
        "set",
        "similar",
        "then",
        "to",
        "values",
        "when",
        "where",
        "escape",
        "all",
        "some",
        "having",
        "using",
        "array",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The call around a value that stands for it: `trim($1)`, `nullif($1, '')`.
fn widened(tokens: &[Token<'_>], first: usize, last: usize) -> (usize, usize) {
    let token = |at: usize| tokens.get(at);
    let around = || {
        let open = first.checked_sub(1)?;
        let name = open.checked_sub(1)?;
        let called = token(open)?.is_mark(Mark::LeftParen) && token(name)?.is_any(KEEPERS);
        let qualified = name.checked_sub(1).and_then(token).is_some_and(|before| before.is_mark(Mark::Dot));
        let mut end = last.checked_add(1)?;
        if token(end)?.is_mark(Mark::Comma) && literal(tokens, end.checked_add(1)?).is_some() {
            end = end.checked_add(2)?;
        }
        (called && !qualified && token(end)?.is_mark(Mark::RightParen)).then_some((name, end))
    };
    around().unwrap_or((first, last))
}

/// Whether lineage of the statement itself tells what each spot reaches: they are parameters, and each stands once.
pub(super) fn are_told_apart(spots: &[Spot]) -> bool {
    let mut numbers = BTreeSet::new();
    spots.iter().all(|spot| match spot.given {
        Given::Parameter(number) => numbers.insert(number),
        Given::Literal(_) => false,
    })
}

/// The statement with a parameter of its own in the place of each spot, numbered from 1.
pub(super) fn probe(text: &str, spots: &[Spot]) -> String {
    let numbered = spots.iter().zip(1_u32..);
    edited(text, numbered.map(|(spot, number)| (spot.span.clone(), format!("${number}"))).collect())
}

/// A text with other texts in some places.
pub(in crate::plan) fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (span, edit) in &edits {
        if span.start < copied {
            continue;
        }
        out.push_str(text.get(copied..span.start).unwrap_or_default());
        // Words do not run together with what is before and behind them.
        out.push(' ');
        out.push_str(edit);
        out.push(' ');
        copied = span.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// Where a place that is in no edit has gone.
pub(super) fn moved(at: usize, edits: &[(Range<usize>, String)]) -> usize {
    edits
        .iter()
        .filter(|(span, _)| span.end <= at)
        .fold(at, |at, (span, edit)| at.saturating_sub(span.len()).saturating_add(edit.len()).saturating_add(2))
}
