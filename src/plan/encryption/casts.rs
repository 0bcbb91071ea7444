//! Casts around more than a value: of what values are handed on by (`SELECT p0::date FROM (VALUES ($1)) v(p0)`), of choices among these
//! (`(CASE WHEN id = 1 THEN $1 ELSE $2 END)::date`), and of lists (`ARRAY[$1, $2]::date[]`).
//!
//! What is cast there are envelopes by the time that the server does it: it casts them to what they are, and pgveil the values to
//! the type that is written. Which casts these are, lineage tells: in the probe each of them has a number in the place of its type.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::given::{Given, OuterCast, type_end};
use super::indexed::opener;
use super::uses::{is_same, target_of};
use super::{Analyses, Holds, alone, edited, numbered};
use crate::plan::Snapshot;
use crate::sql::lexer::{Lexer, Mark, Token};
use crate::sql::lineage::{Counterpart, Flow, Lineage, Source, Taint, numbered_cast};
use crate::value::PlainType;

/// A cast, and the number of its type in a probe.
struct Cast {
    number: u32,
    span: Range<usize>,
    written: String,
}

impl Cast {
    fn edit(&self) -> (Range<usize>, String) {
        (self.span.clone(), numbered_cast(self.number))
    }

    fn outer(&self) -> OuterCast {
        OuterCast { span: self.span.clone(), written: self.written.clone(), is_list: self.written.ends_with(']') }
    }
}

/// The edits of a probe in which the casts have numbers that are around values for encrypted columns; these values know
/// of them then. `Ok(None)`: an analysis has to be made first. No edits: there are none.
pub(super) fn around(
    own: &str,
    given: &mut [Given],
    (lineage, snapshot): (&Lineage, &Snapshot),
    analyses: &mut Analyses<'_>,
) -> Option<Vec<(Range<usize>, String)>> {
    let encrypts =
        |attnum, relation| matches!(snapshot.holds(Source::Column { relation, attnum }), Holds::Envelopes(..));
    let concerned = lineage.relations.iter().filter_map(|oid| snapshot.catalog.relation(*oid));
    let mut columns =
        concerned.flat_map(|relation| relation.columns.iter().map(|column| (column.attnum, relation.oid)));
    if given.is_empty() || !columns.any(|(attnum, relation)| encrypts(attnum, relation)) {
        return Some(Vec::new());
    }
    let mut casts = written(own, given);
    if casts.is_empty() {
        return Some(Vec::new());
    }
    let edits = numbered(given).into_iter().chain(casts.iter().map(Cast::edit)).collect();
    let analysis = analyses(&edited(own, edits))?;
    let Some(probed) = alone(&analysis).filter(|probed| is_same(lineage, probed)) else { return Some(Vec::new()) };
    let wanted = wanted(probed, snapshot);
    casts.retain(|cast| {
        let through = probed.casts.get(&cast.number);
        through.is_some_and(|through| is_around(through, &wanted, PlainType::parse(&cast.written).ok(), snapshot))
    });
    let around = wanted.iter().map(|(number, ways)| {
        let mut ways = ways.iter();
        let (Some(way), None) = (ways.next(), ways.next()) else { return None };
        let cast = |number: &u32| casts.iter().find(|cast| cast.number == *number).map(Cast::outer);
        Some((*number, way.iter().map(cast).collect::<Option<Vec<_>>>()?))
    });
    // Where one goes several ways, the server does as the statement says; it may not run like that.
    let Some(around) = around.collect::<Option<Vec<_>>>() else { return Some(Vec::new()) };
    for (number, around) in around.into_iter().filter(|_| !casts.is_empty()) {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(given) = place.and_then(|place| given.get_mut(place)) {
            given.outer_casts = around;
        }
    }
    Some(casts.iter().map(Cast::edit).collect())
}

/// Values by their numbers, each with the casts that it goes through on its ways.
type Ways = BTreeMap<u32, BTreeSet<Vec<u32>>>;

/// The values that are stored in encrypted columns or compared with them.
fn wanted(probed: &Lineage, snapshot: &Snapshot) -> Ways {
    let target = |relation, attnum| target_of(relation, attnum, (false, true), snapshot);
    let mut wanted = Ways::new();
    for write in &probed.writes {
        if write.relation.zip(write.attnum).is_some_and(|(relation, attnum)| target(relation, attnum).is_some()) {
            for number in write.taint.parameters.keys() {
                let way = write.taint.casts.get(number).cloned().unwrap_or_default();
                wanted.entry(*number).or_default().insert(way);
            }
        }
    }
    for comparison in &probed.comparisons {
        let (Counterpart::Parameter(number) | Counterpart::Elements(number)) = comparison.with else { continue };
        if matches!(snapshot.holds(comparison.source), Holds::Envelopes(..)) {
            let ways = probed.compared_casts.iter().filter(|(compared, _)| *compared == number);
            wanted.entry(number).or_default().extend(ways.map(|(_, way)| way.clone()));
        }
    }
    wanted
}

/// Whether a cast is one of values for encrypted columns and nothing else, but for values of such that are of its type already.
fn is_around(through: &Taint, wanted: &Ways, to: Option<PlainType>, snapshot: &Snapshot) -> bool {
    let own = |(source, flow): (&Source, &Flow)| match snapshot.holds(*source) {
        _ if *flow == Flow::Counted || through.deciding.contains(source) => true,
        Holds::Envelopes(encryption, _) => *flow == Flow::Direct && to.as_ref() == Some(&encryption.plain),
        Holds::Plain | Holds::Index(_) | Holds::Computed(_) => false,
    };
    !through.parameters.is_empty()
        && through.unknown.is_none()
        && through.parameters.iter().all(|(number, flow)| *flow == Flow::Direct && wanted.contains_key(number))
        && through.sources.iter().all(own)
}

/// The casts of a statement, but for those that are known to be of its values.
fn written(text: &str, given: &[Given]) -> Vec<Cast> {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    let mut casts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let start = at.saturating_add(1);
        let end = type_end(&tokens, start);
        let is_cast = token.is_mark(Mark::DoubleColon) || (token.is("as") && is_of_cast(&tokens, at, end));
        let (Some(first), Some(last)) = (tokens.get(start), tokens.get(end.saturating_sub(1))) else { continue };
        let span = first.start..last.end;
        let known = given.iter().any(|given| given.span.start <= span.start && span.end <= given.span.end);
        if !is_cast || end <= start || known {
            continue;
        }
        let Some(written) = text.get(span.clone()).map(str::to_owned) else { continue };
        let Ok(number) = u32::try_from(casts.len()) else { break };
        casts.push(Cast { number, span, written });
    }
    casts
}

/// Whether that `AS` is one of `CAST(... AS type)`; `end`: the token behind the type.
fn is_of_cast(tokens: &[Token<'_>], at: usize, end: usize) -> bool {
    let open = opener(tokens, at).and_then(|open| open.checked_sub(1)).and_then(|before| tokens.get(before));
    open.is_some_and(|word| word.is("cast")) && tokens.get(end).is_some_and(|close| close.is_mark(Mark::RightParen))
}

#[cfg(test)]
mod tests {
    use super::super::given::given;
    use super::*;

    #[test]
    fn casts_around_more_than_a_value_are_found() {
        for (text, expected) in [
            ("SELECT p0::date, $1::int FROM (VALUES ($2)) v(p0)", vec!["date"]),
            ("SELECT CAST(CASE WHEN a THEN $1 END AS character varying(3))", vec!["character varying(3)"]),
            ("SELECT (a)::numeric(10, 2)::text, 'x'::text", vec!["numeric(10, 2)", "text"]),
            ("SELECT a AS date, ARRAY['x']::text[], CAST($1 AS int)", vec!["text[]"]),
            ("SELECT b::text[], ($1)::numeric(12,2)[], $1::text::int", vec!["text[]", "int"]),
            ("SELECT CAST(f(a, 'x') AS my.kind) AS b", vec!["my.kind"]),
        ] {
            let found: Vec<_> = written(text, &given(text)).into_iter().map(|cast| cast.written).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
