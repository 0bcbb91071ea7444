//! What a session does seldom: the TLS handshake with the client, connecting to the server, passing on a cancel request.
//! Nothing is exchanged meanwhile.

use tokio::time::Instant as Deadline;
use tracing::{debug, error, warn};

use super::Connection;
use crate::catalog::Name;
use crate::server::cancel;
use crate::server::listener::admission::Full;
use crate::server::stream::Stream;
use crate::server::stream::lane::Lane;
use crate::server::tls;
use crate::session::io::{CancelKey, CloseReason, TlsStart};
use crate::telemetry::{CancelOutcome, Direction, Leg};

impl Connection {
    pub(super) async fn accept_tls(&mut self, start: TlsStart) {
        std::future::poll_fn(|cx| self.client.poll_drain(cx)).await;
        let stream = std::mem::replace(&mut self.client.stream, Stream::Gone);
        let (Stream::Tcp(stream), Some(config)) = (stream, self.shell.state.client_tls.load_full()) else {
            self.end(CloseReason::ClientFault);
            return;
        };
        let begun = match start {
            TlsStart::Direct => Some(self.client.input.split().freeze()),
            // what the client sent before it could encrypt must not be read as if it had been encrypted
            TlsStart::Asked if !self.client.input.is_empty() => {
                self.end(CloseReason::ClientFault);
                return;
            }
            TlsStart::Asked => None,
        };
        self.client.settle();
        match tokio::time::timeout_at(self.startup_deadline(), tls::accept(config, stream, begun)).await {
            Ok(Ok((stream, tls))) => {
                self.client.stream = stream;
                self.session.handle_client_tls(tls);
            }
            Ok(Err(error)) => {
                debug!(session = self.id, %error, "TLS handshake with the client failed");
                self.end(CloseReason::ClientFault);
            }
            Err(_) => self.end(CloseReason::Timeout),
        }
    }

    /// Ask the server for what it has stored of a password.
    pub(super) async fn fetch_verifier(&mut self, user: &Name) {
        std::future::poll_fn(|cx| self.client.poll_drain(cx)).await;
        let state = &self.shell.state;
        match tokio::time::timeout_at(self.startup_deadline(), state.verifiers.fetch(user)).await {
            Ok(Ok((verifier, nonces))) => self.session.handle_verifier(verifier, nonces),
            Ok(Err(error)) => {
                state.metrics.verifier_failures.inc();
                error!(session = self.id, %error, "a password can not be checked");
                self.session.handle_verifier_failed();
            }
            Err(_) => self.end(CloseReason::Timeout),
        }
    }

    /// Connect to the server. What is returned ends the session at once.
    pub(super) async fn connect(&mut self) -> Option<CloseReason> {
        if !self.admission.become_session() {
            self.shell.state.metrics.connections_refused.inc();
            self.client.put(Full::Sessions.error_response());
            return Some(CloseReason::Refused);
        }
        let metrics = &self.shell.state.metrics;
        match tokio::time::timeout_at(self.startup_deadline(), self.shell.upstream.connect()).await {
            Ok(Ok(stream)) => {
                let end_point = stream.end_point();
                self.upstream = Some(Lane::new(
                    stream,
                    metrics.transferred_counter(Leg::Upstream, Direction::Received),
                    metrics.transferred_counter(Leg::Upstream, Direction::Sent),
                ));
                self.session.handle_connected(end_point);
            }
            Ok(Err(error)) => {
                metrics.upstream_connect_errors.inc();
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                warn!(session = self.id, %error, cause, "no connection to the server");
                self.session.handle_connect_failed(&error.to_string());
            }
            Err(_) => self.end(CloseReason::Timeout),
        }
        None
    }

    /// Pass a cancel request on. Whatever comes of it, the client is told nothing.
    pub(super) async fn cancel(&mut self, key: &CancelKey) {
        let metrics = &self.shell.state.metrics;
        let Some(turn) = self.shell.cancel_keys.known(key) else {
            metrics.cancel_request(CancelOutcome::UnknownKey);
            return;
        };
        let forwarded = async {
            turn.comes().await;
            let _place = self.shell.cancels.acquire().await;
            cancel::forward(&self.shell.upstream, key).await
        };
        match tokio::time::timeout_at(self.startup_deadline(), forwarded).await {
            Ok(Ok(())) => metrics.cancel_request(CancelOutcome::Forwarded),
            Ok(Err(error)) => {
                warn!(session = self.id, %error, "a cancel request could not be passed on");
                metrics.cancel_request(CancelOutcome::Failed);
            }
            Err(_) => metrics.cancel_request(CancelOutcome::Failed),
        }
    }

    fn startup_deadline(&self) -> Deadline {
        // after the login nothing asks for it
        self.startup.as_ref().map_or_else(Deadline::now, |(deadline, _)| *deadline)
    }
}
