//! Who may come in: caps on sessions and on connections that are not logged in yet.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use dashmap::DashMap;

use crate::telemetry::{ConnectionState, Metrics};

/// Connections that are not logged in yet, of all clients together.
pub(in crate::server) const STARTUP_CONNECTIONS_MAX: usize = 5_000;
/// Connections that are not logged in yet, of one address: more than an application opens at once, fewer than all.
const STARTUP_CONNECTIONS_PER_ADDRESS_MAX: usize = 2_000;

/// Counts who is in.
pub(in crate::server) struct Admissions {
    sessions_max: usize,
    sessions: AtomicUsize,
    startup: AtomicUsize,
    startup_by_address: DashMap<IpAddr, usize>,
    metrics: Arc<Metrics>,
}

/// A connection that was let in. Gives back what it holds when it is dropped.
pub(in crate::server) struct Admission {
    admissions: Arc<Admissions>,
    address: IpAddr,
    state: ConnectionState,
    /// Whether it counts as one of the sessions.
    session: bool,
}

impl Admissions {
    /// Nobody yet. `sessions_max`: sessions at a time; a connection counts from when it wants the server, so that cancel
    /// requests come through when all places are taken.
    pub(in crate::server) fn new(sessions_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            sessions_max,
            sessions: AtomicUsize::new(0),
            startup: AtomicUsize::new(0),
            startup_by_address: DashMap::new(),
            metrics,
        }
    }

    /// Let a new connection in, unless too many are not logged in yet.
    pub(in crate::server) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        if !take(&self.startup, STARTUP_CONNECTIONS_MAX) {
            return None;
        }
        let mut of_address = self.startup_by_address.entry(address).or_default();
        if *of_address >= STARTUP_CONNECTIONS_PER_ADDRESS_MAX {
            self.startup.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        *of_address += 1;
        drop(of_address);
        self.metrics.connection_entered(ConnectionState::Startup);
        Some(Admission { admissions: Arc::clone(self), address, state: ConnectionState::Startup, session: false })
    }

    fn leave_startup(&self, address: IpAddr) {
        self.startup.fetch_sub(1, Ordering::AcqRel);
        self.startup_by_address.remove_if_mut(&address, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

impl Admission {
    /// Become one of the sessions. False: there are too many.
    pub(in crate::server) fn become_session(&mut self) -> bool {
        self.session = self.session || take(&self.admissions.sessions, self.admissions.sessions_max);
        self.session
    }

    /// Its place is free again; all that is left to do is to close it.
    pub(in crate::server) fn leave_session(&mut self) {
        if std::mem::take(&mut self.session) {
            self.admissions.sessions.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The login is done.
    pub(in crate::server) fn logged_in(&mut self) {
        match self.state {
            ConnectionState::Startup => {
                self.admissions.leave_startup(self.address);
                self.admissions.metrics.connection_left(ConnectionState::Startup);
                self.admissions.metrics.connection_entered(ConnectionState::Open);
                self.state = ConnectionState::Open;
            }
            ConnectionState::Open => {}
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave_session();
        match self.state {
            ConnectionState::Startup => self.admissions.leave_startup(self.address),
            ConnectionState::Open => {}
        }
        self.admissions.metrics.connection_left(self.state);
    }
}

/// Count one more, unless there are as many as may be.
fn take(count: &AtomicUsize, max: usize) -> bool {
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < max).then_some(count + 1)).is_ok()
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Full {
    /// `max_connections` sessions are there.
    Sessions,
    /// Too many connections are not logged in yet, of the client's address or of all.
    Startup,
}

impl Full {
    /// What the client is told: an ErrorResponse of severity FATAL.
    /// (PostgreSQL manual, section 55.8 "Error and Notice Message Fields".)
    pub(in crate::server) fn error_response(self) -> Bytes {
        let (message, hint) = match self {
            Self::Sessions => {
                ("sorry, too many clients already", "pgveil: raise max_connections, or close connections.")
            }
            Self::Startup => (
                "sorry, too many clients are logging in already",
                "pgveil: try again later; connections that do not log in are closed after startup_timeout_ms.",
            ),
        };
        let mut fields = BytesMut::new();
        for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "53300"), (b'M', message), (b'H', hint)] {
            fields.put_u8(field);
            fields.put_slice(value.as_bytes());
            fields.put_u8(0);
        }
        fields.put_u8(0);
        let mut frame = BytesMut::with_capacity(fields.len().saturating_add(5));
        frame.put_u8(b'E');
        // constants, far below what a length can say
        frame.put_u32(u32::try_from(fields.len().saturating_add(4)).unwrap_or(u32::MAX));
        frame.put_slice(&fields);
        frame.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn admissions(sessions_max: usize) -> Arc<Admissions> {
        Arc::new(Admissions::new(sessions_max, Arc::new(Metrics::new().unwrap())))
    }

    #[test]
    fn one_address_can_not_take_all_places_before_login() {
        let admissions = admissions(10_000);
        let held: Vec<_> =
            (0..STARTUP_CONNECTIONS_PER_ADDRESS_MAX).map(|_| admissions.admit(address(1)).unwrap()).collect();
        assert!(admissions.admit(address(1)).is_none());
        assert!(admissions.admit(address(2)).is_some());
        drop(held);
        assert!(admissions.admit(address(1)).is_some());
        assert!(admissions.startup_by_address.is_empty());
    }

    #[test]
    fn all_addresses_together_have_a_cap_before_login() {
        let admissions = admissions(10_000);
        let addresses = (0..STARTUP_CONNECTIONS_MAX).map(|n| address(u8::try_from(n % 100).unwrap()));
        let mut held: Vec<_> = addresses.map(|address| admissions.admit(address).unwrap()).collect();
        assert!(admissions.admit(address(200)).is_none());
        held[0].logged_in();
        held[0].logged_in();
        assert!(admissions.admit(address(200)).is_some());
        drop(held);
        assert_eq!(admissions.startup.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_place_is_taken_once_and_given_back_once() {
        let admissions = admissions(1);
        let mut first = admissions.admit(address(1)).unwrap();
        let mut second = admissions.admit(address(1)).unwrap();
        assert!(first.become_session() && first.become_session());
        assert!(!second.become_session());
        drop(first);
        assert!(second.become_session());
    }

    #[test]
    fn a_refusal_is_one_whole_error_response() {
        for full in [Full::Sessions, Full::Startup] {
            let frame = full.error_response();
            assert_eq!(frame[0], b'E');
            let length = u32::from_be_bytes(frame[1..5].try_into().unwrap());
            assert_eq!(usize::try_from(length).unwrap() + 1, frame.len());
            let fields: Vec<&[u8]> = frame[5..].split(|byte| *byte == 0).collect();
            assert_eq!(fields[..3], [b"SFATAL", b"VFATAL", b"C53300"]);
            assert_eq!(fields[fields.len() - 2..], [b"", b""]);
        }
    }
}
