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
         U< P |SELECT note FROM notes / B | / E / P |SELECT name FROM customers / B | / D P| / E / P |SELECT note FROM notes / B | / E / S
         U> 1 / 2 / D x / C SELECT 1 / 1 / 2 / T name=16384.2:25 / D Ada / C SELECT 1 / 1 / 2 / D y / C SELECT 1 / Z I
         C< 1 / 2 / D x / C SELECT 1 / 1 / 2 / D A## / C SELECT 1 / 1 / 2 / D y / C SELECT 1 / Z I",
    );
}

#[test]
fn what_the_server_skips_is_not_waited_for() {
    Table::clerk().play(
        "C> P |SELECT nothing FROM notes / B | / E
         U< P |SELECT nothing FROM notes / B | / E
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
         C> Q COPY notes TO STDOUT
         U< Q COPY notes TO STDOUT
         U> H / d 1 / c / C COPY 1 / Z I
         C< H / d 1 / c / C COPY 1 / Z I",
    );
}
