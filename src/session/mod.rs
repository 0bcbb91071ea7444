//! The engine: one client session as a value that never waits.
//!
//! Bytes go in by the handlers, and [`Session::poll_output`] yields what is to be done, in order; after every handler
//! call the shell drains it to `None`. Handlers return nothing: a fault of a peer becomes outputs. There is no clock, no
//! socket, no task in here.

pub mod io;

use std::sync::Arc;

use bytes::BytesMut;

use crate::sql::statement::Analysis;
use io::{CloseReason, Context, Opening, Output};

/// One client session, from its first byte to its last.
pub struct Session {}

#[allow(unused_variables)] // the engine is written next; this is its contract
impl Session {
    /// A session whose client has just connected.
    pub fn new(opening: Opening) -> Self {
        Self {}
    }

    /// Take bytes from the client. What is not consumed stays in `input`; the shell appends to it and calls again.
    pub fn handle_client(&mut self, input: &mut BytesMut, context: &Context<'_>) {}

    /// Take bytes from the server.
    pub fn handle_upstream(&mut self, input: &mut BytesMut, context: &Context<'_>) {}

    /// The TLS handshake with the client is done; the verified certificate's common name, if it showed one.
    pub fn handle_client_tls(&mut self, certificate: Option<Arc<str>>) {}

    /// The server is connected (`tls`: the connection to it is encrypted).
    pub fn handle_connected(&mut self, tls: bool) {}

    /// The server can not be reached; `reason` is shown to the client and holds no secret.
    pub fn handle_connect_failed(&mut self, reason: &str) {}

    /// An analysis that [`Output::Analyze`] asked for. Call [`Session::handle_client`] afterwards: input may be waiting.
    pub fn handle_analysis(&mut self, analysis: Arc<Analysis>, context: &Context<'_>) {}

    /// The reading that [`Output::Refresh`] asked for is in place, or failed. Call [`Session::handle_client`] afterwards.
    pub fn handle_refreshed(&mut self, context: &Context<'_>) {}

    /// An access event could not be written.
    pub fn handle_access_failed(&mut self) {}

    /// End of input from the client (it hung up), or the shell ends the session for this reason.
    pub fn handle_end(&mut self, reason: CloseReason) {}

    /// Whether the session is between transactions with nothing outstanding: a drain may end it now.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Whether the login is done: before that, the startup deadline applies.
    pub fn is_logged_in(&self) -> bool {
        false
    }

    /// Whether client bytes should be read now (false while an analysis or a refresh is awaited).
    pub fn wants_client(&self) -> bool {
        true
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
}
