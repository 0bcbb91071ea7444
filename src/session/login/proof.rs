//! How who logs in is proved to the server: by what the client says, by what it has proved here, or not at all.

use bytes::Bytes;

use crate::access_log::LoginMethod;
use crate::login::EndPoint;
use crate::login::scram::{CheckError, ClientCheck, LoginError, Nonce, Proven, SCRAM_PLUS, ServerLogin};
use crate::wire::backend::Authentication;
use crate::wire::{Malformed, Reader, compose};

/// What the server is shown.
pub(super) enum Proof {
    /// What the client says.
    Relayed(Relay),
    /// Nothing: the client's certificate has said who it is, and the server has to know pgveil.
    Certificate,
    /// The keys that the client's own proof has yielded.
    Keys(Option<Proven>),
    /// An exchange with them; behind it, the last word of the exchange with the client.
    Exchange(ServerLogin, String),
}

/// How far a relayed login is.
#[derive(Clone, Copy, Default)]
pub(super) struct Relay {
    /// The server may take pgveil's own certificate for the client's: then it has to ask the client for something.
    must_ask: bool,
    /// The server has asked the client for something.
    asked: bool,
    /// The server offered a mechanism that can not be relayed.
    plus_stripped: bool,
}

impl Relay {
    pub(super) fn new(must_ask: bool) -> Self {
        Self { must_ask, ..Self::default() }
    }
}

/// What becomes of an authentication request of the server.
pub(super) enum Asked {
    /// The client is told this.
    Client(Bytes),
    /// The login is done; the client is told this first.
    Done(Option<Bytes>),
    /// The server is answered.
    Server(Bytes),
    /// It went on well, and nothing is to be said.
    Nothing,
    /// The login can not be done like this: SQLSTATE, message, hint.
    Impossible(&'static str, String, &'static str),
}

impl Proof {
    /// What records call it.
    pub(super) fn method(&self) -> LoginMethod {
        match self {
            Self::Relayed(_) => LoginMethod::Relayed,
            Self::Certificate => LoginMethod::Certificate,
            Self::Keys(_) | Self::Exchange(..) => LoginMethod::Password,
        }
    }

    /// Whether the client is to say something while the server asks.
    pub(super) fn is_relayed(&self) -> bool {
        matches!(self, Self::Relayed(_))
    }

    /// Whether a mechanism that can not be relayed was taken out of the server's offer.
    pub(super) fn is_stripped(&self) -> bool {
        matches!(self, Self::Relayed(Relay { plus_stripped: true, .. }))
    }

    /// An authentication request of the server. `end_point`: what the connection to it ends at.
    ///
    /// # Errors
    /// It has no place here.
    pub(super) fn asked(
        &mut self,
        request: &Authentication<'_>,
        frame: Bytes,
        end_point: Option<&EndPoint>,
        nonce: &Nonce,
    ) -> Result<Asked, Malformed> {
        const CERTIFICATE: &str = "Let the server's pg_hba.conf accept pgveil for this user without a password: its certificate, with a map, or its address.";
        const UNASKED: &str = "Write scram-sha-256 or cert for this user in pgveil's rules, or let the server's pg_hba.conf ask for a password.";
        const KEYS: &str =
            "Let the server's pg_hba.conf ask this user for scram-sha-256, or write relay in pgveil's rules.";
        Ok(match (&mut *self, request) {
            (Self::Relayed(Relay { must_ask: true, asked: false, .. }), Authentication::Ok) => {
                let message = "pgveil: the server asks for no password, but may have believed pgveil's own certificate"
                    .to_owned();
                Asked::Impossible("28000", message, UNASKED)
            }
            (Self::Relayed(_) | Self::Certificate, Authentication::Ok) => Asked::Done(None),
            (Self::Relayed(relay), Authentication::Sasl(mechanisms)) if mechanisms.contains(&SCRAM_PLUS.as_bytes()) => {
                (relay.asked, relay.plus_stripped) = (true, true);
                let rest = mechanisms.iter().copied().filter(|name| *name != SCRAM_PLUS.as_bytes());
                Asked::Client(compose::sasl_offer(rest))
            }
            (Self::Relayed(relay), _) => {
                relay.asked = true;
                Asked::Client(frame)
            }
            (Self::Certificate, _) => {
                let message = "pgveil: the server asks for a password where a certificate says who logs in".to_owned();
                Asked::Impossible("28000", message, CERTIFICATE)
            }
            (Self::Keys(proven), Authentication::Ok) => {
                // the server trusts pgveil: it does not ask what was proved here
                Asked::Done(proven.take().map(|proven| compose::sasl_final(&proven.server_final)))
            }
            (Self::Keys(proven), Authentication::Sasl(offered)) => {
                let proven = proven.take().ok_or(Malformed("Authentication"))?;
                let server_final = proven.server_final.clone();
                match ServerLogin::new(proven, offered, end_point, nonce) {
                    Ok((login, mechanism)) => {
                        let first = compose::sasl_initial_response(mechanism, &login.first());
                        *self = Self::Exchange(login, server_final);
                        Asked::Server(first)
                    }
                    Err(error) => impossible(error, KEYS),
                }
            }
            (Self::Keys(_), _) => {
                let message = "pgveil: the server asks for the password in another way than SCRAM-SHA-256".to_owned();
                Asked::Impossible("28000", message, KEYS)
            }
            (Self::Exchange(login, _), Authentication::SaslContinue(data)) => match login.challenged(data) {
                Ok(answer) => Asked::Server(compose::sasl_response(&answer)),
                Err(error) => impossible(error, KEYS),
            },
            (Self::Exchange(login, _), Authentication::SaslFinal(data)) => match login.accepted(data) {
                Ok(()) => Asked::Nothing,
                Err(error) => impossible(error, "Somebody else may be answering in the server's place."),
            },
            (Self::Exchange(login, server_final), Authentication::Ok) if login.has_accepted() => {
                Asked::Done(Some(compose::sasl_final(server_final)))
            }
            (Self::Exchange(..), _) => return Err(Malformed("Authentication")),
        })
    }
}

fn impossible(error: LoginError, hint: &'static str) -> Asked {
    Asked::Impossible("28000", format!("pgveil: {error}"), hint)
}

/// The exchange with a client that is checked here.
pub(super) struct Check {
    exchange: ClientCheck,
    nonce: Nonce,
    asked: bool,
}

/// What a checked client's message comes to.
pub(super) enum Checked {
    /// It is answered.
    Answer(Bytes),
    /// It has proved itself.
    Proven(Proven),
}

impl Check {
    /// An exchange, and what the client is offered.
    pub(super) fn new(exchange: ClientCheck, nonce: Nonce) -> (Self, Bytes) {
        let offer = compose::sasl_offer(exchange.mechanisms().iter().map(|name| name.as_bytes()));
        (Self { exchange, nonce, asked: false }, offer)
    }

    /// A message of the client.
    pub(super) fn response(&mut self, body: &[u8]) -> Result<Checked, CheckError> {
        if std::mem::replace(&mut self.asked, true) {
            return self.exchange.last(body).map(Checked::Proven);
        }
        let (mechanism, message) = initial_response(body).map_err(|_| CheckError::Malformed)?;
        let challenge = self.exchange.first(mechanism, message, &self.nonce)?;
        Ok(Checked::Answer(compose::sasl_continue(&challenge)))
    }
}

/// SASLInitialResponse: the mechanism and its first message, which no mechanism of PostgreSQL goes without.
fn initial_response(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body, "SASLInitialResponse");
    let mechanism = reader.string()?;
    let message = reader.value()?.ok_or(Malformed("SASLInitialResponse"))?;
    reader.end()?;
    Ok((mechanism, message))
}

/// Whether a SASLInitialResponse says "I could bind channels, but you can not" (gs2 flag `y`, RFC 5802 section 6). The
/// server, which can, takes that for an attack.
pub(super) fn claims_no_plus(body: &[u8]) -> bool {
    let Some(name_end) = body.iter().position(|byte| *byte == 0) else { return false };
    body.get(name_end.saturating_add(5)..).is_some_and(|data| data.starts_with(b"y,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gs2_flag_is_read_from_its_place() {
        let response = |data: &[u8]| [b"SCRAM-SHA-256\0\0\0\0\x09", data].concat();
        assert!(claims_no_plus(&response(b"y,,n=,r=x")));
        assert!(!claims_no_plus(&response(b"n,,n=,r=x")));
        assert!(!claims_no_plus(b"md5secret\0"));
    }
}
