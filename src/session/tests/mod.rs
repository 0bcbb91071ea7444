//! Transcripts: what comes in and what goes out, line by line.
//!
//! `C>` bytes from the client, `U<` bytes to the server, `U>` bytes from the server, `C<` bytes to the client, `A!` an
//! access event to be written before what follows, `A.` a closing record, `R!` a reading of the catalog is asked for,
//! `W!` an analysis is asked for, `X!` the session ends. `--` does something else to the session. Each line that goes in
//! is followed by the lines that come out of it, and [`Table::play`] holds a whole playbook against what happens.

mod apart;
mod asking;
mod checked_logins;
mod copies;
mod copy_in;
mod database;
mod desync;
mod extended;
mod frames;
mod guarding;
mod large;
mod model;
mod properties;
mod reveal;
mod scrubbing;
mod simple;
mod spending;
mod startup;
mod unreadable;
mod write_back;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::Session;
use super::io::{CatalogChanges, Context, Gate, Guard, Opening, Output};
use crate::access_log::{ActorChange, Record, RevealChange};
use crate::plan::{Refusal, Snapshot};
use database::{Desk, Office, POLICY, Purse, Tally, snapshot};

/// A session, and what is around it.
pub(super) struct Table {
    session: Session,
    snapshot: Arc<Snapshot>,
    desk: Desk,
    purse: Purse,
    tally: Arc<Tally>,
    guard: Arc<dyn Guard>,
    office: Office,
    gate: Arc<Gate>,
    /// Readings of the catalog that were asked for.
    wanted: VecDeque<CatalogChanges>,
    client: BytesMut,
    server: BytesMut,
    /// Bytes of both kinds, as they went out.
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// Records that nothing waits for, but closing ones.
    notes: Vec<Record>,
}

impl Table {
    /// A session whose client has just connected.
    fn opened(opening: Opening, policy: &str) -> Self {
        let tally: Arc<Tally> = Arc::default();
        let guard: Arc<dyn Guard> = Arc::<Tally>::clone(&tally);
        Self {
            tally,
            guard,
            session: Session::new(opening),
            snapshot: snapshot(1, policy),
            desk: Desk::default(),
            purse: Purse::default(),
            office: Office::default(),
            gate: Arc::default(),
            wanted: VecDeque::new(),
            client: BytesMut::new(),
            server: BytesMut::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A session of that user that is logged in.
    fn of(user: &str, policy: &str) -> Self {
        let mut table = Self::opened(opening(), policy);
        table.client.extend_from_slice(&startup(&[("user", user), ("database", "shop")]));
        table.take_client();
        table.session.handle_connected(None);
        table.server.extend_from_slice(b"R\0\0\0\x08\0\0\0\0");
        let reports = "S client_encoding UTF8 / S server_encoding UTF8 / S standard_conforming_strings on / Z I";
        table.server.extend_from_slice(&frames::server(reports));
        table.take_server();
        assert!(table.session.is_logged_in());
        while table.session.poll_output().is_some() {}
        table
    }

    /// The session of somebody who sees masks.
    fn clerk() -> Self {
        Self::of("clerk", POLICY)
    }

    /// The session of somebody who sees everything.
    fn boss() -> Self {
        Self::of("boss", POLICY)
    }

    fn take_client(&mut self) {
        let context = Context {
            snapshot: &self.snapshot,
            analyst: &self.desk,
            gate: &self.gate,
            budgets: &self.purse,
            guard: &self.guard,
            authority: &self.office,
        };
        self.session.handle_client(&mut self.client, &context);
    }

    fn take_server(&mut self) {
        let context = Context {
            snapshot: &self.snapshot,
            analyst: &self.desk,
            gate: &self.gate,
            budgets: &self.purse,
            guard: &self.guard,
            authority: &self.office,
        };
        self.session.handle_upstream(&mut self.server, &context);
    }

    /// Drain the outputs into lines.
    fn outputs(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let flush = |up: &mut Vec<u8>, down: &mut Vec<u8>, lines: &mut Vec<String>| {
            if !up.is_empty() {
                lines.push(format!("U< {}", frames::shown(&std::mem::take(up), true)));
            }
            if !down.is_empty() {
                lines.push(format!("C< {}", frames::shown(&std::mem::take(down), false)));
            }
        };
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::ToUpstream(bytes) => {
                    self.to_server.extend_from_slice(&bytes);
                    if !down.is_empty() {
                        flush(&mut up, &mut down, &mut lines);
                    }
                    up.extend_from_slice(&bytes);
                    continue;
                }
                Output::ToClient(bytes) => {
                    self.to_client.extend_from_slice(&bytes);
                    if !up.is_empty() {
                        flush(&mut up, &mut down, &mut lines);
                    }
                    down.extend_from_slice(&bytes);
                    continue;
                }
                Output::Observe(_) => continue,
                Output::Note(record)
                    if !matches!(
                        record,
                        Record::Reveal(_) | Record::Closing(_) | Record::RevealStep(_) | Record::ActorStep(_)
                    ) =>
                {
                    self.notes.push(record);
                    continue;
                }
                other => {
                    flush(&mut up, &mut down, &mut lines);
                    match other {
                        Output::Access(records) => {
                            lines.extend(records.iter().map(|record| format!("A! {}", told(record))));
                        }
                        Output::Note(record) => lines.push(format!("A. {}", told(&record))),
                        Output::Analyze(_) => lines.push("W!".into()),
                        Output::Refresh(wanted) => {
                            self.wanted.push_back(wanted);
                            lines.push("R!".into());
                        }
                        Output::Stop(stop) => lines.push(format!("!! {}", Refusal::stopped(&stop).code)),
                        Output::Leave => lines.push("L!".into()),
                        Output::Close(reason) => lines.push(format!("X! {reason:?}")),
                        _ => {}
                    }
                }
            }
        }
        flush(&mut up, &mut down, &mut lines);
        lines
    }

    /// Play a playbook: the lines that go in are played, and all lines together have to be those that happen.
    fn play(&mut self, playbook: &str) {
        let expected: Vec<&str> = playbook.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut happened = Vec::new();
        for line in &expected {
            let (side, rest) = line.split_once(' ').unwrap_or((line, ""));
            match side {
                "C>" => {
                    self.client.extend_from_slice(&frames::client(rest));
                    self.take_client();
                }
                "U>" => {
                    self.server.extend_from_slice(&frames::server(rest));
                    self.take_server();
                }
                "--" => self.act(rest),
                _ => continue,
            }
            happened.push((*line).to_owned());
            happened.append(&mut self.outputs());
        }
        let (expected, happened) = (expected.join("\n"), happened.join("\n"));
        assert!(expected == happened, "expected:\n{expected}\n\nhappened:\n{happened}\n");
    }

    fn act(&mut self, what: &str) {
        let context = Context {
            snapshot: &self.snapshot,
            analyst: &self.desk,
            gate: &self.gate,
            budgets: &self.purse,
            guard: &self.guard,
            authority: &self.office,
        };
        match what {
            "refreshed" => {
                if let Some(snapshot) = Arc::get_mut(&mut self.snapshot) {
                    (snapshot.epoch, snapshot.since) = (self.gate.epoch(), self.gate.epoch());
                }
                if let Some(wanted) = self.wanted.pop_front() {
                    self.session.handle_refreshed(true, wanted);
                }
                self.take_client();
                self.take_server();
            }
            "stricter" => self.snapshot = snapshot(self.snapshot.version + 1, database::STRICTER),
            "client" => self.take_client(),
            "later" => self.desk.later.set(true),
            "analysed" => {
                let text = b"SELECT name FROM customers";
                let analysis = database::on_a_large_stack(&self.snapshot, text);
                self.session.handle_analysis(Arc::new(analysis), &context);
                self.take_client();
            }
            "an hour later" => self.purse.now.set(self.purse.now.get() + Duration::from_secs(3_600)),
            "a minute later" => self.office.now.set(self.office.now.get() + Duration::from_secs(60)),
            "timeout" => self.session.handle_timeout(&context),
            "approved" => self.office.approves.set(true),
            "log fails" => self.session.handle_access_failed(),
            "shutdown" => self.session.handle_end(super::io::CloseReason::Shutdown),
            other => panic!("no such act: {other}"),
        }
    }
}

fn opening() -> Opening {
    Opening {
        id: 7,
        client: "10.1.2.3:5000".parse().unwrap(),
        tls_offered: false,
        tls_required: false,
        shows_certificate: false,
        rules: Arc::default(),
        seed: Default::default(),
    }
}

/// A StartupMessage.
fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in parameters {
        body.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// What a playbook says of a record.
fn told(record: &Record) -> String {
    match record {
        Record::Reveal(event) => {
            let rows = event.rows.map_or("?".into(), |rows| rows.to_string());
            let column = match &event.column {
                Some(known) => format!("{}.{}", known.table, known.column),
                None => "?".to_owned(),
            };
            let by = match (&event.visit.actor, &event.grounds) {
                (None, None) => String::new(),
                (actor, grounds) => format!(
                    " {} {}",
                    actor.as_deref().unwrap_or("-"),
                    grounds.as_ref().map_or("-", |grounds| &*grounds.grant)
                ),
            };
            format!("{} {column} rows={rows}{by}", event.execution)
        }
        Record::RevealStep(step) => {
            let who = step.visit.actor.as_deref().unwrap_or("-");
            let what = match &step.change {
                RevealChange::Asked(terms) => format!("asked {}", terms.reason),
                RevealChange::Granted(terms) => format!("granted {}", terms.reason),
                RevealChange::Refused { why, .. } => format!("refused {}", why.word()),
                RevealChange::Ended { why, rows } => format!("ended {} rows={rows}", why.word()),
                RevealChange::Approved => "approved".to_owned(),
                RevealChange::Denied => "denied".to_owned(),
                RevealChange::Reviewed => "reviewed".to_owned(),
            };
            format!("reveal {} {who} {what}", step.grant)
        }
        Record::ActorStep(step) => match &step.change {
            ActorChange::Asserted { actor, signed } => format!("actor {actor} signed={signed}"),
            ActorChange::Refused(why) => format!("actor refused: {why}"),
            ActorChange::Ended => "actor -".to_owned(),
        },
        Record::Closing(closing) => {
            let end = if closing.complete { "complete" } else { "cut short" };
            format!("{} rows={} {end}", closing.execution, closing.rows)
        }
        Record::Guard(event) => format!("{:?}", event.action),
        other => other.kind().to_owned(),
    }
}
