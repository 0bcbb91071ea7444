//! Whose values are: the settings that they are bound to, and the parameters.
//!
//! The server does not report settings that applications make. So ahead of a message that depends on one pgveil asks the
//! server what it is, by a statement and a portal of its own, and the message waits for the answer. The answer counts until
//! something is sent that may change the setting. Ahead of a Query the question ends with a Sync; in the extended protocol
//! with a Flush, for a Sync would end what the client has begun.

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting};
use super::expect::Expect;
use super::io::{CloseReason, Context, Observation};
use super::outbox::Outbox;
use super::replies::Next;
use super::statements::{Prepared, Watch};
use super::write_back::types;
use crate::catalog::Oid;
use crate::plan::{Refusal, RowTenants, Snapshot, TenantSettings, Verdict};
use crate::sql::statement::{Reading, Statement, StatementKind};
use crate::wire::frame::Header;
use crate::wire::frontend::BindValues;
use crate::wire::{Malformed, Reader, compose};

/// The prepared statement and the portal that pgveil asks by.
const QUESTION: &str = "pgveil asks for settings";

/// What is known of the settings.
#[derive(Default)]
pub(super) struct Tenants {
    /// What the server has said last.
    settings: TenantSettings,
    /// Whether nothing was sent since that may have changed them.
    fresh: bool,
    /// The message at hand can not go on without them.
    asks: bool,
    /// Another statement of the message at hand may change them before they count.
    unsettled: bool,
}

/// The answer to the question, as far as it is there.
pub(super) struct Asked {
    settings: Vec<Arc<str>>,
    /// How many messages of it have come.
    come: usize,
}

/// What became of the parameters of a Bind that say whose values are.
pub(super) enum BoundTenants {
    /// There are none.
    Nothing,
    /// It is not all there, or the settings have to be asked for.
    Wait,
    /// They say it of nobody, or of several.
    Refused(Arc<Refusal>),
    /// They are these.
    Are(Arc<RowTenants>),
}

impl Tenants {
    /// What is known for certain of the message at hand.
    pub(super) fn now(&self) -> TenantSettings {
        if self.fresh { self.settings.clone() } else { TenantSettings::default() }
    }

    /// What counts for rows that come now.
    pub(super) fn of_rows(&self) -> &TenantSettings {
        &self.settings
    }

    /// A message begins.
    pub(super) fn begin_message(&mut self) {
        (self.asks, self.unsettled) = (false, false);
    }

    /// Another text is looked at in between: what was known of the message at hand.
    pub(super) fn look_aside(&mut self, unsettled: bool) -> bool {
        std::mem::replace(&mut self.unsettled, unsettled)
    }

    /// Whether there are settings that say whose values are, and what they are is not known for certain.
    pub(super) fn are_wanted(&self, snapshot: &Snapshot) -> bool {
        !self.fresh && snapshot.policy.tenant_settings().next().is_some()
    }

    /// A statement of the message at hand was looked at.
    pub(super) fn note_statement(&mut self, statement: &Statement) {
        self.unsettled |= !leaves_settings(statement);
    }

    /// A message of that type goes to the server.
    pub(super) fn note_sent(&mut self, tag: u8) {
        // Parse, Bind, Describe, Close, Flush and data run nothing.
        if !matches!(tag, b'P' | b'B' | b'D' | b'C' | b'H' | b'd') {
            self.fresh = false;
        }
    }
}

/// Whether a statement leaves the settings of applications as they are, whatever it does to rows: it calls no function that
/// could change one, and ends nothing.
fn leaves_settings(statement: &Statement) -> bool {
    match statement.kind {
        StatementKind::Begin
        | StatementKind::Savepoint
        | StatementKind::SetTransaction
        | StatementKind::Show
        | StatementKind::DeclareCursor
        | StatementKind::CloseCursor
        | StatementKind::Prepare
        | StatementKind::Deallocate => true,
        StatementKind::Select
        | StatementKind::Values
        | StatementKind::Table
        | StatementKind::Insert
        | StatementKind::Update
        | StatementKind::Delete
        | StatementKind::Merge => match &statement.reading {
            Reading::Understood(lineage) => lineage.functions.is_empty() && !statement.words.contains("set_config"),
            Reading::NoQuery | Reading::NotUnderstood(_) => false,
        },
        _ => false,
    }
}

impl Watch {
    /// The same, with what was known of whose the rows are.
    pub(super) fn keeping(self, before: Option<&Self>) -> Self {
        let tenants = match before {
            Some(Self::Protect(before)) => before.tenants.clone(),
            Some(Self::Pass | Self::Recall(_) | Self::RecallPlan(_)) | None => None,
        };
        self.with_tenants(tenants)
    }

    /// The same, where it is known whose the rows are.
    pub(super) fn with_tenants(self, tenants: Option<Arc<RowTenants>>) -> Self {
        match (self, tenants) {
            (Self::Protect(protection), Some(tenants)) => {
                Self::Protect(Arc::new(protection.as_ref().clone().with_tenants(Some(tenants))))
            }
            (watch, _) => watch,
        }
    }
}

impl Conversation {
    /// The message at hand depends on what the settings are; whether they have to be asked for first. In a transaction that has
    /// failed they are not: nothing runs there.
    pub(super) fn asks_for_settings(&mut self) -> bool {
        if self.comes_to_aborted(None) == Some(true) {
            return false;
        }
        self.tenants.asks = true;
        self.waiting = Some(Waiting::Settings);
        true
    }

    /// Whether the message at hand has to wait because it runs what has some name, which may depend on the settings.
    pub(super) fn recalls_settings(&mut self, verdicts: &[&Verdict], snapshot: &Snapshot) -> bool {
        let recalls = |verdict: &&Verdict| match verdict {
            Verdict::Recall(_) => true,
            Verdict::Protect(protection) => protection.copy.as_ref().is_some_and(|copy| copy.inward),
            Verdict::Pass | Verdict::Refuse(_) | Verdict::RecallPlan(_) => false,
        };
        let shows = |verdict: &&Verdict| match verdict {
            Verdict::Protect(protection) => protection.tenants.as_ref().is_some_and(|tenants| tenants.needs_settings()),
            Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => false,
        };
        let needs = verdicts.iter().any(|verdict| recalls(verdict) || shows(verdict));
        needs && self.tenants.are_wanted(snapshot) && self.asks_for_settings()
    }

    /// Why the settings that a statement depends on may be others when it runs.
    pub(super) fn settings_unsettled(&self, snapshot: &Snapshot) -> Option<Refusal> {
        let setting = snapshot.policy.tenant_settings().next()?;
        self.tenants.unsettled.then(|| Refusal::tenant_within_message(setting))
    }

    /// What goes to the server ahead of a message that waits, of that type.
    pub(super) fn question(&mut self, tag: u8, snapshot: &Snapshot) -> Option<Bytes> {
        if self.waiting == Some(Waiting::Answers) {
            // Without it the server might keep its answers to itself.
            return Some(compose::raw(b'H', b""));
        }
        if !std::mem::take(&mut self.tenants.asks) {
            return None;
        }
        let query = tag == b'Q';
        if query && !self.replies.is_empty() {
            self.waiting = Some(Waiting::Answers);
            return Some(compose::raw(b'H', b""));
        }
        let mut settings: Vec<Arc<str>> = snapshot.policy.tenant_settings().cloned().collect();
        settings.dedup();
        // Their names are words with dots between.
        let values: Vec<String> =
            settings.iter().map(|name| format!("pg_catalog.current_setting('{name}', true)")).collect();
        let text = format!("SELECT {}", values.join(", "));
        let name = QUESTION.as_bytes();
        let frames = [
            compose::close_statement(name),
            compose::parse(QUESTION, &text),
            compose::bind(QUESTION, QUESTION),
            compose::raw(b'E', &[name, &[0, 0, 0, 0, 0]].concat()),
            compose::raw(b'C', &[b"P", name, &[0]].concat()),
            compose::close_statement(name),
            compose::raw(if query { b'S' } else { b'H' }, b""),
        ];
        self.replies.push_back(Expect::Settings(Box::new(Asked { settings, come: 0 })));
        if query {
            self.replies.push_back(Expect::OwnSync);
        }
        Some(frames.concat().into())
    }

    /// An answer to what was asked, if it is one.
    pub(super) fn settings_answered(&mut self, tag: u8, body: &[u8]) -> Option<Result<Next, Malformed>> {
        /// CloseComplete, ParseComplete, BindComplete, DataRow, CommandComplete, CloseComplete twice.
        const ANSWERS: &[u8; 7] = b"312DC33";
        let query = matches!(self.replies.get(1), Some(Expect::OwnSync));
        let Some(Expect::Settings(asked)) = self.replies.front_mut() else { return None };
        if tag == b'E' {
            // They count as not set; a transaction that has failed refuses what comes, too.
            for name in &asked.settings {
                self.tenants.settings.set(name, None);
            }
            self.tenants.fresh = true;
            if !query {
                // The error is the answer to the client's message, which is passed over.
                return None;
            }
            self.replies.pop_front();
            return Some(Ok(Next::Swallow));
        }
        if ANSWERS.get(asked.come) != Some(&tag) {
            return Some(Err(Malformed("answer about settings")));
        }
        asked.come = asked.come.saturating_add(1);
        let complete = asked.come == ANSWERS.len();
        if tag == b'D' {
            let mut reader = Reader::new(body, "DataRow");
            let read = reader.count().map(|_| ());
            for name in &asked.settings {
                match reader.value() {
                    Ok(value) => {
                        // What is bound is UTF-8.
                        let text = value.map(|value| self.encoding.text(value).map(|text| text.into_owned()));
                        self.tenants.settings.set(name, text.flatten().as_deref());
                    }
                    Err(malformed) => return Some(Err(malformed)),
                }
            }
            if let Err(malformed) = read {
                return Some(Err(malformed));
            }
        }
        if complete {
            self.tenants.fresh = true;
            self.replies.pop_front();
        }
        Some(Ok(Next::Swallow))
    }

    /// A message waits no more for the settings.
    pub(super) fn settings_settled(&mut self) {
        let asked = |expect: &Expect| matches!(expect, Expect::Settings(_) | Expect::OwnSync);
        if self.waiting == Some(Waiting::Settings) && !self.replies.iter().any(asked) {
            self.waiting = None;
        }
    }

    /// What the parameters of a Bind say of whose the rows are that one of these statements shows, the likeliest first.
    pub(super) fn bound_tenants(
        &mut self,
        current: &[Arc<Prepared>],
        body: &[u8],
        header: Header,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<BoundTenants, Malformed> {
        let verdicts: Vec<&Verdict> = current.iter().map(|prepared| &prepared.verdict).collect();
        if self.recalls_settings(&verdicts, context.snapshot) {
            return Ok(BoundTenants::Wait);
        }
        let Some(first) = current.first() else { return Ok(BoundTenants::Nothing) };
        let Verdict::Protect(protection) = &first.verdict else { return Ok(BoundTenants::Nothing) };
        let Some(tenants) = protection.tenants.as_ref().filter(|tenants| !tenants.is_settled()) else {
            return Ok(BoundTenants::Nothing);
        };
        if body.len() < header.body {
            if header.frame() > LOOKED_AT_BYTES_MAX {
                let message = "pgveil: a statement's values are longer than 64 MiB (looked_at_bytes_max)";
                self.fail(out, "54000", message, CloseReason::ClientFault);
            }
            return Ok(BoundTenants::Wait);
        }
        let values = BindValues::decode(body)?;
        let declared = types(&first.types);
        let texts: Vec<Option<Vec<u8>>> = (1..=values.count())
            .map(|number| {
                let (cell, _) = values.value(number)?;
                cell.filter(|cell| !cell.is_ascii()).and_then(|cell| Some(self.encoding.text(cell)?.into_owned()))
            })
            .collect();
        let value = |number: u32| {
            let at = usize::try_from(number).ok()?;
            let (cell, format) = values.value(at)?;
            let before = at.checked_sub(1)?;
            let text = texts.get(before).and_then(Option::as_deref);
            let of = declared.get(before).copied().unwrap_or(Oid(0));
            let text = text.filter(|_| format == crate::wire::Format::Text);
            Some((of, format, text.or(cell)))
        };
        match tenants.bound(value, &self.forms) {
            Ok(bound) => Ok(BoundTenants::Are(Arc::new(bound))),
            Err(refusal) => {
                Self::observe(out, Observation::Refusal(refusal.reason));
                Ok(BoundTenants::Refused(Arc::new(refusal)))
            }
        }
    }
}
