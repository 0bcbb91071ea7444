//! Errors and notices: whose text goes out and whose does not.

use super::Table;

const WITHHELD: &str = "(pgveil withheld the text, because it could quote protected data)";

fn play(table: &mut Table, playbook: &str) {
    table.play(&playbook.replace("...", WITHHELD));
}

#[test]
fn a_constraint_that_is_checked_at_commit_does_not_quote_what_was_written_before() {
    play(
        &mut Table::clerk(),
        "C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> Q INSERT INTO customers (name) SELECT name FROM customers
         U< Q INSERT INTO customers (name) SELECT name FROM customers
         U> C INSERT 0 2 / Z T
         C< C INSERT 0 2 / Z T
         C> Q COMMIT
         U< Q COMMIT
         U> E 23505 duplicate key|DKey (name)=(Ada) already exists.|Fnbtinsert.c / Z I
         C< E 23505 duplicate key / Z I",
    );
}

#[test]
fn nor_if_the_answer_to_an_earlier_request_comes_in_between() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT 1 / Q BEGIN / Q INSERT INTO customers (name) SELECT name FROM customers / Q COMMIT / Q SELECT 2
         U< Q SELECT 1 / Q BEGIN / Q INSERT INTO customers (name) SELECT name FROM customers / Q COMMIT / Q SELECT 2
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I / C BEGIN / Z T / C INSERT 0 2 / Z T
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I / C BEGIN / Z T / C INSERT 0 2 / Z T
         U> E 23505 duplicate key|DKey (name)=(Ada) already exists.|Fnbtinsert.c / Z I
         C< E 23505 duplicate key / Z I
         U> E 22012 division by zero|DKey / Z I
         C< E 22012 division by zero|DKey / Z I",
    );
}

#[test]
fn nor_at_the_sync_of_a_pipeline() {
    play(
        &mut Table::clerk(),
        "C> P |INSERT INTO customers (name) SELECT name FROM customers / B | / E / P |SELECT 1 / B | / E / S
         U< P |INSERT INTO customers (name) SELECT name FROM customers / B | / D P| / E / P |SELECT 1 / B | / E / S
         U> 1 / 2 / n / C INSERT 0 2 / 1 / 2 / D 1 / C SELECT 1
         C< 1 / 2 / C INSERT 0 2 / 1 / 2 / D 1 / C SELECT 1
         U> E 23505 duplicate key|DKey (name)=(Ada) already exists.|Fnbtinsert.c / Z I
         C< E 23505 duplicate key / Z I",
    );
}

#[test]
fn set_constraints_reports_what_was_deferred() {
    play(
        &mut Table::clerk(),
        "C> Q BEGIN; INSERT INTO customers (name) SELECT name FROM customers
         U< Q BEGIN; INSERT INTO customers (name) SELECT name FROM customers
         U> C BEGIN / C INSERT 0 2 / Z T
         C< C BEGIN / C INSERT 0 2 / Z T
         C> Q SET CONSTRAINTS ALL IMMEDIATE
         U< Q SET CONSTRAINTS ALL IMMEDIATE
         U> E 23505 duplicate key|DKey (name)=(Ada) already exists.|Fnbtinsert.c / Z E
         C< E 23505 duplicate key / Z E",
    );
}

#[test]
fn an_error_before_the_statement_that_is_protected_keeps_its_text() {
    play(
        &mut Table::clerk(),
        "C> Q SELECT note::int FROM notes; SELECT name::int FROM customers
         U< Q SELECT note::int FROM notes; SELECT name::int FROM customers
         U> E 22P02 invalid input: abc|Fnumutils.c / Z I
         C< E 22P02 invalid input: abc / Z I
         C> Q SELECT note::int FROM notes; SELECT name::int FROM customers
         U< Q SELECT note::int FROM notes; SELECT name::int FROM customers
         U> T note:23 / D 5 / C SELECT 1 / E 22P02 invalid input: Ada|Fnumutils.c / Z I
         C< T note:23 / D 5 / C SELECT 1 / E 22P02 invalid input syntax ... / Z I
         C> Q SELECT name::int FROM customers; SELECT note::int FROM notes
         U< Q SELECT name::int FROM customers; SELECT note::int FROM notes
         U> T name:23 / C SELECT 0 / E 22P02 invalid input: abc|Fnumutils.c / Z I
         C< T name:23 / C SELECT 0 / E 22P02 invalid input syntax ... / Z I",
    );
}

#[test]
fn an_error_in_a_pipeline_is_told_by_its_own_statement() {
    play(
        &mut Table::clerk(),
        "C> P a|SELECT note::int FROM notes / P b|SELECT name::int FROM customers / S
         U< P a|SELECT note::int FROM notes / P b|SELECT name::int FROM customers / S
         U> 1 / 1 / Z I
         C< 1 / 1 / Z I
         C> B |a / E / S / B |b / E / S
         U< B |a / D P| / E / S / B |b / D P| / E / S
         U> 2 / T note:23 / E 22P02 invalid input: abc|Fnumutils.c / Z I / 2 / T name:23 / E 22P02 invalid input: Ada|Fnumutils.c / Z I
         C< 2 / E 22P02 invalid input: abc / Z I / 2 / E 22P02 invalid input syntax ... / Z I",
    );
}

#[test]
fn what_the_server_says_of_the_text_itself_goes_out() {
    play(
        &mut Table::clerk(),
        "C> P a|SELECT name FROM customers / P a|SELECT name FROM customers / S
         U< P a|SELECT name FROM customers / P a|SELECT name FROM customers / S
         U> 1 / E 42P05 prepared statement \"a\" already exists|Fprepare.c / Z I
         C< 1 / E 42P05 prepared statement \"a\" already exists / Z I
         C> B |a / E / S
         U< B |a / D P| / E / S
         U> E 22P02 invalid input: x|Wunnamed portal parameter $1 = '...'|Fnumutils.c / Z I
         C< E 22P02 invalid input: x / Z I
         C> B |a / E / S
         U< B |a / D P| / E / S
         U> E 22P02 invalid input: x|Fnumutils.c / Z I
         C< E 22P02 invalid input syntax ... / Z I",
    );
}

#[test]
fn whoever_sees_everything_reads_every_error() {
    play(
        &mut Table::boss(),
        "C> P a|SELECT name::int FROM customers / B |a / E / S
         U< P a|SELECT name::int FROM customers / B |a / D P| / E / S
         U> 1 / E 22P02 invalid input: Ada|Fnumutils.c / Z I
         C< 1 / E 22P02 invalid input: Ada / Z I",
    );
}

#[test]
fn errors_of_execute_and_fetch_are_those_of_what_they_name() {
    play(
        &mut Table::clerk(),
        "C> Q PREPARE q AS SELECT 10 % 0
         U< Q PREPARE q AS SELECT 10 % 0
         U> C PREPARE / Z I
         C< C PREPARE / Z I
         C> Q EXECUTE q
         U< Q EXECUTE q
         U> E 22012 division by zero|DKey / Z I
         C< E 22012 division by zero|DKey / Z I
         C> Q PREPARE p AS SELECT name::int FROM customers
         U< Q PREPARE p AS SELECT name::int FROM customers
         U> C PREPARE / Z I
         C< C PREPARE / Z I
         C> Q EXECUTE p
         U< Q EXECUTE p
         U> E 22P02 invalid input syntax for type integer: \"Ada\"|Fnumutils.c / Z I
         C< E 22P02 invalid input syntax ... / Z I
         C> Q EXECUTE unseen
         U< Q EXECUTE unseen
         U> E 22P02 invalid input syntax for type integer: \"Ada\"|Fnumutils.c / Z I
         C< E 22P02 invalid input syntax ... / Z I",
    );
}
