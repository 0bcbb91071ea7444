//! Attempts to have rows of a protected statement taken for those of another.

use super::Table;

/// A COPY that fails before it reads anything leaves the Sync behind it to be answered: one ReadyForQuery more than a
/// COPY that reads.
#[test]
fn a_copy_that_fails_at_once_shifts_no_replies() {
    Table::clerk().play(
        "C> P |COPY notes FROM STDIN (FREEZE) / B | / E / S / c / S / Q SELECT lower(name) FROM customers / Q SELECT 1
         U< P |COPY notes FROM STDIN (FREEZE) / B | / E / S / c / S / Q SELECT lower(name) FROM customers / Q SELECT 1
         U> 1 / 2 / G / E 55000 cannot perform COPY FREEZE / Z I
         C< 1 / 2 / G / E 55000 cannot perform COPY FREEZE / Z I
         U> Z I
         C< Z I
         U> T lower:25 / D ada / C SELECT 1 / Z I
         C< T lower:25 / D #### / C SELECT 1 / Z I
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I",
    );
}

/// PostgreSQL cuts names of statements and portals to 63 bytes.
#[test]
fn names_that_are_the_same_to_the_server_are_the_same() {
    let (one, other) = (format!("{}1", "a".repeat(63)), format!("{}2", "a".repeat(63)));
    Table::clerk().play(&format!(
        "C> P {one}|SELECT 'x' / C S|{other} / P {other}|SELECT lower(name) FROM customers / S
         U< P {one}|SELECT 'x' / C S|{other} / P {other}|SELECT lower(name) FROM customers / S
         U> 1 / 3 / 1 / Z I
         C< 1 / 3 / 1 / Z I
         C> B |{one} / E / S
         U< B |{one} / D P| / E / S
         U> 2 / T lower:25 / D ada / C SELECT 1 / Z I
         C< 2 / D #### / C SELECT 1 / Z I",
    ));
}

/// A portal that runs `EXECUTE` runs what has that name when it is executed, not when it was described.
#[test]
fn a_portal_of_execute_does_not_outlive_what_it_executes() {
    let mut table = Table::clerk();
    table.play(
        "C> Q BEGIN; PREPARE s AS SELECT 'x'::text AS lower / P q|EXECUTE s / B p|q / S
         U< Q BEGIN; PREPARE s AS SELECT 'x'::text AS lower / P q|EXECUTE s / B p|q / D P|p / S
         U> C BEGIN / C PREPARE / Z T / 1 / 2 / T lower:25 / Z T
         C< C BEGIN / C PREPARE / Z T / 1 / 2 / Z T
         C> Q DEALLOCATE s; PREPARE s AS SELECT lower(name) FROM customers / E p / S
         U< Q DEALLOCATE s; PREPARE s AS SELECT lower(name) FROM customers / E p / S
         U> C DEALLOCATE / C PREPARE / Z T
         C< C DEALLOCATE / C PREPARE / Z T
         U> D ada
         C< E 08P01 pgveil: the server's answer is not what was asked for (malformed DataRow without a RowDescription message)
         X! UpstreamFault",
    );
}

/// `ROLLBACK TO` drops cursors; a function can open another one of the same name.
#[test]
fn a_cursor_that_is_rolled_back_is_forgotten() {
    Table::clerk().play(
        "C> Q BEGIN; SAVEPOINT id; DECLARE c CURSOR FOR SELECT 'x' AS lower; ROLLBACK TO id
         U< Q BEGIN; SAVEPOINT id; DECLARE c CURSOR FOR SELECT 'x' AS lower; ROLLBACK TO id
         U> C BEGIN / C SAVEPOINT / C DECLARE CURSOR / C ROLLBACK / Z T
         C< C BEGIN / C SAVEPOINT / C DECLARE CURSOR / C ROLLBACK / Z T
         C> Q FETCH c
         U< Q FETCH c
         U> T lower:25 / D ada / C FETCH 1 / Z T
         C< T lower:25 / D #### / C FETCH 1 / Z T",
    );
}

/// A chained transaction ends without ever being idle.
#[test]
fn portals_end_with_a_chained_transaction() {
    Table::clerk().play(
        "C> Q BEGIN; DECLARE c CURSOR FOR SELECT 'x' AS lower
         U< Q BEGIN; DECLARE c CURSOR FOR SELECT 'x' AS lower
         U> C BEGIN / C DECLARE CURSOR / Z T
         C< C BEGIN / C DECLARE CURSOR / Z T
         C> Q COMMIT AND CHAIN
         U< Q COMMIT AND CHAIN
         U> C COMMIT / Z T
         C< C COMMIT / Z T
         C> Q FETCH c
         U< Q FETCH c
         U> T lower:25 / D ada / C FETCH 1 / Z T
         C< T lower:25 / D #### / C FETCH 1 / Z T",
    );
}

/// The server reads texts in the new encoding before it says that it is in force.
#[test]
fn text_that_an_encoding_on_its_way_could_turn_is_not_read() {
    let mut table = Table::clerk();
    table.play(
        "C> P |SET client_encoding TO 'SJIS' / B | / E
         U< P |SET client_encoding TO 'SJIS' / B | / E
         C> P |SELECT E'あ\\', lower(email) FROM customers --'
         U< P |SELECT FROM pg_catalog.pgveil_refused",
    );
}

#[test]
fn weak_strings_are_not_read_as_strong_ones() {
    Table::clerk().play(
        "C> Q SELECT note FROM notes
         U< Q SELECT note FROM notes
         U> T note=16385.2:25 / D off / C SELECT 1 / S standard_conforming_strings off / Z I
         C< T note=16385.2:25 / D off / C SELECT 1 / S standard_conforming_strings off / Z I
         C> Q SELECT 'x\\' , ' || lower(email) FROM customers --'
         U< Q SELECT FROM pg_catalog.pgveil_refused",
    );
}

/// What is prepared under one policy is judged by the one that is in force when it runs.
#[test]
fn execute_is_judged_by_the_policy_of_its_time() {
    Table::clerk().play(
        "C> Q PREPARE s AS SELECT note FROM notes
         U< Q PREPARE s AS SELECT note FROM notes
         U> C PREPARE / Z I
         C< C PREPARE / Z I
         -- stricter
         C> Q EXECUTE s
         U< Q EXECUTE s
         U> T note=16385.2:25 / D abc / C SELECT 1 / Z I
         C< T note=16385.2:25 / D ### / C SELECT 1 / Z I",
    );
}

/// A Bind is judged by its head; when it is refused, its tail must not be read as messages.
#[test]
fn a_long_bind_that_is_refused_is_dropped_whole() {
    let mut table = Table::clerk();
    table.play(
        "C> P s|SELECT 1 FROM notes WHERE note > 'M' / S
         U< P s|SELECT 1 FROM notes WHERE note > 'M' / S
         U> 1 / Z I
         C< 1 / Z I",
    );
    table.snapshot = super::snapshot(2, super::database::STRICTER);
    let mut body = b"\0s\0\0\0\0\x01".to_vec();
    body.extend(200_000_u32.to_be_bytes());
    body.extend(std::iter::repeat_n(b'Q', 200_000));
    body.extend([0, 0]);
    let frame = crate::wire::compose::raw(b'B', &body);
    table.client.extend_from_slice(&frame[..100_000]);
    table.take_client();
    assert_eq!(table.outputs(), ["U< B pgveil refused this|pgveil refused this"]);
    table.client.extend_from_slice(&frame[100_000..]);
    table.take_client();
    assert_eq!(table.outputs(), [""; 0]);
    table.play(
        "C> S
         U< S",
    );
}

/// Bodies that can not be decoded, of each message that is looked at. A Flush with a body is an error, too, that the client
/// could use to have more skipped than pgveil knows of.
const MALFORMED: [(u8, &[u8]); 7] = [
    (b'Q', b"SELECT name FROM customers"),
    (b'P', b"\0SELECT 1"),
    (b'B', b"p"),
    (b'D', b"Z\0"),
    (b'C', b"S"),
    (b'E', b"p\0\0"),
    (b'H', b"x"),
];

/// What goes to the server for these bytes of the client.
fn sent(table: &mut Table, bytes: &[u8]) -> Vec<u8> {
    table.client.extend_from_slice(bytes);
    table.take_client();
    let mut sent = Vec::new();
    while let Some(output) = table.session.poll_output() {
        if let crate::session::io::Output::ToUpstream(bytes) = output {
            sent.extend_from_slice(&bytes);
        }
    }
    sent
}

#[test]
fn what_is_malformed_the_server_says_and_the_session_goes_on() {
    for (tag, body) in MALFORMED {
        let mut table = Table::clerk();
        let frame = crate::wire::compose::raw(tag, body);
        assert_eq!(sent(&mut table, &frame), frame);
        if tag != b'Q' {
            table.play("C> S\nU< S");
        }
        table.play(
            "U> E 08P01 no data left in message / Z I
             C< E 08P01 no data left in message / Z I
             C> Q SELECT 1
             U< Q SELECT 1",
        );
    }
}

#[test]
fn an_answer_to_what_is_malformed_that_is_no_error_goes_to_nobody() {
    for (tag, body) in MALFORMED {
        for answer in ["1", "2", "3", "C SELECT 1", "D Ada", "Z I", "n", "s"] {
            let mut table = Table::clerk();
            sent(&mut table, &crate::wire::compose::raw(tag, body));
            table.server.extend_from_slice(&super::frames::server(answer));
            table.take_server();
            let said = table.outputs().join(" ");
            assert!(said.contains("E 08P01 pgveil") && said.ends_with("X! UpstreamFault"), "{answer}: {said}");
            assert!(!said.contains("Ada"), "{said}");
        }
    }
}

#[test]
fn what_was_asked_before_a_goodbye_is_answered_and_what_comes_after_it_is_not_asked() {
    let mut table = Table::clerk();
    let (asked, goodbye) = (crate::wire::compose::query("SELECT 1"), crate::wire::compose::raw(b'X', b""));
    let together = [&asked[..], &goodbye[..], &asked[..]].concat();
    assert_eq!(sent(&mut table, &together), [&asked[..], &goodbye[..]].concat());
    assert_eq!(sent(&mut table, &asked), b"");
    assert!(table.session.owes_answers());
    table.play("U> C SELECT 1 / Z I\nC< C SELECT 1 / Z I");
    assert!(!table.session.owes_answers());
}

#[test]
fn of_a_message_that_the_protocol_does_not_have_the_server_sees_the_first_byte() {
    let mut table = Table::clerk();
    let asked = crate::wire::compose::query("SELECT 1");
    assert_eq!(sent(&mut table, &[b"~\0\0\0\x04", &asked[..]].concat()), b"~");
    assert!(table.client.is_empty() && table.session.owes_answers());
}

/// PostgreSQL would notice when it runs it; pgveil must not run in circles before.
#[test]
fn a_statement_that_executes_itself_is_judged_once() {
    let mut table = Table::of("clerk", "");
    table.play(
        "C> P a|EXECUTE a / S
         U< P a|EXECUTE a / S
         U> 1 / Z I
         C< 1 / Z I",
    );
    table.snapshot = super::snapshot(2, super::POLICY);
    table.play(
        "C> Q EXECUTE a
         U< Q EXECUTE a",
    );
}
