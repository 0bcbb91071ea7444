//! For tests of the connection loop: a session that does what the client tells it, line by line, and what it needs.
//!
//! It keeps the engine's contract and nothing of its work, so that each output can be had at will.

use crate::login::EndPoint;
use crate::login::scram::Verifier;
use crate::session::io::{ClientTls, Nonces};
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::access_log::{AccessEvent, Action, How, RevealedColumn, Visit};
use crate::catalog::{Catalog, Name};
use crate::mask::MaskKeys;
use crate::plan::guard::Watched;
use crate::plan::{Inventory, Refusal, Snapshot};
use crate::policy::Policy;
use crate::session::io::{CancelKey, CatalogChanges, CloseReason, Context, Opening, Output, TlsStart};
use crate::sql::Limits;
use crate::sql::statement::Analysis;

/// Takes the place of [`crate::session::Session`].
pub(super) struct Session {
    opening: Opening,
    outputs: VecDeque<Output>,
    logged_in: bool,
    idle: bool,
    waits: bool,
}

impl Session {
    pub(super) fn new(opening: Opening) -> Self {
        Self { opening, outputs: VecDeque::new(), logged_in: false, idle: true, waits: false }
    }

    fn say(&mut self, text: String) {
        self.outputs.push_back(Output::ToClient(Bytes::from(text)));
    }

    pub(super) fn handle_client(&mut self, input: &mut BytesMut, _context: &Context<'_>) {
        while !self.waits
            && let Some(end) = input.iter().position(|byte| *byte == b'\n')
        {
            let line = input.split_to(end).freeze();
            input.advance(1);
            let line = std::str::from_utf8(&line).unwrap().to_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            self.obey(verb, rest);
        }
    }

    fn obey(&mut self, verb: &str, rest: &str) {
        let key = || CancelKey { pid: rest.parse().unwrap(), secret: Bytes::from_static(b"abcd") };
        match verb {
            "say" => self.say(format!("{rest}\n")),
            "up" => self.outputs.push_back(Output::ToUpstream(Bytes::from(format!("{rest}\n")))),
            "tls" => {
                self.outputs.push_back(Output::ToClient(Bytes::from_static(b"S")));
                self.outputs.push_back(Output::AcceptTls(TlsStart::Asked));
            }
            "connect" => {
                self.waits = true;
                self.outputs.push_back(Output::Connect);
            }
            "login" => {
                self.logged_in = true;
                let key = key();
                self.outputs.push_back(Output::LoggedIn(Some(key)));
                self.say("logged in\n".into());
            }
            "begin" => self.idle = false,
            "commit" => self.idle = true,
            "cancel" => self.outputs.push_back(Output::Cancel(key())),
            "reveal" => {
                self.outputs.push_back(Output::Access(vec![event(&self.opening).into()]));
                self.say(format!("{rest}\n"));
            }
            "analyze" => {
                self.waits = true;
                self.outputs.push_back(Output::Analyze(Bytes::from(rest.to_owned())));
            }
            "refresh" => {
                self.waits = true;
                self.outputs.push_back(Output::Refresh(CatalogChanges::All));
            }
            "close" => self.outputs.push_back(Output::Close(CloseReason::ClientLeft)),
            _ => panic!("no such line: {verb}"),
        }
    }

    pub(super) fn handle_upstream(&mut self, input: &mut BytesMut, _context: &Context<'_>) {
        self.outputs.push_back(Output::ToClient(input.split().freeze()));
    }

    pub(super) fn deadline(&self) -> Option<std::time::Duration> {
        None
    }

    pub(super) fn handle_timeout(&mut self, _context: &Context<'_>) {}

    pub(super) fn owes_answers(&self) -> bool {
        !self.idle
    }

    pub(super) fn handle_client_tls(&mut self, tls: ClientTls) {
        self.say(format!("tls {}\n", tls.common_name.as_deref().unwrap_or("-")));
    }

    pub(super) fn handle_verifier(&mut self, _verifier: Verifier, _nonces: Nonces) {}

    pub(super) fn handle_verifier_failed(&mut self) {}

    pub(super) fn handle_connected(&mut self, end_point: Option<EndPoint>) {
        self.waits = false;
        self.say(format!("connected {}\n", end_point.is_some()));
    }

    pub(super) fn handle_connect_failed(&mut self, reason: &str) {
        self.say(format!("{reason}\n"));
        self.outputs.push_back(Output::Close(CloseReason::UpstreamUnreachable));
    }

    pub(super) fn handle_analysis(&mut self, analysis: Arc<Analysis>, _context: &Context<'_>) {
        self.waits = false;
        let statements = match &*analysis {
            Analysis::Statements(statements) => statements.len(),
            Analysis::Opaque(..) => 0,
        };
        self.say(format!("analysed {statements}\n"));
    }

    pub(super) fn handle_refreshed(&mut self, _read: bool, _shown: CatalogChanges) {
        self.waits = false;
        self.say("refreshed\n".into());
    }

    pub(super) fn handle_guard_failed(&mut self) {
        self.say("not counted\n".into());
        self.outputs.push_back(Output::Close(CloseReason::Guard));
    }

    pub(super) fn handle_stopped(&mut self, why: &Refusal) {
        self.say(format!("stopped {}\n", why.code));
        self.outputs.push_back(Output::Close(CloseReason::Guard));
    }

    pub(super) fn watched(&mut self, _snapshot: &Snapshot) -> Option<Arc<Watched>> {
        let user = Name::exact("clerk");
        Some(Arc::new(Watched::new(&user, None, self.opening.client.ip(), Vec::new())))
    }

    pub(super) fn handle_access_failed(&mut self) {
        self.say("not written\n".into());
        self.outputs.push_back(Output::Close(CloseReason::AccessLogFailed));
    }

    pub(super) fn handle_end(&mut self, reason: CloseReason) {
        self.outputs.push_back(Output::ToUpstream(Bytes::from_static(b"terminate\n")));
        self.say(format!("end {reason:?}\n"));
        self.outputs.push_back(Output::Close(reason));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.logged_in
    }

    pub(super) fn wants_upstream(&self) -> bool {
        true
    }

    pub(super) fn holds_request(&self) -> bool {
        false
    }

    pub(super) fn repeats(&self) -> bool {
        false
    }

    pub(super) fn wants_client(&self) -> bool {
        !self.waits
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

fn event(opening: &Opening) -> AccessEvent {
    let name = |text: &str| Name::exact(text);
    AccessEvent {
        visit: Arc::new(Visit {
            session: opening.id,
            user: name("clerk"),
            actor: None,
            database: name("shop"),
            client: opening.client,
            application_name: None,
        }),
        execution: 1,
        role: None,
        rule: "shop.yaml:1".into(),
        column: Some(RevealedColumn {
            schema: name("public"),
            table: name("customers"),
            column: name("email"),
            tag: "email".into(),
        }),
        how: How::Clear,
        action: Action::View,
        fingerprint: 0,
        rows: None,
        endpoint: None,
        tenant: None,
        entities: Vec::new(),
        grounds: None,
    }
}

/// A snapshot of an empty policy and an empty catalog.
pub(in crate::server) fn snapshot(version: u64) -> Snapshot {
    let policy = Policy::empty();
    let catalog = Catalog::default();
    Snapshot {
        version,
        inventory: Arc::new(Inventory::new(&policy, &catalog, None)),
        policy: Arc::new(policy),
        catalog: Arc::new(catalog),
        keys: Arc::new(MaskKeys::default()),
        actor_keys: Arc::default(),
        ring: Arc::default(),
        access_log_ready: true,
        limits: Limits::default(),
        epoch: 0,
        since: 0,
        exact: true,
        past: Arc::default(),
    }
}
