//! Queries of the system catalogs: encrypted columns are shown with the types that applications see, not with those that are
//! stored, so that drivers, ORMs and people find the schema as it was.
//!
//! `pg_attribute` and `information_schema.columns` in the FROM of a query become sub-selects of the same columns, in which the
//! type of an encrypted column is the declared one. (PostgreSQL manual, sections 53.7 and 37.17.)

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use super::Holds;
use crate::catalog::{Name, Oid, Relation};
use crate::plan::Snapshot;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};
use crate::sql::lineage::Source;
use crate::value::{PlainType, Scalar};

/// What may follow a relation in FROM and is no alias.
const BEHIND: [&str; 22] = [
    "where",
    "join",
    "left",
    "right",
    "inner",
    "full",
    "cross",
    "natural",
    "on",
    "using",
    "order",
    "group",
    "limit",
    "union",
    "intersect",
    "except",
    "having",
    "window",
    "offset",
    "fetch",
    "for",
    "tablesample",
];

/// Words that begin another clause of a query than FROM.
const CLAUSES: [&str; 11] =
    ["select", "where", "group", "order", "having", "window", "limit", "offset", "fetch", "union", "returning"];

/// The two relations that tell the types of columns.
#[derive(Clone, Copy)]
enum Told {
    Attributes,
    Columns,
}

/// The text of a query that asks the system catalogs for columns, with the types that are declared of those that are encrypted;
/// `None`: it asks for nothing of the sort.
pub fn introspection(text: &str, snapshot: &Snapshot) -> Option<String> {
    if !snapshot.policy.encrypts() || text.len() > snapshot.limits.statement_bytes_max {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let columns = lower.contains("information_schema") && lower.contains("columns");
    if !columns && !lower.contains("pg_attribute") {
        return None;
    }
    let tokens = Lexer::new(text).collect::<Result<Vec<_>, _>>().ok()?;
    if !tokens.first()?.is_any(&["select", "with"]) && !tokens.first()?.is_mark(Mark::LeftParen) {
        return None;
    }
    let found = relations(&tokens);
    if found.is_empty() {
        return None;
    }
    let encrypted = encrypted(snapshot);
    let mut changed = text.to_owned();
    for (span, told, aliased) in found.into_iter().rev() {
        let Some(query) = told.query(&encrypted, snapshot) else { continue };
        let alias = match (aliased, told) {
            (true, _) => "",
            (false, Told::Attributes) => " AS pg_attribute",
            (false, Told::Columns) => " AS columns",
        };
        changed.replace_range(span, &format!("({query}){alias}"));
    }
    (changed != text).then_some(changed)
}

/// Where one of the two stands in FROM, and whether it has an alias.
fn relations(tokens: &[Token<'_>]) -> Vec<(Range<usize>, Told, bool)> {
    let mut found = Vec::new();
    let (mut open, mut in_from): (Vec<bool>, bool) = (Vec::new(), false);
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if token.is_mark(Mark::LeftParen) {
            // `FROM (a JOIN b)` is still FROM; a function's arguments are not.
            let called = before
                .is_some_and(|before| matches!(before.kind, TokenKind::Word(_)) && !before.is_any(&["from", "join"]));
            open.push(in_from);
            in_from = in_from && !called;
        } else if token.is_mark(Mark::RightParen) {
            in_from = open.pop().unwrap_or_default();
        } else if token.is("from") || token.is("join") {
            in_from = true;
        } else if token.is_any(&CLAUSES) {
            in_from = false;
        }
        let begins = |token: Option<&Token<'_>>| {
            token.is_some_and(|token| {
                token.is("from") || token.is("join") || token.is_mark(Mark::Comma) || token.is_mark(Mark::LeftParen)
            })
        };
        let name = |at: usize| tokens.get(at).and_then(Token::name);
        let is = |at: usize, wanted: &str| name(at).is_some_and(|name| name.as_str() == wanted);
        let dot = |at: usize| tokens.get(at).is_some_and(|token| token.is_mark(Mark::Dot));
        if !in_from || !begins(before) {
            continue;
        }
        let (last, told) = if is(at, "pg_attribute") {
            (at, Told::Attributes)
        } else if is(at, "pg_catalog") && dot(at.saturating_add(1)) && is(at.saturating_add(2), "pg_attribute") {
            (at.saturating_add(2), Told::Attributes)
        } else if is(at, "information_schema") && dot(at.saturating_add(1)) && is(at.saturating_add(2), "columns") {
            (at.saturating_add(2), Told::Columns)
        } else {
            continue;
        };
        let behind = tokens.get(last.saturating_add(1));
        if behind.is_some_and(|behind| behind.is_mark(Mark::Dot) || behind.is_mark(Mark::LeftParen)) {
            continue;
        }
        let aliased = behind.is_some_and(|behind| {
            matches!(behind.kind, TokenKind::Word(_) | TokenKind::Quoted(_)) && !behind.is_any(&BEHIND)
        });
        if let Some(end) = tokens.get(last) {
            found.push((token.start..end.end, told, aliased));
        }
    }
    found
}

/// Relations with encrypted columns, and the types that are declared of these.
type Encrypted<'s> = BTreeMap<Oid, (&'s Relation, Vec<(i16, PlainType)>)>;

/// The columns that hold envelopes, by their relation, with the types that are declared of them.
fn encrypted(snapshot: &Snapshot) -> Encrypted<'_> {
    let mut found = Encrypted::new();
    for (relation, attnum) in snapshot.inventory.tagged() {
        let Holds::Envelopes(encryption, _) = snapshot.holds(Source::Column { relation, attnum }) else { continue };
        let Some(known) = snapshot.catalog.relation(relation) else { continue };
        found.entry(relation).or_insert((known, Vec::new())).1.push((attnum, encryption.plain.clone()));
    }
    found
}

impl Told {
    /// The query that has the columns of the relation.
    fn query(self, encrypted: &Encrypted<'_>, snapshot: &Snapshot) -> Option<String> {
        let (schema, name) = match self {
            Self::Attributes => ("pg_catalog", "pg_attribute"),
            Self::Columns => ("information_schema", "columns"),
        };
        let relation = snapshot.catalog.relations_named(Some(&Name::exact(schema)), &Name::exact(name)).next()?;
        let columns = relation.columns.iter().map(|column| {
            let column = column.name.as_str();
            let told = match self {
                Self::Attributes => attribute(column, encrypted),
                Self::Columns => information(column, encrypted, snapshot),
            };
            told.map_or_else(|| column.to_owned(), |told| format!("{told} AS {column}"))
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        Some(format!("SELECT {columns} FROM {schema}.{name}"))
    }
}

/// A column of `pg_attribute` that tells of types.
fn attribute(column: &str, encrypted: &Encrypted<'_>) -> Option<String> {
    let value = |plain: &PlainType| match column {
        "atttypid" => Some(format!("{}::pg_catalog.oid", plain.oid().0)),
        "atttypmod" => Some(format!("({})", plain.modifier())),
        "attlen" => Some(format!("({})::pg_catalog.int2", plain.size())),
        "attcollation" => Some(match plain.scalar {
            Scalar::Text | Scalar::Varchar | Scalar::Bpchar => column.to_owned(),
            _ => "0::pg_catalog.oid".to_owned(),
        }),
        _ => None,
    };
    let mut cases = String::new();
    for (oid, (_, columns)) in encrypted {
        let mut inner = String::new();
        for (attnum, plain) in columns {
            // Writing to a String does not fail.
            let _written = write!(inner, " WHEN {attnum} THEN {}", value(plain)?);
        }
        let _written = write!(cases, " WHEN {} THEN CASE attnum{inner} ELSE {column} END", oid.0);
    }
    (!cases.is_empty()).then(|| format!("CASE attrelid{cases} ELSE {column} END"))
}

/// A column of `information_schema.columns` that tells of types.
fn information(column: &str, encrypted: &Encrypted<'_>, snapshot: &Snapshot) -> Option<String> {
    let number = |number: Option<i32>| match number {
        Some(number) => format!("{number}::information_schema.cardinal_number"),
        None => "NULL::information_schema.cardinal_number".to_owned(),
    };
    let value = |plain: &PlainType| {
        Some(match column {
            "data_type" => {
                let bare = PlainType { modifier: -1, ..plain.clone() }.to_string();
                // What `format_type` calls it where it is not asked for a length.
                let bare = if plain.scalar == Scalar::Bpchar { "character" } else { &bare };
                format!("{}::information_schema.character_data", quoted(bare))
            }
            "udt_name" => {
                let name = &snapshot.catalog.type_of(plain.oid())?.name;
                format!("{}::information_schema.sql_identifier", quoted(name.as_str()))
            }
            "character_maximum_length" => number(length(plain)),
            "character_octet_length" => number(octets(plain)),
            "numeric_precision" => number(precision(plain)),
            "numeric_precision_radix" => number(radix(plain)),
            "numeric_scale" => number(scale(plain)),
            "datetime_precision" => number(fraction(plain)),
            _ => return None,
        })
    };
    let mut cases = String::new();
    for (relation, columns) in encrypted.values() {
        let mut inner = String::new();
        for (attnum, plain) in columns {
            let Some(named) = relation.attribute(*attnum) else { continue };
            let _written = write!(inner, " WHEN {} THEN {}", quoted(named.name.as_str()), value(plain)?);
        }
        let (schema, table) = (quoted(relation.schema.as_str()), quoted(relation.name.as_str()));
        let _written = write!(
            cases,
            " WHEN table_schema = {schema} AND table_name = {table} THEN CASE column_name{inner} ELSE {column} END"
        );
    }
    (!cases.is_empty()).then(|| format!("CASE{cases} ELSE {column} END"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `_pg_char_max_length` of the information schema.
fn length(plain: &PlainType) -> Option<i32> {
    let modifier = Some(plain.modifier()).filter(|modifier| *modifier >= 0);
    match plain.scalar {
        Scalar::Varchar | Scalar::Bpchar => modifier?.checked_sub(4),
        Scalar::Bit | Scalar::Varbit => modifier,
        _ => None,
    }
}

/// `_pg_char_octet_length`, of databases in UTF-8.
fn octets(plain: &PlainType) -> Option<i32> {
    const UNLIMITED: i32 = 1 << 30;
    match plain.scalar {
        Scalar::Text => Some(UNLIMITED),
        Scalar::Varchar | Scalar::Bpchar => length(plain).map_or(Some(UNLIMITED), |length| length.checked_mul(4)),
        _ => None,
    }
}

/// `_pg_numeric_precision`.
fn precision(plain: &PlainType) -> Option<i32> {
    match plain.scalar {
        Scalar::Int2 => Some(16),
        Scalar::Int4 => Some(32),
        Scalar::Int8 => Some(64),
        Scalar::Float4 => Some(24),
        Scalar::Float8 => Some(53),
        Scalar::Numeric if plain.modifier() >= 4 => Some(((plain.modifier() - 4) >> 16) & 0xffff),
        _ => None,
    }
}

/// `_pg_numeric_precision_radix`.
fn radix(plain: &PlainType) -> Option<i32> {
    match plain.scalar {
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Float4 | Scalar::Float8 => Some(2),
        Scalar::Numeric => Some(10),
        _ => None,
    }
}

/// `_pg_numeric_scale`.
fn scale(plain: &PlainType) -> Option<i32> {
    match plain.scalar {
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => Some(0),
        Scalar::Numeric if plain.modifier() >= 4 => Some((plain.modifier() - 4) & 0xffff),
        _ => None,
    }
}

/// `_pg_datetime_precision`.
fn fraction(plain: &PlainType) -> Option<i32> {
    let modifier = plain.modifier();
    match plain.scalar {
        Scalar::Date => Some(0),
        Scalar::Time | Scalar::TimeTz | Scalar::Timestamp | Scalar::TimestampTz => {
            Some(if modifier < 0 { 6 } else { modifier })
        }
        Scalar::Interval => Some(match modifier & 0xffff {
            _ if modifier < 0 => 6,
            0xffff => 6,
            places => places,
        }),
        _ => None,
    }
}
