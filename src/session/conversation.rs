//! A session that is logged in: what both directions share.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::copies::Copies;
use super::copy_in::CopyIn;
use super::delivery::Delivery;
use super::encoding::{Encoding, ServerEncoding};
use super::gate::{Commit, Words};
use super::io::{CatalogChanges, CloseReason, Context, Observation, Output};
use super::login::LoggedIn;
use super::metering::Meter;
use super::outbox::Outbox;
use super::owed::Owed;
use super::repeat::Repeat;
use super::standing::Standing;
use super::statements::{Ends, Registry, Watch};
use super::tenants::Tenants;
use crate::access_log::{Action, KeyUse, Logout, Record, Refused, RevealEnd, Visit};
use crate::catalog::Name;
use crate::crypto::NonceSource;
use crate::mask::TextEncoding;
use crate::plan::budget::Payer;
use crate::plan::guard::Watched;
use crate::plan::permit::Execution;
use crate::plan::{Caller, KeyOfColumn, Own, Passed, Protection, Refusal, RowTenants, Snapshot, Verdict};
use crate::policy::{Actor, Principal};
use crate::sql::lineage::Unknown;
use crate::sql::statement::Analysis;
use crate::value::TextForms;
use crate::wire::backend::{RowDescription, TransactionStatus};
use crate::wire::compose;

/// The longest request or reply that pgveil holds in memory because it has to look at it, in bytes. Longer ones that it
/// need not look at are streamed; others end the session with 54000.
pub(super) const LOOKED_AT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names for which a fresh reading of the catalog was asked are remembered up to this many.
pub(super) const ASKED_MAX: usize = 10_000;

/// What the session waits for before it reads on from the client.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The analysis of this text, which is made elsewhere.
    Analysis(Bytes),
    /// A fresh reading of the catalog.
    Refresh,
    /// Whether the server reads COPY data, and what has to be looked at in it.
    CopyIn,
    /// What the server answers to all that was sent.
    Answers,
    /// What the settings are that say whose values are.
    Settings,
    /// The end of an answer that is thrown away.
    Repeat,
}

/// Bytes that come from one side.
#[derive(Default)]
pub(super) struct Arrivals {
    /// How many had come and were not taken when they were seen last.
    untaken: usize,
    /// The catalog was looked at after all of them had come.
    looked: bool,
}

impl Arrivals {
    /// So many are there now.
    pub(super) fn seen(&mut self, there: usize) {
        self.looked &= there == self.untaken;
    }

    /// So many are left.
    pub(super) fn taken(&mut self, left: usize) {
        self.untaken = left;
    }

    fn looked_behind(&mut self, read: bool) {
        self.looked = read;
    }

    /// Whether what others had committed before they came is known.
    pub(super) fn are_behind_a_look(&self) -> bool {
        self.looked
    }
}

/// The caller as it was worked out last.
struct KnownCaller {
    /// The snapshot's version, and the generation of what the session stands for.
    under: (u64, u64),
    /// For whom a comment has spoken.
    spoken: Option<Arc<Actor>>,
    caller: Arc<Caller>,
}

/// A session that is logged in.
pub(super) struct Conversation {
    pub(super) id: u64,
    pub(super) client: SocketAddr,
    principal: Principal,
    database: Name,
    application_name: Option<Arc<str>>,
    caller: Option<KnownCaller>,
    visit: Option<Arc<Visit>>,
    watched: Option<(u64, Option<Arc<Actor>>, Arc<Watched>)>,
    executions: u64,
    /// The keys that it has used, each with the column.
    keys_used: HashSet<KeyOfColumn>,
    /// Keys that results are opened with, to be looked up there.
    pub(super) opens: Vec<KeyOfColumn>,
    pub(super) encoding: Encoding,
    server_encoding: ServerEncoding,
    pub(super) cells: TextEncoding,
    /// Settings that texts of values depend on.
    pub(super) forms: TextForms,
    /// The settings that encrypted values are bound to.
    pub(super) tenants: Tenants,
    /// Whether the message at hand prepares a statement to run later.
    pub(super) prepares: bool,
    /// Random numbers for encrypted values.
    pub(super) nonces: NonceSource,
    pub(super) status: TransactionStatus,
    /// The last ReadyForQuery said that the transaction has failed, and no command was completed since.
    pub(super) aborted: bool,
    pub(super) registry: Registry,
    /// What the session has made.
    pub(super) own: Own,
    /// How transactions have ended since the server was last idle.
    pub(super) ends: Ends,
    /// Names that were asked for and that a fresh catalog did not have either.
    pub(super) asked: BTreeSet<Name>,
    pub(super) waiting: Option<Waiting>,
    /// Analyses that were made elsewhere for the request under way, with their texts.
    pub(super) analyses: Vec<(Bytes, Arc<Analysis>)>,
    /// The catalog was changed by this session, and not read again yet.
    pub(super) stale: bool,
    /// The message at hand waited for a reading of the catalog; whether there is one.
    pub(super) waived: Option<bool>,
    /// The reply at hand waited for a reading of the catalog; whether there is one.
    pub(super) checked: Option<bool>,
    /// What is sent again, because it is not known what its answer shows.
    pub(super) repeat: Repeat,
    /// A reply waits for a reading of the catalog.
    pub(super) verifying: bool,
    /// The reply at hand is an error or notice of a statement of which is not known what it quotes.
    pub(super) withheld: bool,
    /// The description that is at hand.
    pub(super) arriving: Option<RowDescription>,
    /// What may commit a change of the catalog that others see, and how many ReadyForQuery are owed up to its own.
    pub(super) commit: Option<(Commit, usize)>,
    /// The epochs that began with changes of the session's own.
    pub(super) landed: VecDeque<u64>,
    /// Whether that has come to be committed already.
    pub(super) committed: bool,
    /// The transaction under way may have changed what others see of the catalog.
    pub(super) changes: bool,
    /// What that is about.
    pub(super) about: Words,
    /// A statement was sent that may end the transaction under way.
    pub(super) ends_transaction: bool,
    /// How many readings of the catalog were asked for and are not there yet, for what this session has changed.
    refreshes: u32,
    /// The same, for what others may have changed.
    looks: u32,
    /// What has come of the client's requests and of the server's answers, and whether the catalog was looked at since.
    pub(super) requests: Arrivals,
    pub(super) answers: Arrivals,
    /// `standard_conforming_strings` is off.
    weak_strings: bool,
    /// Something was sent that may change how the server reads texts, and it has not said yet whether it did.
    pub(super) unsettled: bool,
    /// What was sent may change the encoding of texts.
    pub(super) recoding: bool,
    /// Cursors that were asked for since the server last had said everything.
    pub(super) declared: BTreeSet<Name>,
    /// The portal that was last bound, if what it runs does not.
    pub(super) keeps: Option<Bytes>,
    /// The portal that was last bound, if it runs `BEGIN`, which changes nothing of that.
    pub(super) begins: Option<Bytes>,
    /// Something protected ran in this transaction: errors at its end may quote values.
    pub(super) protected: bool,
    /// What the server owes.
    pub(super) replies: Owed,
    /// The server ignores everything until the next Sync.
    pub(super) skipping: bool,
    /// The client says no more.
    pub(super) left: bool,
    /// It has sent a message that the protocol does not have, which the server ends the session for.
    pub(super) foreign_message: bool,
    /// Data of COPY from the client.
    pub(super) copy_in: CopyIn,
    /// Data of COPY to the client.
    pub(super) copies: Copies,
    /// There was an error since the last ReadyForQuery.
    pub(super) failed: bool,
    /// The rows of the execution at the front of the queue.
    pub(super) rows: Option<Delivery>,
    /// A portal whose rows that are held back go out now.
    pub(super) paused: Option<Bytes>,
    /// Bytes of the client's frame under way that pass unseen.
    pub(super) client_left: usize,
    /// Bytes of the client's frame under way that something else was sent for.
    pub(super) client_dropped: usize,
    /// What is sent to the server when that frame has passed.
    pub(super) client_after: Option<Bytes>,
    /// Bytes of the server's frame under way that pass unseen.
    pub(super) upstream_left: usize,
    /// For whom the session speaks, and what is revealed to it.
    pub(super) standing: Standing,
    /// The same, while something is judged by what will be so later in a message.
    pub(super) saved_standing: Option<Standing>,
    /// Something was sent that may change it, and is not answered yet.
    pub(super) standing_pending: bool,
    /// The portal that was last bound to something that changes it.
    pub(super) configures: Option<Bytes>,
    /// The end user that the comment of the statement at hand asserts.
    pub(super) spoken: Option<Arc<Actor>>,
    /// Whether there was ever one.
    pub(super) comments_speak: bool,
    /// Requests for a reveal that nobody waits for any more.
    pub(super) withdrawn: Vec<Arc<str>>,
    /// What the client is told when the statement at hand is done.
    pub(super) saying: Option<Arc<str>>,
    /// Under which snapshot and standing the grant in force was allowed.
    pub(super) allowed_at: Option<(u64, u64)>,
    /// Whether the client was told that it may ask for a reveal.
    pub(super) told_to_ask: bool,
    pub(super) over: bool,
}

impl Conversation {
    pub(super) fn new(login: LoggedIn) -> Self {
        let mut own = Own::default();
        own.starts_with(&login.settings);
        let mut conversation = Self {
            id: login.opening.id,
            client: login.opening.client,
            principal: login.principal,
            database: login.database,
            application_name: None,
            caller: None,
            visit: None,
            watched: None,
            executions: 0,
            keys_used: HashSet::new(),
            opens: Vec::new(),
            encoding: Encoding::default(),
            server_encoding: ServerEncoding::default(),
            cells: TextEncoding::default(),
            forms: TextForms::default(),
            tenants: Tenants::default(),
            prepares: false,
            nonces: NonceSource::new(login.opening.seed.0),
            status: TransactionStatus::Idle,
            aborted: false,
            registry: Registry::default(),
            own,
            ends: Ends::default(),
            asked: BTreeSet::new(),
            waiting: None,
            analyses: Vec::new(),
            stale: false,
            waived: None,
            checked: None,
            repeat: Repeat::default(),
            verifying: false,
            withheld: false,
            arriving: None,
            commit: None,
            landed: VecDeque::new(),
            committed: false,
            changes: false,
            about: None,
            ends_transaction: false,
            refreshes: 0,
            looks: 0,
            requests: Arrivals::default(),
            answers: Arrivals::default(),
            weak_strings: false,
            unsettled: false,
            recoding: false,
            declared: BTreeSet::new(),
            keeps: None,
            begins: None,
            protected: false,
            replies: Owed::default(),
            skipping: false,
            left: false,
            foreign_message: false,
            copy_in: CopyIn::default(),
            copies: Copies::default(),
            failed: false,
            rows: None,
            paused: None,
            client_left: 0,
            client_dropped: 0,
            client_after: None,
            upstream_left: 0,
            standing: Standing::opened_for(login.actor),
            saved_standing: None,
            standing_pending: false,
            configures: None,
            spoken: None,
            comments_speak: false,
            withdrawn: Vec::new(),
            saying: None,
            allowed_at: None,
            told_to_ask: false,
            over: false,
        };
        for (name, value) in login.parameters {
            conversation.parameter(&name, &value);
        }
        conversation
    }

    /// The server reported a parameter.
    pub(super) fn parameter(&mut self, name: &[u8], value: &[u8]) {
        if let Ok(name) = std::str::from_utf8(name) {
            self.forms.set(name, value);
        }
        match name {
            b"client_encoding" => {
                self.registry.forget_foreign_names();
                self.encoding = Encoding::named(value);
                self.cells = TextEncoding::named(&String::from_utf8_lossy(value));
            }
            b"server_encoding" => self.server_encoding = ServerEncoding::named(value),
            b"standard_conforming_strings" => self.weak_strings = value != b"on",
            b"application_name" => {
                let value = self.encoding.text(value);
                let value = value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                self.application_name = (!value.is_empty()).then(|| value.into());
                self.visit = None;
                self.caller = None;
            }
            _ => {}
        }
    }

    /// Whether nobody but the server can say which statement or portal a name is: it converts names from the client's
    /// encoding to its own.
    pub(super) fn is_foreign(&self, name: &[u8]) -> bool {
        let converted = self.encoding != Encoding::Utf8 || self.server_encoding != ServerEncoding::Utf8;
        !name.is_ascii() && (converted || self.unsettled)
    }

    /// The text as the lexer reads it; `None`: the server may read it in another way.
    pub(super) fn readable<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        // Where a string ends depends on settings in one case only: a backslash before the quote escapes it, unless the
        // string is plain and `standard_conforming_strings` is on, or the backslash is the second half of a character.
        let depends = self.weak_strings || self.unsettled;
        if depends && text.windows(2).any(|pair| pair == b"\\'") {
            return None;
        }
        let readable = self.encoding.text(text)?;
        // A name that is read wrongly may be that of something tagged.
        let sure = match std::str::from_utf8(&readable) {
            Ok(text) => self.server_encoding.reads_names(text, self.encoding, !self.recoding),
            Err(_) => false,
        };
        sure.then_some(readable)
    }

    /// The text as it is read, to keep it.
    pub(super) fn as_read(&self, text: &[u8]) -> Option<Bytes> {
        self.readable(text).map(|readable| Bytes::copy_from_slice(&readable))
    }

    /// A text that was read, as the client would write it now; `None`: it can not.
    pub(super) fn as_written(&self, text: &str) -> Option<Bytes> {
        (text.is_ascii() || !self.recoding).then(|| self.encoding.bytes(text).map(Bytes::from)).flatten()
    }

    /// The caller under a snapshot.
    pub(super) fn caller(&mut self, snapshot: &Snapshot) -> Arc<Caller> {
        let under = (snapshot.version, self.standing.generation);
        match &self.caller {
            Some(known) if known.under == under && known.spoken == self.spoken => Arc::clone(&known.caller),
            Some(_) | None => {
                let caller = Arc::new(self.caller_of(snapshot));
                self.caller = Some(KnownCaller { under, spoken: self.spoken.clone(), caller: Arc::clone(&caller) });
                caller
            }
        }
    }

    /// The database user.
    pub(super) fn user(&self) -> &Name {
        &self.principal.user
    }

    /// What verdicts depend on beside the snapshot: what the session has made, and what it stands for.
    pub(super) fn generation(&self) -> (u64, u64) {
        (self.own.generation(), self.standing.generation)
    }

    /// For whom the statement at hand speaks.
    pub(super) fn actor(&self) -> Option<&Arc<Actor>> {
        self.spoken.as_ref().or_else(|| self.standing.actor())
    }

    /// Whose budgets are spent.
    pub(super) fn payer(&self) -> Payer {
        Payer { user: self.principal.user.clone(), actor: self.actor().map(|actor| Arc::clone(&actor.name)) }
    }

    /// Whom the guard counts for, and by which limits.
    pub(super) fn watched(&mut self, snapshot: &Snapshot) -> Arc<Watched> {
        // The groups that a token gives may change the roles, and these the limits.
        let spoken = self.actor().cloned();
        match &self.watched {
            Some((version, known, watched)) if *version == snapshot.version && *known == spoken => Arc::clone(watched),
            Some(_) | None => {
                let Payer { user, actor } = self.payer();
                let limits = snapshot.policy.limits_of(&user, &self.caller_of(snapshot).roles);
                let watched = Arc::new(Watched::new(&user, actor, self.client.ip(), limits));
                self.watched = Some((snapshot.version, spoken, Arc::clone(&watched)));
                watched
            }
        }
    }

    /// Counts what an execution shows in clear.
    pub(super) fn meter(&mut self, context: &Context<'_>) -> Meter {
        Meter::new(context.guard, self.watched(context.snapshot))
    }

    /// Who it is, for records.
    pub(super) fn visit(&mut self) -> Arc<Visit> {
        let actor = self.actor().map(|actor| Arc::clone(&actor.name));
        self.visit = self.visit.take().filter(|visit| visit.actor == actor);
        let visit = self.visit.get_or_insert_with(|| {
            Arc::new(Visit {
                session: self.id,
                user: self.principal.user.clone(),
                actor,
                database: self.database.clone(),
                client: self.client,
                application_name: self.application_name.clone(),
            })
        });
        Arc::clone(visit)
    }

    pub(super) fn execution(&mut self, protection: &Protection, action: Action) -> Execution {
        self.executions = self.executions.saturating_add(1);
        Execution {
            visit: self.visit(),
            number: self.executions,
            fingerprint: protection.fingerprint,
            action,
            endpoint: protection.endpoint.clone(),
            tenant: protection.tenants.as_deref().and_then(RowTenants::only_setting),
        }
    }

    /// Keys are used: for the first time, that is written down.
    pub(super) fn note_keys(&mut self, keys: &[KeyOfColumn], out: &mut Outbox) {
        for used in keys {
            if self.keys_used.insert(used.clone()) {
                let (key, column) = used.clone();
                out.push(Output::Note(Record::KeyUse(KeyUse { visit: self.visit(), key, column })));
            }
        }
    }

    /// How the texts of cells are read.
    pub(super) fn cells(&self) -> TextEncoding {
        self.cells
    }

    /// Plan the delivery of a result that the server has described.
    pub(super) fn planned(&mut self, watch: &Watch, description: &RowDescription, context: &Context<'_>) -> Delivery {
        let protection = self.protection(watch, context.snapshot, 4).or_else(|| {
            // The server says of rows whose cursor was declared under an earlier catalog that they are of a tagged column.
            let tagged = matches!(watch, Watch::Recall(_)) && context.snapshot.shows_tagged(description);
            tagged.then(|| Arc::new(Protection::unknown(Unknown::Contradiction, 0, true)))
        });
        let Some(protection) = protection else { return Delivery::Untouched };
        if let Some(name) = &protection.shows {
            return Delivery::Told(self.shown_setting(name, context).into());
        }
        let caller = self.caller(context.snapshot);
        let earlier = match watch {
            Watch::Recall(name) if self.registry.is_cursor(name.as_str().as_bytes()) => {
                self.registry.portal(name.as_str().as_bytes()).map(|cursor| std::mem::take(&mut cursor.delivery))
            }
            Watch::Pass | Watch::Protect(_) | Watch::Recall(_) | Watch::RecallPlan(_) => None,
        };
        let protection = self.with_settings(protection, context.snapshot);
        let plan = protection.bind(description, context.snapshot, &caller, (self.cells, &self.forms));
        self.opens.extend_from_slice(&plan.opens);
        self.may_be_told(&plan, &caller, context.snapshot);
        let delivery = Delivery::planned(plan, || (self.execution(&protection, Action::View), self.meter(context)));
        match earlier {
            Some(earlier) => delivery.going_on(earlier),
            None => delivery,
        }
    }

    /// The same, with the settings that say whose values are.
    pub(super) fn with_settings(&self, protection: Arc<Protection>, snapshot: &Snapshot) -> Arc<Protection> {
        if snapshot.policy.tenant_settings().next().is_none() {
            return protection;
        }
        let tenants = protection.tenants.as_deref().cloned().unwrap_or_default();
        let tenants = tenants.with_settings(self.tenants.of_rows());
        Arc::new(protection.as_ref().clone().with_tenants(Some(Arc::new(tenants))))
    }

    /// What protects the rows of a watch; `None`: they pass. A name that nothing is known of may stand for anything.
    pub(super) fn protection(&mut self, watch: &Watch, snapshot: &Snapshot, depth: u32) -> Option<Arc<Protection>> {
        let unknown = || Some(Arc::new(Protection::unknown(Unknown::Construct, 0, true)));
        let name = match watch {
            Watch::Pass => return None,
            Watch::Protect(protection) => return Some(Arc::clone(protection)),
            Watch::Recall(name) => name.as_str().as_bytes(),
            // What masks its rows says nothing of its plan.
            Watch::RecallPlan(name) => {
                return self.protection(&Watch::Recall(name.clone()), snapshot, depth).and_then(|_| unknown());
            }
        };
        let Some(depth) = depth.checked_sub(1) else { return unknown() };
        // What passed under another policy may not pass under this one.
        let standing = self.standing.generation;
        let fresh = |passes: bool, judged: (u64, u64)| !passes || judged == (snapshot.version, standing);
        let holds = |passed: &Option<Arc<Passed>>| passed.as_ref().is_some_and(|it| it.holds(&snapshot.inventory));
        let portal = self.registry.portal(name).map(|portal| {
            let fresh = fresh(portal.watch.is_pass(), (portal.version, portal.standing)) || holds(&portal.passed);
            (portal.watch.clone(), fresh)
        });
        let statement = self.registry.statement(name).map(|prepared| {
            let passes = matches!(prepared.verdict, Verdict::Pass);
            let fresh = fresh(passes, (prepared.version, prepared.own.1)) || holds(&prepared.passed);
            (prepared.verdict.clone(), fresh)
        });
        let all_fresh =
            portal.as_ref().is_none_or(|(_, fresh)| *fresh) && statement.as_ref().is_none_or(|(_, fresh)| *fresh);
        if !all_fresh {
            return unknown();
        }
        let (portal, statement) = (portal.map(|(watch, _)| watch), statement.map(|(verdict, _)| verdict));
        match (portal, statement) {
            (Some(Watch::Pass), None | Some(Verdict::Pass)) | (None, Some(Verdict::Pass)) => None,
            (Some(watch), None) => self.protection(&watch, snapshot, depth),
            (None, Some(verdict)) => match Watch::of(&verdict) {
                Some(watch) => self.protection(&watch, snapshot, depth),
                None => unknown(),
            },
            (None, None) | (Some(_), Some(_)) => unknown(),
        }
    }

    /// Whether errors of what is watched may quote protected values. What EXECUTE and FETCH name is what it is now.
    pub(super) fn quotes(&mut self, watch: &Watch, snapshot: &Snapshot) -> bool {
        match watch {
            Watch::Pass | Watch::Protect(_) => watch.scrubs(),
            Watch::Recall(_) | Watch::RecallPlan(_) => {
                self.protection(watch, snapshot, 4).is_some_and(|protection| protection.scrub)
            }
        }
    }

    /// Whether errors and notices may quote protected values now.
    pub(super) fn scrubs(&self) -> bool {
        match self.replies.front() {
            Some(expect) => expect.scrubs() || (self.protected && expect.may_end_transaction()),
            None => self.protected,
        }
    }

    /// The session waits for a reading of the catalog.
    pub(super) fn await_refresh(&mut self, wanted: CatalogChanges, out: &mut Outbox) {
        self.ask_refresh(wanted, out);
        self.waiting = Some(Waiting::Refresh);
    }

    /// Ask for a reading of the catalog.
    pub(super) fn ask_refresh(&mut self, wanted: CatalogChanges, out: &mut Outbox) {
        match wanted {
            CatalogChanges::All => self.refreshes = self.refreshes.saturating_add(1),
            CatalogChanges::Lasting => self.looks = self.looks.saturating_add(1),
        }
        out.push(Output::Refresh(wanted));
    }

    /// The caller under an earlier snapshot.
    pub(super) fn caller_of(&self, snapshot: &Snapshot) -> Caller {
        let mut principal = self.principal.clone();
        principal.application_name = self.application_name.clone();
        principal.actor = self.actor().cloned();
        Caller::new(principal, snapshot).granted(self.standing.grant(), snapshot)
    }

    /// A reading that was asked for is there, or has failed. Only the last one is sure to have seen all changes of this
    /// session.
    pub(super) fn refreshed(&mut self, read: bool, shown: CatalogChanges) {
        match shown {
            CatalogChanges::All => {
                self.refreshes = self.refreshes.saturating_sub(1);
                if self.refreshes == 0 {
                    self.stale = false;
                    self.own.read();
                }
            }
            CatalogChanges::Lasting => self.looks = self.looks.saturating_sub(1),
        }
        if self.refreshes > 0 || self.looks > 0 {
            return;
        }
        if self.waiting == Some(Waiting::Refresh) {
            self.waiting = None;
            self.waived = Some(read);
            self.requests.looked_behind(read);
        }
        if std::mem::take(&mut self.verifying) {
            self.checked = Some(read);
            self.answers.looked_behind(read);
        }
    }

    pub(super) fn observe(out: &mut Outbox, observation: Observation) {
        out.push(Output::Observe(observation));
    }

    /// A statement was refused, and the client is told so.
    pub(super) fn record_refusal(&mut self, refusal: &Refusal, out: &mut Outbox) {
        let Refusal { reason, code, column, rule, .. } = refusal;
        let (column, rule) = (column.clone(), rule.clone());
        let refused = Refused { visit: self.visit(), reason: reason.name(), code, column, rule };
        out.push(Output::Note(Record::Refused(refused)));
    }

    /// End the session with a FATAL error.
    pub(super) fn fail(&mut self, out: &mut Outbox, code: &str, message: &str, reason: CloseReason) {
        self.fail_with_hint(out, code, message, None, reason);
    }

    /// End the session with a FATAL error.
    pub(super) fn fail_with_hint(
        &mut self,
        out: &mut Outbox,
        code: &str,
        message: &str,
        hint: Option<&str>,
        reason: CloseReason,
    ) {
        self.close_portals(out);
        // Amid a frame that goes on in pieces nothing can be said.
        if self.upstream_left == 0 {
            out.client(compose::fatal(code, message, hint));
        }
        self.close(out, reason);
    }

    /// End the session.
    pub(super) fn close(&mut self, out: &mut Outbox, reason: CloseReason) {
        if !self.over {
            self.over = true;
            let (visit, executions) = (self.visit(), self.executions);
            out.push(Output::Note(Record::Logout(Logout { visit, reason: reason.name(), executions })));
            out.push(Output::Close(reason));
        }
    }

    /// Settle executions that will not come to their end.
    pub(super) fn close_portals(&mut self, out: &mut Outbox) {
        let came = self.standing.ends(RevealEnd::SessionOver);
        self.log_standing(came, out);
        let mut open: Vec<_> = self.registry.end().into_iter().map(|portal| portal.delivery).collect();
        open.extend(self.rows.take());
        Self::abandon(open, out);
    }

    /// Closing records for executions that ended early. Held rows were never released: they are dropped, without events.
    pub(super) fn abandon(deliveries: Vec<Delivery>, out: &mut Outbox) {
        for delivery in deliveries {
            match delivery {
                Delivery::Open(_) => {
                    // An open delivery holds nothing back: settling it writes its closing record only.
                    let _ = delivery.finish(false, out);
                }
                Delivery::Undescribed
                | Delivery::Untouched
                | Delivery::Masked(..)
                | Delivery::Told(_)
                | Delivery::Sealed(_)
                | Delivery::Spoiled(_) => {}
            }
        }
    }

    /// The shell ends the session.
    pub(super) fn end(&mut self, reason: CloseReason, out: &mut Outbox) {
        self.close_portals(out);
        match reason {
            CloseReason::Shutdown => {
                out.client(compose::fatal("57P01", "terminating connection due to administrator command", None));
                out.upstream(compose::raw(b'X', b""));
            }
            CloseReason::ClientLeft => out.upstream(compose::raw(b'X', b"")),
            CloseReason::UpstreamLeft
            | CloseReason::ClientFault
            | CloseReason::UpstreamFault
            | CloseReason::CancelRequest
            | CloseReason::Refused
            | CloseReason::UpstreamUnreachable
            | CloseReason::LoginFailed
            | CloseReason::AccessLogFailed
            | CloseReason::Guard
            | CloseReason::Timeout => {}
        }
        self.close(out, reason);
    }

    /// Whether the server may still have something to say to what the client has sent.
    pub(super) fn owes_answers(&self) -> bool {
        !self.replies.is_empty() || self.foreign_message
    }

    /// Whether a request of the client's waits here, and none that came before it is at the server.
    pub(super) fn holds_request(&self) -> bool {
        match self.waiting {
            Some(Waiting::Analysis(_) | Waiting::Refresh) => self.replies.is_empty(),
            Some(Waiting::CopyIn | Waiting::Answers | Waiting::Settings | Waiting::Repeat) | None => false,
        }
    }

    /// Whether a drain may end the session now.
    pub(super) fn is_idle(&self) -> bool {
        self.replies.is_empty()
            && self.status == TransactionStatus::Idle
            && self.client_left == 0
            && self.client_dropped == 0
            && self.copy_in.left == 0
            && self.upstream_left == 0
            && self.waiting.is_none()
            && !self.skipping
    }
}

/// Take the first `count` bytes off the input.
pub(super) fn split(input: &mut BytesMut, count: usize) -> Bytes {
    if count == 0 {
        // an empty piece would share the input's memory all the same
        return Bytes::new();
    }
    input.split_to(count.min(input.len())).freeze()
}
