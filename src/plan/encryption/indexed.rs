//! Comparisons of columns that have a blind index: the index is compared in the place of the column.
//!
//! Where the entry of FROM is the table itself, its column of the index is named, so that an index of the database on it serves
//! the search. Elsewhere (behind a view, a sub-select) the index is taken out of the value at that place: it is in each envelope,
//! and the answer is the same. Which words of the text are the column is read off what is beside the value; whether it is that
//! one, a second probe tells, in which the words are changed and nothing else may have come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::given::{Given, OPERANDS, type_end};
use super::target::Target;
use super::{Analyses, alone, edited, uses};
use crate::catalog::{Name, RelationKind};
use crate::plan::{Refusal, Snapshot};
use crate::policy::{index_expression, is_index_of};
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};
use crate::sql::lineage::{Comparison, Counterpart, Lineage, Source};

const HINT: &str =
    "Write `column = value`, `column IN (value, ...)` or `column = ANY (values)`, with the column as it is.";

/// A comparison of a column with values of the statement. Spans are in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    /// All of it.
    pub whole: Range<usize>,
    /// The reference to the column in it.
    pub column: Range<usize>,
    /// Its values, by their places among all that are given.
    pub values: Vec<usize>,
    /// What has the index at that place.
    pub index: String,
}

/// What is in the place of the column.
enum Stand {
    /// The column of the index, by its source and how it is written.
    Column(Source, String),
    /// What takes the index out of the value.
    Expression(String),
}

/// Every comparison of a column that has a blind index. `edits`: those that the probe is made by. `Ok(None)`: an analysis has to be made first.
///
/// # Errors
/// One of them is written in a form that is not known.
pub(super) fn indexed(
    own: &str,
    (given, targets): (&[Given], &[Option<Target>]),
    mut edits: Vec<(Range<usize>, String)>,
    (probed, snapshot): (&Lineage, &Snapshot),
    analyses: &mut Analyses<'_>,
) -> Result<Option<Vec<Indexed>>, Refusal> {
    let mut found: Vec<(Indexed, Stand)> = Vec::new();
    let tokens = Lexer::new(own).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    for (number, (given, target)) in given.iter().zip(targets).enumerate() {
        let Some(target) = target.as_ref().filter(|target| target.is_indexed()) else { continue };
        let refused = || Refusal::encrypted(&target.column, "a comparison in this form is", HINT);
        let within = |one: &Indexed| one.whole.start <= given.span.start && given.span.end <= one.whole.end;
        if let Some((known, _)) = found.last_mut().filter(|(known, _)| within(known)) {
            known.values.push(number);
            continue;
        }
        let form = form(&tokens, &given.span).ok_or_else(refused)?;
        let written = own.get(form.column.clone()).ok_or_else(refused)?;
        let stand = stand(number, written, target, probed, snapshot);
        let index = match &stand {
            Stand::Column(_, index) | Stand::Expression(index) => index.clone(),
        };
        found.push((Indexed { whole: form.whole, column: form.column, values: vec![number], index }, stand));
    }
    let Some(column) = targets.iter().flatten().find(|target| target.is_indexed()).map(|target| &target.column) else {
        return Ok(Some(Vec::new()));
    };
    let refused = || Refusal::encrypted(column, "a comparison in this form is", HINT);
    // Whatever else is encrypted within one of them would be dealt with twice.
    let apart = found.iter().enumerate().all(|(at, (one, _))| {
        let inner = given.iter().zip(targets).enumerate().filter(|(_, (given, target))| {
            target.is_some() && one.whole.start <= given.span.start && given.span.end <= one.whole.end
        });
        let others = found.iter().skip(at.saturating_add(1));
        inner.map(|(number, _)| number).all(|number| one.values.binary_search(&number).is_ok())
            && others
                .map(|(other, _)| other)
                .all(|other| one.whole.end <= other.whole.start || other.whole.end <= one.whole.start)
    });
    if !apart {
        return Err(refused());
    }
    for ((one, stand), fresh) in found.iter().zip(given.len().saturating_add(1)..) {
        let edit = match stand {
            Stand::Column(_, index) => index.clone(),
            // A constant of its own: what was compared with the value is not any more.
            Stand::Expression(_) => format!("${fresh}"),
        };
        edits.push((one.column.clone(), edit));
    }
    let expected = moved(&probed.comparisons, &found);
    let Some(analysis) = analyses(&edited(own, edits)) else { return Ok(None) };
    let is_moved = alone(&analysis).is_some_and(|after| {
        uses::is_same(probed, after)
            && after.comparisons == expected
            && after.inexact == probed.inexact
            && found.iter().all(|(one, stand)| stands_alike(one, stand, probed, after))
    });
    if !is_moved {
        return Err(refused());
    }
    Ok(Some(found.into_iter().map(|(one, _)| one).collect()))
}

impl Indexed {
    /// The numbers of its values in the probe.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        self.values.iter().filter_map(|value| u32::try_from(value.saturating_add(1)).ok())
    }
}

/// What the comparisons of a probe are when these are of the index.
fn moved(comparisons: &BTreeSet<Comparison>, found: &[(Indexed, Stand)]) -> BTreeSet<Comparison> {
    let stands: BTreeMap<u32, &Stand> =
        found.iter().flat_map(|(one, stand)| one.numbers().map(move |number| (number, stand))).collect();
    let moved = |comparison: &Comparison| {
        let stand = match comparison.with {
            Counterpart::Parameter(number) | Counterpart::Elements(number) => stands.get(&number),
            Counterpart::Column(_) => None,
        };
        match stand {
            None => Some(*comparison),
            Some(Stand::Column(source, _)) => Some(Comparison { source: *source, ..*comparison }),
            Some(Stand::Expression(_)) => None,
        }
    };
    comparisons.iter().filter_map(moved).collect()
}

/// Whether the column of the index is one of the same entry of FROM as the column itself.
fn stands_alike(one: &Indexed, stand: &Stand, before: &Lineage, after: &Lineage) -> bool {
    let alike = |number: u32| {
        [Counterpart::Parameter(number), Counterpart::Elements(number)].iter().all(|with| {
            let (before, after) = (before.standings.get(with), after.standings.get(with));
            before == after && after.is_none_or(Option::is_some)
        })
    };
    match stand {
        Stand::Column(..) => one.numbers().all(alike),
        Stand::Expression(_) => true,
    }
}

/// What has the index where a value is compared with a column.
fn stand(value: usize, written: &str, target: &Target, probed: &Lineage, snapshot: &Snapshot) -> Stand {
    let number = u32::try_from(value.saturating_add(1)).unwrap_or(u32::MAX);
    let with = if target.elements { Counterpart::Elements(number) } else { Counterpart::Parameter(number) };
    let beside = || {
        let standing = probed.standings.get(&with)?.as_ref()?;
        let relation = snapshot.catalog.relation(standing.relation)?;
        // A view may take the two from different rows.
        if !matches!(relation.kind, RelationKind::Table | RelationKind::PartitionedTable) {
            return None;
        }
        let mut compared = probed.comparisons.iter().filter(|comparison| comparison.with == with);
        let (Some(Comparison { source: Source::Column { attnum, .. }, .. }), None) = (compared.next(), compared.next())
        else {
            return None;
        };
        let of = relation.attribute(*attnum)?;
        let index = relation.column(target.encryption.blind_index.as_ref()?.as_str())?;
        let source = Source::Column { relation: relation.oid, attnum: index.attnum };
        let named = format!("{}.{}", quoted(&standing.entry), quoted(&index.name));
        is_index_of(index, of).then_some(Stand::Column(source, named))
    };
    beside().unwrap_or_else(|| {
        let taken = index_expression(written, target.bytes);
        Stand::Expression(format!("({taken} COLLATE pg_catalog.\"C\")"))
    })
}

fn quoted(name: &Name) -> String {
    format!("\"{}\"", name.as_str().replace('"', "\"\""))
}

/// Where a comparison stands, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    whole: Range<usize>,
    column: Range<usize>,
}

/// The comparison that a value is part of.
fn form(tokens: &[Token<'_>], value: &Range<usize>) -> Option<Form> {
    let first = tokens.binary_search_by_key(&value.start, |token| token.start).ok()?;
    let last = tokens.binary_search_by_key(&value.end, |token| token.end).ok()?;
    let behind = |operator: usize, last: usize| {
        let (column, start) = reference_before(tokens, operator)?;
        Some(Form { whole: tokens.get(start)?.start..tokens.get(last)?.end, column: bytes(tokens, &column)? })
    };
    let before = first.checked_sub(1);
    if let Some(operator) = before.filter(|&at| is_equality(tokens, at)) {
        return behind(operator, last);
    }
    if let Some(operator) = before.and_then(|at| distinct_from(tokens, at)) {
        return behind(operator, last);
    }
    if is_equality(tokens, last.saturating_add(1)) {
        let (column, end) = reference_behind(tokens, last.saturating_add(2))?;
        let whole = tokens.get(first)?.start..tokens.get(end.checked_sub(1)?)?.end;
        return Some(Form { whole, column: bytes(tokens, &column)? });
    }
    // A list: out of its parentheses until one of them belongs to an operator.
    let mut at = first;
    for _ in 0..8 {
        let open = opener(tokens, at)?;
        let before = open.checked_sub(1)?;
        let last = closer(tokens, open)?;
        let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| token.is_any(words));
        if tokens.get(open)?.is_mark(Mark::LeftParen) {
            if is_equality(tokens, before) {
                return behind(before, last);
            }
            if is(before, &["any", "some", "all"]) {
                return behind(before.checked_sub(1).filter(|&at| is_equality(tokens, at))?, last);
            }
            if is(before, &["in"]) {
                let negated = before.checked_sub(1).filter(|&at| is(at, &["not"]));
                return behind(negated.unwrap_or(before), last);
            }
        }
        at = open;
    }
    None
}

fn bytes(tokens: &[Token<'_>], span: &Range<usize>) -> Option<Range<usize>> {
    Some(tokens.get(span.start)?.start..tokens.get(span.end.checked_sub(1)?)?.end)
}

fn is_equality(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| ["=", "<>", "!="].iter().any(|operator| token.is_operator(operator)))
}

/// Where `IS [NOT] DISTINCT FROM` begins that ends there.
fn distinct_from(tokens: &[Token<'_>], from: usize) -> Option<usize> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    let distinct = from.checked_sub(1).filter(|&at| is(from, "from") && is(at, "distinct"))?;
    let before = distinct.checked_sub(1)?;
    let begin = if is(before, "not") { before.checked_sub(1)? } else { before };
    is(begin, "is").then_some(begin)
}

/// The parenthesis or bracket that is open at a token.
pub(super) fn opener(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for open in (0..at).rev() {
        match tokens.get(open)?.kind {
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => depth = depth.saturating_add(1),
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) if depth == 0 => return Some(open),
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn closer(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => depth = depth.saturating_add(1),
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) if depth == 1 => return Some(at),
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn is_name(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| matches!(token.kind, TokenKind::Word(_) | TokenKind::Quoted(_)))
}

fn is_mark(tokens: &[Token<'_>], at: usize, mark: Mark) -> bool {
    tokens.get(at).is_some_and(|token| token.is_mark(mark))
}

/// The reference that ends before an operator, with parentheses and casts around it or not: itself, and the first token of
/// all that.
fn reference_before(tokens: &[Token<'_>], operator: usize) -> Option<(Range<usize>, usize)> {
    let cast = (1..=10)
        .filter_map(|back| operator.checked_sub(back))
        .find(|&at| is_mark(tokens, at, Mark::DoubleColon) && type_end(tokens, at.saturating_add(1)) == operator);
    let last = cast.unwrap_or(operator).checked_sub(1)?;
    let in_parentheses = is_mark(tokens, last, Mark::RightParen);
    let last = if in_parentheses { last.checked_sub(1)? } else { last };
    let mut first = last;
    while first.checked_sub(1).is_some_and(|dot| is_mark(tokens, dot, Mark::Dot)) {
        first = first.checked_sub(2)?;
    }
    let names = (first..=last).step_by(2);
    if !names.into_iter().all(|at| is_name(tokens, at)) {
        return None;
    }
    let column = first..last.saturating_add(1);
    if !in_parentheses {
        return Some((column, first));
    }
    // Parentheses of a function are none of its own.
    let open = first.checked_sub(1).filter(|&open| is_mark(tokens, open, Mark::LeftParen))?;
    let before = open.checked_sub(1)?;
    let own = !is_name(tokens, before) || tokens.get(before).is_some_and(|token| token.is_any(&OPERANDS));
    own.then_some((column, open))
}

/// The reference that begins there, casts not included, and the token behind it with its casts.
fn reference_behind(tokens: &[Token<'_>], first: usize) -> Option<(Range<usize>, usize)> {
    let mut end = first.saturating_add(1);
    if !is_name(tokens, first) {
        return None;
    }
    while is_mark(tokens, end, Mark::Dot) && is_name(tokens, end.saturating_add(1)) {
        end = end.saturating_add(2);
    }
    let column = first..end;
    while is_mark(tokens, end, Mark::DoubleColon) {
        end = type_end(tokens, end.saturating_add(1));
    }
    Some((column, end))
}

#[cfg(test)]
mod tests {
    use super::super::given::given;
    use super::*;

    #[test]
    fn the_comparison_around_a_value_is_found_with_its_column() {
        for (text, expected) in [
            ("SELECT 1 FROM t WHERE email = $1", Some(("email = $1", "email"))),
            ("WHERE c.\"E\" <> 'x' AND d", Some(("c.\"E\" <> 'x'", "c.\"E\""))),
            ("WHERE s.c.email != $1::text", Some(("s.c.email != $1::text", "s.c.email"))),
            ("WHERE (email)::text = 'x'", Some(("(email)::text = 'x'", "email"))),
            ("WHERE email::character varying(10) = 'x'", Some(("email::character varying(10) = 'x'", "email"))),
            ("WHERE $1 = c.email::text OR x", Some(("$1 = c.email::text", "c.email"))),
            ("WHERE email = ($1)", Some(("email = ($1)", "email"))),
            ("WHERE email IN (NULL, $1)", Some(("email IN (NULL, $1)", "email"))),
            ("WHERE c.email NOT IN ('x') AND y", Some(("c.email NOT IN ('x')", "c.email"))),
            ("WHERE email = ANY ($1) OR x", Some(("email = ANY ($1)", "email"))),
            ("WHERE email <> ALL (ARRAY[NULL, $1]::text[])", Some(("email <> ALL (ARRAY[NULL, $1]::text[])", "email"))),
            (
                "WHERE (email)::text = ANY ((ARRAY['x'])::text[])",
                Some(("(email)::text = ANY ((ARRAY['x'])::text[])", "email")),
            ),
            ("WHERE email IS NOT DISTINCT FROM $1", Some(("email IS NOT DISTINCT FROM $1", "email"))),
            ("WHERE email IS DISTINCT FROM 'x'", Some(("email IS DISTINCT FROM 'x'", "email"))),
            ("WHERE lower(email) = $1", None),
            ("WHERE a || email = $1", Some(("email = $1", "email"))),
            ("WHERE email LIKE $1", None),
            ("SELECT $1", None),
        ] {
            let tokens: Vec<_> = Lexer::new(text).map(Result::unwrap).collect();
            let value = given(text).pop().unwrap();
            let found = form(&tokens, &value.span);
            let found = found.map(|form| (text.get(form.whole).unwrap(), text.get(form.column).unwrap()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
