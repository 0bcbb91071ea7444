//! Frames that are longer than what is held of them.

use super::Table;
use super::database::POLICY;
use super::frames::shown;
use crate::session::io::Output;

/// The start of a frame of that type with this body, of which 100 MB are still to come.
fn begun(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &100_000_000_u32.to_be_bytes(), body].concat()
}

/// Take these bytes in small pieces, as they come over a network; how many of them have gone on, and what was said.
fn taken(table: &mut Table, bytes: &[u8]) -> (usize, String) {
    let (mut passed, mut said) = (0, String::new());
    for piece in bytes.chunks(1_000) {
        table.client.extend_from_slice(piece);
        table.take_client();
        while let Some(output) = table.session.poll_output() {
            match output {
                Output::ToUpstream(bytes) => passed += bytes.len(),
                Output::ToClient(bytes) => said.push_str(&shown(&bytes, false)),
                _ => {}
            }
        }
    }
    (passed, said)
}

#[test]
fn a_long_bind_passes_when_its_names_are_there_however_it_is_cut() {
    for policy in [POLICY, ""] {
        let mut table = Table::of("clerk", policy);
        table.play(
            "C> P s|SELECT $1 / S
             U< P s|SELECT $1 / S
             U> 1 / Z I
             C< 1 / Z I",
        );
        let bytes = begun(b'B', &[&b"\0s\0\0\0\0\x01\x05\xf5\xe0\xe5"[..], &[b'x'; 200_000]].concat());
        assert_eq!(taken(&mut table, &bytes), (bytes.len(), String::new()));
        assert!(table.client.is_empty());
    }
}

#[test]
fn while_nothing_is_tagged_long_statements_and_calls_pass_and_else_they_are_too_long() {
    let too_long = "E 54000 pgveil: a message that has to be looked at is longer than 64 MiB (looked_at_bytes_max)";
    for (tag, start) in [(b'P', &b"s\0SELECT '"[..]), (b'Q', b"SELECT '"), (b'F', b"\0\0\0\x01")] {
        let bytes = begun(tag, &[start, &[b'x'; 200_000]].concat());
        let mut table = Table::of("clerk", "");
        assert_eq!(taken(&mut table, &bytes), (bytes.len(), String::new()), "{}", char::from(tag));
        assert!(table.client.is_empty());
        let (passed, said) = taken(&mut Table::clerk(), &bytes);
        if tag == b'F' {
            assert!(said.is_empty(), "something else was sent for it: {said}");
        } else {
            assert_eq!((passed, said.as_str()), (0, too_long));
        }
    }
}
