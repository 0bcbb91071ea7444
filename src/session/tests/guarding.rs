//! The guard: what a limit lets out, and what becomes of the rest.

use std::sync::atomic::Ordering;

use super::database::POLICY;
use super::{Table, frames};

fn policy(limit: &str) -> String {
    format!("{POLICY}guard:\n  limits:\n    most: {{ within: 1 hour, {limit} }}\n")
}

/// What comes out of these frames of the server, each line cut after its limit's name.
fn from_server(table: &mut Table, sent: &str) -> Vec<String> {
    table.server.extend_from_slice(&frames::server(sent));
    table.take_server();
    let cut = |line: String| line.split(" is reached").next().unwrap().to_owned();
    table.outputs().into_iter().map(cut).collect()
}

const ROWS: &str = "T name=16384.2:25 / D Ada / D Bob / D Cyd / C SELECT 3 / Z I";
const STOPPED: &str = "C< E 53400 pgveil: limit \"most\"";

/// The statement does not reach the server, and fails.
fn is_refused(table: &mut Table, text: &str, code: &str) {
    table.client.extend_from_slice(&frames::client(&format!("Q {text}")));
    table.take_client();
    let sent = table.outputs().join("\n");
    assert!(sent.starts_with("U< ") && !sent.contains("customers"), "{sent}");
    let told = from_server(table, "E 42P01 relation / Z I").join("\n");
    assert!(told.starts_with(&format!("C< E {code} ")), "{told}");
}

#[test]
fn the_row_over_the_limit_does_not_leave_and_the_statement_fails() {
    let mut table = Table::of("boss", &policy("what: revealed_rows, max: 2"));
    let text = "C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers";
    table.play(text);
    let expected = ["C< T name=16384.2:25", "A! 1 customers.name rows=?", "C< D Ada / D Bob", "A. 1 rows=2 cut short"];
    assert_eq!(from_server(&mut table, ROWS), [&expected[..], &[STOPPED]].concat());
    is_refused(&mut table, "SELECT name FROM customers", "53400");
    // Who sees masks is not limited, nor is what shows none of it.
    table.play("C> Q SELECT 1\n U< Q SELECT 1\n U> T ?column?:23 / D 1 / C SELECT 1 / Z I\n C< T ?column?:23 / D 1 / C SELECT 1 / Z I");
}

#[test]
fn a_limit_of_columns_stops_the_execution_before_its_first_row() {
    let mut table = Table::of("boss", &policy("what: revealed_columns, max: 1"));
    let text = "C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers";
    table.play(text);
    assert_eq!(from_server(&mut table, ROWS).last().unwrap(), "C< D Ada / D Bob / D Cyd / C SELECT 3 / Z I");
    is_refused(&mut table, "SELECT name FROM customers", "53400");
}

#[test]
fn rows_that_did_not_come_are_given_back() {
    let mut table = Table::of("boss", &policy("what: revealed_rows, max: 100"));
    for _ in 0..33 {
        table.play("C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers");
        assert_eq!(from_server(&mut table, ROWS).last().unwrap(), "C< D Ada / D Bob / D Cyd / C SELECT 3 / Z I");
    }
    table.play("C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers");
    assert_eq!(from_server(&mut table, ROWS)[2..], ["C< D Ada", "A. 34 rows=1 cut short", STOPPED]);
}

#[test]
fn a_portal_that_goes_on_fails_at_the_row_over_the_limit() {
    let mut table = Table::of("boss", &policy("what: revealed_rows, max: 3"));
    table.play(
        "C> P |SELECT name FROM customers / B p| / E p 2 / S
         U< P |SELECT name FROM customers / B p| / D P|p / E p 2 / S
         U> 1 / 2 / T name=16384.2:25 / D Ada / D Bob / s / Z T
         C< 1 / 2
         A! 1 customers.name rows=?
         C< D Ada / D Bob / s / Z T
         C> E p 2 / S
         U< E p 2 / S",
    );
    assert_eq!(from_server(&mut table, "D Cyd / D Dan / s / Z T")[..2], ["C< D Cyd", "A. 1 rows=3 cut short"]);
}

/// What was shown in part does not go on, and that is an error as the server has errors.
#[test]
fn once_there_is_no_room_portals_and_cursors_do_not_go_on() {
    for (away, code) in [(false, "53400"), (true, "58030")] {
        let mut table =
            Table::of("boss", &policy(if away { "what: refusals, max: 9" } else { "what: revealed_rows, max: 2" }));
        table.play(
            "C> P |SELECT name FROM customers / B p| / E p 2 / S
             U< P |SELECT name FROM customers / B p| / D P|p / E p 2 / S
             U> 1 / 2 / T name=16384.2:25 / D Ada / D Bob / s / Z T
             C< 1 / 2
             A! 1 customers.name rows=?
             C< D Ada / D Bob / s / Z T",
        );
        table.tally.away.store(away, Ordering::Relaxed);
        table.client.extend_from_slice(&frames::client("E p 2 / S"));
        table.take_client();
        let sent = table.outputs().join("\n");
        assert!(!sent.contains("E p"), "{sent}");
        let told = from_server(&mut table, "E 26000 prepared statement / Z E").join("\n");
        assert!(told.contains(&format!("E {code} ")) && !told.contains("X!"), "{told}");

        let mut table =
            Table::of("boss", &policy(if away { "what: refusals, max: 9" } else { "what: revealed_rows, max: 2" }));
        let declared = "DECLARE c CURSOR FOR SELECT name FROM customers";
        table.play(&format!(
            "C> Q {declared}\n U< Q {declared}\n U> C DECLARE CURSOR / Z T\n C< C DECLARE CURSOR / Z T"
        ));
        table.play("C> Q FETCH 2 FROM c\n U< Q FETCH 2 FROM c");
        from_server(&mut table, "T name=16384.2:25 / D Ada / D Bob / C FETCH 2 / Z T");
        table.tally.away.store(away, Ordering::Relaxed);
        is_refused(&mut table, "FETCH 2 FROM c", code);
    }
}

#[test]
fn block_session_ends_it_with_the_row_over_the_limit() {
    let mut table = Table::of("boss", &policy("what: revealed_rows, max: 2, on_breach: block_session"));
    table.play("C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers");
    let lines = from_server(&mut table, ROWS);
    assert_eq!(lines[2..], ["C< D Ada / D Bob", "A. 1 rows=2 cut short", STOPPED, "X! Guard"]);
}

#[test]
fn probes_over_the_limit_are_refused_before_they_run() {
    let mut table = Table::of("clerk", &policy("what: inference_probes, max: 1"));
    let text = "SELECT 1 FROM customers WHERE email = 'x'";
    table.play(&format!(
        "C> Q {text}\n U< Q {text}\n U> T ?column?:23 / C SELECT 0 / Z I\n C< T ?column?:23 / C SELECT 0 / Z I"
    ));
    is_refused(&mut table, text, "53400");
}

#[test]
fn nothing_is_shown_to_who_has_limits_while_the_store_is_away() {
    let mut table = Table::of("boss", &policy("what: refusals, max: 1"));
    table.play("C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers");
    table.tally.away.store(true, Ordering::Relaxed);
    let lines = from_server(&mut table, ROWS);
    assert!(lines.len() == 1 && lines[0].contains(" / E 58030 pgveil: protected values can not be shown"), "{lines:?}");
    is_refused(&mut table, "SELECT name FROM customers", "58030");
    let mut table = Table::boss();
    table.tally.away.store(true, Ordering::Relaxed);
    table.play("C> Q SELECT name FROM customers\n U< Q SELECT name FROM customers");
    assert_eq!(from_server(&mut table, ROWS).last().unwrap(), "C< D Ada / D Bob / D Cyd / C SELECT 3 / Z I");
}

#[test]
fn who_is_locked_out_can_not_log_in() {
    let mut table = Table::opened(super::opening(), POLICY);
    table.tally.locked.store(true, Ordering::Relaxed);
    table.client.extend_from_slice(&super::startup(&[("user", "clerk"), ("database", "shop")]));
    table.take_client();
    assert_eq!(table.outputs(), ["C< E 28000 pgveil: user \"clerk\" is locked out", "X! Guard"]);
}
