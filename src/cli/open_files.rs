//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Sockets of a session: the client's and the server's.
const PER_SESSION: u64 = 2;
/// What is open besides: files, event queues, pgveil's own logins, monitoring, cancel requests, and some clients that are
/// being turned away.
const BESIDES: u64 = 256;

/// Take as many as the operating system lets the process have, and say so if these are too few for the sessions that the
/// settings allow.
pub(super) fn allow_open_files(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let mut current = limit.current;
    if current != limit.maximum {
        match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
            Ok(()) => current = limit.maximum,
            Err(error) => tracing::warn!(%error, "the limit of open files can not be raised"),
        }
    }
    let needed = needed(config.max_connections);
    // no limit at all is none
    if let Some(limit) = current.filter(|limit| *limit < needed) {
        let max_connections = config.max_connections;
        tracing::warn!(
            limit,
            needed,
            max_connections,
            "fewer files may be open than max_connections needs: raise the hard limit (LimitNOFILE, ulimit -Hn) or set fewer connections"
        );
    }
}

fn needed(max_connections: usize) -> u64 {
    u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_mul(PER_SESSION).saturating_add(BESIDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_two_files() {
        assert_eq!(needed(10_000), 20_256);
        assert_eq!(needed(usize::MAX), u64::MAX);
    }
}
