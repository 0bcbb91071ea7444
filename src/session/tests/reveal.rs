//! Reveals and their events, and what the session waits for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Table;
use crate::catalog::Name;

#[test]
fn a_suspended_portal_is_one_execution() {
    Table::boss().play(
        "C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> P |SELECT name FROM customers / B p| / E p 1 / S
         U< P |SELECT name FROM customers / B p| / D P|p / E p 1 / S
         U> 1 / 2 / T name=16384.2:25 / D Ada / s / Z T
         C< 1 / 2
         A! 1 customers.name rows=?
         C< D Ada / s / Z T
         C> E p / S
         U< E p / S
         U> D Eva / C SELECT 1 / Z T
         C< D Eva
         A. 1 rows=2 complete
         C< C SELECT 1 / Z T",
    );
}

#[test]
fn an_error_in_the_middle_shows_what_came_before_it_with_its_event() {
    Table::boss().play(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / E 57014 canceled / Z I
         C< T name=16384.2:25
         A! 1 customers.name rows=1
         C< D Ada / E 57014 canceled / Z I",
    );
}

#[test]
fn a_result_too_large_to_hold_has_its_event_first_and_its_count_last() {
    let mut table = Table::boss();
    table.play(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers",
    );
    table.server.extend_from_slice(&super::frames::server("T name=16384.2:25"));
    for _ in 0..3 {
        table.server.extend_from_slice(&super::frames::server(&format!("D {}", "x".repeat(40_000))));
    }
    table.server.extend_from_slice(&super::frames::server("C SELECT 3 / Z I"));
    table.take_server();
    let lines: Vec<_> = table.outputs().into_iter().map(|line| line.chars().take(31).collect::<String>()).collect();
    let rows = format!("C< D {}", "x".repeat(26));
    let expected =
        ["C< T name=16384.2:25", "A! 1 customers.name rows=?", &rows, "A. 1 rows=3 complete", "C< C SELECT 3 / Z I"];
    assert_eq!(lines, expected);
}

/// A rule can give one statement a second result.
#[test]
fn rows_before_a_second_result_are_not_lost() {
    Table::boss().play(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / T x:25 / D y / C SELECT 1 / Z I
         C< T name=16384.2:25
         A! 1 customers.name rows=1
         C< D Ada / T x:25
         A! 2 ? rows=1
         C< D y / C SELECT 1 / Z I",
    );
}

#[test]
fn nothing_leaves_when_the_access_log_fails() {
    Table::boss().play(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada
         C< T name=16384.2:25
         -- log fails
         C< E 58030 pgveil: protected values can not be shown, because the access log can not be written
         X! AccessLogFailed",
    );
}

#[test]
fn the_client_waits_for_an_analysis_and_the_server_does_not() {
    Table::clerk().play(
        "C> Q SELECT 1
         U< Q SELECT 1
         -- later
         C> Q SELECT name FROM customers / Q SELECT 1
         W!
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I
         -- analysed
         U< Q SELECT name FROM customers / Q SELECT 1",
    );
}

#[test]
fn a_change_of_the_catalog_is_read_before_the_next_statement_is_judged() {
    Table::clerk().play(
        "C> Q ALTER TABLE notes ADD x text
         U< Q ALTER TABLE notes ADD x text
         U> C ALTER TABLE / Z I
         R!
         C< C ALTER TABLE / Z I
         C> Q SELECT note FROM notes
         R!
         -- refreshed
         -- refreshed
         U< Q SELECT note FROM notes",
    );
}

/// A clerk's question is on its way while other sessions commit a change that names this, and one that nobody has seen.
fn overtaken_by(name: &str) -> Table {
    let mut table = Table::clerk();
    table.play(
        "C> Q SELECT note FROM notes
         U< Q SELECT note FROM notes",
    );
    table.gate.commit(Some(Arc::new(BTreeSet::from([Name::exact(name)])))).land(true);
    table.gate.changed();
    table
}

#[test]
fn what_another_session_changes_is_waited_for_and_what_was_on_its_way_is_sent_again() {
    overtaken_by("notes").play(
        "U> T note=0.0:25 / D hello / C SELECT 1 / Z I
         R!
         -- refreshed
         -- client
         U< Q SELECT note FROM notes
         U> T note=0.0:25 / D hallo / C SELECT 1 / Z I
         C< T note:25 / D hallo / C SELECT 1 / Z I",
    );
}

#[test]
fn what_is_not_the_last_that_was_sent_ends_the_session_instead() {
    let mut table = overtaken_by("notes");
    table.play(
        "C> Q SELECT 1
         R!
         -- refreshed
         U< Q SELECT 1
         U> T note=0.0:25 / D hello / C SELECT 1 / Z I
         R!
         -- refreshed
         C< E 40001 pgveil: the database's catalog has changed while this statement ran, so that it is not known what its result shows: run it again
         X! Refused",
    );
}

#[test]
fn what_names_nothing_of_a_statement_on_its_way_ends_nothing() {
    overtaken_by("orders").play(
        "U> T note=0.0:25 / D hello / C SELECT 1 / Z I
         R!
         -- refreshed
         C< T note:25 / D hello / C SELECT 1 / Z I",
    );
}

#[test]
fn a_shutdown_says_goodbye_to_both_sides() {
    Table::clerk().play(
        "-- shutdown
         C< E 57P01 terminating connection due to administrator command
         U< X
         X! Shutdown",
    );
}
