//! COPY from the client.

use proptest::prelude::*;

use super::{Table, frames};
use crate::wire::compose;

const REFUSED: &str =
    "E 42501 pgveil: the new value of column public.customers.email is a mask (tag \"email\") in line";
const ENDED: &str = "E 57014 COPY from stdin failed: pgveil refused the data";

#[test]
fn rows_go_on_when_they_are_whole() {
    Table::clerk().play(
        "C> Q COPY customers (id, email) FROM STDIN
         U< Q COPY customers (id, email) FROM STDIN
         U> G 2
         C< G
         C> d 1\ta@x
         C> d .org\\n2\tb
         U< d 1\ta@x.org\\n
         C> d @x.org\\n
         U< d 2\tb@x.org\\n
         C> d 3\tc / c
         U< d 3\tc / c
         U> C COPY 3 / Z I
         C< C COPY 3 / Z I",
    );
}

#[test]
fn a_mask_ends_the_copy_before_it_goes_on() {
    Table::clerk().play(&format!(
        "C> Q COPY customers (id, email) FROM STDIN
         U< Q COPY customers (id, email) FROM STDIN
         U> G 2
         C< G
         C> d 1\ta@x.org\\n / d 2\ta#
         U< d 1\ta@x.org\\n
         C> d #@#.###\\n3\tb@x.org\\n / d 4\tc@x.org\\n
         U< f pgveil refused the data
         C> d 5\tc@x.org\\n / c / Q SELECT 1
         U< Q SELECT 1
         U> {ENDED}|WCOPY customers, line 1 / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< {REFUSED} 2 of the data / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I",
    ));
}

#[test]
fn a_mask_in_the_last_line_ends_it_too() {
    Table::clerk().play(&format!(
        "C> Q COPY customers (email) FROM STDIN
         U< Q COPY customers (email) FROM STDIN
         U> G 1
         C< G
         C> d a@x.org\\n#### / c / Q SELECT 1
         U< d a@x.org\\n / f pgveil refused the data / Q SELECT 1
         U> {ENDED} / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< {REFUSED} 2 of the data / Z I / T ?column?:23 / D 1 / C SELECT 1 / Z I",
    ));
}

#[test]
fn another_error_that_comes_first_is_that_of_the_copy() {
    Table::clerk().play(
        "C> Q COPY customers (email) FROM STDIN
         U< Q COPY customers (email) FROM STDIN
         U> G 1
         C< G
         C> d a@x.org\\n / d ####\\n
         U< d a@x.org\\n / f pgveil refused the data
         U> E 23505 duplicate key|Fnbtinsert.c|Dvalue / Z I
         C< E 23505 duplicate key / Z I
         C> c / Q SELECT 1
         U< Q SELECT 1",
    );
}

/// A client that sends everything at once.
#[test]
fn data_that_comes_too_early_waits_until_the_server_reads_it() {
    Table::clerk().play(&format!(
        "C> P |COPY customers (email) FROM STDIN / B | / E / d a@x.org\\n / d ####\\n / d b@x.org\\n / c / S / P |SELECT 1 / B | / E / S
         U< P |COPY customers (email) FROM STDIN / B | / D P| / E / H
         U> 1 / 2 / n / G 1
         C< 1 / 2 / G
         -- client
         U< d a@x.org\\n / f pgveil refused the data / S / P |SELECT 1 / B | / E / S
         U> {ENDED} / Z I
         C< {REFUSED} 2 of the data / Z I
         U> 1 / 2 / D 1 / C SELECT 1 / Z I
         C< 1 / 2 / D 1 / C SELECT 1 / Z I",
    ));
    Table::clerk().play(
        "C> P |COPY customers (email) FROM STDIN / B | / E / d a@x.org\\n / c / S
         U< P |COPY customers (email) FROM STDIN / B | / D P| / E / H
         U> 1 / 2 / n / E 42501 permission denied
         C< 1 / 2 / E 42501 permission denied
         -- client
         U< d a@x.org\\n / c / S
         U> Z I
         C< Z I",
    );
}

/// Syncs that come before the data: the server passes over those that it reads with it.
#[test]
fn a_sync_in_the_data_is_passed_over() {
    Table::clerk().play(&format!(
        "C> P |COPY customers (email) FROM STDIN / B | / E / S
         U< P |COPY customers (email) FROM STDIN / B | / D P| / E / S
         U> 1 / 2 / n / G 1
         C< 1 / 2 / G
         C> d a@x.org\\n / S / d ####\\n / d x / c / S
         U< d a@x.org\\n / S / f pgveil refused the data / S
         U> {ENDED} / Z I
         C< {REFUSED} 2 of the data / Z I
         C> Q SELECT 1
         U< Q SELECT 1
         U> T ?column?:23 / D 1 / C SELECT 1 / Z I
         C< T ?column?:23 / D 1 / C SELECT 1 / Z I",
    ));
}

#[test]
fn each_copy_of_a_message_is_looked_at_by_itself() {
    Table::clerk().play(&format!(
        "C> Q COPY notes FROM STDIN; COPY customers (email) FROM STDIN; SELECT 1 / d 1\t####\\n / c / d ####\\n / c / Q SELECT 2
         U< Q COPY notes FROM STDIN; COPY customers (email) FROM STDIN; SELECT 1 / H
         U> G 2
         C< G
         -- client
         U< d 1\t####\\n / c / H
         U> C COPY 1 / G 1
         C< C COPY 1 / G
         -- client
         U< f pgveil refused the data / Q SELECT 2
         U> {ENDED} / Z I
         C< {REFUSED} 1 of the data / Z I",
    ));
}

#[test]
fn data_of_a_copy_that_needs_no_look_goes_on_in_pieces() {
    for (mut table, columns) in [(Table::boss(), "(email)"), (Table::clerk(), "(id)")] {
        table.play(&format!(
            "C> Q COPY customers {columns} FROM STDIN
             U< Q COPY customers {columns} FROM STDIN
             U> G 1
             C< G
             C> d #### / d ## / c
             U< d #### / d ## / c
             U> C COPY 1 / Z I
             C< C COPY 1 / Z I"
        ));
    }
}

#[test]
fn the_clients_own_end_of_a_copy_is_the_clients() {
    Table::clerk().play(
        "C> Q COPY customers (email) FROM STDIN
         U< Q COPY customers (email) FROM STDIN
         U> G 1
         C< G
         C> d a@x.org\\n## / f changed my mind
         U< d a@x.org\\n / f changed my mind
         U> E 57014 COPY from stdin failed: changed my mind|Fcopyfromparse.c / Z I
         C< E 57014 error (pgveil withheld the text, because it could quote protected data) / Z I",
    );
}

#[test]
fn a_table_that_has_changed_is_not_filled() {
    Table::clerk().play(&format!(
        "C> Q COPY customers FROM STDIN
         U< Q COPY customers FROM STDIN
         U> G 4
         U< f pgveil refused the data
         R!
         C< G
         C> d 1\t2\t3\t4\\n / c
         U> {ENDED} / Z I
         C< E 42501 pgveil: COPY to customers is not permitted like this: masks among its rows could not be seen, because the table has other columns than pgveil knows of / Z I"
    ));
}

proptest! {
    /// However data is cut into messages and pieces of them: what goes on is what came, or nothing of what is behind the
    /// first mask.
    #[test]
    fn how_data_is_cut_does_not_matter(
        rows in prop::collection::vec(prop::sample::select(vec!["a@x.org", "####", "b@x.org", "\\N"]), 1..6),
        frames_of in 1_usize..12, pieces_of in 1_usize..12, early in any::<bool>(),
    ) {
        let data: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let mut table = Table::clerk();
        let begin = frames::client("Q COPY customers (email) FROM STDIN");
        let mut stream = Vec::new();
        for piece in data.as_bytes().chunks(frames_of) {
            stream.extend_from_slice(&compose::raw(b'd', piece));
        }
        stream.extend_from_slice(&compose::raw(b'c', b""));
        table.client.extend_from_slice(&begin);
        if early {
            table.client.extend_from_slice(stream.drain(..stream.len() / 2).as_slice());
        }
        table.take_client();
        table.outputs();
        table.to_server.clear();
        table.server.extend_from_slice(&frames::server("G 1"));
        table.take_server();
        table.take_client();
        for piece in stream.chunks(pieces_of) {
            table.client.extend_from_slice(piece);
            table.take_client();
        }
        table.outputs();
        let sent = frames::shown(&table.to_server, true);
        let mask = rows.iter().position(|row| *row == "####");
        let expected: String = rows[..mask.unwrap_or(rows.len())].iter().map(|row| format!("{row}\n")).collect();
        let joined: String = sent.split(" / ").filter_map(|frame| frame.strip_prefix("d ")).collect();
        let joined = joined.replace("\\n", "\n");
        // Rows that came in one piece with the mask need not go on.
        prop_assert!(if mask.is_some() { expected.starts_with(&joined) } else { joined == expected }, "{}", joined);
        let end = if mask.is_some() { "f pgveil refused the data" } else { "c" };
        prop_assert!(sent.ends_with(end), "{}", sent);
    }
}

/// The server takes it for part of the data, says that it has no place there, and hangs up. The data has not gone on.
#[test]
fn a_request_between_a_copy_and_its_data_is_answered_by_the_server() {
    Table::clerk().play(
        "C> P |COPY customers (email) FROM STDIN / B | / E / S / Q SELECT 1 / d ####\\n / c / S
         U< P |COPY customers (email) FROM STDIN / B | / D P| / E / S / Q SELECT 1 / H
         U> 1 / 2 / n / G 1
         C< 1 / 2
         L!
         C< G
         U> E 08P01 unexpected message type 0x51|WCOPY customers, line 1|RCopyGetData
         C< E 08P01 unexpected message type 0x51
         -- client",
    );
}
