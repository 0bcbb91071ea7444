//! Simple queries.

use super::Table;

#[test]
fn what_touches_nothing_tagged_passes() {
    Table::clerk().play(
        "C> Q SELECT 1
         U< Q SELECT 1
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I",
    );
}

#[test]
fn tagged_columns_are_masked() {
    Table::clerk().play(
        "C> Q SELECT id, name FROM customers
         U< Q SELECT id, name FROM customers
         U> T id=16384.1:23 name=16384.2:25 / D 1|Ada / C SELECT 1 / Z I
         C< T id=16384.1:23 name=16384.2:25 / D 1|A## / C SELECT 1 / Z I",
    );
}

#[test]
fn each_statement_of_a_query_has_its_own_protection() {
    Table::clerk().play(
        "C> Q SELECT note FROM notes; SELECT name FROM customers; SELECT note FROM notes
         U< Q SELECT note FROM notes; SELECT name FROM customers; SELECT note FROM notes
         U> T note=16385.2:25 / D abc / C SELECT 1 / T name=16384.2:25 / D Ada / C SELECT 1 / T note=16385.2:25 / D x / C SELECT 1 / Z I
         C< T note=16385.2:25 / D abc / C SELECT 1 / T name=16384.2:25 / D A## / C SELECT 1 / T note=16385.2:25 / D x / C SELECT 1 / Z I",
    );
}

#[test]
fn a_refusal_is_an_error_of_the_server_with_other_words() {
    Table::clerk().play(
        "C> Q SELECT 1 FROM customers WHERE name > 'M'
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z T
         C< E 42501 pgveil: a comparison by range on column public.customers.name is not permitted (tag \"name\", rule p.yaml:5) / Z T
         C> Q SELECT 1 FROM customers WHERE name > 'M'
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 25P02 current transaction is aborted / Z E
         C< E 25P02 current transaction is aborted / Z E",
    );
}

#[test]
fn a_reveal_is_logged_before_its_first_byte_with_its_count() {
    Table::boss().play(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / D Eva
         C< T name=16384.2:25
         U> C SELECT 2 / Z I
         A! 1 customers.name rows=2
         C< D Ada / D Eva / C SELECT 2 / Z I
         C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / C SELECT 0 / Z I
         C< T name=16384.2:25 / C SELECT 0 / Z I",
    );
}

#[test]
fn a_denied_column_is_refused() {
    let policy =
        super::POLICY.replace("roles:", "roles:\n  clerks:\n    users: [clerk]\n    sees:\n      name: denied");
    Table::of("clerk", &policy).play(
        "C> Q SELECT name FROM customers
         U< Q SELECT FROM pg_catalog.pgveil_refused",
    );
}

#[test]
fn a_column_that_a_new_policy_denies_is_refused_from_then_on() {
    let mut table = Table::clerk();
    table.play(
        "C> Q SELECT note FROM notes
         U< Q SELECT note FROM notes
         U> T note=16385.2:25 / D x / C SELECT 1 / Z I
         C< T note=16385.2:25 / D x / C SELECT 1 / Z I",
    );
    let clerks = "roles:\n  clerks:\n    users: [clerk]\n    sees:\n      note: denied\n";
    let policy = format!("{}{clerks}", super::database::STRICTER);
    table.snapshot = super::snapshot(2, &policy);
    table.play(
        "C> Q SELECT note FROM notes
         U< Q SELECT FROM pg_catalog.pgveil_refused",
    );
}
