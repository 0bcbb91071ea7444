//! AWS Key Management Service: data keys are encrypted with a key that never leaves it.
//!
//! What is stored is the service's ciphertext, in base64. The name and id of the data key go with it as encryption context
//! (`pgveil-key`, `pgveil-id`), which AWS CloudTrail shows. Which key it was is written beside it, by its ARN.
//!
//! Credentials are taken from the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use zeroize::{Zeroize as _, Zeroizing};

use super::https::{Answer, Service};
use super::keyring::Wrapped;
use super::provider::{ProviderError, Secret};
use crate::config::AwsKmsConfig;
use crate::crypto::KeyId;

/// What stands before a key's ARN.
const BY: &str = "AWS KMS key ";

/// The service in one region, with somebody's credentials.
pub(super) struct AwsKms {
    service: Service,
    url: String,
    region: String,
    identity: Identity,
    /// The key that wraps.
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: String,
}

impl AwsKms {
    pub(super) fn open(config: &AwsKmsConfig) -> Result<Self, ProviderError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) else {
            return Err(ProviderError::Unreachable(
                "AWS KMS: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)"
                    .to_owned(),
            ));
        };
        let identity = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment").into();
        let AwsKmsConfig { key, region, endpoint } = config;
        let url = match endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => format!("https://kms.{region}.{}/", domain(region)),
        };
        Ok(Self { service: Service::new("AWS KMS"), url, region: region.clone(), identity, key: key.clone() })
    }

    pub(super) fn wrap(&self, name: &str, id: KeyId, secret: &Secret) -> Result<Wrapped, ProviderError> {
        let mut plaintext = STANDARD.encode(**secret);
        let body = json!({ "KeyId": self.key, "Plaintext": plaintext, "EncryptionContext": context(name, id) });
        plaintext.zeroize();
        let answer = self.ask("Encrypt", body)?;
        let Encrypted { ciphertext_blob, key_id } = self.service.read(&answer, reason)?;
        Ok(Wrapped { by: format!("{BY}{key_id}"), key: ciphertext_blob })
    }

    pub(super) fn unwrap(&self, name: &str, id: KeyId, wrapped: &Wrapped) -> Result<Secret, ProviderError> {
        let key = wrapped.by.strip_prefix(BY).ok_or_else(|| ProviderError::OtherKey(wrapped.by.clone()))?;
        let body = json!({ "KeyId": key, "CiphertextBlob": wrapped.key, "EncryptionContext": context(name, id) });
        let answer = self.ask("Decrypt", body)?;
        let Decrypted { plaintext } = self.service.read(&answer, reason)?;
        let plaintext = Zeroizing::new(plaintext);
        let bytes = Zeroizing::new(STANDARD.decode(&*plaintext).map_err(|_| ProviderError::Damaged)?);
        <[u8; 32]>::try_from(&bytes[..]).map(Zeroizing::new).map_err(|_| ProviderError::Damaged)
    }

    /// Ask, signed (AWS Signature Version 4).
    fn ask(&self, action: &str, body: serde_json::Value) -> Result<Answer, ProviderError> {
        let body = Zeroizing::new(body.to_string());
        let unsigned = |error: String| ProviderError::Refused(format!("AWS KMS: a request can not be signed: {error}"));
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target".to_owned(), format!("TrentService.{action}")),
        ];
        let parameters = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("kms")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(error.to_string()))?
            .into();
        let signed = {
            let known = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let request = SignableRequest::new("POST", &self.url, known, SignableBody::Bytes(body.as_bytes()))
                .map_err(|error| unsigned(error.to_string()))?;
            sign(request, &parameters).map_err(|error| unsigned(error.to_string()))?.into_parts().0
        };
        headers.extend(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.service.post(&self.url, &headers, body.as_bytes())
    }
}

/// What the ciphertext is bound to.
fn context(name: &str, id: KeyId) -> serde_json::Value {
    json!({ "pgveil-key": name, "pgveil-id": id.to_string() })
}

/// Where a region's services are.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// What is wrong, in the service's words.
fn reason(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Reason {
        #[serde(default, rename = "__type")]
        kind: String,
        #[serde(default, alias = "Message")]
        message: String,
    }
    let Reason { kind, message } = serde_json::from_slice(body).unwrap_or_default();
    format!("{} {message}", kind.rsplit('#').next().unwrap_or_default()).trim().to_owned()
}
