//! Masks that come back.

use super::Table;

const KEPT: &str =
    "N 01000 pgveil: public.customers.email kept what is stored: the new value is the mask that you are shown of it";

#[test]
fn a_mask_in_the_text_of_an_update_is_replaced_by_the_column() {
    Table::clerk().play(&format!(
        "C> Q UPDATE customers SET name = 'Ada L.', email = 'a##@#######.##' WHERE id = 1
         U< Q UPDATE customers SET name = 'Ada L.', email =  \"customers\".\"email\"  WHERE id = 1
         U> C UPDATE 1 / Z I
         C< {KEPT} / C UPDATE 1 / Z I"
    ));
}

#[test]
fn real_values_and_those_who_see_them_are_left_alone() {
    let update = "UPDATE customers SET email = 'ada@example.org' WHERE email = 'a##@#######.##'";
    let mask = "UPDATE customers SET email = 'a##@#######.##'";
    Table::clerk().play(&format!("C> Q {update}\n U< Q {update}\n U> C UPDATE 1 / Z I\n C< C UPDATE 1 / Z I"));
    Table::boss().play(&format!("C> Q {mask}\n U< Q {mask}\n U> C UPDATE 1 / Z I\n C< C UPDATE 1 / Z I"));
}

#[test]
fn a_mask_in_a_new_row_is_refused() {
    Table::clerk().play(
        "C> Q INSERT INTO customers (id, email) VALUES (1, 'ada@example.org'), (2, 'a##@#######.##')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: the new value of column public.customers.email is a mask (tag \"email\") / Z I",
    );
}

#[test]
fn a_bound_mask_goes_to_a_statement_that_keeps_the_column() {
    Table::clerk().play(&format!(
        "C> P |UPDATE customers SET name = $1, email = $2 WHERE id = 1 / B ||Ada L.|a##@#######.## / E / S
         U< P |UPDATE customers SET name = $1, email = $2 WHERE id = 1 / C S|pgveil keeps what is stored / P pgveil keeps what is stored|UPDATE customers SET name = $1, email =  (CASE WHEN false THEN $2 ELSE \"customers\".\"email\" END)  WHERE id = 1 / B |pgveil keeps what is stored / D P| / E / S
         U> 1 / 3 / 1 / 2 / n / C UPDATE 1 / Z I
         C< 1 / 2 / {KEPT} / C UPDATE 1 / Z I
         C> B ||Ada L.|ada@example.org / E / S
         U< B | / D P| / E / S
         U> 2 / n / C UPDATE 1 / Z I
         C< 2 / C UPDATE 1 / Z I"
    ));
}

#[test]
fn a_batch_keeps_its_order_whatever_is_kept() {
    Table::clerk().play(&format!(
        "C> P s|UPDATE customers SET email = $1 WHERE id = $2 / S
         U< P s|UPDATE customers SET email = $1 WHERE id = $2 / S
         U> 1 / Z I
         C< 1 / Z I
         C> B |s|ada@example.org|1 / E / B |s|a##@#######.##|2 / E / B |s|bob@example.org|3 / E / S
         U< B |s / D P| / E / C S|pgveil keeps what is stored / P pgveil keeps what is stored|UPDATE customers SET email =  (CASE WHEN false THEN $1 ELSE \"customers\".\"email\" END)  WHERE id = $2 / B |pgveil keeps what is stored / D P| / E / B |s / D P| / E / S
         U> 2 / n / C UPDATE 1 / 3 / 1 / 2 / n / C UPDATE 1 / 2 / n / C UPDATE 1 / Z I
         C< 2 / C UPDATE 1 / 2 / {KEPT} / C UPDATE 1 / 2 / C UPDATE 1 / Z I"
    ));
}

#[test]
fn a_bound_mask_for_a_new_row_is_refused_in_its_turn() {
    Table::clerk().play(
        "C> P |INSERT INTO customers (email) VALUES ($1) / B ||a##@#######.## / E / S
         U< P |INSERT INTO customers (email) VALUES ($1) / B pgveil refused this|pgveil refused this / E / S
         U> 1 / E 26000 no such statement / Z I
         C< 1 / E 42501 pgveil: the new value of column public.customers.email is a mask (tag \"email\") / Z I",
    );
}

#[test]
fn a_variant_that_fails_fails_like_the_statement() {
    Table::clerk().play(
        "C> P |UPDATE customers SET email = $1 / B ||a##@#######.## / E / S
         U< P |UPDATE customers SET email = $1 / C S|pgveil keeps what is stored / P pgveil keeps what is stored|UPDATE customers SET email =  (CASE WHEN false THEN $1 ELSE \"customers\".\"email\" END) / B |pgveil keeps what is stored / D P| / E / S
         U> 1 / 3 / E 25P02 aborted / Z E
         C< 1 / E 25P02 error (pgveil withheld the text, because it could quote protected data) / Z E
         C> Q SELECT note FROM notes
         U< Q SELECT note FROM notes
         U> T note=16385.2:25 / D x / C SELECT 1 / Z I
         C< T note=16385.2:25 / D x / C SELECT 1 / Z I",
    );
}

#[test]
fn what_sql_prepares_is_changed_and_its_arguments_are_looked_at() {
    Table::clerk().play(
        "C> Q PREPARE s AS UPDATE customers SET email = $1 WHERE name = 'x'
         U< Q PREPARE s AS UPDATE customers SET email = $1 WHERE name = 'x'
         U> C PREPARE / Z I
         C< C PREPARE / Z I
         C> Q EXECUTE s('ada@example.org')
         U< Q EXECUTE s('ada@example.org')
         U> C UPDATE 1 / Z I
         C< C UPDATE 1 / Z I
         C> Q EXECUTE s('a##@#######.##')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: a value that may be the mask of column public.customers.email would be stored, and the stored value can not be kept in this statement (tag \"email\") / Z I",
    );
}

#[test]
fn arguments_are_looked_at_of_what_is_prepared_just_before() {
    let prepare = "PREPARE s AS UPDATE customers SET email = $1 WHERE name = 'x'";
    let refused = "E 42501 pgveil: a value that may be the mask of column public.customers.email would be stored, and the stored value can not be kept in this statement (tag \"email\") / Z I";
    // In the same message.
    Table::clerk().play(&format!(
        "C> Q {prepare}; EXECUTE s('a##@#######.##')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< {refused}
         C> Q {prepare}; EXECUTE s('ada@example.org')
         U< Q {prepare}; EXECUTE s('ada@example.org')
         U> C PREPARE / C UPDATE 1 / Z I
         C< C PREPARE / C UPDATE 1 / Z I"
    ));
    // In one that is on its way.
    Table::clerk().play(&format!(
        "C> Q {prepare}
         U< Q {prepare}
         C> Q EXECUTE s('a##@#######.##')
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> C PREPARE / Z I / E 42P01 relation / Z I
         C< C PREPARE / Z I / {refused}"
    ));
}

#[test]
fn only_the_statement_with_the_mask_is_changed_among_several() {
    Table::clerk().play(&format!(
        "C> Q UPDATE notes SET note = '####'; UPDATE customers SET email = '####'; UPDATE customers SET name = 'Bob'
         U< Q UPDATE notes SET note = '####'; UPDATE customers SET email =  \"customers\".\"email\" ; UPDATE customers SET name = 'Bob'
         U> C UPDATE 1 / C UPDATE 1 / C UPDATE 1 / Z I
         C< C UPDATE 1 / {KEPT} / C UPDATE 1 / C UPDATE 1 / Z I"
    ));
}
