//! What holds for every sequence of messages.

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::Model;
use super::{Table, database, frames, opening};
use crate::access_log::Record;

/// Statements of the model's database; some of them pgveil refuses, some the server.
const TEXTS: [&str; 9] = [
    "SELECT 1",
    "SELECT note FROM notes",
    "SELECT name FROM customers",
    "SELECT lower(name) FROM customers",
    "SELECT 1 FROM customers WHERE name > 'M'",
    "SELECT nothing",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
];

/// Statements that speak of what was named before.
const NAMING: [&str; 9] = [
    "PREPARE a AS SELECT 1",
    "PREPARE a AS SELECT lower(name) FROM customers",
    "EXECUTE a",
    "DEALLOCATE a",
    "DECLARE b CURSOR FOR SELECT 1",
    "DECLARE b CURSOR FOR SELECT lower(name) FROM customers",
    "FETCH ALL FROM b",
    "CLOSE b",
    "BEGIN; PREPARE c AS SELECT note FROM notes; EXECUTE c; DEALLOCATE c; SELECT name FROM customers",
];

fn message(texts: Vec<&'static str>) -> impl Strategy<Value = String> {
    let text = prop::sample::select(texts);
    let name = || prop::sample::select(vec!["", "a", "b"]);
    prop_oneof![
        3 => (name(), text.clone()).prop_map(|(name, text)| format!("P {name}|{text}")),
        4 => (name(), name()).prop_map(|(portal, statement)| format!("B {portal}|{statement}")),
        2 => (prop::sample::select(vec!["S", "P"]), name()).prop_map(|(subject, name)| format!("D {subject}|{name}")),
        4 => (name(), 0..3_u8).prop_map(|(portal, limit)| format!("E {portal} {limit}")),
        1 => (prop::sample::select(vec!["S", "P"]), name()).prop_map(|(subject, name)| format!("C {subject}|{name}")),
        3 => Just("S".to_owned()),
        1 => Just("H".to_owned()),
        3 => text.prop_map(|text| format!("Q {text}")),
    ]
}

fn everything() -> Vec<&'static str> {
    TEXTS.iter().chain(&NAMING).copied().collect()
}

/// Messages, and after each how much of what the server has said is delivered, in parts of 4.
fn conversation(texts: Vec<&'static str>) -> impl Strategy<Value = Vec<(String, u8)>> {
    vec((message(texts), 0..=4_u8), 1..40)
}

/// Have the messages pass through a session to a model server. The lines of its outputs, and what is left to answer.
fn converse(table: &mut Table, messages: &[(String, u8)]) -> Vec<String> {
    let (mut model, mut said, mut lines) = (Model::new(), Vec::new(), Vec::new());
    let last = [("S".to_owned(), 4_u8)];
    for (line, part) in messages.iter().chain(&last) {
        table.client.extend_from_slice(&frames::client(line));
        table.take_client();
        for _ in 0..2 {
            lines.extend(drained(table));
            said.extend(model.take(&std::mem::take(&mut table.to_server)));
            let count = said.len() * usize::from(*part) / 4;
            table.server.extend(said.drain(..count));
            table.take_server();
            table.take_client();
        }
        lines.extend(drained(table));
    }
    assert!(said.is_empty() || lines.iter().any(|line| line.starts_with("X!")));
    lines
}

/// Drain outputs whose bytes need not be whole frames.
fn drained(table: &mut Table) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(output) = table.session.poll_output() {
        match output {
            crate::session::io::Output::ToUpstream(bytes) => table.to_server.extend_from_slice(&bytes),
            crate::session::io::Output::ToClient(bytes) => table.to_client.extend_from_slice(&bytes),
            crate::session::io::Output::Close(reason) => lines.push(format!("X! {reason:?}")),
            crate::session::io::Output::Access(records) => lines.extend(records.iter().map(|record| match record {
                Record::Reveal(event) => format!("A! {} {:?}", event.execution, event.rows),
                other => format!("A! {other:?}"),
            })),
            crate::session::io::Output::Note(Record::Closing(closing)) => {
                lines.push(format!("A. {} {}", closing.execution, closing.rows));
            }
            crate::session::io::Output::Refresh(wanted) => {
                table.wanted.push_back(wanted);
                table.act("refreshed");
            }
            _ => {}
        }
    }
    lines
}

/// The types of the server's frames.
fn tags(bytes: &[u8]) -> String {
    frames::shown(bytes, false).split(" / ").filter_map(|word| word.chars().next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Under an empty policy the client gets what it would get from the server, byte for byte.
    #[test]
    fn an_empty_policy_changes_nothing(messages in conversation(everything())) {
        let mut table = Table::of("clerk", "");
        table.to_client.clear();
        table.to_server.clear();
        let lines = converse(&mut table, &messages);
        prop_assert_eq!(lines, Vec::<String>::new());
        let mut direct = Model::new();
        let mut replies = Vec::new();
        for (line, _) in &messages {
            replies.extend(direct.take(&frames::client(line)));
        }
        replies.extend(direct.take(&frames::client("S")));
        prop_assert_eq!(frames::shown(&table.to_client, false), frames::shown(&replies, false));
    }

    /// Replies stay in order, nothing is left to answer, and no clear value is among them.
    #[test]
    fn replies_stay_in_order(messages in conversation(TEXTS.to_vec())) {
        let mut table = Table::clerk();
        table.to_client.clear();
        table.to_server.clear();
        let lines = converse(&mut table, &messages);
        prop_assert_eq!(lines, Vec::<String>::new());
        let shown = frames::shown(&table.to_client, false);
        prop_assert!(!shown.contains("anary"), "{}", shown);
        // What pgveil refuses the model does not know: it fails at the same place.
        let mut direct = Model::new();
        let mut replies = messages.iter().flat_map(|(line, _)| direct.take(&frames::client(line))).collect::<Vec<_>>();
        replies.extend(direct.take(&frames::client("S")));
        prop_assert_eq!(tags(&table.to_client), tags(&replies));
        if let super::super::Phase::Conversation(conversation) = &table.session.phase {
            prop_assert!(conversation.replies.is_empty(), "{}", conversation.replies.len());
        }
    }

    /// No clear value reaches a client that may not see it, whatever names stand for.
    #[test]
    fn no_order_of_messages_shows_a_clear_value(messages in conversation(everything())) {
        let mut table = Table::clerk();
        table.to_client.clear();
        converse(&mut table, &messages);
        let shown = String::from_utf8_lossy(&table.to_client).into_owned();
        prop_assert!(!shown.contains("anary"), "{}", shown);
    }

    /// Who may see everything sees it, each execution after its event.
    #[test]
    fn bytes_in_pieces_are_the_same_bytes(
        messages in conversation(TEXTS.to_vec()),
        pieces in vec(1..9_usize, 1..20),
    ) {
        let mut whole = Table::boss();
        whole.to_client.clear();
        whole.to_server.clear();
        let (mut model, mut trace) = (Model::new(), Vec::new());
        let mut events = Vec::new();
        for (line, _) in &messages {
            let asked = frames::client(line);
            whole.client.extend_from_slice(&asked);
            whole.take_client();
            events.extend(drained(&mut whole));
            let replies = model.take(&std::mem::take(&mut whole.to_server));
            whole.server.extend_from_slice(&replies);
            whole.take_server();
            events.extend(drained(&mut whole));
            trace.push((asked, replies));
        }
        let mut cut = Table::boss();
        cut.to_client.clear();
        let mut sizes = pieces.iter().copied().cycle();
        let mut cut_events = Vec::new();
        for (asked, replies) in trace {
            let mut left = &asked[..];
            while !left.is_empty() {
                let (piece, rest) = left.split_at(sizes.next().unwrap_or(1).min(left.len()));
                cut.client.extend_from_slice(piece);
                cut.take_client();
                cut_events.extend(drained(&mut cut));
                left = rest;
            }
            let mut left = &replies[..];
            while !left.is_empty() {
                let (piece, rest) = left.split_at(sizes.next().unwrap_or(1).min(left.len()));
                cut.server.extend_from_slice(piece);
                cut.take_server();
                cut_events.extend(drained(&mut cut));
                left = rest;
            }
        }
        prop_assert_eq!(frames::shown(&whole.to_client, false), frames::shown(&cut.to_client, false));
        prop_assert_eq!(events, cut_events);
    }

    /// No bytes make the engine panic, before the login or after it.
    #[test]
    fn no_bytes_panic(
        client in vec(any::<u8>(), 0..200),
        server in vec(any::<u8>(), 0..200),
        tags in vec((prop::sample::select(b"QPBDECSHFXdcf".to_vec()), vec(any::<u8>(), 0..20)), 0..10),
        answers in vec((prop::sample::select(b"TDCIZ123nstEGHcNSAVWKR".to_vec()), vec(any::<u8>(), 0..20)), 0..10),
    ) {
        for mut table in [Table::clerk(), Table::of("clerk", ""), Table::opened(opening(), database::POLICY)] {
            for ((tag, body), (answer, reply)) in tags.iter().zip(&answers) {
                table.client.extend_from_slice(&crate::wire::compose::raw(*tag, body));
                table.take_client();
                table.server.extend_from_slice(&crate::wire::compose::raw(*answer, reply));
                table.take_server();
                drained(&mut table);
            }
            table.client.extend_from_slice(&client);
            table.take_client();
            table.server.extend_from_slice(&server);
            table.take_server();
            drained(&mut table);
        }
    }
}
