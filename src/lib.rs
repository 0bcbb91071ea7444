//! pgveil.
pub mod access_log;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod mask;
pub mod plan;
pub mod policy;
pub mod server;
pub mod session;
pub mod sql;
pub mod telemetry;
pub mod wire;
