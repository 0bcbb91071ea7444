//! Kafka: all records to one partition, which keeps them in order; a batch is acknowledged by all replicas in sync.
//!
//! The client library has no idempotent producer: a batch whose acknowledgement is lost is there twice. Its records have the
//! same keys then (the log's identity and the record's number).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};

use super::{Delivery, Failure, SinkError, client_tls};
use crate::config::{KafkaConfig, KafkaLogin, KafkaMechanism};
use crate::server::shipping::batch::{Batch, Record};

/// One partition of a topic.
pub(in crate::server::shipping) struct Kafka {
    config: KafkaConfig,
    timeout: Duration,
    connected: Option<PartitionClient>,
}

impl Kafka {
    pub(super) fn new(config: &KafkaConfig, timeout: Duration) -> Result<Self, SinkError> {
        let made = Self { config: config.clone(), timeout, connected: None };
        let _valid = made.builder()?;
        Ok(made)
    }

    fn builder(&self) -> Result<ClientBuilder, SinkError> {
        let KafkaConfig { brokers, topic: _, partition: _, login, tls } = &self.config;
        // What passes by itself within the time that an attempt has, the library waits for; the rest is for the caller.
        let back_off = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(self.timeout / 2),
        };
        let mut builder = ClientBuilder::new(brokers.clone()).client_id("pgveil-ship").backoff_config(back_off);
        if let Some(tls) = tls {
            builder = builder.tls_config(client_tls(tls)?);
        }
        if let Some(KafkaLogin { user, password, mechanism }) = login {
            let credentials = Credentials::new(user.clone(), password.read()?.expose().to_owned());
            builder = builder.sasl_config(match mechanism {
                KafkaMechanism::Plain => SaslConfig::Plain(credentials),
                KafkaMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                KafkaMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        Ok(builder)
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = None;
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        let partition = match self.connected.take() {
            Some(partition) => partition,
            None => match self.connect().await {
                Ok(partition) => partition,
                Err(reason) => {
                    return Delivery::unavailable(format!("kafka {}: {reason}", self.config.brokers.join(", ")));
                }
            },
        };
        let delivery = produce(&partition, batch).await;
        if !matches!(delivery.failure, Some(Failure::Unavailable(_))) {
            self.connected = Some(partition);
        }
        delivery
    }

    async fn connect(&self) -> Result<PartitionClient, String> {
        let client = self.builder().map_err(|error| error.to_string())?.build().await;
        let client = client.map_err(|error| error.to_string())?;
        let KafkaConfig { topic, partition, .. } = &self.config;
        let partition = client.partition_client(topic.clone(), *partition, UnknownTopicHandling::Error).await;
        partition.map_err(|error| error.to_string())
    }
}

/// All at once; where a record among them is refused, one by one up to that.
async fn produce(partition: &PartitionClient, batch: &Batch) -> Delivery {
    match produce_some(partition, batch, &batch.records).await {
        Ok(()) => return Delivery::complete(batch.records.len()),
        Err(error) if is_about_the_record(&error) => {}
        Err(error) => return Delivery::unavailable(said(&error)),
    }
    for (stored, record) in batch.records.iter().enumerate() {
        if let Err(error) = produce_some(partition, batch, std::slice::from_ref(record)).await {
            let failure = if is_about_the_record(&error) { Failure::Refused } else { Failure::Unavailable };
            return Delivery::partial(stored, failure(said(&error)));
        }
    }
    // Together they were too large.
    Delivery::complete(batch.records.len())
}

async fn produce_some(partition: &PartitionClient, batch: &Batch, records: &[Record]) -> Result<(), Error> {
    let records = records.iter().map(|record| rskafka::record::Record {
        key: Some(batch.id(record).into_bytes()),
        value: Some(record.line.as_bytes().to_vec()),
        headers: BTreeMap::new(),
        timestamp: timestamp(record),
    });
    partition.produce(records.collect(), Compression::NoCompression).await.map(drop)
}

/// When the record was written.
fn timestamp(record: &Record) -> DateTime<Utc> {
    let milliseconds = record.time().map_or(0, |time| time.as_millisecond());
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}

/// A record (or a batch of them) that the broker refuses for what it is.
fn is_about_the_record(error: &Error) -> bool {
    let Error::ServerError { protocol_error, .. } = error else { return false };
    matches!(
        protocol_error,
        ProtocolError::MessageTooLarge
            | ProtocolError::RecordListTooLarge
            | ProtocolError::InvalidRecord
            | ProtocolError::PolicyViolation
    )
}

fn said(error: &Error) -> String {
    match error {
        Error::ServerError { protocol_error, error_message, .. } => match error_message {
            Some(message) => format!("{protocol_error}: {message}"),
            None => protocol_error.to_string(),
        },
        error => error.to_string(),
    }
}
