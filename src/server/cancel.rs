//! Cancel requests: whose key it is, and passing it on.
//!
//! (PostgreSQL manual, section 55.2.8 "Canceling Requests in Progress".)

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use dashmap::DashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::upstream::{ConnectError, Upstream};
use crate::session::io::CancelKey;

/// The code of CancelRequest.
const CANCEL_REQUEST: u32 = 80_877_102;
/// Time that the server has to take a cancel request and hang up.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of all logged-in sessions.
#[derive(Default)]
pub(super) struct CancelKeys {
    by_pid: DashMap<i32, Vec<Entry>>,
}

struct Entry {
    session: u64,
    key: CancelKey,
    turn: Arc<Turn>,
}

/// When a cancel request may go on to the server. One that was sent behind a request which the session has not read yet, or
/// holds back, would overtake it, and cancel nothing.
pub(super) struct Turn {
    wanted: AtomicBool,
    come: Notify,
    session: Waker,
}

impl Turn {
    /// Wait until the session has sent on what has come before this.
    pub(super) async fn comes(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.session.wake_by_ref();
        loop {
            let mut come = pin!(self.come.notified());
            come.as_mut().enable();
            if !self.wanted.load(Ordering::SeqCst) {
                return;
            }
            come.await;
        }
    }
}

/// Takes a session's key out again when it is dropped.
pub(super) struct Registered {
    keys: Arc<CancelKeys>,
    session: u64,
    pid: i32,
    turn: Arc<Turn>,
}

impl Registered {
    /// The session has read what there is, and holds nothing back.
    pub(super) fn has_sent(&self) {
        if self.turn.wanted.load(Ordering::Relaxed) && self.turn.wanted.swap(false, Ordering::SeqCst) {
            self.turn.come.notify_waiters();
        }
    }
}

impl CancelKeys {
    /// Cancel requests with this key are this session's, until what is returned is dropped. `waker`: of the session's task,
    /// which then says when it [`Registered::has_sent`] everything.
    pub(super) fn register(self: &Arc<Self>, session: u64, key: CancelKey, waker: Waker) -> Registered {
        let pid = key.pid;
        // the engine's is a part of a read buffer, which would live as long as the session
        let key = CancelKey { pid, secret: Bytes::copy_from_slice(&key.secret) };
        let turn = Arc::new(Turn { wanted: AtomicBool::new(false), come: Notify::new(), session: waker });
        self.by_pid.entry(pid).or_default().push(Entry { session, key, turn: Arc::clone(&turn) });
        Registered { keys: Arc::clone(self), session, pid, turn }
    }

    /// For the session that has this key; `None`: none has it. Takes the same time however much of the secret is right.
    pub(super) fn known(&self, key: &CancelKey) -> Option<Arc<Turn>> {
        let entries = self.by_pid.get(&key.pid)?;
        let found = entries.iter().fold(None, |known, entry| match is_same(&entry.key.secret, &key.secret) {
            true => Some(entry),
            false => known,
        });
        found.map(|entry| Arc::clone(&entry.turn))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.has_sent();
        self.keys.by_pid.remove_if_mut(&self.pid, |_, entries| {
            entries.retain(|entry| entry.session != self.session);
            entries.is_empty()
        });
    }
}

/// Compares without stopping at the first difference. The length is no secret.
fn is_same(ours: &[u8], given: &[u8]) -> bool {
    ours.len() == given.len()
        && !ours.is_empty()
        && black_box(ours.iter().zip(given).fold(0, |differences, (a, b)| black_box(differences | (a ^ b)))) == 0
}

/// Send a cancel request to the server on a connection of its own, encrypted as sessions are, and wait until the server
/// hangs up: then the signal is sent.
///
/// # Errors
/// The server can not be reached or does not hang up in time.
pub(super) async fn forward(upstream: &Upstream, key: &CancelKey) -> Result<(), ConnectError> {
    let exchange = async {
        let mut stream = upstream.connect().await?;
        let request = request(key).ok_or(ConnectError::TlsAnswer)?;
        stream.write_all(&request).await.map_err(ConnectError::Connect)?;
        stream.flush().await.map_err(ConnectError::Connect)?;
        // the server hangs up without an answer; over TLS perhaps without saying goodbye, which is no error here
        let _hung_up = stream.read(&mut [0; 16]).await;
        Ok(())
    };
    tokio::time::timeout(CANCEL_TIMEOUT, exchange).await.unwrap_or(Err(ConnectError::Timeout))
}

fn request(key: &CancelKey) -> Option<BytesMut> {
    let length = key.secret.len().checked_add(12)?;
    let mut frame = BytesMut::with_capacity(length);
    frame.put_u32(u32::try_from(length).ok()?);
    frame.put_u32(CANCEL_REQUEST);
    frame.put_i32(key.pid);
    frame.put_slice(&key.secret);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SslMode, TcpConfig, UpstreamConfig};
    use tokio::net::TcpListener;

    fn key(pid: i32, secret: &'static [u8]) -> CancelKey {
        CancelKey { pid, secret: Bytes::from_static(secret) }
    }

    #[test]
    fn only_the_whole_key_of_a_session_that_lives_is_known() {
        let keys = Arc::new(CancelKeys::default());
        let first = keys.register(1, key(77, b"abcd"), Waker::noop().clone());
        let second = keys.register(2, key(77, b"0123456789abcdef0123456789abcdef"), Waker::noop().clone());
        let known = |given: &CancelKey| keys.known(given).is_some();
        assert!(known(&key(77, b"abcd")));
        assert!(known(&key(77, b"0123456789abcdef0123456789abcdef")));
        for wrong in [key(78, b"abcd"), key(77, b"abce"), key(77, b"abc"), key(77, b"abcd\0"), key(77, b"")] {
            assert!(!known(&wrong), "{} {:?}", wrong.pid, wrong.secret);
        }
        drop(first);
        assert!(!known(&key(77, b"abcd")));
        assert!(known(&key(77, b"0123456789abcdef0123456789abcdef")));
        drop(second);
        assert!(keys.by_pid.is_empty());
    }

    #[test]
    fn what_was_sent_before_is_waited_for() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let keys = Arc::new(CancelKeys::default());
            for ends in [|session: Registered| session.has_sent(), |session: Registered| drop(session)] {
                let session = keys.register(2, key(78, b"abcd"), Waker::noop().clone());
                session.has_sent();
                let turn = keys.known(&key(78, b"abcd")).unwrap();
                let mut comes = pin!(turn.comes());
                assert!(tokio::time::timeout(Duration::from_millis(1), comes.as_mut()).await.is_err());
                ends(session);
                comes.await;
            }
        });
    }

    #[test]
    fn an_empty_secret_is_nobodys() {
        let keys = Arc::new(CancelKeys::default());
        let _registered = keys.register(1, key(77, b""), Waker::noop().clone());
        assert!(keys.known(&key(77, b"")).is_none());
    }

    #[test]
    fn a_request_reaches_the_server_whole_and_is_done_when_it_hangs_up() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let upstream = Upstream::new(&UpstreamConfig {
                host: "127.0.0.1".into(),
                port: listener.local_addr().unwrap().port(),
                sslmode: SslMode::Disable,
                sslrootcert: None,
                client_certificate: None,
                connect_timeout: Duration::from_secs(5),
                tcp: TcpConfig::default(),
            })
            .unwrap();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 16];
                stream.read_exact(&mut request).await.unwrap();
                request
            };
            let key = key(0x0102_0304, &[9, 8, 7, 6]);
            let (outcome, request) = tokio::join!(forward(&upstream, &key), server);
            outcome.unwrap();
            assert_eq!(request, [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 9, 8, 7, 6]);
        });
    }
}
