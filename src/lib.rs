//! pgveil.
pub mod access_log;
pub mod catalog;
pub mod mask;
pub mod plan;
pub mod policy;
pub mod session;
pub mod sql;
pub mod wire;
