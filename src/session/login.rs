//! From the first byte to the first ReadyForQuery: TLS, startup, and the login, which is relayed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::io::{CancelKey, CloseReason, Context, Observation, Opening, Output, RefusalReason, TlsStart};
use super::outbox::Outbox;
use crate::catalog::Name;
use crate::plan::Caller;
use crate::policy::Principal;
use crate::wire::backend::{self, Authentication};
use crate::wire::compose;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::startup::{Startup, StartupFault, StartupPacket, Unknown, VERSION_MAX, packet_length};

/// The longest frame of a login, in bytes: SASL and GSSAPI tokens, and parameter values.
const LOGIN_FRAME_BYTES_MAX: usize = 65_536;

/// The mechanism that can not be relayed: it binds the login to one TLS connection, and there are two.
const SCRAM_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

/// The first byte of a TLS connection: a record that carries a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// A session that is not logged in.
pub(super) struct Login {
    opening: Opening,
    step: Step,
    client_tls: bool,
    upstream_tls: bool,
    certificate: Option<Arc<str>>,
    encryption_asked: u8,
    startup: Option<(Startup, Bytes)>,
    /// What the client is still to be told that the protocol will be without.
    unknown: Option<Unknown>,
    key: Option<CancelKey>,
    parameters: Vec<(Bytes, Bytes)>,
    plus_stripped: bool,
}

/// What is waited for.
enum Step {
    /// A startup packet.
    Startup,
    /// The TLS handshake with the client.
    ClientTls,
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
}

impl Login {
    pub(super) fn new(opening: Opening) -> Self {
        Self {
            opening,
            step: Step::Startup,
            client_tls: false,
            upstream_tls: false,
            certificate: None,
            encryption_asked: 0,
            startup: None,
            unknown: None,
            key: None,
            parameters: Vec::new(),
            plus_stripped: false,
        }
    }

    /// End the session with a FATAL error.
    fn fail(&mut self, out: &mut Outbox, code: &str, message: &str, hint: Option<&str>, reason: CloseReason) {
        out.client(compose::fatal(code, message, hint));
        self.over(out, reason);
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
                Step::ClientTls | Step::Upstream => return,
                Step::Authentication | Step::Ready => match Header::read(input) {
                    Ok(None) => return,
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
            && !self.client_tls
            && self.encryption_asked == 0
            && input.first() == Some(&TLS_HANDSHAKE)
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
            Ok(StartupPacket::SslRequest) if self.opening.tls_offered && !self.client_tls => {
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
        if self.opening.tls_required && !self.client_tls {
            let hint = Some("Connect with sslmode=require or stronger.");
            self.fail(out, "28000", "pgveil: connections without TLS are not accepted", hint, CloseReason::Refused);
            return;
        }
        if let Some(refused) = self.refused(&startup, context) {
            out.push(Output::Observe(Observation::Refusal(refused.reason)));
            self.fail(out, refused.code, &refused.message, Some(&refused.hint), CloseReason::Refused);
            return;
        }
        self.unknown = startup.unknown();
        let packet = self.unknown.as_ref().map_or(packet, |unknown| unknown.packet.clone());
        self.startup = Some((startup, packet));
        self.step = Step::Upstream;
        out.push(Output::Connect);
    }

    /// Why a startup may not go on.
    fn refused(&self, startup: &Startup, context: &Context<'_>) -> Option<Refused> {
        let snapshot = context.snapshot;
        let principal = self.principal(startup);
        let replication = startup.parameter("replication").is_some_and(|value| !is_false(value));
        if replication {
            let caller = Caller::new(principal, snapshot);
            if !snapshot.policy.allows_replication(&caller.roles) {
                return Some(Refused {
                    reason: RefusalReason::Protocol,
                    code: "42501",
                    message: "pgveil: replication connections are not permitted".into(),
                    hint: "Allow it for a role of the policy (replication: true), or connect to the server directly."
                        .into(),
                });
            }
        }
        let weakened = startup.parameter("options").is_some_and(|options| turns_off_strings(options))
            || startup.parameters.iter().any(|(name, value)| {
                // Names of settings fold; the first of a name as the last of it has to be harmless.
                name.eq_ignore_ascii_case(b"standard_conforming_strings") && !is_true(value)
            });
        if weakened {
            return Some(Refused {
                reason: RefusalReason::Setting,
                code: "42501",
                message: "pgveil: parameter \"standard_conforming_strings\" can not be changed to that value".into(),
                hint: "Through pgveil it may be \"on\" only.".into(),
            });
        }
        let database = database(startup);
        let protected = snapshot.catalog.database();
        if !snapshot.policy.is_empty() && protected.is_some_and(|protected| *protected != database) {
            return Some(Refused {
                reason: RefusalReason::Protocol,
                code: "42501",
                message: "pgveil: connections to this database are not permitted".into(),
                hint: format!(
                    "This pgveil protects the database \"{}\" only (setting catalog.database).",
                    protected.map(Name::as_str).unwrap_or_default()
                ),
            });
        }
        None
    }

    fn principal(&self, startup: &Startup) -> Principal {
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        Principal {
            user: Name::exact(&startup.parameter("user").map(text).unwrap_or_default()),
            member_of: std::collections::BTreeSet::new(),
            address: self.opening.client.ip(),
            certificate: self.certificate.clone(),
            application_name: startup.parameter("application_name").map(|name| text(name).into()),
        }
    }

    /// A message of the client while it logs in.
    fn response(&mut self, header: Header, frame: Bytes, out: &mut Outbox) {
        match header.tag {
            b'p' => {
                let body = frame.get(HEADER_BYTES..).unwrap_or_default();
                if self.plus_stripped && self.client_tls && claims_no_plus(body) {
                    self.fail(
                        out,
                        "28000",
                        "pgveil: SCRAM can not be relayed between two TLS connections to a client that supports channel binding",
                        Some("Set channel_binding=disable at the client, or sslmode=disable for the server in pgveil's configuration."),
                        CloseReason::LoginFailed,
                    );
                    return;
                }
                out.upstream(frame);
            }
            b'X' => self.over(out, CloseReason::ClientLeft),
            _ => self.fault(out),
        }
    }

    pub(super) fn client_tls(&mut self, certificate: Option<Arc<str>>) {
        self.client_tls = true;
        self.certificate = certificate;
        self.step = Step::Startup;
    }

    pub(super) fn connected(&mut self, tls: bool, out: &mut Outbox) {
        self.upstream_tls = tls;
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
    pub(super) fn upstream(&mut self, input: &mut BytesMut, out: &mut Outbox) -> Option<LoggedIn> {
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
            if self.reply(header, frame, out).is_none() {
                self.upstream_fault(out);
                return None;
            }
            if header.tag == b'Z' {
                let (startup, _) = self.startup.take()?;
                out.push(Output::LoggedIn(self.key.take()));
                return Some(LoggedIn {
                    principal: self.principal(&startup),
                    database: database(&startup),
                    settings: settings(&startup),
                    parameters: std::mem::take(&mut self.parameters),
                    opening: self.opening.clone(),
                });
            }
        }
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
            (b'R', Step::Authentication) => match Authentication::decode(body).ok()? {
                Authentication::Ok => {
                    self.step = Step::Ready;
                    out.client(frame);
                }
                Authentication::Sasl(mechanisms) if mechanisms.contains(&SCRAM_PLUS) => {
                    self.plus_stripped = true;
                    out.client(sasl_offer(mechanisms.into_iter().filter(|name| *name != SCRAM_PLUS)));
                }
                Authentication::Request | Authentication::Sasl(_) | Authentication::SaslFinal => out.client(frame),
            },
            (b'E', _) => {
                if matches!(self.step, Step::Authentication) {
                    out.push(Output::Observe(Observation::LoginFailed));
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

struct Refused {
    reason: RefusalReason,
    code: &'static str,
    message: String,
    hint: String,
}

/// The names of the settings that a startup asks for, and its options: `-` and `_` are the same in these, as on a command line.
fn settings(startup: &Startup) -> String {
    let mut settings = String::new();
    for (name, value) in &startup.parameters {
        settings.push_str(&String::from_utf8_lossy(name));
        settings.push(' ');
        if name.eq_ignore_ascii_case(b"options") {
            settings.push_str(&String::from_utf8_lossy(value).replace(['\\', ' '], "").replace('-', "_"));
        }
    }
    settings
}

/// The database that a startup names; by default it is the user's.
fn database(startup: &Startup) -> Name {
    let given = startup.parameter("database").filter(|name| !name.is_empty()).or_else(|| startup.parameter("user"));
    Name::exact(&given.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default())
}

/// How PostgreSQL reads a boolean (`parse_bool`), as far as it is certain.
fn is_true(value: &[u8]) -> bool {
    matches!(value.to_ascii_lowercase().as_slice(), b"on" | b"true" | b"yes" | b"1" | b"t" | b"y")
}

fn is_false(value: &[u8]) -> bool {
    matches!(value.to_ascii_lowercase().as_slice(), b"off" | b"false" | b"no" | b"0" | b"f" | b"n")
}

/// Whether startup options may turn `standard_conforming_strings` off: any mention but `=on` counts. `-` and `_` are the
/// same in option names, and backslashes may stand before any character.
fn turns_off_strings(options: &[u8]) -> bool {
    let plain: Vec<u8> = options
        .iter()
        .filter(|byte| **byte != b'\\')
        .map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() })
        .collect();
    let name = b"standard_conforming_strings";
    plain.windows(name.len()).enumerate().any(|(at, window)| {
        let after = plain.get(at.saturating_add(name.len())..).unwrap_or_default();
        window == name && !(after.starts_with(b"=on") && after.get(3).is_none_or(u8::is_ascii_whitespace))
    })
}

/// AuthenticationSASL with these mechanisms.
fn sasl_offer<'a>(mechanisms: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut body = 10_u32.to_be_bytes().to_vec();
    for name in mechanisms {
        body.extend_from_slice(name);
        body.push(0);
    }
    body.push(0);
    compose::raw(b'R', &body)
}

/// Whether a SASLInitialResponse says "I could bind channels, but you can not" (gs2 flag `y`, RFC 5802 section 6). The
/// server, which can, takes that for an attack.
fn claims_no_plus(body: &[u8]) -> bool {
    let Some(name_end) = body.iter().position(|byte| *byte == 0) else { return false };
    body.get(name_end.saturating_add(5)..).is_some_and(|data| data.starts_with(b"y,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_weaken_strings_are_seen_through() {
        for (options, expected) in [
            ("-c search_path=s3,public", false),
            ("-c standard_conforming_strings=on", false),
            ("-c standard_conforming_strings=on -c x=y", false),
            ("-c standard_conforming_strings=off", true),
            ("--standard-conforming-strings=off", true),
            ("-c STANDARD_conforming_strings=0", true),
            ("-c standard_\\conforming_strings=off", true),
            ("-c standard_conforming_strings=only", true),
        ] {
            assert_eq!(turns_off_strings(options.as_bytes()), expected, "{options}");
        }
    }

    #[test]
    fn the_gs2_flag_is_read_from_its_place() {
        let response = |data: &[u8]| [b"SCRAM-SHA-256\0\0\0\0\x09", data].concat();
        assert!(claims_no_plus(&response(b"y,,n=,r=x")));
        assert!(!claims_no_plus(&response(b"n,,n=,r=x")));
        assert!(!claims_no_plus(b"md5secret\0"));
    }
}
