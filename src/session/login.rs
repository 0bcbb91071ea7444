//! From the first byte to the first ReadyForQuery: TLS, startup, and the login, which is relayed, or checked here by the
//! rules of [`crate::login`].

mod arriving;
mod asked;
mod proof;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::io::{
    CancelKey, ClientTls, CloseReason, Context, LoginFailure, Nonces, Observation, Opening, Output, TlsStart,
};
use super::outbox::Outbox;
use crate::access_log::{self, ActorChange, ActorStep, LoginFailed, Record, Visit};
use crate::catalog::{CatalogVersion, NAME_BYTES_MAX, Name};
use crate::login::EndPoint;
use crate::login::scram::{CheckError, ClientCheck, Verifier};
use crate::plan::guard::Watched;
use crate::plan::{Caller, Refusal, Snapshot};
use crate::policy::{Actor, ActorError, Principal};
use crate::wire::backend::{self, Authentication, Report};
use crate::wire::compose;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::startup::{Startup, StartupFault, StartupPacket, Unknown, VERSION_MAX, packet_length};
use arriving::{Admitted, Arriving};
use asked::{database, own_settings, settings};
use proof::{Asked, Check, Checked, Proof, Relay, claims_no_plus};

/// The longest frame of a login, in bytes: SASL and GSSAPI tokens, and parameter values.
const LOGIN_FRAME_BYTES_MAX: usize = 65_536;

/// The first byte of a TLS connection: a record that carries a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A name as long as PostgreSQL's are.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()
}

/// A session that is not logged in.
pub(super) struct Login {
    opening: Opening,
    step: Step,
    /// The TLS connection with the client.
    client_tls: Option<ClientTls>,
    /// What the TLS connection to the server ends at.
    upstream_end_point: Option<EndPoint>,
    encryption_asked: u8,
    startup: Option<(Startup, Bytes)>,
    /// The end user that it asserts: a name or a token.
    asserted: Option<Zeroizing<String>>,
    /// What the client is still to be told that the protocol will be without.
    unknown: Option<Unknown>,
    proof: Proof,
    nonces: Nonces,
    key: Option<CancelKey>,
    parameters: Vec<(Bytes, Bytes)>,
    /// The type of the request that the client has sent without waiting for the end of the login: it is kept for then.
    early: Option<u8>,
    /// Whether the server waits for the client's answer.
    owed: bool,
}

/// What is waited for.
enum Step {
    /// A startup packet.
    Startup,
    /// The TLS handshake with the client.
    ClientTls,
    /// What the server has stored of the password.
    Verifier,
    /// The client's word on its password.
    Check(Box<Check>),
    /// The connection to the server.
    Upstream,
    /// The server's word on the login.
    Authentication,
    /// The server's first ReadyForQuery.
    Ready,
    /// Nothing: the session is over.
    Over,
}

/// What a login comes to.
pub(super) struct LoggedIn {
    /// Who it is.
    pub principal: Principal,
    /// The database.
    pub database: Name,
    /// The settings that the client asked for: those that startup parameters name, and those in `options`.
    pub settings: String,
    /// The parameters that the server reported.
    pub parameters: Vec<(Bytes, Bytes)>,
    /// The client's address and session number.
    pub opening: Opening,
    /// The end user that was asserted with it.
    pub actor: Option<Arc<Actor>>,
}

impl Login {
    pub(super) fn new(opening: Opening) -> Self {
        Self {
            opening,
            step: Step::Startup,
            client_tls: None,
            upstream_end_point: None,
            encryption_asked: 0,
            startup: None,
            asserted: None,
            unknown: None,
            proof: Proof::Relayed(Relay::default()),
            nonces: Nonces::default(),
            key: None,
            parameters: Vec::new(),
            early: None,
            owed: false,
        }
    }

    /// Whether client bytes should be read now.
    pub(super) fn wants_client(&self) -> bool {
        self.early.is_none()
    }

    /// End the session with a FATAL error.
    fn fail(&mut self, out: &mut Outbox, code: &str, message: &str, hint: Option<&str>, reason: CloseReason) {
        out.client(compose::fatal(code, message, hint));
        self.over(out, reason);
    }

    /// End the session with a FATAL error, because the login failed.
    fn fail_login(
        &mut self,
        out: &mut Outbox,
        failure: LoginFailure,
        (code, message, hint): (&str, &str, Option<&str>),
    ) {
        self.failed(failure, out);
        self.fail(out, code, message, hint, CloseReason::LoginFailed);
    }

    /// A login failed: to be counted and logged.
    fn failed(&self, failure: LoginFailure, out: &mut Outbox) {
        out.push(Output::LoginFailed(self.user(), failure));
        self.record_failure(failure.name(), out);
    }

    /// A login failed: to be written down, and why.
    fn record_failure(&self, reason: &'static str, out: &mut Outbox) {
        let failed = LoginFailed { visit: Arc::new(self.visit()), reason, tls: self.client_tls.is_some() };
        out.push(Output::Note(Record::LoginFailed(failed)));
    }

    /// Who the client says it is.
    fn visit(&self) -> Visit {
        let startup = self.startup.as_ref().map(|(startup, _)| startup);
        let principal = startup.map(|startup| self.arriving(startup).principal());
        let application_name = principal.as_ref().and_then(|principal| principal.application_name.as_deref());
        // As long as the server would know it by: who is not let in could write what it likes.
        let short = |name: Name| Name::exact(cut(name.as_str()));
        Visit {
            session: self.opening.id,
            user: short(self.user()),
            actor: None,
            database: short(startup.map_or_else(|| Name::exact(""), database)),
            client: self.opening.client,
            application_name: application_name.map(|name| cut(name).into()),
        }
    }

    /// The guard ends the session.
    pub(super) fn stopped(&mut self, why: &Refusal, out: &mut Outbox) {
        self.fail(out, why.code, &why.message, Some(&why.hint), CloseReason::Guard);
    }

    /// Whom the guard counts for; `None`: the client has not said yet who it is.
    pub(super) fn watched(&self, snapshot: &Snapshot) -> Option<Arc<Watched>> {
        let (startup, _) = self.startup.as_ref()?;
        let principal = self.arriving(startup).principal();
        let (user, address) = (principal.user.clone(), principal.address);
        let roles = Caller::new(principal, snapshot).roles;
        Some(Arc::new(Watched::new(&user, None, address, snapshot.policy.limits_of(&user, &roles))))
    }

    /// Who the client says it is; empty before it has said so.
    fn user(&self) -> Name {
        let startup = self.startup.as_ref();
        startup.map_or_else(|| Name::exact(""), |(startup, _)| self.arriving(startup).principal().user)
    }

    fn arriving<'a>(&'a self, startup: &'a Startup) -> Arriving<'a> {
        Arriving { opening: &self.opening, tls: self.client_tls.as_ref(), startup }
    }

    fn over(&mut self, out: &mut Outbox, reason: CloseReason) {
        self.step = Step::Over;
        out.push(Output::Close(reason));
    }

    pub(super) fn client(&mut self, input: &mut BytesMut, context: &Context<'_>, out: &mut Outbox) {
        loop {
            match self.step {
                Step::Startup if self.begins_with_tls(input) => {
                    self.step = Step::ClientTls;
                    out.push(Output::AcceptTls(TlsStart::Direct));
                }
                Step::Startup => match packet_length(input) {
                    Ok(None) => return,
                    Ok(Some(length)) => {
                        let packet = input.split_to(length).freeze();
                        self.packet(packet, input.is_empty(), context, out);
                    }
                    // Not PostgreSQL's protocol at all: PostgreSQL hangs up without a word, too.
                    Err(_) => self.over(out, CloseReason::ClientFault),
                },
                Step::ClientTls | Step::Verifier | Step::Upstream => return,
                Step::Check(_) | Step::Authentication | Step::Ready => match Header::read(input) {
                    Ok(None) => return,
                    Ok(Some(header)) if self.is_early(header.tag) => {
                        self.early = Some(header.tag);
                        return;
                    }
                    Ok(Some(header)) if header.body <= LOGIN_FRAME_BYTES_MAX => {
                        if input.len() < header.frame() {
                            return;
                        }
                        let frame = input.split_to(header.frame()).freeze();
                        self.response(header, frame, out);
                    }
                    Ok(Some(_)) | Err(_) => self.fault(out),
                },
                Step::Over => {
                    input.clear();
                    return;
                }
            }
        }
    }

    /// Whether these, the first bytes of all, are those of a TLS handshake: no startup packet is as long as that byte
    /// would make it.
    fn begins_with_tls(&self, input: &[u8]) -> bool {
        self.opening.tls_offered
            && self.client_tls.is_none()
            && self.encryption_asked == 0
            && input.first() == Some(&TLS_HANDSHAKE)
    }

    /// Whether a message of that type is a request for when the login is done: the server may ask for nothing.
    fn is_early(&self, tag: u8) -> bool {
        matches!(self.step, Step::Authentication | Step::Ready) && !self.owed && !matches!(tag, b'p' | b'X')
    }

    fn fault(&mut self, out: &mut Outbox) {
        self.fail(out, "08P01", "invalid message during startup", None, CloseReason::ClientFault);
    }

    /// A startup packet. `alone`: no byte came after it.
    fn packet(&mut self, packet: Bytes, alone: bool, context: &Context<'_>, out: &mut Outbox) {
        match StartupPacket::decode(&packet) {
            Ok(StartupPacket::SslRequest | StartupPacket::GssEncRequest) if self.encryption_asked >= 2 => {
                self.over(out, CloseReason::ClientFault);
            }
            Ok(StartupPacket::SslRequest) if self.opening.tls_offered && self.client_tls.is_none() => {
                // Bytes that came before the handshake were sent in clear and must not be read as if they had been
                // protected by it (the class of CVE-2021-23214).
                if !alone {
                    self.fail(
                        out,
                        "08P01",
                        "received unencrypted data after SSL request",
                        Some("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."),
                        CloseReason::ClientFault,
                    );
                    return;
                }
                self.encryption_asked += 1;
                self.step = Step::ClientTls;
                out.client(Bytes::from_static(b"S"));
                out.push(Output::AcceptTls(TlsStart::Asked));
            }
            Ok(StartupPacket::SslRequest | StartupPacket::GssEncRequest) => {
                self.encryption_asked += 1;
                out.client(Bytes::from_static(b"N"));
            }
            Ok(StartupPacket::CancelRequest(key)) => {
                self.step = Step::Over;
                out.push(Output::Cancel(key));
                out.push(Output::Close(CloseReason::CancelRequest));
            }
            Ok(StartupPacket::Startup(startup)) => self.start(startup, packet, context, out),
            Err(StartupFault::CancelRequest) => self.over(out, CloseReason::ClientFault),
            Err(fault) => {
                let message = fault.to_string();
                self.fail(out, "08P01", &message, None, CloseReason::ClientFault);
            }
        }
    }

    fn start(&mut self, startup: Startup, packet: Bytes, context: &Context<'_>, out: &mut Outbox) {
        let (own, without) = own_settings(&startup);
        let (startup, packet) = match without {
            Some(without) => {
                let packet = without.packet();
                (without, packet)
            }
            None => (startup, packet),
        };
        for (name, value) in own {
            if name != "actor" {
                let message = format!("pgveil: \"pgveil.{name}\" can not be set before the session has begun");
                let hint = Some("SET it when you are connected.");
                self.fail(out, "42501", &message, hint, CloseReason::Refused);
                return;
            }
            self.asserted = Some(Zeroizing::new(value)).filter(|value| !value.is_empty());
        }
        if self.opening.tls_required && self.client_tls.is_none() {
            let hint = Some("Connect with sslmode=require or stronger.");
            self.startup = Some((startup, packet));
            self.record_failure("tls_required", out);
            self.fail(out, "28000", "pgveil: connections without TLS are not accepted", hint, CloseReason::Refused);
            return;
        }
        if context.snapshot.catalog.version() == CatalogVersion::UNREAD {
            let message = "pgveil: the server could not be reached since pgveil was started";
            self.fail(out, "57P03", message, Some("Try again later."), CloseReason::UpstreamUnreachable);
            return;
        }
        let arriving = self.arriving(&startup);
        let user = arriving.principal().user;
        if let Some(refusal) = context.guard.locked_out(&user, None, self.opening.client.ip()) {
            out.push(Output::Observe(Observation::Refusal(refusal.reason)));
            self.stopped(&refusal, out);
            return;
        }
        if let Some(refused) = arriving.refused(context) {
            out.push(Output::Observe(Observation::Refusal(refused.reason)));
            self.startup = Some((startup, packet));
            self.record_failure(refused.reason.name(), out);
            self.fail(out, refused.code, &refused.message, Some(&refused.hint), CloseReason::Refused);
            return;
        }
        let method = arriving.method(context).map_err(|failure| (failure, arriving.turned_away(failure)));
        self.unknown = startup.unknown();
        let packet = self.unknown.as_ref().map_or(packet, |unknown| unknown.packet.clone());
        self.startup = Some((startup, packet));
        match method {
            Ok(Admitted::Relayed) => self.connect(Proof::Relayed(Relay::new(self.opening.shows_certificate)), out),
            Ok(Admitted::Certified) => self.connect(Proof::Certificate, out),
            Ok(Admitted::Checked(user)) => {
                self.step = Step::Verifier;
                out.push(Output::FetchVerifier(user));
            }
            Err((failure, message)) => self.fail_login(out, failure, ("28000", &message, None)),
        }
    }

    fn connect(&mut self, proof: Proof, out: &mut Outbox) {
        self.proof = proof;
        self.step = Step::Upstream;
        out.push(Output::Connect);
    }

    /// What the server has stored of the password.
    pub(super) fn verifier(&mut self, verifier: Verifier, nonces: Nonces, out: &mut Outbox) {
        if !matches!(self.step, Step::Verifier) {
            return;
        }
        self.nonces = nonces;
        let end_point = self.client_tls.as_ref().and_then(|tls| tls.end_point.clone());
        let (check, offer) = Check::new(ClientCheck::new(verifier, end_point), nonces.client);
        self.step = Step::Check(Box::new(check));
        out.client(offer);
    }

    pub(super) fn verifier_failed(&mut self, out: &mut Outbox) {
        let message = "pgveil: the password can not be checked, because the server can not be asked for its verifier";
        self.failed(LoginFailure::NoVerifier, out);
        self.fail(out, "57P03", message, Some("Try again later."), CloseReason::UpstreamUnreachable);
    }

    /// A message of the client while it logs in.
    fn response(&mut self, header: Header, frame: Bytes, out: &mut Outbox) {
        match header.tag {
            b'p' => self.password(frame, out),
            b'X' => self.over(out, CloseReason::ClientLeft),
            _ => self.fault(out),
        }
    }

    /// What the client says of its password.
    fn password(&mut self, frame: Bytes, out: &mut Outbox) {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let checked = match &mut self.step {
            Step::Check(check) => check.response(body),
            Step::Authentication if self.proof.is_relayed() => {
                self.relay(frame, out);
                return;
            }
            _ => {
                self.fault(out);
                return;
            }
        };
        match checked {
            Ok(Checked::Answer(answer)) => out.client(answer),
            Ok(Checked::Proven(proven)) => self.connect(Proof::Keys(Some(proven)), out),
            Err(error) => {
                let (code, failure) = match error {
                    CheckError::Malformed | CheckError::Mechanism => ("08P01", LoginFailure::Protocol),
                    CheckError::Downgrade | CheckError::Binding => ("28000", LoginFailure::Binding),
                    CheckError::Password => ("28P01", LoginFailure::Password),
                };
                let mut message = error.to_string();
                if error == CheckError::Password {
                    message = format!("{message} for user \"{}\"", self.user());
                }
                self.fail_login(out, failure, (code, &message, None));
            }
        }
    }

    fn relay(&mut self, frame: Bytes, out: &mut Outbox) {
        self.owed = false;
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        if self.proof.is_stripped() && self.client_tls.is_some() && claims_no_plus(body) {
            let message = "pgveil: SCRAM can not be relayed between two TLS connections to a client that supports channel binding";
            let hint = "Have pgveil check the password (method scram-sha-256 in the file of setting login.hba_file), or set channel_binding=disable at the client.";
            self.fail_login(out, LoginFailure::Binding, ("28000", message, Some(hint)));
            return;
        }
        out.upstream(frame);
    }

    pub(super) fn client_tls(&mut self, tls: ClientTls) {
        self.client_tls = Some(tls);
        self.step = Step::Startup;
    }

    pub(super) fn connected(&mut self, end_point: Option<EndPoint>, out: &mut Outbox) {
        self.upstream_end_point = end_point;
        if let Some((_, packet)) = &self.startup {
            out.upstream(packet.clone());
            self.step = Step::Authentication;
        }
    }

    pub(super) fn connect_failed(&mut self, reason: &str, out: &mut Outbox) {
        let message = format!("pgveil: the server can not be reached: {reason}");
        self.fail(out, "08001", &message, Some("Try again later."), CloseReason::UpstreamUnreachable);
    }

    /// Take the server's frames of the login. Something: the login is done, and the rest of `input` is the session's.
    pub(super) fn upstream(
        &mut self,
        input: &mut BytesMut,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<LoggedIn> {
        loop {
            if matches!(self.step, Step::Over) {
                input.clear();
                return None;
            }
            let header = match Header::read(input) {
                Ok(None) => return None,
                Ok(Some(header)) if header.body <= LOGIN_FRAME_BYTES_MAX => header,
                Ok(Some(_)) | Err(_) => {
                    self.upstream_fault(out);
                    return None;
                }
            };
            if input.len() < header.frame() {
                return None;
            }
            let frame = input.split_to(header.frame()).freeze();
            let mut actor = None;
            if header.tag == b'Z' {
                match self.actor(context) {
                    Ok(asserted) => actor = asserted,
                    Err(error) => {
                        self.not_believed(error, out);
                        return None;
                    }
                }
            }
            if self.reply(header, frame, out).is_none() {
                self.upstream_fault(out);
                return None;
            }
            if header.tag == b'Z' {
                let login = access_log::Login {
                    visit: Arc::new(self.visit()),
                    method: self.proof.method(),
                    tls: self.client_tls.is_some(),
                    certificate: self.client_tls.as_ref().and_then(|tls| tls.common_name.clone()),
                };
                let (startup, _) = self.startup.take()?;
                out.push(Output::LoggedIn(self.key.take()));
                out.push(Output::Note(Record::Login(login)));
                return Some(LoggedIn {
                    principal: self.arriving(&startup).principal(),
                    database: database(&startup),
                    settings: settings(&startup),
                    parameters: std::mem::take(&mut self.parameters),
                    opening: self.opening.clone(),
                    actor,
                });
            }
        }
    }

    /// The end user that the startup asserts.
    fn actor(&self, context: &Context<'_>) -> Result<Option<Arc<Actor>>, ActorError> {
        let (Some(given), Some((startup, _))) = (&self.asserted, &self.startup) else { return Ok(None) };
        let snapshot = context.snapshot;
        let account =
            snapshot.policy.account(&self.arriving(startup).principal().user).ok_or(ActorError::NotTrusted)?;
        if !account.by_setting {
            return Err(ActorError::Way);
        }
        let actor = account.assert(given, &snapshot.actor_keys, context.authority.now().unix)?;
        Ok(Some(Arc::new(actor)))
    }

    fn not_believed(&mut self, error: ActorError, out: &mut Outbox) {
        if let Some((startup, _)) = &self.startup {
            let visit = Visit {
                session: self.opening.id,
                user: self.arriving(startup).principal().user,
                actor: None,
                database: database(startup),
                client: self.opening.client,
                application_name: self.arriving(startup).principal().application_name,
            };
            let change = ActorChange::Refused(error.to_string().into());
            out.push(Output::Note(Record::ActorStep(ActorStep { visit: Arc::new(visit), change })));
        }
        let refusal = Refusal::actor(&error);
        out.push(Output::Observe(Observation::Refusal(refusal.reason)));
        self.fail(out, refusal.code, &refusal.message, Some(&refusal.hint), CloseReason::Refused);
    }

    fn upstream_fault(&mut self, out: &mut Outbox) {
        self.fail(
            out,
            "08P01",
            "pgveil: the server's answer is not PostgreSQL's protocol",
            None,
            CloseReason::UpstreamFault,
        );
    }

    /// A message of the server while the client logs in; `None`: it has no place there.
    fn reply(&mut self, header: Header, frame: Bytes, out: &mut Outbox) -> Option<()> {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        if let Some(unknown) = self.unknown.take() {
            // The server would say so before all else, and so does pgveil.
            let (version, mut lacks) = match header.tag {
                b'v' => backend::negotiate_protocol_version(body).ok()?,
                _ => (unknown.version, Vec::new()),
            };
            lacks.extend(unknown.options.iter().map(Bytes::as_ref));
            out.client(compose::negotiate_protocol_version(version.min(unknown.version), &lacks));
            if header.tag == b'v' {
                return Some(());
            }
        }
        match (header.tag, &self.step) {
            (b'R', Step::Authentication) => {
                let request = Authentication::decode(body).ok()?;
                let end_point = self.upstream_end_point.as_ref();
                match self.proof.asked(&request, frame.clone(), end_point, &self.nonces.upstream).ok()? {
                    Asked::Client(frame) => match self.early {
                        None => {
                            self.owed = !matches!(request, Authentication::SaslFinal(_));
                            out.client(frame);
                        }
                        Some(tag) => {
                            let expected = if matches!(request, Authentication::Sasl(_)) { "SASL" } else { "password" };
                            let message = format!("expected {expected} response, got message type {tag}");
                            self.fail(out, "08P01", &message, None, CloseReason::ClientFault);
                        }
                    },
                    Asked::Done(before) => {
                        self.step = Step::Ready;
                        before.into_iter().for_each(|before| out.client(before));
                        out.client(frame);
                    }
                    Asked::Server(answer) => out.upstream(answer),
                    Asked::Nothing => {}
                    Asked::Impossible(code, message, hint) => {
                        self.fail_login(out, LoginFailure::Server, (code, &message, Some(hint)));
                    }
                }
            }
            (b'E', _) => {
                let report = Report::decode(body).ok();
                let code = report.as_ref().and_then(|report| report.field(b'C')).unwrap_or_default();
                match self.step {
                    // Class 28: invalid authorization (PostgreSQL manual, appendix A). Whom the server asks for no password
                    // learns only behind that that there is no such user.
                    _ if code.starts_with(b"28") => self.failed(LoginFailure::Server, out),
                    // It is full, starting or ending.
                    Step::Authentication => self.failed(LoginFailure::Unready, out),
                    // The database is not there, or takes no more connections.
                    _ => self.record_failure(LoginFailure::Server.name(), out),
                }
                out.client(frame);
                self.over(out, CloseReason::LoginFailed);
            }
            (b'N', _) => out.client(frame),
            // It knows less than the client and pgveil do.
            (b'v', Step::Authentication) => {
                let (version, _options) = backend::negotiate_protocol_version(body).ok()?;
                if version > VERSION_MAX {
                    return None;
                }
                out.client(frame);
            }
            (b'S', Step::Ready) => {
                let (name, value) = backend::parameter_status(body).ok()?;
                self.parameters.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
                out.client(frame);
            }
            (b'K', Step::Ready) => {
                self.key = Some(backend::backend_key_data(body).ok()?);
                out.client(frame);
            }
            (b'Z', Step::Ready) => {
                backend::ready_for_query(body).ok()?;
                out.client(frame);
            }
            _ => return None,
        }
        Some(())
    }
}
