//! The engine between a client and a server that both send anything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use pgveil::catalog::Name;
use pgveil::plan::budget::{Charge, Overdrawn, Payer};
use pgveil::plan::guard::{Stop, Watched};
use pgveil::plan::{Refusal, Snapshot};
use pgveil::policy::Counted;
use pgveil::session::Session;
use pgveil::session::io::{
    Analyst, Answer, Authority, Budgets, Context, DecideError, Guard, Lookup, Now, Opening, Output, Request, Waited,
    Who,
};
use pgveil::sql::analyze::analyze;
use pgveil::sql::statement::Analysis;
use pgveil::wire::frame::{HEADER_BYTES, Header};

use super::{Dice, database};

/// For sessions that do not get as far as a statement.
pub struct NoAnalyst;

impl Analyst for NoAnalyst {
    fn analysis(&self, _: &Arc<Snapshot>, _: &[u8]) -> Lookup {
        Lookup::Later
    }
}

/// Nobody counts.
pub struct NoBudgets;

/// Grants everything, and the clock stands still.
pub struct NoAuthority;

impl Authority for NoAuthority {
    fn now(&self) -> Now {
        Now::default()
    }

    fn ask(&self, request: Request<'_>) -> Answer {
        Answer::Granted { id: "g".into(), ends: request.offer.lasts }
    }

    fn answer(&self, _id: &str) -> Waited {
        Waited::Still
    }

    fn withdraw(&self, _id: &str) {}

    fn decide(&self, _id: &str, _approves: bool, _by: &Who, _roles: &[Arc<str>]) -> Result<(), DecideError> {
        Err(DecideError::Unknown)
    }

    fn review(&self, _id: &str, _by: &Who, _roles: &[Arc<str>]) -> Result<(), DecideError> {
        Err(DecideError::Unknown)
    }

    fn requests(&self, _by: &Who, _roles: &[Arc<str>]) -> String {
        String::new()
    }

    fn reviews(&self, _by: &Who, _roles: &[Arc<str>]) -> String {
        String::new()
    }
}

impl Budgets for NoBudgets {
    fn spend(&self, _: &Payer, _: &[Charge<'_>]) -> Result<(), Overdrawn> {
        Ok(())
    }
}

/// Lets everything pass.
pub struct NoGuard;

impl Guard for NoGuard {
    fn take(&self, _: &Watched, _: Counted, _: u64, most: u64) -> Result<u64, Stop> {
        Ok(most)
    }

    fn give_back(&self, _: &Watched, _: Counted, _: u64) {}

    fn locked_out(&self, _: &Name, _: Option<&Arc<str>>, _: IpAddr) -> Option<Refusal> {
        None
    }
}

struct Inline {
    later: bool,
}

impl Analyst for Inline {
    fn analysis(&self, snapshot: &Arc<Snapshot>, text: &[u8]) -> Lookup {
        match self.later {
            true => Lookup::Later,
            false => Lookup::Ready(analysis(text, snapshot)),
        }
    }
}

/// Kept for the texts that come again and again, as the shell does: it would take most of the time.
fn analysis(text: &[u8], snapshot: &Snapshot) -> Arc<Analysis> {
    thread_local!(static KEPT: RefCell<HashMap<Vec<u8>, Arc<Analysis>>> = RefCell::default());
    let new = || Arc::new(analyze(text, &snapshot.catalog, &snapshot.limits));
    if !TEXTS.iter().any(|known| known.as_bytes() == text) {
        return new();
    }
    KEPT.with_borrow_mut(|kept| Arc::clone(kept.entry(text.to_vec()).or_insert_with(new)))
}

/// Texts that statements are made of, so that much of what is sent makes sense.
const TEXTS: &[&str] = &[
    "SELECT 1",
    "SELECT id, email FROM customers",
    "SELECT lower(email), name FROM customers WHERE email = $1",
    "UPDATE customers SET email = 'a' WHERE id = 1 RETURNING email",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "DECLARE c CURSOR FOR SELECT email FROM customers",
    "FETCH 1 FROM c",
    "PREPARE s AS SELECT email FROM customers",
    "EXECUTE s",
    "DEALLOCATE s",
    "COPY customers (id, email) TO STDOUT",
    "COPY customers TO STDOUT (FORMAT csv, HEADER)",
    "COPY customers (id, email) FROM STDIN",
    "COPY (SELECT email FROM customers) TO STDOUT (FORMAT binary)",
    "SELECT email FROM customers; SELECT 1; SELECT name FROM customers",
    "SELECT * FROM unheard_of",
    "SET client_encoding = 'LATIN1'",
    "SELECT staff FROM staff",
    "",
    ";",
    "SELECT 'open",
];

/// Drives a session by the input: each step is a message of one side, whole, cut or made up.
pub fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let setting = dice.byte();
    let user: &[u8] = if setting & 1 != 0 { b"boss" } else { b"clerk" };
    let analyst = Inline { later: setting & 2 != 0 };
    let gate = Arc::default();
    let guard: Arc<dyn Guard> = Arc::new(NoGuard);
    let context = Context {
        snapshot: &database::SNAPSHOT,
        analyst: &analyst,
        gate: &gate,
        budgets: &NoBudgets,
        guard: &guard,
        authority: &NoAuthority,
    };
    let opening = Opening {
        seed: Default::default(),
        id: 1,
        client: "127.0.0.1:5000".parse().unwrap(),
        tls_offered: false,
        tls_required: false,
        shows_certificate: false,
        rules: Arc::default(),
    };
    let mut table =
        Table { session: Session::new(opening), client: BytesMut::new(), server: BytesMut::new(), closed: false };
    let mut startup = b"\0\0\0\0\0\x03\0\0user\0".to_vec();
    startup.extend_from_slice(user);
    startup.extend_from_slice(b"\0database\0shop\0\0");
    startup[3] = u8::try_from(startup.len()).unwrap();
    table.client.extend_from_slice(&startup);
    table.drive(&context);
    table.server.extend_from_slice(b"R\0\0\0\x08\0\0\0\0");
    table.server.extend_from_slice(&frame(b'S', b"client_encoding\0UTF8\0"));
    table.server.extend_from_slice(&frame(b'S', b"standard_conforming_strings\0on\0"));
    table.server.extend_from_slice(&frame(b'Z', b"I"));
    table.drive(&context);
    assert!(table.session.is_logged_in());
    while !dice.is_over() && !table.closed {
        step(&mut table, &mut dice);
        table.drive(&context);
    }
    if !table.closed {
        table.session.handle_end(pgveil::session::io::CloseReason::ClientLeft);
        table.drive(&context);
    }
}

struct Table {
    session: Session,
    client: BytesMut,
    server: BytesMut,
    closed: bool,
}

impl Table {
    fn drive(&mut self, context: &Context<'_>) {
        // What waits for an analysis or a reading goes on when it is there; each round takes some of the input.
        for _ in 0..1_000 {
            let before = (self.client.len(), self.server.len());
            if self.session.wants_client() {
                self.session.handle_client(&mut self.client, context);
            }
            let mut acted = self.drain(context);
            self.session.handle_upstream(&mut self.server, context);
            acted |= self.drain(context);
            if !acted && before == (self.client.len(), self.server.len()) {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// Whether the shell had to do something for which the session waits.
    fn drain(&mut self, context: &Context<'_>) -> bool {
        let mut acted = false;
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "nothing comes after the end, but: {}", named(&output));
            match output {
                Output::ToClient(bytes) | Output::ToUpstream(bytes) => assert!(!bytes.is_empty()),
                Output::Access(events) => assert!(!events.is_empty()),
                Output::Note(_)
                | Output::Settle(_)
                | Output::Stop(_)
                | Output::Observe(_)
                | Output::LoginFailed(..)
                | Output::Commits(_)
                | Output::Landed(_)
                | Output::LoggedIn(_)
                | Output::Leave
                | Output::Cancel(_) => {}
                Output::FetchVerifier(_) => panic!("every login is relayed"),
                Output::AcceptTls(_) => panic!("no TLS was offered"),
                Output::Connect => {
                    self.session.handle_connected(None);
                    acted = true;
                }
                Output::Analyze(text) => {
                    self.session.handle_analysis(analysis(&text, context.snapshot), context);
                    acted = true;
                }
                Output::Refresh(wanted) => {
                    self.session.handle_refreshed(true, wanted);
                    acted = true;
                }
                Output::Close(_) => {
                    self.closed = true;
                    (self.client, self.server) = (BytesMut::new(), BytesMut::new());
                }
            }
        }
        acted
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    assert_eq!(Header::read(&bytes), Ok(Some(Header { tag, body: bytes.len() - HEADER_BYTES })));
    bytes
}

/// Names of statements and portals.
fn name(dice: &mut Dice<'_>) -> &'static [u8] {
    [&b"\0"[..], b"s\0", b"c\0"][dice.below(3)]
}

fn text(dice: &mut Dice<'_>) -> Vec<u8> {
    let mut text = match dice.byte() {
        255 => {
            let length = dice.below(64);
            dice.take(length).to_vec()
        }
        at => TEXTS[usize::from(at) % TEXTS.len()].as_bytes().to_vec(),
    };
    text.push(0);
    text
}

fn step(table: &mut Table, dice: &mut Dice<'_>) {
    let choice = dice.byte();
    let message = match choice & 0x1f {
        0 => frame(b'Q', &text(dice)),
        1 | 2 => frame(b'P', &[name(dice), &text(dice), &[0, 0]].concat()),
        3 | 4 => {
            let format = [0, 1, 0, dice.byte() & 1];
            frame(b'B', &[name(dice), name(dice), &[0, 0, 0, 0], &format].concat())
        }
        5 => frame(b'D', &[&[b"SP"[dice.below(2)]], name(dice)].concat()),
        6 | 7 => frame(b'E', &[name(dice), &[0, 0, 0, dice.byte() & 3]].concat()),
        8 => frame(b'C', &[&[b"SP"[dice.below(2)]], name(dice)].concat()),
        9 => frame(b'S', b""),
        10 => frame(b'H', b""),
        11 => {
            let length = dice.below(40);
            frame([b'd', b'c', b'f', b'X', b'F', b'p', b'!'][dice.below(7)], dice.take(length))
        }
        12 => {
            let length = dice.below(48);
            dice.take(length).to_vec()
        }
        13 => frame(b'Z', &[b"ITE"[dice.below(3)]]),
        14 => frame(b'C', [&b"SELECT 1\0"[..], b"BEGIN\0", b"UPDATE 1\0", b"COPY 2\0", b"PREPARE\0"][dice.below(5)]),
        15 => frame([b'1', b'2', b'3', b'n', b's', b'I', b'c'][dice.below(7)], b""),
        16 | 17 => description(dice),
        18..=20 => row(dice),
        21 => frame(b't', &[0, 1, 0, 0, 0, 25]),
        22 => frame([b'E', b'N'][dice.below(2)], b"SERROR\0VERROR\0C22P02\0Minvalid input \"x@y\"\0P7\0\0"),
        23 => frame(b'A', b"\0\0\0\x01chan\0x\0"),
        24 => frame(
            b'S',
            [&b"client_encoding\0SJIS\0"[..], b"client_encoding\0UTF8\0", b"is_superuser\0on\0"][dice.below(3)],
        ),
        25 | 26 => frame([b'H', b'G', b'W'][dice.below(3)], &[dice.byte() & 1, 0, 2, 0, 0, 0, 0]),
        27 => {
            let length = dice.below(40);
            frame(b'd', dice.take(length))
        }
        28 => {
            let length = dice.below(48);
            frame(dice.byte(), dice.take(length))
        }
        _ => {
            let length = dice.below(48);
            dice.take(length).to_vec()
        }
    };
    let cut = if choice & 0x80 != 0 { dice.below(message.len() + 1) } else { message.len() };
    let to = if matches!(choice & 0x1f, 0..=12) { &mut table.client } else { &mut table.server };
    to.extend_from_slice(&message[..cut]);
}

fn description(dice: &mut Dice<'_>) -> Vec<u8> {
    let columns: &[(&[u8], u32, i16, u32)] = &[
        (b"id", 16_402, 1, 23),
        (b"email", 16_402, 3, 25),
        (b"lower", 0, 0, 25),
        (b"name", 16_402, 2, 25),
        (b"?column?", 0, 0, 23),
        (b"staff", 0, 0, 2249),
    ];
    let count = dice.below(4);
    let mut body = vec![0, u8::try_from(count).unwrap()];
    for _ in 0..count {
        let (name, table, attnum, type_oid) = columns[dice.below(columns.len())];
        body.extend_from_slice(name);
        body.push(0);
        body.extend(table.to_be_bytes());
        body.extend(attnum.to_be_bytes());
        body.extend(type_oid.to_be_bytes());
        body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, dice.byte() & 1]);
    }
    frame(b'T', &body)
}

fn row(dice: &mut Dice<'_>) -> Vec<u8> {
    let count = dice.below(4);
    let mut body = vec![0, u8::try_from(count).unwrap()];
    for _ in 0..count {
        match dice.byte() {
            0..=40 => body.extend((-1_i32).to_be_bytes()),
            length => {
                let cell = dice.take(usize::from(length % 24));
                body.extend(u32::try_from(cell.len()).unwrap().to_be_bytes());
                body.extend_from_slice(cell);
            }
        }
    }
    frame(b'D', &body)
}

fn named(output: &Output) -> String {
    match output {
        Output::ToUpstream(bytes) => format!("to the server {:?}", bytes.escape_ascii().to_string()),
        Output::ToClient(bytes) => format!("to the client {:?}", bytes.escape_ascii().to_string()),
        Output::Access(_) => "events".to_owned(),
        Output::Note(_) => "a note".to_owned(),
        Output::Settle(_) | Output::Stop(_) => "the guard".to_owned(),
        Output::Observe(seen) => format!("{seen:?}"),
        Output::Leave => "goodbye".to_owned(),
        Output::Close(reason) => format!("{reason:?}"),
        Output::LoginFailed(_, reason) => reason.to_string(),
        Output::AcceptTls(_)
        | Output::FetchVerifier(_)
        | Output::Connect
        | Output::Cancel(_)
        | Output::LoggedIn(_)
        | Output::Analyze(_)
        | Output::Commits(_)
        | Output::Landed(_)
        | Output::Refresh(_) => "a request".to_owned(),
    }
}
