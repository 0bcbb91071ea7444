//! Inference budgets.

use super::Table;

const POLICY: &str = "
version: 1
tags:
  email: { mask: email, budget: 2/h }
  name: { mask: { show_first: 1 }, filter: search, budget: 100/h }
columns:
  public.customers:
    email: email
    name: name
";

const USED_UP: &str = "42501 pgveil: the inference budget of 2 per hour for column public.customers.email is used up; it covers this statement in \
     1801 s (tag \"email\", rule p.yaml:4)";

fn play(playbook: &str) -> Table {
    let mut table = Table::of("clerk", POLICY);
    table.play(&playbook.replace("USED_UP", USED_UP));
    table
}

#[test]
fn each_query_counts_until_the_budget_is_used_up_and_comes_back() {
    let mut table = play(
        "C> Q SELECT id FROM customers WHERE email = 'a'
         U< Q SELECT id FROM customers WHERE email = 'a'
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I
         C> Q SELECT id FROM customers WHERE email IS NULL OR id = 1
         U< Q SELECT id FROM customers WHERE email IS NULL OR id = 1
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I
         C> Q SELECT id FROM customers WHERE email = 'b'
         U< Q SELECT id FROM customers WHERE email = 'b'
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I
         C> Q SELECT id FROM customers WHERE email = 'c'
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E USED_UP / Z I",
    );
    // Other columns have budgets of their own, and a policy that is read again forgets nothing.
    table.play(
        "C> Q SELECT id FROM customers WHERE name LIKE 'c%'
         U< Q SELECT id FROM customers WHERE name LIKE 'c%'
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I
         -- an hour later
         C> Q SELECT id FROM customers WHERE email IN ('d', 'e')
         U< Q SELECT id FROM customers WHERE email IN ('d', 'e')
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I",
    );
}

#[test]
fn all_statements_of_a_message_are_counted_before_any_of_it_runs() {
    play(
        "C> Q SELECT 1; SELECT id FROM customers WHERE email = 'a'; SELECT id FROM customers WHERE email IN ('b', 'c')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: the inference budget of 2 per hour for column public.customers.email does not cover so many filters in one statement (tag \"email\", rule p.yaml:4) / Z I",
    );
}

#[test]
fn each_bind_of_a_prepared_statement_counts_and_the_parse_does_not() {
    play(
        "C> P s|SELECT id FROM customers WHERE email = $1 / S
         U< P s|SELECT id FROM customers WHERE email = $1 / S
         U> 1 / Z I
         C< 1 / Z I
         C> B |s|a / E / B |s|b / E / B |s|c / E / S
         U< B |s / D P| / E / B |s / D P| / E / B pgveil refused this|pgveil refused this / E / S
         U> 2 / T id=16384.1:23 / C SELECT 0 / 2 / T id=16384.1:23 / C SELECT 0 / E 26000 no statement / Z I
         C< 2 / C SELECT 0 / 2 / C SELECT 0 / E USED_UP / Z I",
    );
}

#[test]
fn each_execute_counts_also_where_prepare_is_not_answered_yet() {
    play(
        "C> Q PREPARE q(text) AS SELECT id FROM customers WHERE email = $1; EXECUTE q('a')
         U< Q PREPARE q(text) AS SELECT id FROM customers WHERE email = $1; EXECUTE q('a')
         C> Q EXECUTE q('b')
         U< Q EXECUTE q('b')
         C> Q EXECUTE q('c')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> C PREPARE / T id=16384.1:23 / C SELECT 0 / Z I / T id=16384.1:23 / C SELECT 0 / Z I / E 42P01 relation / Z I
         C< C PREPARE / T id=16384.1:23 / C SELECT 0 / Z I / T id=16384.1:23 / C SELECT 0 / Z I / E USED_UP / Z I",
    );
    play(
        "C> P q|SELECT id FROM customers WHERE email = ANY($1) / P x|EXECUTE q('{a,b}') / B |x / E / B |x / E / S
         U< P q|SELECT id FROM customers WHERE email = ANY($1) / P x|EXECUTE q('{a,b}') / B |x / D P| / E / B pgveil refused this|pgveil refused this / E / S",
    );
}

#[test]
fn cursors_count_when_they_are_declared() {
    play(
        "C> Q DECLARE a CURSOR WITH HOLD FOR SELECT id FROM customers WHERE email IN ('a', 'b')
         U< Q DECLARE a CURSOR WITH HOLD FOR SELECT id FROM customers WHERE email IN ('a', 'b')
         U> C DECLARE / Z I
         C< C DECLARE / Z I
         C> Q DECLARE b CURSOR FOR SELECT id FROM customers WHERE email = 'a'
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E USED_UP / Z I
         C> Q FETCH a
         U< Q FETCH a
         U> T id=16384.1:23 / D 1 / C FETCH 1 / Z I
         C< T id=16384.1:23 / D 1 / C FETCH 1 / Z I",
    );
}

#[test]
fn elements_of_a_parameter_are_counted() {
    play(
        "C> P |SELECT id FROM customers WHERE email = ANY($1) / B ||{a,b,c} / E / S
         U< P |SELECT id FROM customers WHERE email = ANY($1) / B pgveil refused this|pgveil refused this / E / S
         U> 1 / E 26000 no statement / Z I
         C< 1 / E 42501 pgveil: the inference budget of 2 per hour for column public.customers.email does not cover so many filters in one statement (tag \"email\", rule p.yaml:4) / Z I
         C> P |SELECT id FROM customers WHERE email = ANY($1) / B ||{a,b} / E / S
         U< P |SELECT id FROM customers WHERE email = ANY($1) / B | / D P| / E / S
         U> 1 / 2 / T id=16384.1:23 / C SELECT 0 / Z I
         C< 1 / 2 / C SELECT 0 / Z I",
    );
}

#[test]
fn a_pattern_in_a_parameter_is_known_when_it_is_bound() {
    let by_pattern = "42501 pgveil: a search by pattern on column public.customers.email is not permitted (tag \"email\", rule p.yaml:4)";
    play(&"C> P s|SELECT id FROM customers WHERE email LIKE $1 / B |s|a@example.org / E / B |s|a% / E / S
         U< P s|SELECT id FROM customers WHERE email LIKE $1 / B |s / D P| / E / B pgveil refused this|pgveil refused this / E / S
         U> 1 / 2 / T id=16384.1:23 / C SELECT 0 / E 26000 no statement / Z I
         C< 1 / 2 / C SELECT 0 / E BY_PATTERN / Z I
         C> Q EXECUTE s('b%')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E BY_PATTERN / Z I
         C> Q EXECUTE s('b' || '%')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E BY_PATTERN / Z I
         C> Q EXECUTE s('b@example.org')
         U< Q EXECUTE s('b@example.org')
         U> T id=16384.1:23 / C SELECT 0 / Z I
         C< T id=16384.1:23 / C SELECT 0 / Z I
         C> P |SELECT id FROM customers WHERE name ILIKE upper($1) / B ||%a% / E / S
         U< P |SELECT id FROM customers WHERE name ILIKE upper($1) / B | / D P| / E / S".replace("BY_PATTERN", by_pattern));
}

#[test]
fn a_bind_that_comes_in_pieces_is_looked_at_whole() {
    let mut table = Table::of("clerk", POLICY);
    let long = "x".repeat(200_000);
    table.play(
        "C> P s|SELECT id FROM customers WHERE email LIKE $1 / S
         U< P s|SELECT id FROM customers WHERE email LIKE $1 / S
         U> 1 / Z I
         C< 1 / Z I",
    );
    let bind = super::frames::client(&format!("B |s|{long}%"));
    let (one, two) = bind.split_at(100_000);
    table.client.extend_from_slice(one);
    table.take_client();
    assert_eq!(table.outputs(), Vec::<String>::new());
    table.client.extend_from_slice(two);
    table.take_client();
    assert_eq!(table.outputs(), ["U< B pgveil refused this|pgveil refused this"]);
}

#[test]
fn a_statement_that_was_parsed_anew_is_the_one_that_counts() {
    play(
        "C> P |SELECT id FROM customers WHERE email LIKE $1 / B ||a / E / S
         U< P |SELECT id FROM customers WHERE email LIKE $1 / B | / D P| / E / S
         U> 1 / 2 / T id=16384.1:23 / C SELECT 0 / Z I
         C< 1 / 2 / C SELECT 0 / Z I
         C> P |SELECT id FROM customers WHERE name LIKE $1 / B ||a% / E / S
         U< P |SELECT id FROM customers WHERE name LIKE $1 / B | / D P| / E / S
         C> P |SELECT id FROM customers WHERE email LIKE $1 / S / B ||a / E / S
         U< P |SELECT id FROM customers WHERE email LIKE $1 / S / B | / D P| / E / S",
    );
}
