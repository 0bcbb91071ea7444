//! Lineage meets the server's own description.

use bytes::{BufMut, BytesMut};

use super::database::{Database, caller, description, field, judged, name};
use crate::access_log::{AccessEvent, Action, Record, Visit};
use crate::catalog::{ForeignKey, Oid};
use crate::mask::TextEncoding;
use crate::plan::permit::Execution;
use crate::plan::{PlannedRows, ResultPlan, Snapshot, Verdict};
use crate::session::io::{Observation, RestrictiveReason};
use crate::value::TextForms;
use crate::wire::backend::Field;

pub(super) fn bound(user: &str, text: &str, fields: Vec<Field>, snapshot: &Snapshot) -> ResultPlan {
    match judged(user, text, snapshot).verdict {
        Verdict::Protect(protection) => protection.bind(
            &description(fields),
            snapshot,
            &caller(user, snapshot),
            (TextEncoding::Utf8, &TextForms::default()),
        ),
        other => panic!("{user}: {text}: {other:?}"),
    }
}

/// An execution of ann's.
pub(super) fn executing() -> Execution {
    Execution {
        visit: Visit {
            session: 1,
            user: name("ann"),
            actor: None,
            database: name("shop"),
            client: "127.0.0.1:5000".parse().unwrap(),
            application_name: None,
        }
        .into(),
        number: 1,
        fingerprint: 0,
        action: Action::View,
        endpoint: None,
        tenant: None,
    }
}

/// The columns whose events are due, each as often as it is, and a row of these cells as it leaves; NULL is `-`.
pub(super) fn delivered(plan: ResultPlan, cells: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut body = BytesMut::new();
    body.put_u16(cells.len().try_into().unwrap());
    for cell in cells {
        body.put_u32(cell.len().try_into().unwrap());
        body.put_slice(cell.as_bytes());
    }
    let execution = executing();
    let (events, rows) = match plan.rows {
        PlannedRows::Untouched => return (Vec::new(), cells.iter().map(|&cell| cell.to_owned()).collect()),
        PlannedRows::Masked(rows) => (Vec::new(), rows),
        PlannedRows::Sealed(sealed) => sealed.open(&execution, None, &mut crate::plan::Seen::default()),
    };
    let mut out = BytesMut::new();
    rows.rewrite(&body, &mut out).unwrap();
    let mut rest = &out[7..];
    let mut shown = Vec::new();
    while let Some((length, after)) = rest.split_at_checked(4) {
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let (cell, after) = after.split_at(usize::try_from(length).unwrap_or(0));
        shown.push(if length < 0 { "-".to_owned() } else { String::from_utf8(cell.to_vec()).unwrap() });
        rest = after;
    }
    let column = |record: &Record| match record {
        Record::Reveal(AccessEvent { column: Some(known), .. }) => format!("{}.{}", known.table, known.column),
        Record::Reveal(_) => "?".to_owned(),
        other => other.kind().to_owned(),
    };
    (events.iter().map(column).collect(), shown)
}

const EMAIL: &str = "jane@example.org";
const MASKED: &str = "j###@#######.###";

/// What one result column shows of `EMAIL` and which events are due, for a result column and its origin by the server.
fn email(user: &str, text: &str, column: &str, origin: &str, snapshot: &Snapshot) -> String {
    let plan = bound(user, text, vec![field(snapshot, column, origin, "text")], snapshot);
    let (events, cells) = delivered(plan, &[EMAIL]);
    format!("{} {}", cells.concat(), events.join(" ")).trim_end().to_owned()
}

fn contradictions(plan: &ResultPlan) -> usize {
    let contradiction = Observation::RestrictiveDefault(RestrictiveReason::Contradiction);
    plan.observations.iter().filter(|observation| **observation == contradiction).count()
}

/// What a redacted text looks like.
fn redacted(snapshot: &Snapshot) -> String {
    let shown = email("ann", "SELECT lower(email) AS x FROM customers", "x", "-", snapshot);
    assert!(!shown.contains("jane") && !shown.contains('@'), "{shown}");
    shown
}

#[test]
fn direct_values_get_the_mask_and_derived_ones_nothing() {
    let snapshot = Database::shop().snapshot();
    let redacted = redacted(&snapshot);
    for (text, origin, expected) in [
        ("SELECT email AS x FROM customers", "customers.email", MASKED),
        ("SELECT email AS x FROM customers", "-", MASKED),
        ("SELECT coalesce(email, '') AS x FROM customers", "-", MASKED),
        ("SELECT (SELECT email FROM customers) AS x", "-", MASKED),
        ("SELECT email AS x FROM customers UNION SELECT customer_email FROM orders", "-", MASKED),
        ("SELECT email || name AS x FROM customers", "-", &redacted),
        ("SELECT CASE WHEN email = 'x' THEN 'y' END AS x FROM customers", "-", &redacted),
        ("SELECT coalesce(email, name) AS x FROM customers", "-", &redacted),
        ("SELECT 'x' AS x FROM customers", "-", EMAIL),
    ] {
        assert_eq!(email("ann", text, "x", origin, &snapshot), expected, "{text}");
    }
}

#[test]
fn a_reveal_leaves_one_event_for_each_source_column() {
    let snapshot = Database::shop().snapshot();
    let text =
        "SELECT email AS a, lower(email) AS b, email AS c, customer_email AS d, tenant AS e FROM customers, orders";
    let fields = [("a", "customers.email"), ("b", "-"), ("c", "customers.email"), ("d", "orders.customer_email")];
    let mut fields: Vec<_> = fields.iter().map(|(column, origin)| field(&snapshot, column, origin, "text")).collect();
    fields.push(field(&snapshot, "e", "customers.tenant", "int4"));
    let (events, cells) = delivered(bound("bill", text, fields, &snapshot), &["1", "2", "3", "4", "5"]);
    assert_eq!(events, ["customers.email", "orders.customer_email"]);
    assert_eq!(cells, ["1", "2", "3", "4", "5"]);
}

#[test]
fn clear_and_covered_sources_in_one_value_show_no_more_than_the_covered_one() {
    let snapshot = Database::shop().snapshot();
    // E-mail addresses are clear to bill and names hidden.
    assert_eq!(email("bill", "SELECT coalesce(email, name) AS x FROM customers", "x", "-", &snapshot), "");
    assert_eq!(email("bill", "SELECT email || notes AS x FROM customers", "x", "-", &snapshot), redacted(&snapshot),);
    assert_eq!(
        email("dora", "SELECT email || notes AS x FROM customers", "x", "-", &snapshot),
        format!("{EMAIL} customers.email customers.notes")
    );
}

#[test]
fn without_an_access_log_nothing_is_revealed() {
    let mut snapshot = Database::shop().snapshot();
    let text = "SELECT email AS x FROM customers";
    let Verdict::Protect(protection) = judged("bill", text, &snapshot).verdict else { panic!() };
    let expected = redacted(&snapshot);
    snapshot.access_log_ready = false;
    let fields = description(vec![field(&snapshot, "x", "customers.email", "text")]);
    let plan =
        protection.bind(&fields, &snapshot, &caller("bill", &snapshot), (TextEncoding::Utf8, &TextForms::default()));
    assert_eq!(delivered(plan, &[EMAIL]), (Vec::new(), vec![expected]));
}

#[test]
fn contradictions_are_redacted_and_counted() {
    let snapshot = Database::shop().snapshot();
    let redacted = redacted(&snapshot);
    let text = "SELECT email AS x FROM customers";
    for (column, origin) in [
        ("y", "customers.email"),
        ("x", "customers.name"),
        ("x", "orders.customer_email"),
        ("x", "parts.title"),
        ("x", "customers.*"),
        ("x", "customers.ctid"),
    ] {
        for user in ["ann", "bill"] {
            let plan = bound(user, text, vec![field(&snapshot, column, origin, "text")], &snapshot);
            assert!(contradictions(&plan) > 0, "{column} {origin}");
            assert_eq!(delivered(plan, &[EMAIL]), (Vec::new(), vec![redacted.clone()]), "{user} {column} {origin}");
        }
    }
    let fields = ["x", "y"].map(|column| field(&snapshot, column, "customers.email", "text"));
    let plan = bound("bill", text, fields.into(), &snapshot);
    assert_eq!(contradictions(&plan), 2);
    assert_eq!(delivered(plan, &[EMAIL, EMAIL]).1, [redacted.clone(), redacted.clone()]);
    // A result that no relation of the catalog is the origin of.
    let mut unread = field(&snapshot, "x", "-", "text");
    (unread.table, unread.attnum) = (Oid(99_999), 1);
    assert_eq!(delivered(bound("bill", text, vec![unread], &snapshot), &[EMAIL]).1, [redacted]);
}

#[test]
fn what_nobody_knows_the_origin_of_is_shown_to_who_sees_everything_with_an_event_of_its_own() {
    let mut snapshot = Database::shop().snapshot();
    let (unknown, mixed) = ("SELECT x FROM nowhere, customers", "SELECT x || email AS x FROM nowhere, customers");
    let (redacted, apart) = (redacted(&snapshot), "SELECT email AS x FROM customers");
    for (user, text, origin, expected) in [
        ("dora", unknown, "-", format!("{EMAIL} ?")),
        ("dora", mixed, "-", format!("{EMAIL} customers.email ?")),
        ("dora", apart, "customers.name", format!("{EMAIL} ?")),
        ("carl", unknown, "-", redacted.clone()),
    ] {
        assert_eq!(email(user, text, "x", origin, &snapshot), expected, "{user} {text}");
    }
    let fields = ["x", "x"].map(|column| field(&snapshot, column, "-", "text"));
    let plan = bound("dora", "SELECT x, x FROM nowhere, customers", fields.into(), &snapshot);
    assert_eq!(plan.observations, [Observation::UnknownRevealed]);
    assert_eq!(delivered(plan, &[EMAIL, EMAIL]), (vec!["?".to_owned()], vec![EMAIL.to_owned(), EMAIL.to_owned()]));
    let Verdict::Protect(protection) = judged("dora", unknown, &snapshot).verdict else { panic!() };
    snapshot.access_log_ready = false;
    let fields = description(vec![field(&snapshot, "x", "-", "text")]);
    let plan =
        protection.bind(&fields, &snapshot, &caller("dora", &snapshot), (TextEncoding::Utf8, &TextForms::default()));
    assert_eq!(delivered(plan, &[EMAIL]), (Vec::new(), vec![redacted]));
}

#[test]
fn who_sees_all_that_is_there_is_not_shown_what_may_be_of_a_column_that_is_not_there_yet() {
    let policy = "version: 1\ntags: { email: { mask: email }, card: { mask: full } }\ncolumns:\n  customers: { email: email }\n  later: { x: card }\n\
                  roles:\n  r: { users: bill, sees: { email: clear } }\n";
    let snapshot = Database::shop().snapshot_of(policy);
    let unknown = "SELECT x FROM nowhere, customers";
    assert!(caller("bill", &snapshot).sees_everything(&snapshot));
    assert_eq!(email("bill", unknown, "x", "-", &snapshot), redacted(&snapshot));
}

#[test]
fn a_direct_column_by_the_server_is_no_way_to_loosen_a_derived_one() {
    let snapshot = Database::shop().snapshot();
    let shown = email("ann", "SELECT lower(email) AS x FROM customers", "x", "customers.email", &snapshot);
    assert_eq!(shown, redacted(&snapshot));
}

#[test]
fn what_the_statement_does_not_tell_the_server_may() {
    let mut database = Database::shop();
    database.table("a.twins", "id int4, x text");
    database.table("b.twins", "id int4, x text");
    let policy = "version: 1\ntags: { email: { mask: email }, card: { mask: full } }\ncolumns:\n  customers: { email: email }\n  a.twins: { x: email }\n  b.twins: { x: card }\nroles:\n  r: { users: bill, sees: { email: clear } }\n";
    let snapshot = database.snapshot_of(policy);
    let redacted = redacted(&snapshot);
    let text = "SELECT x FROM twins";
    assert_eq!(email("ann", text, "x", "a.twins.x", &snapshot), MASKED);
    assert_eq!(email("ann", text, "x", "b.twins.x", &snapshot), "################");
    assert_eq!(email("ann", text, "x", "-", &snapshot), redacted);
    assert_eq!(email("bill", text, "x", "a.twins.x", &snapshot), format!("{EMAIL} twins.x"));
    assert_eq!(email("bill", text, "x", "b.twins.x", &snapshot), "################");
    let unknown = "SELECT x FROM nowhere, customers";
    assert_eq!(email("ann", unknown, "x", "-", &snapshot), redacted);
    assert_eq!(email("ann", unknown, "x", "a.twins.x", &snapshot), MASKED);
    assert_eq!(email("ann", unknown, "x", "a.twins.ctid", &snapshot), EMAIL);
    // A column that came after the catalog was read.
    let mut fresh = field(&snapshot, "x", "a.twins.x", "text");
    fresh.attnum = 3;
    assert_eq!(delivered(bound("bill", unknown, vec![fresh], &snapshot), &[EMAIL]).1, [redacted]);
}

#[test]
fn system_columns_are_no_data() {
    let snapshot = Database::shop().snapshot();
    assert_eq!(email("ann", "SELECT ctid FROM customers", "ctid", "customers.ctid", &snapshot), EMAIL);
}

#[test]
fn whole_rows_are_masked_field_by_field() {
    let snapshot = Database::shop().snapshot();
    let row = |user: &str, text: &str, origin: &str, type_name: &str, cell: &str| {
        let plan = bound(user, text, vec![field(&snapshot, "c", origin, type_name)], &snapshot);
        delivered(plan, &[cell])
    };
    let cell = "(1,jane@example.org)";
    let text = "SELECT c FROM leads c";
    let masked = (Vec::new(), vec![format!("(1,{MASKED})")]);
    assert_eq!(row("ann", text, "leads.*", "leads", cell), masked);
    assert_eq!(row("ann", text, "-", "leads", cell), masked);
    assert_eq!(row("bill", text, "leads.*", "leads", cell), (vec!["leads.mail".to_owned()], vec![cell.to_owned()]));
    assert_eq!(row("ann", "SELECT ROW(id, mail) AS c FROM leads", "-", "record", cell), masked);
    assert_eq!(row("ann", "SELECT array_agg(c) AS c FROM leads c", "-", "_leads", "{}").1.len(), 1);
    // Another relation's row than the statement says.
    let plan = bound("bill", text, vec![field(&snapshot, "c", "orders.*", "leads")], &snapshot);
    assert_eq!(contradictions(&plan), 1);
    assert!(delivered(plan, &[cell]).0.is_empty());
    // Only the server knows that it is one.
    let unknown = "SELECT c FROM nowhere c, leads";
    assert_eq!(row("ann", unknown, "leads.*", "leads", cell), masked);
}

#[test]
fn a_mask_that_does_not_fit_hides() {
    let policy = "version: 1\ntags: { birth: { mask: { date_trunc: year } } }\ncolumns:\n  customers: { email: birth, born: birth }\n";
    let snapshot = Database::shop().snapshot_of(policy);
    let fields =
        vec![field(&snapshot, "email", "customers.email", "text"), field(&snapshot, "born", "customers.born", "date")];
    let plan = bound("ann", "SELECT email, born FROM customers", fields, &snapshot);
    assert_eq!(delivered(plan, &[EMAIL, "1980-05-17"]).1, ["", "1980-01-01"]);
}

#[test]
fn values_of_types_that_are_not_known_are_null() {
    let mut database = Database::shop();
    let domain = database.domain("mail_address", "text");
    let snapshot = database.snapshot();
    let text = "SELECT email AS x FROM customers";
    let mut odd = field(&snapshot, "x", "customers.email", "text");
    odd.type_oid = Oid(99_998);
    let plan = bound("ann", text, vec![odd], &snapshot);
    assert!(plan.observations.contains(&Observation::RestrictiveDefault(RestrictiveReason::UnknownType)));
    assert_eq!(delivered(plan, &[EMAIL]).1, ["-"]);
    let mut of_domain = field(&snapshot, "x", "customers.email", "text");
    of_domain.type_oid = domain;
    assert_eq!(delivered(bound("ann", text, vec![of_domain], &snapshot), &[EMAIL]).1, [MASKED]);
}

#[test]
fn what_a_procedure_shows_is_computed_from_all_that_it_reads() {
    let mut database = Database::shop();
    database.function("report", "text", "plpgsql", Some("BEGIN SELECT mail FROM leads; END"));
    let snapshot = database.snapshot();
    assert_eq!(email("bill", "CALL report(NULL)", "x", "-", &snapshot), format!("{EMAIL} leads.mail"));
}

#[test]
fn a_rule_s_rows_in_the_place_of_a_statement_s_are_redacted() {
    let mut database = Database::shop();
    let peek = database.function("peek", "text", "sql", Some("SELECT email FROM customers"));
    let scratch = database.relation_oid("scratch");
    database.depends(crate::catalog::Dependent::Rule(scratch), peek);
    database.alter(scratch, |relation| relation.has_rules = true);
    let snapshot = database.snapshot();
    let text = "UPDATE scratch SET t = 'x' RETURNING t AS x";
    assert_eq!(email("ann", text, "x", "-", &snapshot), redacted(&snapshot));
    assert_eq!(email("ann", "UPDATE scratch SET t = 'x'", "x", "-", &snapshot), redacted(&snapshot));
}

#[test]
fn a_statement_that_passes_is_still_looked_at() {
    let mut database = Database::shop();
    database.view("plain", "id int4", "SELECT parts.id FROM parts");
    let calls = database.table("calls", "mail text");
    let columns = vec![(1, 2)];
    let references = database.relation_oid("customers");
    database.catalog.add_foreign_key(ForeignKey { relation: calls, references, columns });
    let snapshot = database.snapshot();
    let shows = |origin: &str, attnum: Option<i16>| {
        let mut field = field(&snapshot, "x", origin, "text");
        field.attnum = attnum.unwrap_or(field.attnum);
        snapshot.shows_tagged(&description(vec![field]))
    };
    for (origin, attnum, expected) in [
        ("customers.email", None, true),
        ("customers.*", None, true),
        ("calls.mail", None, true),
        ("customers.tenant", None, false),
        ("customers.ctid", None, false),
        ("parts.title", None, false),
        ("parts.*", None, false),
        ("-", None, false),
        // Columns that came after the catalog was read.
        ("customers.email", Some(50), true),
        ("plain.id", Some(50), true),
        ("parts.title", Some(50), false),
    ] {
        assert_eq!(shows(origin, attnum), expected, "{origin} {attnum:?}");
    }
    let mut unread = field(&snapshot, "x", "parts.title", "text");
    assert!(!snapshot.shows_unread(&description(vec![unread.clone()])));
    unread.table = Oid(99_999);
    assert!(snapshot.shows_unread(&description(vec![unread])));
}
