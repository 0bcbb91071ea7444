//! What definitions and bodies name.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Spread;
use crate::catalog::{Catalog, Function, Name, Oid};
use crate::plan::powers::is_acting;
use crate::sql::lexer::{Lexer, Mark, TokenKind};
use crate::sql::lineage::{FilterKind, FilterUse, Flow, Lineage, Origin, Output, Source, Taint, is_forbidden};
use crate::sql::statement::{Analysis, Reading, Statement};
use crate::sql::words::deep_words;
use crate::sql::{Limits, analyze, makes_code, opened};

/// The relations and functions that the names in a text may mean. Made once for each text: names do not change while
/// tags spread.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub relations: Vec<Oid>,
    pub functions: Vec<Oid>,
    /// One of its names is that of a function that runs strings or reaches past the statement.
    pub runs_strings: bool,
    /// One of its words says that it may keep what it is given, or pass it on.
    pub acts: bool,
    /// It makes or changes code when it runs.
    pub makes_code: bool,
    /// One of its words sends a notification.
    pub notifies: bool,
    /// It opens cursors, or may.
    pub opens_cursors: bool,
    /// It ends with an error of its own making.
    pub raises: bool,
    /// It reads settings of the session.
    pub reads_settings: bool,
    /// It can not be taken apart: it may name anything.
    pub unreadable: bool,
}

impl Mentions {
    pub(super) fn of(catalog: &Catalog, text: &str) -> Self {
        let Some(names) = names_in(text) else {
            return Self { unreadable: true, runs_strings: true, ..Self::default() };
        };
        let mut mentions = Self { makes_code: makes_code(text), ..Self::default() };
        for name in &names {
            mentions.relations.extend(catalog.relations_named(None, name).map(|relation| relation.oid));
            mentions.functions.extend(catalog.functions_named(None, name).map(|function| function.oid));
            mentions.runs_strings |= is_forbidden(name);
            mentions.acts |= is_acting(name);
            mentions.opens_cursors |= matches!(name.as_str(), "open" | "cursor" | "refcursor");
            mentions.raises |= matches!(name.as_str(), "raise" | "assert" | "strict");
            mentions.reads_settings |= name.as_str() == "current_setting";
            mentions.notifies |= matches!(name.as_str(), "notify" | "pg_notify");
        }
        mentions
    }

    /// Whether one of these relations has tagged columns.
    pub(super) fn reads_tagged(&self, spread: &Spread) -> bool {
        self.relations.iter().any(|relation| spread.relations.contains_key(relation))
    }
}

/// Every name in a text, those in its strings and comments included; `None`: PostgreSQL's lexical rules do not accept it.
/// Names in quotes can hold any character, and be written with escapes: only the lexer finds those.
pub(super) fn names_in(text: &str) -> Option<BTreeSet<Name>> {
    deep_words(text)
}

/// The origins of a view's columns in terms of the relations that it names.
#[derive(Clone, Debug)]
pub(super) enum ViewColumns {
    /// Each column's; and the column that it is as it is, of a relation of which each row has one row at the most.
    Known(Arc<[Taint]>, Arc<[Option<(Oid, i16)>]>),
    /// Its definition is not understood.
    NotUnderstood,
    /// It calls what runs strings.
    RunsStrings,
}

pub(super) fn view_columns(definition: &str, count: usize, catalog: &Catalog) -> ViewColumns {
    let limits = Limits::default();
    let Analysis::Statements(statements) = analyze::analyze(definition.as_bytes(), catalog, &limits) else {
        return ViewColumns::NotUnderstood;
    };
    let [statement] = statements.as_slice() else { return ViewColumns::NotUnderstood };
    match &statement.reading {
        Reading::Understood(lineage) if !lineage.forbidden.is_empty() => ViewColumns::RunsStrings,
        Reading::Understood(lineage) if lineage.outputs.len() == count && !lineage.open_ended => {
            let stored = lineage.outputs.iter().map(|output| stored(output, lineage)).collect();
            ViewColumns::Known(lineage.outputs.iter().map(|output| output.origin.taint()).collect(), stored)
        }
        Reading::NotUnderstood(_) if statement.words.iter().any(is_forbidden) => ViewColumns::RunsStrings,
        Reading::Understood(_) | Reading::NoQuery | Reading::NotUnderstood(_) => ViewColumns::NotUnderstood,
    }
}

fn stored(output: &Output, lineage: &Lineage) -> Option<(Oid, i16)> {
    let Origin::Value(taint) = &output.origin else { return None };
    let mut sources = taint.sources.iter();
    match (sources.next(), sources.next()) {
        (Some((&Source::Column { relation, attnum }, Flow::Direct)), None)
            if output.unaltered
                && output.made_up == 0
                && taint.unknown.is_none()
                && lineage.single.contains(&relation)
                && !lineage.mixes =>
        {
            Some((relation, attnum))
        }
        _ => None,
    }
}

/// What the body of a function in SQL uses.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// What it shows, filters by and stores, taken together: what it returns is computed from that.
    pub used: Taint,
    /// What each of its columns is made of, if it is known how many there are.
    pub fields: Option<Arc<[Taint]>>,
    /// What decides which rows there are.
    pub rows: Taint,
    /// The filters that decide it: where the function has arguments, they are the caller's.
    pub filters: Arc<[FilterUse]>,
    /// Whether it may fail.
    pub fails: bool,
}

/// A filter of which no more is known than the function that has it.
pub(super) fn whole(function: Oid) -> FilterUse {
    FilterUse { source: Source::Function(function), kind: FilterKind::Other }
}

/// What a filter in a function's body is where the function is called with whatever the caller likes.
fn asked(filter: &FilterUse) -> FilterUse {
    let kind = match filter.kind {
        FilterKind::Any(_) | FilterKind::Like(_) | FilterKind::MadeUp => FilterKind::Other,
        kind @ (FilterKind::NullTest
        | FilterKind::Grouping
        | FilterKind::Equality
        | FilterKind::Join(_)
        | FilterKind::Conversion
        | FilterKind::Gathering
        | FilterKind::Prefix
        | FilterKind::Pattern
        | FilterKind::Range
        | FilterKind::Sort
        | FilterKind::Other) => kind,
    };
    FilterUse { kind, ..*filter }
}

/// Whether a body in PL/pgSQL does no more with the values that it reads than compare them for equality.
pub(super) fn compares_only(body: &str) -> bool {
    let (mut named, mut percent) = (false, false);
    Lexer::new(body).all(|token| {
        let called = std::mem::replace(&mut named, false);
        // `customers%ROWTYPE`; else it compares
        let of_type = std::mem::replace(&mut percent, false);
        if of_type && !token.is_ok_and(|token| token.is_any(&["type", "rowtype"])) {
            return false;
        }
        token.is_ok_and(|token| match token.kind {
            TokenKind::Operator(symbol) => {
                percent = symbol == "%";
                matches!(symbol, "=" | "<>" | "!=" | "||" | "*" | "%")
            }
            TokenKind::Mark(Mark::LeftParen) => !called,
            TokenKind::Mark(Mark::DoubleColon | Mark::LeftBracket) => false,
            TokenKind::Word(_) | TokenKind::Quoted(_) => {
                named = !token.is_any(&["and", "exists", "if", "in", "lower", "not", "or", "trim", "upper", "where"]);
                !token
                    .is_any(&["between", "ilike", "like", "order", "similar", "limit", "offset", "group", "max", "min"])
            }
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Mark(_) => true,
        })
    })
}

/// Whether a function is given something that it may compare texts with. A number or a date is no guess at a text.
pub(super) fn takes_texts(function: &Function) -> bool {
    // bool, int8, int2, int4, oid, float4, float8, date, time, timestamp, timestamptz, interval, timetz, numeric, uuid
    const OTHERS: [u32; 15] = [16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950];
    function.inputs.iter().any(|input| !OTHERS.contains(&input.0))
}

/// The filters of the queries whose cursors the body of a function in PL/pgSQL opens. `None`: it does something else, too, or
/// they are not understood.
pub(super) fn filters_of_cursors(function: &Function, catalog: &Catalog) -> Option<Arc<[FilterUse]>> {
    let queries = opened(function.body.as_deref()?)?;
    let queries = queries.into_iter().map(|query| used_by_query(query, function, catalog));
    let queries: Vec<Query> = queries.collect::<Option<_>>()?;
    Some(queries.iter().flat_map(|query| query.filters.iter().copied()).collect())
}

/// What the body of a function in SQL uses. `None`: it is not a single statement, or not understood.
pub(super) fn used_by_query(body: &str, function: &Function, catalog: &Catalog) -> Option<Query> {
    let catalog = &catalog.within(function.name.clone(), function.arguments.clone());
    let Analysis::Statements(statements) = analyze::analyze(body.as_bytes(), catalog, &Limits::default()) else {
        return None;
    };
    let [Statement { reading: Reading::Understood(lineage), .. }] = statements.as_slice() else { return None };
    if !lineage.forbidden.is_empty() || !lineage.unresolved.is_empty() || lineage.filters_unknown.is_some() {
        return None;
    }
    let mut rows = Taint::clean();
    for filter in &lineage.filters {
        let flow = if filter.kind == FilterKind::NullTest { Flow::Counted } else { Flow::Derived };
        rows.join(&Taint::of(filter.source, flow));
    }
    for source in lineage.orderings.iter().flat_map(|ordering| &ordering.by) {
        rows.join(&Taint::of(*source, Flow::Derived));
    }
    let mut used = rows.clone();
    for output in &lineage.outputs {
        used.join(&output.origin.taint().derived());
    }
    for write in &lineage.writes {
        used.join(&write.taint.clone().derived());
    }
    for &function in &lineage.functions {
        let read = Taint::of(Source::Function(function), Flow::Derived);
        used.join(&read);
        rows.join(&read);
    }
    let known = !lineage.open_ended && lineage.writes.is_empty() && lineage.into.is_none();
    let fields = known.then(|| lineage.outputs.iter().map(|output| output.origin.taint().derived()).collect());
    let nested = lineage.functions.iter().map(|&function| whole(function));
    let filters = lineage.filters.iter().map(asked).chain(nested).collect();
    let fails = lineage.fails;
    used.unknown.is_none().then_some(Query { used, fields, rows, filters, fails })
}
