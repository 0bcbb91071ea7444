//! What holds for every policy, statement and description.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::binding::delivered;
use super::database::{Database, caller, description, field, statement};
use crate::catalog::Oid;
use crate::mask::TextEncoding;
use crate::plan::{Own, PlannedRows, Snapshot, Verdict, judge};
use crate::policy::{Policy, PolicySource};
use crate::sql::lineage::{Flow, Lineage, Origin, Output, Source, Taint, Unknown};
use crate::sql::statement::{Reading, Statement};
use crate::value::TextForms;

/// Select lists, each of one column `x` of type text.
const VALUES: &[&str] = &[
    "email",
    "name",
    "phone",
    "card",
    "notes",
    "c.email",
    "coalesce(email, '')",
    "coalesce(email, name)",
    "coalesce(name, phone, card)",
    "lower(email)",
    "email || name",
    "upper(card) || 'x'",
    "CASE WHEN email = 'x' THEN name ELSE phone END",
    "CASE WHEN tenant = 1 THEN name ELSE phone END",
    "(SELECT customer_email FROM orders)",
    "(SELECT max(mail) FROM leads)",
    "(SELECT title FROM parts)",
    "max(email)",
    "count(email)",
    "email IS NULL",
    "length(notes)",
    "'x'",
    "missing",
];

/// What stands behind the select list.
const REST: &[&str] = &[
    "FROM customers c",
    "FROM customers c WHERE email = 'x'",
    "FROM customers c WHERE name LIKE 'x%'",
    "FROM customers c WHERE phone IS NULL",
    "FROM customers c WHERE card > 'x'",
    "FROM customers c WHERE lower(notes) = 'x'",
    "FROM customers c ORDER BY name",
    "FROM customers c GROUP BY 1",
    "FROM customers c JOIN orders o ON o.customer_email = c.email",
    "FROM customers c JOIN leads l ON l.mail = c.name",
    "FROM (SELECT * FROM customers) c",
    "FROM customers c UNION SELECT customer_email FROM orders",
];

/// Statements that are not queries alone; `{v}` is a value.
const OTHERS: &[&str] = &[
    "INSERT INTO scratch (t) SELECT {v} FROM customers c",
    "INSERT INTO orders (customer_email) SELECT {v} FROM customers c",
    "UPDATE customers c SET name = {v} RETURNING {v} AS x",
    "DELETE FROM customers c WHERE email = 'x' RETURNING {v} AS x",
    "CREATE TABLE fresh AS SELECT {v} AS x FROM customers c",
    "COPY (SELECT {v} FROM customers c) TO STDOUT",
    "EXPLAIN SELECT {v} FROM customers c",
    "WITH w AS (SELECT {v} AS x FROM customers c) SELECT x FROM w",
];

const RIGHTS: [&str; 7] = [
    "clear",
    "masked",
    "{ masked: full }",
    "{ masked: { show_last: 4 }, filter: search }",
    "{ masked: full, filter: refuse }",
    "hidden",
    "denied",
];

const COLUMNS: [&str; 8] =
    ["email", "name", "phone", "card", "notes", "customers.email", "orders.customer_email", "leads.mail"];

/// A policy whose role `r` (`users: ann`) has these rights, by index, for [`COLUMNS`]; none where there is none.
fn policy(rights: &[Option<usize>]) -> String {
    let sees: Vec<String> = COLUMNS
        .iter()
        .zip(rights)
        .filter_map(|(column, right)| Some(format!("{column}: {}", RIGHTS.get((*right)?)?)))
        .collect();
    let sees = if sees.is_empty() { "\"*\": masked".to_owned() } else { sees.join(", ") };
    format!(
        "version: 1\ntags: {{ email: {{ mask: email }}, name: {{ mask: full, filter: search }}, \
         phone: {{ mask: {{ show_last: 2 }}, filter: refuse }}, card: {{ mask: card }}, \
         notes: {{ mask: full, filter: allow }} }}\ncolumns:\n  customers: {{ email: email, name: name, phone: phone, \
         card: card, notes: notes }}\n  orders: {{ customer_email: email }}\n  leads: {{ mail: email }}\nroles:\n  r: \
         {{ users: ann, sees: {{ {sees} }} }}\n"
    )
}

/// How much of a result column is shown, from nothing up. Different masks can not be compared, and are not.
fn shown(snapshot: &Snapshot, statement: &Statement, text: &str, origin: &str) -> (u8, BTreeSet<String>) {
    let ann = caller("ann", snapshot);
    match judge(text, statement, snapshot, &ann, &Own::default()).verdict {
        Verdict::Pass => (3, BTreeSet::new()),
        Verdict::Refuse(_) => (0, BTreeSet::new()),
        Verdict::Recall(_) | Verdict::RecallPlan(_) => panic!("{text}"),
        Verdict::Protect(protection) => {
            let fields = description(vec![field(snapshot, "x", origin, "text")]);
            let plan = protection.bind(&fields, snapshot, &ann, (TextEncoding::Utf8, &TextForms::default()));
            let value = "jane@example.org";
            let (events, cells) = delivered(plan, &[value]);
            let level = match cells.concat().as_str() {
                // The text of a plan holds no value of a table.
                _ if text.starts_with("EXPLAIN") => 1,
                cell if cell == value => 3,
                "" | "-" | "####" => 1,
                _ => 2,
            };
            (level, events.into_iter().collect())
        }
    }
}

fn texts() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(VALUES);
    prop_oneof![
        4 => (value(), prop::sample::select(REST)).prop_map(|(value, rest)| format!("SELECT {value} AS x {rest}")),
        1 => (value(), prop::sample::select(OTHERS)).prop_map(|(value, other)| other.replace("{v}", value)),
    ]
}

fn rights() -> impl Strategy<Value = Vec<Option<usize>>> {
    prop::collection::vec(prop::option::of(0..RIGHTS.len()), COLUMNS.len())
}

fn known(statement: &Statement) -> Option<&Lineage> {
    match &statement.reading {
        Reading::Understood(lineage) => Some(lineage),
        Reading::NoQuery | Reading::NotUnderstood(_) => None,
    }
}

fn with_lineage(statement: &Statement, lineage: Lineage) -> Statement {
    Statement { reading: Reading::Understood(Arc::new(lineage)), ..statement.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// From clear to masked, to hidden, to denied: each step shows no more, of whichever column it is taken.
    #[test]
    fn taking_a_right_away_never_shows_more(
        text in texts(), mut rights in rights(), column in 0..COLUMNS.len(), less in prop::sample::select(vec![5_usize, 6]),
    ) {
        let text = text.as_str();
        rights[column] = Some(0);
        let more = Database::shop().snapshot_of(&policy(&rights));
        rights[column] = Some(less);
        let fewer = Database::shop().snapshot_of(&policy(&rights));
        let of = statement(text, &more);
        let (before, revealed) = shown(&more, &of, text, "-");
        let (after, still) = shown(&fewer, &of, text, "-");
        // A write that was refused may go where its target is seen by nobody any more; it shows nothing.
        prop_assert!(after <= before.max(1), "{text}: {before} became {after}");
        prop_assert!(still.is_subset(&revealed), "{text}: {revealed:?} became {still:?}");
    }

    /// What is not known is shown no more than what is.
    #[test]
    fn an_unknown_output_never_shows_more(text in texts(), rights in rights()) {
        let snapshot = Database::shop().snapshot_of(&policy(&rights));
        let of = statement(&text, &snapshot);
        let Some(lineage) = known(&of) else { return Ok(()) };
        let mut lineage = lineage.clone();
        for output in &mut lineage.outputs {
            output.origin = Origin::Value(Taint::unknown(Unknown::Construct));
        }
        let (before, revealed) = shown(&snapshot, &of, &text, "-");
        let (after, still) = shown(&snapshot, &with_lineage(&of, lineage), &text, "-");
        // A statement that is refused for what it shows would be redacted instead: that is no more either.
        prop_assert!(after <= before.max(1), "{text}: {before} became {after}");
        prop_assert!(still.is_subset(&revealed), "{text}");
    }

    /// A value that is made of more, or by more than a copy, is shown no more.
    #[test]
    fn a_more_general_taint_never_loosens_a_rule(
        text in texts(), rights in rights(), relation in prop::sample::select(vec!["customers", "orders", "leads", "parts"]),
        attnum in 1_i16..8, flow in prop::sample::select(vec![Flow::Counted, Flow::Direct, Flow::Derived]),
    ) {
        let database = Database::shop();
        let relation = database.relation_oid(relation);
        let snapshot = database.snapshot_of(&policy(&rights));
        let of = statement(&text, &snapshot);
        let Some(lineage) = known(&of) else { return Ok(()) };
        let mut lineage = lineage.clone();
        for Output { origin, .. } in &mut lineage.outputs {
            let mut taint = origin.taint();
            taint.join(&Taint::of(Source::Column { relation, attnum }, flow));
            *origin = Origin::Value(taint);
        }
        let (before, _) = shown(&snapshot, &of, &text, "-");
        let (after, _) = shown(&snapshot, &with_lineage(&of, lineage), &text, "-");
        prop_assert!(after <= before.max(1), "{text}: {before} became {after}");
    }

    /// Rows hold clear values of tagged columns only where their permits are, whatever the server says of them.
    #[test]
    fn what_is_revealed_is_what_there_are_permits_for(
        text in texts(), rights in rights(),
        fields in prop::collection::vec(
            (
                prop::sample::select(vec!["x", "y", "email"]),
                prop::sample::select(vec![
                    "-", "customers.email", "customers.name", "customers.*", "customers.ctid", "orders.customer_email",
                    "parts.title", "parts.*",
                ]),
                prop::sample::select(vec!["text", "int4", "customers", "_text", "record"]),
                prop::option::weighted(0.1, 1_u32..30_000),
            ),
            0..4,
        ),
    ) {
        let snapshot = Database::shop().snapshot_of(&policy(&rights));
        let of = statement(&text, &snapshot);
        let ann = caller("ann", &snapshot);
        let Verdict::Protect(protection) = judge(&text, &of, &snapshot, &ann, &Own::default()).verdict else { return Ok(()) };
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(column, origin, type_name, table)| {
                let mut field = field(&snapshot, column, origin, type_name);
                field.table = table.map_or(field.table, Oid);
                field
            })
            .collect();
        let clear = |name: &str| -> bool {
            snapshot.policy.columns().any(|(id, column)| {
                let decision = snapshot.policy.decide(&ann.roles, id);
                format!("{}.{}", column.table, column.column) == name && decision.sight == crate::policy::Sight::Clear
            })
        };
        let cells = vec!["jane@example.org"; fields.len()];
        let origins: Vec<_> = fields.iter().map(|field| (field.table, field.attnum)).collect();
        let plan = protection.bind(&description(fields), &snapshot, &ann, (TextEncoding::Utf8, &TextForms::default()));
        let sealed = matches!(plan.rows, PlannedRows::Sealed(_));
        let (events, shown) = delivered(plan, &cells);
        prop_assert_eq!(sealed, !events.is_empty());
        for event in &events {
            prop_assert!(clear(event), "{}: {}", text, event);
        }
        let unique: BTreeSet<_> = events.iter().collect();
        prop_assert_eq!(unique.len(), events.len(), "one event for each column");
        let explains = text.starts_with("EXPLAIN");
        for (cell, (table, attnum)) in shown.iter().zip(origins) {
            let Some(reach) = snapshot.inventory.column(table, attnum).filter(|_| !explains) else { continue };
            let revealed = reach.columns.keys().all(|&id| {
                let column = snapshot.policy.column(id).unwrap();
                events.contains(&format!("{}.{}", column.table, column.column))
            });
            prop_assert!(cell != "jane@example.org" || revealed, "{}: {:?} without an event", text, reach);
        }
    }
}

#[test]
fn every_policy_of_the_properties_is_one() {
    for right in 0..RIGHTS.len() {
        let text = policy(&[Some(right); COLUMNS.len()]);
        let files = [PolicySource { path: "p.yaml".to_owned(), text }];
        assert!(Policy::parse(&files).is_ok());
    }
}
