//! The shell around the engine: sockets, files, clocks, threads.

pub mod admin;
pub mod catalog_login;
pub mod log_sink;
pub mod reload;
pub mod state;

mod cancel;
mod stream;
mod stream_lane;
mod tls;
#[cfg(test)]
mod tls_fixtures;
mod tls_upstream;
mod upstream;

pub use stream::{Keepalive, Stream};
pub use tls::{TlsError, load_client_tls};
pub use upstream::{ConnectError, Upstream};
