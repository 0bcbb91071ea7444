//! temporary
use std::collections::BTreeSet;
use super::lexer::{Lexer};
use super::recognise::{InnerQuery, recognise, split};
use super::statement::{Analysis, Reading, Statement};
use super::{Limits, NotUnderstood, lineage, read_squawk, words};
use crate::catalog::{Catalog, Name};
/// temporary
pub fn analyze(text: &[u8], catalog: &Catalog, limits: &Limits) -> Analysis {
    let Ok(text) = std::str::from_utf8(text) else { return Analysis::Opaque(NotUnderstood::Encoding, BTreeSet::new()) };
    let tokens = match Lexer::tokens(text, limits.tokens_max) { Ok(t) => t, Err(e) => return Analysis::Opaque(e, BTreeSet::new()) };
    let ranges = match split(&tokens, limits.statements_max) { Ok(r) => r, Err(e) => return Analysis::Opaque(e, BTreeSet::new()) };
    Analysis::Statements(ranges.into_iter().map(|range| {
        let mine = tokens.get(range).unwrap_or_default();
        let found = recognise(mine);
        let span = mine.first().map_or(0, |t| t.start)..mine.last().map_or(0, |t| t.end);
        let mut set = BTreeSet::new();
        let _ = words(text.get(span.clone()).unwrap_or_default(), |w| { set.insert(Name::exact(w.text)); });
        let reading = match found.query {
            InnerQuery::None => Reading::NoQuery,
            InnerQuery::NotUnderstood(e) => Reading::NotUnderstood(e),
            InnerQuery::Tokens(r) => {
                let inner = mine.get(r).unwrap_or_default();
                let q = inner.first().map_or(0, |t| t.start)..inner.last().map_or(0, |t| t.end);
                match read_squawk::read(text.get(q).unwrap_or_default()).and_then(|q| lineage::lineage(&q, catalog, limits)) {
                    Ok(l) => Reading::Understood(std::sync::Arc::new(l)), Err(e) => Reading::NotUnderstood(e) }
            }
        };
        Statement { kind: found.kind, span, reading, detail: found.detail, words: set }
    }).collect())
}
