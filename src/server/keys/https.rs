//! Questions to key services: one JSON document by POST, one as the answer.

use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::provider::ProviderError;

/// Time for a question, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks one service.
pub(super) struct Service {
    agent: Agent,
    /// Its name, for people.
    name: &'static str,
}

/// What a service answers.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl Service {
    /// A service that is trusted if its certificate leads to one of the operating system's authorities (or those of the
    /// file that SSL_CERT_FILE names).
    pub(super) fn new(name: &'static str) -> Self {
        let native = rustls_native_certs::load_native_certs().certs;
        let roots: RootCerts = native.iter().map(|root| Certificate::from_der(root).to_owned()).into();
        let tls = TlsConfig::builder().root_certs(roots).build();
        Self { agent: agent(tls), name }
    }

    /// Ask. Every status is an answer; an error is that there is none.
    pub(super) fn post(&self, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer, ProviderError> {
        let unreachable = |error: ureq::Error| {
            ProviderError::Unreachable(format!("{} can not be reached at {url}: {error}", self.name))
        };
        if !is_private_enough(url) {
            return Err(ProviderError::Refused(format!(
                "{}: {url} is not https://, and keys would be seen on their way",
                self.name
            )));
        }
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(body).map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        Ok(Answer { status, body: Zeroizing::new(body) })
    }

    /// That answer, if it is a good one of this form. `said`: what it says where it is not.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        said: impl FnOnce(&[u8]) -> String,
    ) -> Result<T, ProviderError> {
        match answer.status {
            200 => serde_json::from_slice(&answer.body)
                .map_err(|_| ProviderError::Refused(format!("{} answers in another form than expected", self.name))),
            // Passing: too many questions, and what is wrong with the service itself.
            status @ (429 | 500..=599) => Err(ProviderError::Unreachable(format!(
                "{} answers with status {status}: {}",
                self.name,
                said(&answer.body)
            ))),
            status => Err(ProviderError::Refused(format!(
                "{} refuses with status {status}: {}",
                self.name,
                said(&answer.body)
            ))),
        }
    }
}

fn agent(tls: TlsConfig) -> Agent {
    // A redirection would be followed with the token or the signature for another place.
    let config = Agent::config_builder().tls_config(tls).timeout_global(Some(TIMEOUT)).max_redirects(0);
    config.http_status_as_error(false).build().into()
}

/// Whether what is sent there is encrypted, or does not leave this machine.
fn is_private_enough(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        (Some(_) | None, Some(_) | None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_over_https_or_stay_on_this_machine() {
        for (url, expected) in [
            ("https://vault.example:8200/v1", true),
            ("http://127.0.0.1:8200/v1", true),
            ("http://[::1]:8200/v1", true),
            ("http://localhost/v1", true),
            ("http://vault.example:8200/v1", false),
            ("http://10.0.0.1/", false),
            ("http://127.0.0.1.example/", false),
            ("http://localhost@example.org/", false),
            ("ftp://127.0.0.1/", false),
            ("vault.example", false),
        ] {
            assert_eq!(is_private_enough(url), expected, "{url}");
        }
    }
}
