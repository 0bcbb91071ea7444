//! The shell around the engine: sockets, files, clocks, threads.

pub mod admin;
pub mod catalog_login;
pub mod log_sink;
pub mod reload;
pub mod state;

mod analyst;
mod cancel;
mod connection;
mod connection_close;
#[cfg(test)]
mod connection_fixtures;
#[cfg(test)]
mod connection_tests;
mod listener;
mod listener_admission;
mod shutdown;
mod stream;
mod stream_lane;
mod tls;
#[cfg(test)]
mod tls_fixtures;
mod tls_upstream;
mod upstream;
mod worker;

pub use analyst::Analyze;
pub use listener::{ListenError, ServerHandle, serve};
pub use stream::Stream;
pub use tls::{TlsError, load_client_tls};
pub use upstream::{ConnectError, Upstream};
