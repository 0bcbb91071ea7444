//! Where records go. Each kind connects when it has something to send, and drops its connection when anything is wrong.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
pub(super) mod postgresql;
mod stdout;
mod syslog;

use super::batch::Batch;
use crate::config::{ConfigError, ShipConfig, ShipTarget, SinkTls};
use crate::server::TlsError;
use crate::server::tls::upstream::load_verified_tls;

/// Why a sink can not be used at all: its settings are wrong.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Its TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its secrets.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its settings make no sense to the library that speaks its protocol.
    #[error("{0}")]
    Settings(String),
    /// This program can not do it.
    #[error("this pgveil was built without {0}: build it with --features {0}")]
    NotBuilt(&'static str),
}

/// What became of a batch: so many of its records are acknowledged, from the first one on; why not all of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) acknowledged: usize,
    pub(super) failure: Option<Failure>,
}

/// Why the first record that is not acknowledged is not. Holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be, later.
    Unavailable(String),
    /// It will not be: the sink refuses it for what it is.
    Refused(String),
    /// The sink has another record under its number.
    Diverged(String),
}

impl Delivery {
    /// All of so many records.
    pub(super) fn complete(records: usize) -> Self {
        Self { acknowledged: records, failure: None }
    }

    /// So many, and then this happened.
    pub(super) fn partial(acknowledged: usize, failure: Failure) -> Self {
        Self { acknowledged, failure: Some(failure) }
    }

    /// None of them.
    pub(super) fn unavailable(reason: impl ToString) -> Self {
        Self::partial(0, Failure::Unavailable(reason.to_string()))
    }
}

/// A sink, connected or not.
pub(super) enum Sink {
    Stdout(stdout::Stdout),
    Syslog(Box<syslog::Syslog>),
    Postgresql(Box<postgresql::Postgresql>),
    #[cfg(feature = "nats")]
    Nats(Box<nats::Nats>),
    #[cfg(feature = "kafka")]
    Kafka(Box<kafka::Kafka>),
}

impl Sink {
    /// Prepare it: its files are read, nothing is connected.
    ///
    /// # Errors
    /// Its settings are wrong.
    pub(super) fn new(config: &ShipConfig) -> Result<Self, SinkError> {
        Ok(match &config.target {
            ShipTarget::Stdout => Self::Stdout(stdout::Stdout::default()),
            ShipTarget::Syslog(syslog) => Self::Syslog(Box::new(syslog::Syslog::new(syslog)?)),
            ShipTarget::Postgresql(postgresql) => {
                Self::Postgresql(Box::new(postgresql::Postgresql::new(postgresql, config.timeout)?))
            }
            #[cfg(feature = "nats")]
            ShipTarget::Nats(nats) => Self::Nats(Box::new(nats::Nats::new(nats, config.timeout)?)),
            #[cfg(not(feature = "nats"))]
            ShipTarget::Nats(_) => return Err(SinkError::NotBuilt("nats")),
            #[cfg(feature = "kafka")]
            ShipTarget::Kafka(kafka) => Self::Kafka(Box::new(kafka::Kafka::new(kafka, config.timeout)?)),
            #[cfg(not(feature = "kafka"))]
            ShipTarget::Kafka(_) => return Err(SinkError::NotBuilt("kafka")),
        })
    }

    /// Send a batch and wait for what the sink says. May be dropped at any time; then nothing of it is acknowledged, and
    /// [`Sink::disconnect`] has to follow.
    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        match self {
            Self::Stdout(stdout) => stdout.deliver(batch).await,
            Self::Syslog(syslog) => syslog.deliver(batch).await,
            Self::Postgresql(postgresql) => postgresql.deliver(batch).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.deliver(batch).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.deliver(batch).await,
        }
    }

    /// Connect anew for the next batch.
    pub(super) fn disconnect(&mut self) {
        match self {
            Self::Stdout(_) => {}
            Self::Syslog(syslog) => syslog.disconnect(),
            Self::Postgresql(postgresql) => postgresql.disconnect(),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.disconnect(),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.disconnect(),
        }
    }
}

/// TLS with a sink.
fn client_tls(tls: &SinkTls) -> Result<std::sync::Arc<rustls::ClientConfig>, TlsError> {
    load_verified_tls(&tls.roots, tls.client_certificate.as_ref())
}

/// An error with its causes, for the operational log.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said.push_str(": ");
            said.push_str(&more);
        }
        cause = error.source();
    }
    said
}
