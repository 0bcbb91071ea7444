//! Extended queries.

use super::Table;

#[test]
fn a_protected_portal_is_described_for_pgveil_alone() {
    Table::clerk().play(
        "C> P |SELECT name FROM customers / B | / D P| / E / S
         U< P |SELECT name FROM customers / B | / D P| / D P| / E / S
         U> 1 / 2 / T name=16384.2:25 / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< 1 / 2 / T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn a_parse_that_fails_keeps_the_statement_of_its_name() {
    Table::clerk().play(
        "C> P s|SELECT lower(name) FROM customers / S / P s|SELECT note FROM notes / S
         U< P s|SELECT lower(name) FROM customers / S / P s|SELECT note FROM notes / S
         U> 1 / Z I / E 42P05 prepared statement exists / Z I
         C< 1 / Z I / E 42P05 prepared statement exists / Z I
         C> B |s / E / S
         U< B |s / D P| / E / S
         U> 2 / T lower:25 / D ada / C SELECT 1 / Z I
         C< 2 / D #### / C SELECT 1 / Z I",
    );
}

#[test]
fn several_unnamed_statements_in_one_flight_keep_their_own_protection() {
    Table::clerk().play(
        "C> P |SELECT note FROM notes / B | / E / P |SELECT name FROM customers / B | / E / P |SELECT note FROM notes / B | / E / S
         U< P |SELECT note FROM notes / B | / D P| / E / P |SELECT name FROM customers / B | / D P| / E / P |SELECT note FROM notes / B | / D P| / E / S
         U> 1 / 2 / T note=16385.2:25 / D x / C SELECT 1 / 1 / 2 / T name=16384.2:25 / D Ada / C SELECT 1 / 1 / 2 / T note=16385.2:25 / D y / C SELECT 1 / Z I
         C< 1 / 2 / D x / C SELECT 1 / 1 / 2 / D A## / C SELECT 1 / 1 / 2 / D y / C SELECT 1 / Z I",
    );
}

#[test]
fn what_the_server_skips_is_not_waited_for() {
    Table::clerk().play(
        "C> P |SELECT nothing FROM notes / B | / E
         U< P |SELECT nothing FROM notes / B | / D P| / E
         U> E 42703 column
         C< E 42703 column
         C> Q SELECT name FROM customers / S / Q SELECT name FROM customers
         U< Q SELECT name FROM customers / S / Q SELECT name FROM customers
         U> Z I / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< Z I / T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn a_refused_parse_fails_in_its_turn() {
    Table::clerk().play(
        "C> P |SELECT 1 / B | / E / P |SELECT 1 FROM customers WHERE name > 'M' / B | / E / S
         U< P |SELECT 1 / B | / E / P |SELECT FROM pg_catalog.pgveil_refused / B | / E / S
         U> 1 / 2 / D 1 / C SELECT 1 / E 42P01 relation / Z I
         C< 1 / 2 / D 1 / C SELECT 1 / E 42501 pgveil: a comparison by range on column public.customers.name is not permitted (tag \"name\", rule p.yaml:5) / Z I",
    );
}

#[test]
fn copy_in_takes_its_data_and_its_syncs() {
    Table::clerk().play(
        "C> P |COPY notes FROM STDIN / B | / E / S
         U< P |COPY notes FROM STDIN / B | / E / S
         U> 1 / 2 / G
         C< 1 / 2 / G
         C> d 1\tx / c / S
         U< d 1\tx / c / S
         U> C COPY 1 / Z I
         C< C COPY 1 / Z I
         C> Q SELECT 1
         U< Q SELECT 1
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I",
    );
}

/// The database may have changed behind pgveil's back since the catalog was read, under a statement that was parsed before.
#[test]
fn what_passes_is_described_before_it_is_executed_too() {
    Table::clerk().play(
        "C> P s|SELECT note FROM notes / S
         U< P s|SELECT note FROM notes / S
         U> 1 / Z I
         C< 1 / Z I
         C> B |s / E / S
         U< B |s / D P| / E / S
         U> 2 / T note=16384.2:25 / D Ada / C SELECT 1 / Z I
         R!
         C< 2 / D A## / C SELECT 1 / Z I
         -- refreshed
         C> B |s / D P| / E / S
         U< B |s / D P| / E / S
         U> 2 / T note=16385.2:25 / D Ada / C SELECT 1 / Z I
         C< 2 / T note=16385.2:25 / D Ada / C SELECT 1 / Z I",
    );
}

#[test]
fn a_portal_that_goes_on_is_judged_by_the_policy_of_now() {
    let mut table = Table::clerk();
    table.play(
        "C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> P |SELECT note FROM notes / B p| / D P|p / E p 1 / S
         U< P |SELECT note FROM notes / B p| / D P|p / E p 1 / S
         U> 1 / 2 / T note=16385.2:25 / D one / s / Z T
         C< 1 / 2 / T note=16385.2:25 / D one / s / Z T
         -- stricter
         C> E p / S
         U< D P|p / E p / S
         U> T note=16385.2:25 / D two / C SELECT 1 / Z T
         C< D ### / C SELECT 1 / Z T",
    );
}

#[test]
fn a_portal_that_goes_on_shows_no_more_than_may_be_seen_now() {
    let mut table = Table::boss();
    table.play(
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
         -- stricter
         C> E p / S
         A. 1 rows=1 cut short
         U< D P|p / E p / S
         U> T name=16384.2:25 / D Eva / C SELECT 1 / Z T
         C< D E## / C SELECT 1 / Z T",
    );
}

#[test]
fn a_cursor_that_is_on_its_way_is_described_before_it_is_read() {
    Table::clerk().play(
        "C> P |DECLARE c CURSOR FOR SELECT name FROM customers / B | / E / E c / S
         U< P |DECLARE c CURSOR FOR SELECT name FROM customers / B | / D P| / E / H
         U> 1 / 2 / n / C DECLARE CURSOR
         C< 1 / 2 / C DECLARE CURSOR
         -- client
         U< D P|c / E c / S
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< D A## / C SELECT 1 / Z I",
    );
}

/// In a transaction that has failed the error to what pgveil asks would stand for that of the client's message.
#[test]
fn nothing_is_asked_in_a_transaction_that_has_failed() {
    const WITHHELD: &str = "(pgveil withheld the text, because it could quote protected data)";
    Table::clerk().play(&format!(
        "C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> Q DECLARE c CURSOR FOR SELECT name FROM customers / Q SELECT 1/0
         U< Q DECLARE c CURSOR FOR SELECT name FROM customers / Q SELECT 1/0
         U> C DECLARE CURSOR / Z T / E 22012 division / Z E
         C< C DECLARE CURSOR / Z T / E 22012 division by zero {WITHHELD} / Z E
         C> E c / S
         U< E c / S
         U> E 25P02 aborted|Fpostgres.c|Rexec_execute_message / Z E
         C< E 25P02 aborted / Z E
         C> Q COPY customers TO STDOUT
         U< Q COPY customers TO STDOUT
         U> E 25P02 aborted / Z E
         C< E 25P02 aborted / Z E
         C> P |COPY customers TO STDOUT / B | / S
         U< P |COPY customers TO STDOUT / B | / D P| / S
         U> E 25P02 aborted / Z E
         C< E 25P02 aborted / Z E
         C> E / S
         U< E / S
         U> E 34000 portal / Z E
         C< E 34000 error {WITHHELD} / Z E",
    ));
}

/// What was sent before may have ended the transaction, or made it fail.
#[test]
fn an_execute_that_something_is_asked_ahead_of_waits_until_it_is_known_whether_the_transaction_has_failed() {
    for (ready, sent) in [("Z I", "D P|c / E c / S"), ("Z E", "E c / S")] {
        Table::clerk().play(&format!(
            "C> Q DECLARE c CURSOR WITH HOLD FOR SELECT name FROM customers
             U< Q DECLARE c CURSOR WITH HOLD FOR SELECT name FROM customers
             U> C DECLARE CURSOR / Z I
             C< C DECLARE CURSOR / Z I
             C> Q BEGIN; SELECT 1 / E c / S / Q SELECT 2
             U< Q BEGIN; SELECT 1 / H
             U> C BEGIN / C SELECT 1 / {ready}
             C< C BEGIN / C SELECT 1 / {ready}
             -- client
             U< {sent} / Q SELECT 2",
        ));
    }
}

/// A portal that was bound behind them is not there if the transaction has failed by then.
#[test]
fn what_runs_a_portal_of_the_same_flight_does_not_wait() {
    let asked = "C S|pgveil describes copy / P pgveil describes copy|SELECT * FROM ONLY \"customers\" / D S|pgveil describes copy / C S|pgveil describes copy";
    Table::clerk().play(&format!(
        "C> P |SELECT 1 / B | / E / S / P |COPY customers TO STDOUT / B | / E / S
         U< P |SELECT 1 / B | / E / S / P |COPY customers TO STDOUT / B | / D P| / {asked} / E / S",
    ));
}
