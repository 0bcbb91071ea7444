//! COPY to the client.

use super::Table;

/// What is asked before a COPY of `customers`, and the answers.
const ASKED: &str = "C S|pgveil describes copy / P pgveil describes copy|SELECT * FROM ONLY \"customers\" / D S|pgveil describes copy / C S|pgveil describes copy";
const DESCRIBED: &str = "3 / 1 / t / T id=16384.1:23 name=16384.2:25 email=16384.3:25 / 3";

#[test]
fn lines_are_masked_as_the_server_describes_them() {
    Table::clerk().play(&format!(
        "C> Q COPY customers TO STDOUT
         U< {ASKED} / Q COPY customers TO STDOUT / S
         U> {DESCRIBED} / H 3 / d 1\tAda\tada@x.org / d 2\t\\N\tx / d 3\tA\\tb\\\\\t#@# / c / C COPY 3 / Z I / Z I
         C< H / d 1\tA##\ta##@#.### / d 2\t\\N\t# / d 3\tA###\t#@# / c / C COPY 3 / Z I",
    ));
}

#[test]
fn a_copy_that_the_server_can_not_describe_fails_in_its_turn() {
    Table::clerk().play(&format!(
        "C> Q COPY customers TO STDOUT / Q SELECT 1
         U< {ASKED} / Q COPY customers TO STDOUT / S / Q SELECT 1
         U> 3 / E 42P01 relation / Z I
         C< E 42P01 relation / Z I
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I",
    ));
}

#[test]
fn a_copy_that_fails_itself_is_followed_by_its_own_ready_for_query_alone() {
    Table::clerk().play(&format!(
        "C> Q COPY customers TO STDOUT
         U< {ASKED} / Q COPY customers TO STDOUT / S
         U> {DESCRIBED} / E 42501 permission denied / Z T / Z T
         C< E 42501 permission denied / Z T
         C> Q SELECT 1
         U< Q SELECT 1
         U> T ?column?:23 / D 1 / C SELECT 1 / Z T
         C< T ?column?:23 / D 1 / C SELECT 1 / Z T",
    ));
}

#[test]
fn who_sees_it_in_clear_leaves_events_before_the_first_line() {
    Table::boss().play(&format!(
        "C> Q COPY customers TO STDOUT (FORMAT csv, HEADER)
         U< {ASKED} / Q COPY customers TO STDOUT (FORMAT csv, HEADER) / S
         U> {DESCRIBED} / H 3 / d id,name,email
         C< H / d id,name,email
         U> d 1,Ada,\"a,\"\"b\" / d 2,,
         U> c / C COPY 2 / Z I / Z I
         A! 1 customers.email rows=2
         A! 1 customers.name rows=2
         C< d 1,Ada,\"a,\"\"b\" / d 2,, / c / C COPY 2 / Z I",
    ));
}

#[test]
fn a_portal_is_described_before_it_is_executed() {
    Table::clerk().play(&format!(
        "C> P |COPY customers TO STDOUT / B | / D P| / E / S
         U< P |COPY customers TO STDOUT / B | / D P| / D P| / {ASKED} / E / S
         U> 1 / 2 / n / n / {DESCRIBED} / H 3 / d 1\tAda\tx@y / c / C COPY 1 / Z I
         C< 1 / 2 / n / H / d 1\tA##\t#@# / c / C COPY 1 / Z I
         C> P |COPY customers TO STDOUT / B | / E / S
         U< P |COPY customers TO STDOUT / B | / D P| / {ASKED} / E / S
         U> 1 / 2 / n / 3 / E 42P01 relation / Z I
         C< 1 / 2 / E 42P01 relation / Z I",
    ));
}

/// A query among several is not asked about: what it would return can depend on those before it.
#[test]
fn a_copy_among_other_statements_has_no_types_to_mask_by() {
    Table::clerk().play(
        "C> Q BEGIN; COPY (SELECT id, name FROM customers) TO STDOUT; COPY customers (name) TO STDOUT CSV
         U< Q BEGIN; COPY (SELECT id, name FROM customers) TO STDOUT; COPY customers (name) TO STDOUT CSV
         U> C BEGIN / H 2 / d 1\tAda / c / C COPY 1 / H 1 / d Ada / c / C COPY 1 / Z T
         C< C BEGIN / H / d 1\t\\N / c / C COPY 1 / H / d A## / c / C COPY 1 / Z T",
    );
}

#[test]
fn data_that_is_not_what_was_planned_ends_the_session() {
    let fault = |what: &str| {
        format!(
            "E 08P01 pgveil: the server's answer is not what was asked for (malformed {what} message)\n         X! UpstreamFault"
        )
    };
    for (answers, passed, what) in [
        ("H 2", "", "CopyOutResponse"),
        ("H b3", "", "CopyOutResponse"),
        ("H 3 / d 1\tAda", "H / ", "CopyData"),
        ("H 3 / d 1\tAda\tx\ty", "H / ", "CopyData"),
        ("H 3 / D 1|Ada|x", "H / ", "CopyData"),
        ("d 1\tAda\tx", "", "CopyData"),
        ("c", "", "CopyDone"),
    ] {
        Table::clerk().play(&format!(
            "C> Q COPY customers TO STDOUT
             U< {ASKED} / Q COPY customers TO STDOUT / S
             U> {DESCRIBED} / {answers}
             C< {passed}{}",
            fault(what)
        ));
    }
    // The header line that the statement asks for is not there: a row would go out in its place.
    Table::clerk().play(&format!(
        "C> Q COPY customers TO STDOUT CSV HEADER
         U< {ASKED} / Q COPY customers TO STDOUT CSV HEADER / S
         U> {DESCRIBED} / H 3 / d 1,Ada,x
         C< H / {}",
        fault("header of COPY")
    ));
}

#[test]
fn a_copy_whose_options_are_not_known_shows_nothing() {
    Table::clerk().play(
        "C> Q COPY customers TO STDOUT (FORMAT json)
         U< Q COPY customers TO STDOUT (FORMAT json)
         U> E 22023 COPY format \"json\" not recognized / Z I
         C< E 22023 COPY format \"json\" not recognized / Z I
         C> Q COPY customers TO STDOUT (FORMAT json)
         U< Q COPY customers TO STDOUT (FORMAT json)
         U> H 3 / d {}
         C< E 08P01 pgveil: the server's answer is not what was asked for (malformed CopyOutResponse message)
         X! UpstreamFault",
    );
}

#[test]
fn a_query_is_masked_by_the_types_that_the_server_says() {
    let asked = |query: &str| ASKED.replace("SELECT * FROM ONLY \"customers\"", query);
    let query = "      SELECT lower(name), email FROM customers";
    let described = "3 / 1 / t / T lower:25 email=16384.3:25 / 3";
    Table::clerk().play(&format!(
        "C> P |COPY (SELECT lower(name), email FROM customers) TO STDOUT / B | / E / S
         U< P |COPY (SELECT lower(name), email FROM customers) TO STDOUT / B | / D P| / {} / E / S
         U> 1 / 2 / n / {described} / H 2 / d ada\tx@y / d \\N\t\\N / c / C COPY 2 / Z I
         C< 1 / 2 / H / d ####\t#@# / d ####\t\\N / c / C COPY 2 / Z I",
        asked(query)
    ));
}

#[test]
fn what_touches_nothing_tagged_is_asked_about_and_passes() {
    let asked = ASKED.replace("customers", "notes");
    Table::clerk().play(&format!(
        "C> Q COPY notes TO STDOUT
         U< {asked} / Q COPY notes TO STDOUT / S
         U> 3 / 1 / t / T id=16385.1:23 note=16385.2:25 / 3 / H 2 / d 1\tx / c / C COPY 1 / Z I / Z I
         C< H / d 1\tx / c / C COPY 1 / Z I
         C> Q COPY notes TO STDOUT
         U< {asked} / Q COPY notes TO STDOUT / S
         U> 3 / 1 / t / T id=16384.1:23 note=16384.2:25 / 3 / H 2 / d 1\tAda
         R!
         C< H / d 1\tA##",
    ));
}

#[test]
fn what_the_server_may_pass_over_is_not_asked_about_whatever_is_between() {
    Table::clerk().play(
        "C> P |SELECT 1/0 / B | / E / Q SELECT 1 / Q COPY customers TO STDOUT / Q SELECT 2 / S / Q SELECT 3
         U< P |SELECT 1/0 / B | / E / Q SELECT 1 / Q COPY customers TO STDOUT / Q SELECT 2 / S / Q SELECT 3
         U> 1 / 2 / E 22012 division by zero / Z I
         C< 1 / 2 / E 22012 division by zero / Z I
         U> T ?column?:23 / D 3 / C SELECT 1 / Z I
         C< T ?column?:23 / D 3 / C SELECT 1 / Z I",
    );
}
