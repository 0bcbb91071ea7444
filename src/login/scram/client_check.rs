//! The server's role: is this client who it says it is?

use base64::Engine as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    BASE64, BOUND, EndPoint, Key, Nonce, SCRAM, SCRAM_PLUS, Verifier, attribute, binding, hash, hmac, is_nonce, text,
    xor,
};

/// An exchange with a client, between its messages.
pub struct ClientCheck {
    verifier: Verifier,
    /// What the client's TLS connection ends at, if that can be bound.
    end_point: Option<EndPoint>,
    step: Step,
}

enum Step {
    First,
    Final { header: String, nonce: String, messages: String },
    Over,
}

/// Why an exchange ends. Texts and codes are PostgreSQL's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It is not SCRAM.
    #[error("malformed SCRAM message")]
    Malformed,
    /// A mechanism that was not offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// The client could bind channels, and believes that the server could not: somebody in between took the offer away.
    #[error(
        "SCRAM channel binding negotiation error: the client supports SCRAM channel binding but thinks the server does not"
    )]
    Downgrade,
    /// The client is bound to another TLS connection.
    #[error("SCRAM channel binding check failed")]
    Binding,
    /// The proof is wrong.
    #[error("password authentication failed")]
    Password,
}

/// A client that has proved itself.
pub struct Proven {
    /// The last message to the client, `v=...`: to be sent once the server has let it in, too.
    pub server_final: String,
    pub(super) client_key: Key,
    pub(super) server_key: Key,
}

impl ClientCheck {
    /// An exchange with a client that claims to be whose verifier this is.
    pub fn new(verifier: Verifier, end_point: Option<EndPoint>) -> Self {
        Self { verifier, end_point, step: Step::First }
    }

    /// The mechanisms to offer, the preferred one first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        if self.end_point.is_some() { &[SCRAM_PLUS, SCRAM] } else { &[SCRAM] }
    }

    /// The client's first message; what to answer.
    ///
    /// # Errors
    /// It is malformed, or its channel binding is not what was offered.
    pub fn first(&mut self, mechanism: &[u8], message: &[u8], nonce: &Nonce) -> Result<String, CheckError> {
        self.challenge(mechanism, message, &BASE64.encode(nonce))
    }

    pub(super) fn challenge(&mut self, mechanism: &[u8], message: &[u8], nonce: &str) -> Result<String, CheckError> {
        let Step::First = std::mem::replace(&mut self.step, Step::Over) else { return Err(CheckError::Malformed) };
        let message = text(message).ok_or(CheckError::Malformed)?;
        let plus = mechanism == SCRAM_PLUS.as_bytes();
        if !plus && mechanism != SCRAM.as_bytes() || plus && self.end_point.is_none() {
            return Err(CheckError::Mechanism);
        }
        let header = ["n,,", "y,,", BOUND].into_iter().find(|header| message.starts_with(header));
        let header = header.ok_or(CheckError::Malformed)?;
        match (header, plus) {
            (BOUND, true) | ("n,,", false) => {}
            ("y,,", false) if self.end_point.is_none() => {}
            ("y,,", false) => return Err(CheckError::Downgrade),
            _ => return Err(CheckError::Malformed),
        }
        let bare = message.get(header.len()..).ok_or(CheckError::Malformed)?;
        // the name in it counts for nothing: the startup message's does
        let (_name, rest) = attribute(bare, 'n').ok_or(CheckError::Malformed)?;
        let (client_nonce, _extensions) = attribute(rest, 'r').ok_or(CheckError::Malformed)?;
        if !is_nonce(client_nonce) {
            return Err(CheckError::Malformed);
        }
        let nonce = format!("{client_nonce}{nonce}");
        let answer = format!("r={nonce},s={},i={}", self.verifier.salt, self.verifier.iterations);
        self.step = Step::Final { header: header.to_owned(), nonce, messages: format!("{bare},{answer}") };
        Ok(answer)
    }

    /// The client's last message.
    ///
    /// # Errors
    /// It is malformed, bound to another connection, or its proof is wrong.
    pub fn last(&mut self, message: &[u8]) -> Result<Proven, CheckError> {
        let Step::Final { header, nonce, messages } = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(CheckError::Malformed);
        };
        let message = text(message).ok_or(CheckError::Malformed)?;
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(CheckError::Malformed)?;
        let (bound, rest) = attribute(unproven, 'c').ok_or(CheckError::Malformed)?;
        let (their_nonce, _extensions) = attribute(rest, 'r').ok_or(CheckError::Malformed)?;
        let proof = Zeroizing::new(BASE64.decode(proof).map_err(|_| CheckError::Malformed)?);
        if proof.len() != 32 || their_nonce != nonce {
            return Err(CheckError::Malformed);
        }
        let end_point = self.end_point.as_ref().filter(|_| header == BOUND);
        if bound != binding(&header, end_point) {
            return Err(CheckError::Binding);
        }
        let messages = format!("{messages},{unproven}");
        let signature = hmac(&self.verifier.stored_key, messages.as_bytes());
        let client_key = xor(signature, &proof);
        let right = hash(&client_key).ct_eq(self.verifier.stored_key.as_slice());
        if !bool::from(right) || self.verifier.doomed {
            return Err(CheckError::Password);
        }
        let server_final = format!("v={}", BASE64.encode(hmac(&self.verifier.server_key, messages.as_bytes())));
        Ok(Proven { server_final, client_key, server_key: self.verifier.server_key.clone() })
    }
}
