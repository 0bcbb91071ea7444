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
         U< P |DECLARE c CURSOR FOR SELECT name FROM customers / B | / D P| / E / D P|c / E c / S
         U> 1 / 2 / n / C DECLARE CURSOR / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< 1 / 2 / C DECLARE CURSOR / D A## / C SELECT 1 / Z I",
    );
}
