//! Alerts: what is told to a webhook when a limit is exceeded.
//!
//! An alert waits in the store until the receiver has taken it (an answer of 2xx), so that it outlives the process. It is
//! sent at least once: its `id` says whether it came before. `X-Pgveil-Signature` is the HMAC-SHA256 of
//! `X-Pgveil-Timestamp`, a full stop and the body, by the secret of setting `alerts.secret_file`, in hexadecimal digits.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use super::lock::{Lock, time_text};
use crate::config::AlertsConfig;
use crate::plan::guard::{Breach, Watched};
use crate::server::shared_state::{Change, Kept, Kind, StateStore};
use crate::server::tls::TlsError;
use crate::server::tls::upstream::load_verified_tls;
use crate::telemetry::Metrics;

/// Alerts that wait to be sent; further ones are dropped, and counted.
const QUEUED_MAX: usize = 1_000;
/// Between two looks for alerts.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Time to connect, send and be answered.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses after an attempt that failed: from the first, doubled each time, to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Of several processes the one whose alert it is sends it first; after this time another does.
const TAKE_OVER: Duration = Duration::from_secs(90);

/// What is told, as JSON. Who is named, and what limit; nothing that was read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Alert {
    id: String,
    kind: String,
    time: String,
    limit: String,
    what: String,
    max: u64,
    within_seconds: u64,
    rule: String,
    user: String,
    actor: Option<String>,
    client_address: String,
    refused: bool,
    session_ended: bool,
    locked: bool,
    locked_until: Option<String>,
}

/// An alert in the store.
#[derive(Serialize, Deserialize)]
struct Queued {
    /// The process that it is from.
    process: Uuid,
    /// When it was made, in milliseconds since the Unix epoch.
    made: u64,
    alert: Alert,
}

/// Which process this is.
static PROCESS: std::sync::LazyLock<Uuid> = std::sync::LazyLock::new(Uuid::now_v7);

impl Alert {
    pub(super) fn of_breach(breach: &Breach, watched: &Watched, lock: Option<&Lock>, now: Duration) -> Self {
        let limit = &breach.limit;
        Self {
            id: Uuid::now_v7().to_string(),
            kind: "guard_breach".to_owned(),
            time: time_text(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
            limit: limit.name.to_string(),
            what: limit.what.word().to_owned(),
            max: limit.max.get(),
            within_seconds: limit.within.as_secs(),
            rule: limit.rule.to_string(),
            user: watched.user.to_string(),
            actor: breach.subject.actor.as_ref().map(ToString::to_string),
            client_address: watched.address.to_string(),
            refused: limit.on_breach.refuse,
            session_ended: limit.on_breach.block_session || limit.on_breach.lock.is_some(),
            locked: lock.is_some(),
            locked_until: lock.and_then(Lock::until_text).map(|until| until.to_string()),
        }
    }
}

/// Have an alert sent; whether there was room for it.
pub(super) fn queue(store: &StateStore, alert: &Alert) -> bool {
    if store.kept(Kind::Alert).len() >= QUEUED_MAX {
        return false;
    }
    let made = u64::try_from(store.now().as_millis()).unwrap_or(u64::MAX);
    let Ok(alert) = serde_json::to_value(alert) else { return false };
    let document = serde_json::json!({ "process": *PROCESS, "made": made, "alert": alert });
    let id = document.pointer("/alert/id").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
    store.change(Change::Keep(Kept { kind: Kind::Alert, id, document: document.to_string(), ends: None }));
    true
}

/// Why alerts can not be sent.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// The address.
    #[error("alerts.url must be https://HOST[:PORT]/PATH, or http:// with an address of this machine")]
    Url,
    /// The authorities of the receiver.
    #[error("alerts.ca_file: {0}")]
    Tls(#[from] TlsError),
}

/// Sends alerts.
pub struct Sender {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    secret: crate::config::Secret,
    store: StateStore,
    metrics: Arc<Metrics>,
}

/// Why one was not sent. Names no part of it.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("the receiver can not be reached: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request can not be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the receiver answers with status {0}")]
    Status(u16),
    #[error("the receiver took longer than {} s", TIMEOUT.as_secs())]
    Timeout,
}

impl Sender {
    /// Read what is needed.
    ///
    /// # Errors
    /// The address or the authorities are wrong.
    pub fn new(config: &AlertsConfig, store: StateStore, metrics: Arc<Metrics>) -> Result<Self, AlertsError> {
        let uri: Uri = config.url.parse().map_err(|_| AlertsError::Url)?;
        let host = uri.host().ok_or(AlertsError::Url)?.trim_matches(['[', ']']).to_owned();
        let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (Some(TlsConnector::from(load_verified_tls(&config.roots, None)?)), 443),
            Some("http") if here => (None, 80),
            Some(_) | None => return Err(AlertsError::Url),
        };
        let port = uri.port_u16().unwrap_or(port);
        Ok(Self { uri, host, port, tls, secret: config.secret.clone(), store, metrics })
    }

    /// Send what there is, one after the other. Does not end; drop it to end it.
    pub async fn run(self) {
        let mut pause = BACK_OFF.0;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            for kept in self.store.kept(Kind::Alert) {
                let Ok(queued) = serde_json::from_str::<Queued>(&kept.document) else { continue };
                let age = self.store.now().saturating_sub(Duration::from_millis(queued.made));
                if queued.process != *PROCESS && age < TAKE_OVER && self.is_shared() {
                    continue;
                }
                let sent =
                    tokio::time::timeout(TIMEOUT, self.send(&queued.alert)).await.unwrap_or(Err(Unsent::Timeout));
                match sent {
                    Ok(()) => {
                        self.metrics.guard_alerts_sent.inc();
                        pause = BACK_OFF.0;
                        let _unstored = self.store.make(Change::Drop(Kind::Alert, kept.id)).await;
                    }
                    Err(error) => {
                        self.metrics.guard_alert_failures.inc();
                        tracing::warn!(%error, "an alert is not sent yet");
                        tokio::time::sleep(pause).await;
                        pause = pause.saturating_mul(2).min(BACK_OFF.1);
                        break;
                    }
                }
            }
        }
    }

    /// Whether others may be sending it now.
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn send(&self, alert: &Alert) -> Result<(), Unsent> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            None => self.post(stream, alert).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
                let stream = tls.connect(name, stream).await?;
                self.post(stream, alert).await
            }
        }
    }

    async fn post(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, alert: &Alert) -> Result<(), Unsent> {
        let body = serde_json::to_vec(alert).map_err(std::io::Error::other)?;
        let seconds = self.store.now().as_secs();
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        // What stands before an @ is a password, and not the host's.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("pgveil/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header("X-Pgveil-Id", &alert.id)
            .header("X-Pgveil-Timestamp", seconds)
            .header("X-Pgveil-Signature", signature(self.secret.expose(), seconds, &body))
            .body(Full::new(Bytes::from(body)))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
        let (answer, _ended) = tokio::join!(
            async {
                let answer = sender.send_request(request).await;
                drop(sender);
                answer
            },
            connection
        );
        match answer?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Unsent::Status(status.as_u16())),
        }
    }
}

/// HMAC-SHA256 of the time, a full stop and the body, in hexadecimal digits.
fn signature(secret: &str, seconds: u64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_time_and_the_body() {
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac secret
        let expected = "bb7079132825ac793cea8c013c1dd24d926b9b02132245b10588d9e5c0df70d7";
        assert_eq!(signature("secret", 1_800_000_000, b"{}"), expected);
        assert_ne!(signature("secret", 1_800_000_001, b"{}"), expected);
    }
}
