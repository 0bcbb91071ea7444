//! Logins that pgveil checks itself, by password or by certificate.

use std::sync::Arc;

use super::database::POLICY;
use super::startup::{answers, words};
use super::{Table, frames, opening, startup};
use crate::login::scram::{NONCE_BYTES, Proven, ServerLogin, Verifier};
use crate::login::{EndPoint, NameMap, Rules};
use crate::session::io::{ClientTls, Nonces, Opening, Output};
use crate::wire::compose::raw;

const RULES: &str = "
hostnossl all all      10.9.0.0/16 reject
hostssl   all manager  all         cert map=staff
hostssl   all clerk    all         scram-sha-256 clientcert=verify-ca
host      all clerk    all         scram-sha-256
host      all auditor  10.0.0.0/8  relay
";

/// Of the password `secret`: iterations are few, so that the test is quick.
const STORED: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn table() -> Table {
    let map = NameMap::parse("staff boss manager").unwrap();
    let rules = Arc::new(Rules::parse(RULES, map).unwrap());
    Table::opened(Opening { tls_offered: true, rules, ..opening() }, POLICY)
}

fn come(table: &mut Table, user: &str, tls: Option<ClientTls>) -> Vec<String> {
    if let Some(tls) = tls {
        answers(table, &[0, 0, 0, 8, 4, 210, 22, 47]);
        table.session.handle_client_tls(tls);
    }
    answers(table, &startup(&[("user", user), ("database", "shop")]))
}

fn certificate(name: &str) -> ClientTls {
    ClientTls { certificate: true, common_name: Some(name.into()), end_point: None }
}

/// What a frame's body is, of the next output to that side.
fn body(table: &mut Table, to_client: bool) -> Vec<u8> {
    match table.session.poll_output() {
        Some(Output::ToClient(frame)) if to_client => frame[5..].to_vec(),
        Some(Output::ToUpstream(frame)) if !to_client => frame[5..].to_vec(),
        _ => panic!("no frame"),
    }
}

#[test]
fn the_rules_say_who_logs_in_how() {
    for (user, tls, expected) in [
        ("manager", Some(certificate("boss")), "connect"),
        (
            "manager",
            Some(certificate("manager")),
            "manager: the client certificate is not the one that the rule asks for",
        ),
        (
            "manager",
            Some(ClientTls::default()),
            "manager: the client certificate is not the one that the rule asks for",
        ),
        ("manager", None, "manager: no rule matches"),
        ("clerk", None, "verifier of clerk"),
        ("clerk", Some(certificate("anybody")), "verifier of clerk"),
        ("clerk", Some(ClientTls::default()), "clerk: the client certificate is not the one that the rule asks for"),
        ("auditor", None, "connect"),
        ("stranger", None, "stranger: no rule matches"),
    ] {
        let said = come(&mut table(), user, tls);
        assert_eq!(said[0], expected);
        if said[0].contains(':') {
            assert!(said[1].starts_with("client E 28000 pgveil: ") && said[2] == "LoginFailed", "{said:?}");
        }
    }
}

#[test]
fn who_is_rejected_is_told_as_what_it_came() {
    let rules = Arc::new(Rules::parse("host all all all reject", NameMap::default()).unwrap());
    let mut table = Table::opened(Opening { rules, ..opening() }, POLICY);
    let rejected = "client E 28000 pgveil: a rule rejects connections for host \"10.1.2.3\", user \"clerk\", database \"shop\", no encryption";
    assert_eq!(come(&mut table, "clerk", None), ["clerk: a rule rejects it", rejected, "LoginFailed"]);
}

/// The keys that a client has who knows the password of [`STORED`].
fn keys() -> Proven {
    Proven::of_password("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096)
}

/// A client with this end point proves itself to a pgveil with that one.
fn proves(table: &mut Table, client: Option<&EndPoint>, keys: Proven) -> Vec<String> {
    let nonces = Nonces { client: [1; NONCE_BYTES], upstream: [2; NONCE_BYTES] };
    table.session.handle_verifier(Verifier::parse(STORED).unwrap(), nonces);
    let offer = body(table, true);
    assert_eq!(offer[..4], [0, 0, 0, 10]);
    let offered: Vec<&[u8]> = offer[4..].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    let (mut login, mechanism) = ServerLogin::new(keys, &offered, client, &[3; NONCE_BYTES]).unwrap();
    let first = login.first();
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    table.client.extend_from_slice(&raw(b'p', &[mechanism.as_bytes(), b"\0", &length, first.as_bytes()].concat()));
    table.take_client();
    let challenge = body(table, true);
    assert_eq!(challenge[..4], [0, 0, 0, 11]);
    let last = login.challenged(&challenge[4..]).unwrap();
    answers(table, &raw(b'p', last.as_bytes()))
}

/// The server's end of a login, with its own end point; what the client is told at the end.
fn server_lets_in(table: &mut Table, end_point: Option<&EndPoint>) -> Vec<String> {
    use crate::login::scram::ClientCheck;
    table.session.handle_connected(end_point.cloned());
    words(table);
    let mut check = ClientCheck::new(Verifier::parse(STORED).unwrap(), end_point.cloned());
    let mechanisms: Vec<u8> = check.mechanisms().iter().flat_map(|name| name.bytes().chain([0])).collect();
    table.server.extend_from_slice(&raw(b'R', &[&[0, 0, 0, 10][..], &mechanisms, &[0]].concat()));
    table.take_server();
    let response = body(table, false);
    let (mechanism, message) = response.split_at(response.iter().position(|byte| *byte == 0).unwrap());
    let challenge = check.first(mechanism, &message[5..], &[4; NONCE_BYTES]).unwrap();
    table.server.extend_from_slice(&raw(b'R', &[&[0, 0, 0, 11], challenge.as_bytes()].concat()));
    table.take_server();
    let proven = check.last(&body(table, false)).ok().unwrap();
    table.server.extend_from_slice(&raw(b'R', &[&[0, 0, 0, 12], proven.server_final.as_bytes()].concat()));
    table.take_server();
    assert!(table.session.poll_output().is_none(), "the client is not told before the server has let it in");
    table.server.extend_from_slice(&raw(b'R', &[0; 4]));
    table.take_server();
    words(table)
}

#[test]
fn a_proof_is_checked_and_its_keys_log_in_at_the_server() {
    let (here, there) = (EndPoint(b"pgveil"[..].into()), EndPoint(b"server"[..].into()));
    for (client, upstream) in [(None, None), (Some(&here), None), (None, Some(&there)), (Some(&here), Some(&there))] {
        let mut table = table();
        let tls = client.map(|end_point| ClientTls { end_point: Some(end_point.clone()), ..certificate("x") });
        assert_eq!(come(&mut table, "clerk", tls), ["verifier of clerk"]);
        assert_eq!(proves(&mut table, client, keys()), ["connect"]);
        let said = server_lets_in(&mut table, upstream);
        assert!(said.len() == 2 && said.iter().all(|said| said.starts_with("client R")), "{said:?}");
    }
}

#[test]
fn a_wrong_proof_never_gets_to_the_server() {
    let mut table = table();
    come(&mut table, "clerk", None);
    let wrong = Proven::of_password("pen", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
    let refused = "client E 28P01 password authentication failed for user \"clerk\"";
    assert_eq!(proves(&mut table, None, wrong), ["clerk: wrong password", refused, "LoginFailed"]);
}

#[test]
fn a_proof_over_another_connection_is_refused() {
    let mut table = table();
    let here = ClientTls { end_point: Some(EndPoint(b"pgveil"[..].into())), ..certificate("x") };
    come(&mut table, "clerk", Some(here));
    let said = proves(&mut table, Some(&EndPoint(b"impostor"[..].into())), keys());
    assert_eq!(said[..2], ["clerk: wrong channel binding", "client E 28000 SCRAM channel binding check failed"]);
}

#[test]
fn what_the_server_may_answer_to_whom() {
    let refused = |table: &mut Table, frame: &[u8]| {
        table.session.handle_connected(None);
        words(table);
        table.server.extend_from_slice(frame);
        table.take_server();
        words(table)
    };
    let (ok, password, unproven) = (raw(b'R', &[0; 4]), raw(b'R', &[0, 0, 0, 3]), raw(b'R', &[0, 0, 0, 12, b'v']));
    let by_certificate = || {
        let mut table = table();
        come(&mut table, "manager", Some(certificate("boss")));
        table
    };
    assert_eq!(refused(&mut by_certificate(), &ok).len(), 1);
    assert!(refused(&mut by_certificate(), &password)[1].contains("asks for a password where a certificate says who"));
    let by_password = || {
        let mut table = table();
        come(&mut table, "clerk", None);
        assert_eq!(proves(&mut table, None, keys()), ["connect"]);
        table
    };
    // a server that trusts pgveil: the client still gets the end of its own exchange
    assert_eq!(refused(&mut by_password(), &ok).len(), 2);
    assert!(refused(&mut by_password(), &password)[1].contains("in another way than SCRAM-SHA-256"));
    assert!(refused(&mut by_password(), &unproven)[1].contains("in another way than SCRAM-SHA-256"));
    let dropped = frames::server("E 28P01 password authentication failed for user \"clerk\"");
    let told = refused(&mut by_password(), &dropped);
    assert_eq!(told[0], "clerk: the server refuses it");
    assert_eq!(told.last().unwrap(), "LoginFailed");
}

#[test]
fn a_server_that_asks_for_nothing_may_have_believed_pgveils_own_certificate() {
    for (shows_certificate, frames, expected) in [
        (false, vec![raw(b'R', &[0; 4])], "client R"),
        (true, vec![raw(b'R', &[0; 4])], "client E 28000 pgveil: the server asks for no password"),
        (true, vec![raw(b'R', &[0, 0, 0, 3]), raw(b'R', &[0; 4])], "client R"),
    ] {
        let mut table = Table::opened(Opening { shows_certificate, ..opening() }, POLICY);
        come(&mut table, "clerk", None);
        table.session.handle_connected(None);
        words(&mut table);
        table.server.extend_from_slice(&frames.concat());
        table.take_server();
        let said = words(&mut table);
        assert!(said.iter().any(|said| said.starts_with(expected)), "{shows_certificate} {said:?}");
        assert_eq!(said.iter().any(|said| said.starts_with("client E")), expected.starts_with("client E"), "{said:?}");
    }
}

#[test]
fn without_the_verifier_nobody_is_let_in() {
    let mut table = table();
    come(&mut table, "clerk", None);
    table.session.handle_verifier_failed();
    let said = words(&mut table);
    assert!(said[0].starts_with("clerk:") && said[1].starts_with("client E 57P03"), "{said:?}");
}
