//! What the server has stored of passwords, asked for by pgveil's own login when somebody logs in whose password is checked here.
//!
//! Nothing is kept: a password that was changed, a user that was dropped count from the next login on. One task has the
//! connection; logins that come at the same time share it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;
use zeroize::Zeroizing;

use super::catalog_login::{CatalogReadError, Connected, OwnLogin, connect, server};
use super::listener::admission::STARTUP_CONNECTIONS_MAX;
use super::upstream::Upstream;
use crate::catalog::Name;
use crate::config::LoginConfig;
use crate::login::scram::Verifier;
use crate::session::io::Nonces;

/// Logins that wait for the connection, and are taken from there together: as many as there may be before their login.
const WAITING_MAX: usize = STARTUP_CONNECTIONS_MAX;
/// Time from a login's asking to its verifier, connecting included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server has stored of a password; `None`: nothing, or the user may not log in.
type Stored = Option<Zeroizing<String>>;

/// Why a verifier can not be had. Says nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// pgveil's own login or the query failed.
    #[error(transparent)]
    Server(Arc<CatalogReadError>),
    /// It took too long.
    #[error("the server did not answer setting login.verifier_query in {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

/// Asks for verifiers.
pub struct Verifiers {
    requests: mpsc::Sender<Request>,
    /// Makes what is shown for users of whom there is no verifier.
    mock_secret: Zeroizing<[u8; 32]>,
}

struct Request {
    user: Name,
    answer: oneshot::Sender<Result<Stored, VerifierError>>,
}

impl Verifiers {
    /// Start the task that asks; it ends when what is returned is dropped. To be called within a runtime.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn start(upstream: Arc<Upstream>, login: LoginConfig, database: String) -> Result<Self, VerifierError> {
        let mut mock_secret = Zeroizing::new([0; 32]);
        getrandom::fill(mock_secret.as_mut_slice())?;
        let (requests, received) = mpsc::channel(WAITING_MAX);
        tokio::spawn(serve(received, upstream, login, database));
        Ok(Self { requests, mock_secret })
    }

    /// The verifier of a user's password, or one that no password is right for, with random bytes for checking it.
    ///
    /// # Errors
    /// The server can not be asked.
    pub(super) async fn fetch(&self, user: &Name) -> Result<(Verifier, Nonces), VerifierError> {
        let mut nonces = Nonces::default();
        getrandom::fill(&mut nonces.client)?;
        getrandom::fill(&mut nonces.upstream)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { user: user.clone(), answer };
        let asked = async {
            self.requests.send(request).await.map_err(|_| VerifierError::Ending)?;
            answered.await.map_err(|_| VerifierError::Ending)?
        };
        let stored = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.unwrap_or(Err(VerifierError::Timeout))?;
        let verifier = match stored.as_deref().map(|stored| Verifier::parse(stored)) {
            Some(Ok(verifier)) => verifier,
            Some(Err(reason)) => {
                tracing::warn!(?user, %reason, "the password can not be checked: no password will be right");
                Verifier::mock(user.as_str(), &self.mock_secret)
            }
            None => Verifier::mock(user.as_str(), &self.mock_secret),
        };
        Ok((verifier, nonces))
    }
}

async fn serve(mut requests: mpsc::Receiver<Request>, upstream: Arc<Upstream>, login: LoginConfig, database: String) {
    let query: Arc<str> = login.verifier_query.into();
    let setting = "pgveil's own login (login.user) failed";
    let own = OwnLogin { user: &login.user, password: login.password.as_ref(), database: &database, setting };
    let mut connected: Option<Arc<Connected>> = None;
    while let Some(request) = requests.recv().await {
        let live = connected.take().filter(|connected| !connected.client.is_closed());
        let made = match live {
            Some(connection) => Ok(connection),
            // also a server that takes the connection and says nothing
            None => match tokio::time::timeout(ANSWER_TIMEOUT, connect(&upstream, &own)).await {
                Ok(Ok(connection)) => Ok(Arc::new(connection)),
                Ok(Err(error)) => Err(Some(Arc::new(error))),
                Err(_) => Err(None),
            },
        };
        let connection = match made {
            Ok(connection) => connection,
            Err(error) => {
                let mut failed = Some(request);
                // who came meanwhile would only wait for the same once more
                while let Some(request) = failed {
                    let reason = error.clone().map_or(VerifierError::Timeout, VerifierError::Server);
                    // whoever asked may be gone
                    let _gone = request.answer.send(Err(reason));
                    failed = requests.try_recv().ok();
                }
                continue;
            }
        };
        connected = Some(Arc::clone(&connection));
        let query = Arc::clone(&query);
        tokio::spawn(async move {
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, ask(&connection, &query, &request.user)).await;
            let answer = asked.unwrap_or_else(|_| {
                // the next login finds it closed and makes another: the way there may be dead without anybody's knowing
                connection.give_up();
                Err(VerifierError::Timeout)
            });
            let _gone = request.answer.send(answer);
        });
    }
}

async fn ask(connection: &Connected, query: &str, user: &Name) -> Result<Stored, VerifierError> {
    let failed = |error| VerifierError::Server(Arc::new(server("setting login.verifier_query", &error)));
    let rows = connection.client.query_typed(query, &[(&user.as_str(), Type::TEXT)]).await.map_err(failed)?;
    let stored: Option<Option<String>> = match rows.as_slice() {
        [] => None,
        [row] => Some(row.try_get(0).map_err(failed)?),
        [_, _, ..] => None,
    };
    Ok(stored.flatten().map(Zeroizing::new))
}
