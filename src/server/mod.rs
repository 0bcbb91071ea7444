//! The shell around the engine: sockets, files, clocks, threads.

pub mod admin;
pub mod catalog_login;
pub mod log_sink;
pub mod reload;
pub mod state;
