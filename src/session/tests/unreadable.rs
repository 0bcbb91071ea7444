//! Texts that pgveil can not read: the server is asked whether it can.

use super::Table;

const REFUSAL: &str =
    "0A000 pgveil: a statement that may touch protected data is not understood: the statement can not be parsed";

fn play(table: &mut Table, playbook: &str) {
    table.play(&playbook.replace("refusal", REFUSAL).replace("stand-in", "SELECT FROM pg_catalog.pgveil_refused"));
}

#[test]
fn what_the_server_can_not_read_either_fails_with_its_words() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT name FROM customers WHERE / Q SELECT 1
         U< P |SELECT name FROM customers WHERE / Q stand-in / S / Q SELECT 1
         U> E 42601 syntax error at end of input / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< E 42601 syntax error at end of input / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I",
    );
}

#[test]
fn what_the_server_can_read_is_refused_and_does_not_run() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT name FROM customers WHERE / Q SELECT 1
         U< P |SELECT name FROM customers WHERE / Q stand-in / S / Q SELECT 1
         U> 1 / E 42P01 relation / Z E / Z E / E 25P02 aborted / Z E
         C< E refusal / Z E / E 25P02 aborted / Z E",
    );
}

#[test]
fn a_parse_message_asks_by_itself() {
    let mut table = Table::clerk();
    play(
        &mut table,
        "C> P a|SELECT name FROM customers WHERE / B |a / E / S
         U< P a|SELECT name FROM customers WHERE / C S|a / P a|stand-in / B |a / D P| / E / S
         U> E 42601 syntax error / Z I
         C< E 42601 syntax error / Z I
         C> P a|SELECT name FROM customers WHERE / H
         U< P a|SELECT name FROM customers WHERE / C S|a / P a|stand-in / H
         U> 1 / 3 / E 42P01 relation
         C< E refusal
         C> S
         U< S
         U> Z I
         C< Z I",
    );
}

#[test]
fn in_the_middle_of_a_pipeline_nothing_is_asked() {
    play(
        &mut Table::clerk(),
        "C> P |SELECT 1 / Q SELECT name FROM customers WHERE / S
         U< P |SELECT 1 / Q stand-in / S
         U> E 25P02 aborted / Z E
         C< E 25P02 aborted / Z E",
    );
}

#[test]
fn nor_where_the_message_holds_other_statements() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT note FROM notes; SELECT name FROM customers WHERE
         U< Q stand-in
         U> E 42P01 relation / Z I
         C< E refusal / Z I",
    );
}

#[test]
fn an_error_that_code_raised_while_the_server_read_is_withheld() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT name FROM customers WHERE
         U< P |SELECT name FROM customers WHERE / Q stand-in / S
         U> E P0001 Ada|WPL/pgSQL function check_it() / Z I
         C< E P0001 error raised by a function (pgveil withheld the text, because it could quote protected data) / Z I",
    );
}
