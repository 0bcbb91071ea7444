//! Who may come from where, and how they prove who they are.
//!
//! [`Rules`] are read from a file in the form of PostgreSQL's `pg_hba.conf`: for each connection the first rule that it
//! matches says whether its login is relayed to the server ([`Method::Relay`]), checked here against the password verifier that
//! the server holds ([`Method::Scram`]), taken from a client certificate ([`Method::Cert`]), or refused. [`NameMap`] is a file in
//! the form of `pg_ident.conf`. [`scram`] is the exchange itself, in both roles.
//!
//! Everything here is values in, values out: files are read, and verifiers fetched, by the shell.

mod map;
mod rules;
pub mod scram;
mod token;

pub use map::NameMap;
pub use rules::{Arrival, CertificateCheck, Method, Rules};

/// What is wrong with a file of rules, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct RuleError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What a TLS certificate is bound to a login by: the hash of the server's certificate (`tls-server-end-point`, RFC 5929
/// section 4.1). No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndPoint(pub std::sync::Arc<[u8]>);
