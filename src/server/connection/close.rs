//! The end of a session: what is still to be written goes out, then both connections are closed.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::server::stream::lane::{Filled, Lane};
use crate::session::io::CloseReason;

/// Time in which a peer has to take some of what is still to be written to it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a client has to hang up after it was told why.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of the client that are read and dropped meanwhile.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Flush and close both connections.
pub(super) async fn close(mut client: Lane, upstream: Option<Lane>, reason: CloseReason) {
    let server = async {
        if let Some(mut upstream) = upstream {
            flush(&mut upstream).await;
            let _gone = tokio::time::timeout(FLUSH_TIMEOUT, upstream.stream.shutdown()).await;
        }
    };
    let client = async {
        flush(&mut client).await;
        let _gone = tokio::time::timeout(FLUSH_TIMEOUT, client.stream.shutdown()).await;
        if lingers(reason) {
            let _late = tokio::time::timeout(LINGER_TIMEOUT, linger(&mut client)).await;
        }
    };
    tokio::join!(server, client);
}

/// Whether the client is to read a message about why: closing a socket with unread bytes in it resets the connection, and
/// a reset overtakes what was written before.
fn lingers(reason: CloseReason) -> bool {
    match reason {
        CloseReason::CancelRequest => false,
        // it may have said more after its goodbye
        CloseReason::ClientLeft
        | CloseReason::UpstreamLeft
        | CloseReason::ClientFault
        | CloseReason::UpstreamFault
        | CloseReason::Refused
        | CloseReason::UpstreamUnreachable
        | CloseReason::LoginFailed
        | CloseReason::AccessLogFailed
        | CloseReason::Guard
        | CloseReason::Timeout
        | CloseReason::Shutdown => true,
    }
}

/// Write what waits, as long as the peer takes some of it now and then.
async fn flush(lane: &mut Lane) {
    loop {
        let before = lane.queued_bytes();
        let done = tokio::time::timeout(FLUSH_TIMEOUT, std::future::poll_fn(|cx| lane.poll_drain(cx))).await;
        if done.is_ok() || lane.queued_bytes() >= before {
            return;
        }
    }
}

async fn linger(lane: &mut Lane) {
    let mut dropped = 0usize;
    while dropped < LINGER_BYTES_MAX && std::future::poll_fn(|cx| lane.poll_fill(cx)).await == Filled::Bytes {
        dropped = dropped.saturating_add(lane.input.len());
        lane.input.clear();
        lane.settle();
    }
}
