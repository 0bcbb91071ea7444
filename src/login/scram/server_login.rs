//! The client's role: the server is shown what a client has proved here.

use base64::Engine as _;
use subtle::ConstantTimeEq as _;

use super::{
    BASE64, BOUND, EndPoint, Key, Nonce, Proven, SCRAM, SCRAM_PLUS, attribute, binding, hash, hmac, is_nonce, text, xor,
};

/// A login at the server, between its messages.
pub struct ServerLogin {
    client_key: Key,
    server_key: Key,
    step: Step,
}

enum Step {
    First { header: &'static str, bound: String, bare: String, nonce: String },
    Final { signature: Key },
    Accepted,
    Over,
}

/// Why a login at the server can not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server offers nothing that pgveil can do.
    #[error("the server offers no SCRAM-SHA-256")]
    Mechanism,
    /// It is not SCRAM.
    #[error("the server's SCRAM message is malformed")]
    Malformed,
    /// The server does not know the verifier: it may be another one.
    #[error("the server's signature is wrong")]
    Signature,
}

impl ServerLogin {
    /// A login with the keys of a client that has proved itself. `offered`: the server's mechanisms;
    /// `end_point`: what the connection to it ends at, if it is encrypted and can be bound. Also the mechanism.
    ///
    /// # Errors
    /// No mechanism that is known is offered.
    pub fn new(
        proven: Proven,
        offered: &[&[u8]],
        end_point: Option<&EndPoint>,
        nonce: &Nonce,
    ) -> Result<(Self, &'static str), LoginError> {
        let offers = |mechanism: &str| offered.contains(&mechanism.as_bytes());
        let (mechanism, header, bound) = match end_point {
            Some(end_point) if offers(SCRAM_PLUS) => (SCRAM_PLUS, BOUND, Some(end_point)),
            // a client that could bind and is not offered it says so, that nobody in between can take the offer away
            Some(_) if offers(SCRAM) => (SCRAM, "y,,", None),
            None if offers(SCRAM) => (SCRAM, "n,,", None),
            Some(_) | None => return Err(LoginError::Mechanism),
        };
        let nonce = BASE64.encode(nonce);
        let bare = format!("n=,r={nonce}");
        let step = Step::First { header, bound: binding(header, bound), bare, nonce };
        Ok((Self { client_key: proven.client_key, server_key: proven.server_key, step }, mechanism))
    }

    /// The first message.
    pub fn first(&self) -> String {
        match &self.step {
            Step::First { header, bare, .. } => format!("{header}{bare}"),
            Step::Final { .. } | Step::Accepted | Step::Over => String::new(),
        }
    }

    /// The server's challenge; what to answer.
    ///
    /// # Errors
    /// It is malformed.
    pub fn challenged(&mut self, message: &[u8]) -> Result<String, LoginError> {
        let Step::First { bound, bare, nonce, .. } = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(LoginError::Malformed);
        };
        let challenge = text(message).ok_or(LoginError::Malformed)?;
        let (theirs, rest) = attribute(challenge, 'r').ok_or(LoginError::Malformed)?;
        let (_salt, rest) = attribute(rest, 's').ok_or(LoginError::Malformed)?;
        let (_iterations, _extensions) = attribute(rest, 'i').ok_or(LoginError::Malformed)?;
        // salt and iterations made the key; were they changed meanwhile, the proof is wrong, as it should be
        if !is_nonce(theirs) || theirs.len() <= nonce.len() || !theirs.starts_with(&nonce) {
            return Err(LoginError::Malformed);
        }
        let unproven = format!("c={bound},r={theirs}");
        let messages = format!("{bare},{challenge},{unproven}");
        let signature = hmac(&hash(&self.client_key), messages.as_bytes());
        let proof = xor(signature, self.client_key.as_slice());
        self.step = Step::Final { signature: hmac(&self.server_key, messages.as_bytes()) };
        Ok(format!("{unproven},p={}", BASE64.encode(proof)))
    }

    /// The server's last message: it has let the client in, and shows that it knows the password's verifier.
    ///
    /// # Errors
    /// It is malformed, or the signature is wrong.
    pub fn accepted(&mut self, message: &[u8]) -> Result<(), LoginError> {
        let Step::Final { signature } = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(LoginError::Malformed);
        };
        let message = text(message).ok_or(LoginError::Malformed)?;
        let (theirs, _extensions) = attribute(message, 'v').ok_or(LoginError::Malformed)?;
        let theirs = BASE64.decode(theirs).map_err(|_| LoginError::Malformed)?;
        if !bool::from(theirs.as_slice().ct_eq(signature.as_slice())) {
            return Err(LoginError::Signature);
        }
        self.step = Step::Accepted;
        Ok(())
    }

    /// Whether the server has shown that it knows the verifier.
    pub fn has_accepted(&self) -> bool {
        matches!(self.step, Step::Accepted)
    }
}
