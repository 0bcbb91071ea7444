//! From the first byte to the login.

use super::database::POLICY;
use super::{Table, opening, startup};
use crate::session::io::{ClientTls, Opening, Output, TlsStart};

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const GSSENC_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];

/// What a client's bytes come to, in words.
pub(super) fn answers(table: &mut Table, bytes: &[u8]) -> Vec<String> {
    table.client.extend_from_slice(bytes);
    table.take_client();
    words(table)
}

pub(super) fn words(table: &mut Table) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(output) = table.session.poll_output() {
        match output {
            Output::ToClient(bytes) if bytes.len() == 1 => words.push(String::from_utf8_lossy(&bytes).into_owned()),
            Output::ToClient(bytes) => words.push(format!("client {}", super::frames::shown(&bytes, false))),
            Output::ToUpstream(bytes) => words.push(format!("server {} bytes", bytes.len())),
            Output::AcceptTls(TlsStart::Asked) => words.push("tls".into()),
            Output::AcceptTls(TlsStart::Direct) => words.push("direct tls".into()),
            Output::FetchVerifier(user) => words.push(format!("verifier of {user}")),
            Output::LoginFailed(user, reason) => words.push(format!("{user}: {reason}")),
            Output::Connect => words.push("connect".into()),
            Output::Cancel(key) => words.push(format!("cancel {}", key.pid)),
            Output::Close(reason) => words.push(format!("{reason:?}")),
            _ => {}
        }
    }
    words
}

fn table(tls_offered: bool, tls_required: bool) -> Table {
    Table::opened(Opening { tls_offered, tls_required, ..opening() }, POLICY)
}

#[test]
fn tls_is_accepted_only_where_it_is_offered_and_nothing_follows() {
    assert_eq!(answers(&mut table(false, false), SSL_REQUEST), ["N"]);
    assert_eq!(answers(&mut table(true, false), SSL_REQUEST), ["S", "tls"]);
    assert_eq!(answers(&mut table(true, false), GSSENC_REQUEST), ["N"]);
    let both = [SSL_REQUEST, b"x"].concat();
    let refused = ["client E 08P01 received unencrypted data after SSL request", "ClientFault"];
    assert_eq!(answers(&mut table(true, false), &both), refused);
    assert_eq!(answers(&mut table(false, false), &SSL_REQUEST.repeat(3)), ["N", "N", "ClientFault"]);
}

#[test]
fn a_connection_may_begin_with_the_handshake_and_its_bytes_are_left_to_it() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00";
    let mut direct = table(true, false);
    assert_eq!(answers(&mut direct, hello), ["direct tls"]);
    assert_eq!(&direct.client[..], hello);
    direct.client.clear();
    direct.session.handle_client_tls(ClientTls::default());
    assert_eq!(answers(&mut direct, &startup(&[("user", "clerk"), ("database", "shop")])), ["connect"]);
    assert_eq!(answers(&mut table(false, false), hello), ["ClientFault"]);
    assert_eq!(answers(&mut table(true, false), &[GSSENC_REQUEST, hello].concat()), ["N", "ClientFault"]);
    let mut nested = table(true, false);
    answers(&mut nested, SSL_REQUEST);
    nested.session.handle_client_tls(ClientTls::default());
    assert_eq!(answers(&mut nested, hello), ["ClientFault"]);
}

#[test]
fn packets_of_other_lengths_and_protocols_end_the_session() {
    assert_eq!(answers(&mut table(false, false), &[0, 0, 0, 7, 0]), ["ClientFault"]);
    assert_eq!(answers(&mut table(false, false), b"GET / HTTP/1.1\r\n"), ["ClientFault"]);
    let old = [0, 0, 0, 9, 0, 2, 0, 0, 0];
    let refused = "client E 08P01 unsupported frontend protocol 2.0: server supports 3.0 to 3.2";
    assert_eq!(answers(&mut table(false, false), &old), [refused, "ClientFault"]);
}

#[test]
fn a_cancel_request_is_passed_on() {
    let request = [&[0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 9][..], b"abcd"].concat();
    assert_eq!(answers(&mut table(false, true), &request), ["cancel 9", "CancelRequest"]);
    let short = [&[0, 0, 0, 15, 4, 210, 22, 46, 0, 0, 0, 9][..], b"abc"].concat();
    let long = [&[0, 0, 1, 13, 4, 210, 22, 46, 0, 0, 0, 9][..], &[7; 257]].concat();
    for wrong in [&short[..], &long, &[0, 0, 0, 8, 4, 210, 22, 46]] {
        assert_eq!(answers(&mut table(false, false), wrong), ["ClientFault"]);
    }
}

#[test]
fn logins_that_could_go_past_the_masks_are_refused() {
    let base = [("user", "clerk"), ("database", "shop")];
    let with = |more: &[(&str, &str)]| startup(&[&base[..], more].concat());
    assert_eq!(answers(&mut table(false, false), &with(&[])), ["connect"]);
    assert_eq!(answers(&mut table(false, false), &with(&[("replication", "false")])), ["connect"]);
    for refused in [
        with(&[("replication", "database")]),
        with(&[("replication", "true")]),
        with(&[("options", "-c standard_conforming_strings=off")]),
        with(&[("standard_conforming_strings", "off")]),
        with(&[("Standard_Conforming_Strings", "off"), ("standard_conforming_strings", "on")]),
        with(&[("database", "other")]),
    ] {
        let words = answers(&mut table(false, false), &refused);
        assert!(words.len() == 2 && words[0].starts_with("client E 42501") && words[1] == "Refused", "{words:?}");
    }
    let words = answers(&mut table(false, true), &with(&[]));
    assert!(words[0].starts_with("client E 28000"), "{words:?}");
    // Where nothing is tagged, strings are as the client wants them; replication stays with who is named.
    let untagged = || Table::opened(opening(), "version: 1\ncolumns: {}\n");
    assert_eq!(answers(&mut untagged(), &with(&[("options", "-c standard_conforming_strings=off")])), ["connect"]);
    let words = answers(&mut untagged(), &with(&[("replication", "true")]));
    assert!(words[0].starts_with("client E 42501"), "{words:?}");
}

#[test]
fn the_mechanism_that_can_not_be_relayed_is_not_offered() {
    let mut table = table(true, false);
    answers(&mut table, SSL_REQUEST);
    table.session.handle_client_tls(ClientTls::default());
    answers(&mut table, &startup(&[("user", "clerk"), ("database", "shop")]));
    table.session.handle_connected(None);
    words(&mut table);
    let offer = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    table.server.extend_from_slice(&crate::wire::compose::raw(b'R', offer));
    table.take_server();
    let Some(Output::ToClient(bytes)) = table.session.poll_output() else { panic!("no offer") };
    assert_eq!(&bytes[5..], b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let response = crate::wire::compose::raw(b'p', b"SCRAM-SHA-256\0\0\0\0\x05y,,n=");
    let words = answers(&mut table, &response);
    assert!(words[0] == "clerk: wrong channel binding" && words[1].starts_with("client E 28000"), "{words:?}");
}

#[test]
fn what_pgveil_does_not_know_of_the_protocol_the_client_is_told_and_the_server_not() {
    let says = |version: u32, options: &[&[u8]]| crate::wire::compose::negotiate_protocol_version(version, options);
    let authenticated = || crate::wire::compose::raw(b'R', &[0; 4]);
    let grease = b"\0\x03\x27\x0fuser\0clerk\0database\0shop\0_pq_.odd\0x\0\0";
    let plain = b"\0\x03\0\x02user\0clerk\0database\0shop\0\0";
    let packet = |body: &[u8]| [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat();
    for (asked, sent, server, expected) in [
        // a server of 3.2 has nothing to say of what it is asked for: pgveil says it
        (
            packet(grease),
            packet(plain),
            vec![authenticated()],
            vec![says(0x0003_0002, &[b"_pq_.odd"]), authenticated()],
        ),
        // one of 3.0 does not know 3.2
        (
            packet(grease),
            packet(plain),
            vec![says(0x0003_0000, &[]), authenticated()],
            vec![says(0x0003_0000, &[b"_pq_.odd"]), authenticated()],
        ),
        (
            packet(plain),
            packet(plain),
            vec![says(0x0003_0000, &[]), authenticated()],
            vec![says(0x0003_0000, &[]), authenticated()],
        ),
        (packet(plain), packet(plain), vec![authenticated()], vec![authenticated()]),
    ] {
        let mut table = table(false, false);
        answers(&mut table, &asked);
        table.session.handle_connected(None);
        let Some(Output::ToUpstream(startup)) = table.session.poll_output() else { panic!("no startup") };
        assert_eq!(startup, sent);
        table.server.extend_from_slice(&server.concat());
        table.take_server();
        let mut told = Vec::new();
        while let Some(output) = table.session.poll_output() {
            if let Output::ToClient(bytes) = output {
                told.extend_from_slice(&bytes);
            }
        }
        assert_eq!(told, expected.concat());
    }
}

#[test]
fn a_server_that_would_speak_what_pgveil_does_not_know_is_left() {
    let mut table = table(false, false);
    answers(&mut table, &startup(&[("user", "clerk"), ("database", "shop")]));
    table.session.handle_connected(None);
    words(&mut table);
    table.server.extend_from_slice(&crate::wire::compose::negotiate_protocol_version(0x0003_0003, &[]));
    table.take_server();
    assert_eq!(words(&mut table).last().map(String::as_str), Some("UpstreamFault"));
}

#[test]
fn a_failed_login_ends_the_session() {
    let mut table = table(false, false);
    answers(&mut table, &startup(&[("user", "clerk"), ("database", "shop")]));
    table.session.handle_connected(None);
    words(&mut table);
    table.server.extend_from_slice(&super::frames::server("E 28P01 password authentication failed"));
    table.take_server();
    let refused = "client E 28P01 password authentication failed";
    assert_eq!(words(&mut table), ["clerk: the server refuses it", refused, "LoginFailed"]);
}
