//! The transit secrets engine of HashiCorp Vault, or of OpenBao: data keys are encrypted with a key that never leaves it.
//!
//! What is stored is the engine's ciphertext (`vault:v1:...`). The name and id of the data key go with it as associated
//! data, so the engine's key has to be of a type that takes such (`aes256-gcm96`, its default, or `chacha20-poly1305`).
//! Which key it was is written beside it, as path of the engine and name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use zeroize::{Zeroize as _, Zeroizing};

use super::https::{Answer, Service};
use super::keyring::Wrapped;
use super::provider::{ProviderError, Secret, associated_data};
use crate::config::{VaultConfig, read_private};
use crate::crypto::KeyId;

/// What stands before a key's path and name.
const BY: &str = "Vault key ";

/// A Vault, and a token for it.
pub(super) struct Vault {
    service: Service,
    address: String,
    token: Zeroizing<String>,
    /// Path of the engine and name of the key that wraps, with a slash between.
    key: String,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

impl Vault {
    pub(super) fn open(config: &VaultConfig) -> Result<Self, ProviderError> {
        let token = Zeroizing::new(read_private(&config.token_file)?.trim_end_matches(['\r', '\n']).to_owned());
        let key = format!("{}/{}", config.mount.trim_matches('/'), config.key);
        let address = config.address.trim_end_matches('/').to_owned();
        Ok(Self { service: Service::new("Vault"), address, token, key })
    }

    pub(super) fn wrap(&self, name: &str, id: KeyId, secret: &Secret) -> Result<Wrapped, ProviderError> {
        let mut plaintext = STANDARD.encode(**secret);
        let body = json!({ "plaintext": plaintext, "associated_data": STANDARD.encode(associated_data(name, id)) });
        plaintext.zeroize();
        let answer = self.ask("encrypt", &self.key, body)?;
        let Data { data: Encrypted { ciphertext } } = self.service.read(&answer, errors)?;
        Ok(Wrapped { by: format!("{BY}{}", self.key), key: ciphertext })
    }

    pub(super) fn unwrap(&self, name: &str, id: KeyId, wrapped: &Wrapped) -> Result<Secret, ProviderError> {
        let key = wrapped.by.strip_prefix(BY).ok_or_else(|| ProviderError::OtherKey(wrapped.by.clone()))?;
        let body = json!({ "ciphertext": wrapped.key, "associated_data": STANDARD.encode(associated_data(name, id)) });
        let answer = self.ask("decrypt", key, body)?;
        let Data { data: Decrypted { plaintext } } = self.service.read(&answer, errors)?;
        let plaintext = Zeroizing::new(plaintext);
        let bytes = Zeroizing::new(STANDARD.decode(&*plaintext).map_err(|_| ProviderError::Damaged)?);
        <[u8; 32]>::try_from(&bytes[..]).map(Zeroizing::new).map_err(|_| ProviderError::Damaged)
    }

    /// `key`: path of the engine and name.
    fn ask(&self, what: &str, key: &str, body: serde_json::Value) -> Result<Answer, ProviderError> {
        let (mount, key) = key.rsplit_once('/').unwrap_or(("transit", key));
        let url = format!("{}/v1/{mount}/{what}/{key}", self.address);
        let headers =
            [("X-Vault-Token", self.token.as_str()), ("X-Vault-Request", "true"), ("Content-Type", "application/json")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let body = Zeroizing::new(body.to_string());
        self.service.post(&url, &headers, body.as_bytes())
    }
}

/// What is wrong, in Vault's words.
fn errors(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    serde_json::from_slice::<Errors>(body).unwrap_or_default().errors.join("; ")
}
