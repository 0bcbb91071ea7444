//! The packets of a connection's start, and the engine up to the login.

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use pgveil::login::scram::Verifier;
use pgveil::login::{EndPoint, NameMap, Rules};
use pgveil::session::Session;
use pgveil::session::io::{ClientTls, Context, Guard, Nonces, Opening, Output, TlsStart};
use pgveil::wire::startup::{STARTUP_BYTES_MAX, StartupPacket, packet_length};

use super::session::{NoAnalyst, NoAuthority, NoBudgets, NoGuard};
use super::{Dice, database};

/// A rule of each method.
static CHECKED: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    let text = "hostssl all cert all cert\nhost all relay all relay\nhost all reject all reject\nhost all all all scram-sha-256";
    Arc::new(Rules::parse(text, NameMap::default()).unwrap())
});

/// The first byte says how the connection is made, the rest is what the client sends, in two pieces.
pub fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let choice = dice.byte();
    let cut = dice.below(64);
    packets(dice.0);
    let (first, second) = dice.0.split_at(cut.min(dice.0.len()));
    let opening = Opening {
        seed: Default::default(),
        id: 1,
        client: "127.0.0.1:5000".parse().unwrap(),
        tls_offered: choice & 1 != 0,
        tls_required: choice & 2 != 0,
        shows_certificate: choice & 4 != 0,
        rules: if choice & 32 != 0 { Arc::clone(&CHECKED) } else { Arc::default() },
    };
    let gate = Arc::default();
    let guard: Arc<dyn Guard> = Arc::new(NoGuard);
    let context = Context {
        snapshot: &database::SNAPSHOT,
        analyst: &NoAnalyst,
        gate: &gate,
        budgets: &NoBudgets,
        guard: &guard,
        authority: &NoAuthority,
    };
    let mut session = Session::new(opening);
    let mut input = BytesMut::new();
    let mut closed = false;
    for piece in [first, second] {
        input.extend_from_slice(piece);
        session.handle_client(&mut input, &context);
        while let Some(output) = session.poll_output() {
            assert!(!closed, "nothing comes after the end");
            match output {
                // Whatever came before the handshake in clear text is no part of what comes after it.
                Output::AcceptTls(start) => {
                    assert!(choice & 1 != 0, "only what is offered is done");
                    if start == TlsStart::Direct {
                        assert!(!input.is_empty(), "the handshake has what came of it");
                        input.clear();
                    }
                    session.handle_client_tls(ClientTls {
                        certificate: choice & 4 != 0,
                        common_name: (choice & 4 != 0).then(|| "ann".into()),
                        end_point: (choice & 64 != 0).then(|| EndPoint(b"here"[..].into())),
                    });
                    session.handle_client(&mut input, &context);
                }
                Output::FetchVerifier(_) if choice & 128 != 0 => session.handle_verifier_failed(),
                Output::FetchVerifier(user) => {
                    assert!(choice & 32 != 0, "only where a rule says so");
                    session.handle_verifier(Verifier::mock(user.as_str(), &[1; 32]), Nonces::default());
                    session.handle_client(&mut input, &context);
                }
                Output::Connect if choice & 8 != 0 => session.handle_connect_failed("no route"),
                Output::Connect => session.handle_connected((choice & 16 != 0).then(|| EndPoint(b"there"[..].into()))),
                Output::Close(_) => closed = true,
                Output::ToUpstream(_)
                | Output::ToClient(_)
                | Output::Access(_)
                | Output::Note(_)
                | Output::Settle(_)
                | Output::Stop(_)
                | Output::Cancel(_)
                | Output::LoggedIn(_)
                | Output::LoginFailed(..)
                | Output::Analyze(_)
                | Output::Refresh(_)
                | Output::Leave
                | Output::Commits(_)
                | Output::Landed(_)
                | Output::Observe(_) => {}
            }
        }
        assert!(!session.is_logged_in(), "the server has not said so");
    }
}

fn packets(mut stream: &[u8]) {
    while let Ok(Some(length)) = packet_length(stream) {
        assert!((8..=STARTUP_BYTES_MAX).contains(&length) && length <= stream.len());
        if let Ok(StartupPacket::Startup(startup)) = StartupPacket::decode(&stream[..length]) {
            let sum: usize = startup.parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
            assert_eq!(sum + 9, length);
            assert!(startup.parameters.iter().all(|(name, _)| !name.is_empty()));
        }
        stream = &stream[length..];
    }
}
