//! `/metrics`, `/healthz` and `/readyz` over HTTP/1, on an address of their own.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::server::state::SharedState;

/// Scrapers and probes at a time.
const CONNECTIONS_MAX: usize = 64;
/// Time to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a connection may live.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after an `accept` that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Catalog readings that may be missed before pgveil is no longer ready.
const READINGS_MISSED_MAX: u32 = 6;
/// Least age of the newest reading at which pgveil is no longer ready: a restart of the server takes some time.
const CATALOG_AGE_MIN: Duration = Duration::from_secs(60);

/// Answer on this socket. Does not end; drop it to end it.
pub async fn serve(listener: TcpListener, state: Arc<SharedState>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &state);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            // What goes wrong here is the scraper's to notice.
            let _ended =
                tokio::time::timeout(CONNECTION_TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, state: &SharedState) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".into());
    }
    match request.uri().path() {
        "/metrics" => metrics(state),
        "/healthz" => text(StatusCode::OK, "alive\n".into()),
        "/readyz" => ready(&Readiness::of(state)),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".into()),
    }
}

fn metrics(state: &SharedState) -> Response<Full<Bytes>> {
    state.shipping.measure();
    match state.metrics.render(state.refresher.age().unwrap_or_default()) {
        Ok(body) => {
            let mut response = Response::new(Full::from(body));
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// What `/readyz` looks at.
struct Readiness {
    draining: bool,
    /// Whether access events can be written, or there is nothing tagged to reveal.
    access_log: bool,
    /// Whether the newest reading of the catalog is recent enough.
    catalog: bool,
}

impl Readiness {
    fn of(state: &SharedState) -> Self {
        let age_max = state.config.catalog.refresh_interval.saturating_mul(READINGS_MISSED_MAX).max(CATALOG_AGE_MIN);
        Self {
            draining: state.is_draining(),
            access_log: state.access_log.is_ready() || state.snapshot.load().policy.is_empty(),
            catalog: state.refresher.age().is_some_and(|age| age <= age_max),
        }
    }
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let mut said = String::new();
    let checks = [
        (!readiness.draining, "not draining", "draining: pgveil is shutting down"),
        (readiness.access_log, "access log writable", "access log not writable: reveals are refused"),
        (readiness.catalog, "catalog read", "catalog not read for too long: the server may be out of reach"),
    ];
    for (good, yes, no) in checks {
        // Writing to a String does not fail.
        let _written = writeln!(said, "{} {}", if good { "[+]" } else { "[-]" }, if good { yes } else { no });
    }
    let all = checks.iter().all(|(good, ..)| *good);
    text(if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, said)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgveil_is_ready_only_when_everything_is() {
        for (draining, access_log, catalog) in
            [(false, true, true), (true, true, true), (false, false, true), (false, true, false)]
        {
            let status = ready(&Readiness { draining, access_log, catalog }).status();
            assert_eq!(status.is_success(), !draining && access_log && catalog);
        }
    }
}
