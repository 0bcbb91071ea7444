//! The shell around the engine: sockets, files, clocks, threads.
//!
//! [`serve`] starts one thread that accepts clients (`listener`) and deals them out to workers (`worker`), each a thread
//! with a single-threaded runtime: a session never moves, so that its task needs no locks. A session is one task
//! (`connection`) around one engine ([`crate::session::Session`]). What all of them share is in [`state::SharedState`].

pub mod admin;
pub mod catalog_login;
pub mod guard;
pub mod keys;
pub mod log_sink;
pub mod reload;
pub mod reveals;
pub mod shared_state;
pub mod shipping;
pub mod state;

mod analyst;
mod budgets;
mod cancel;
mod catalog_check;
mod connection;
mod counting;
mod listener;
mod login_rules;
mod seeds;
mod shutdown;
mod stream;
mod tls;
mod upstream;
mod verifiers;
mod worker;

pub use analyst::Analyze;
pub use listener::{ListenError, ServerHandle, listen, serve};
pub use login_rules::LoginRulesError;
pub use stream::Stream;
pub use tls::{Acceptor, TlsError, load_client_tls};
pub use upstream::{ConnectError, Upstream};
pub use verifiers::{VerifierError, Verifiers};
