//! NATS JetStream: each record a message with its number as the message's id, acknowledged by the stream.
//!
//! A stream drops what comes again under the same id within its duplicate window (2 minutes by default). Messages of a batch
//! are sent without waiting for each other, so each names the one that has to come before it (`Nats-Expected-Last-Msg-Id`):
//! if one is not stored, none after it is, and they are in the stream in their order. Where others publish to the same stream
//! too that condition fails; the records that are left then go one by one.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::{Context, ErrorCode};

use super::{Delivery, Failure, SinkError, client_tls, with_causes};
use crate::config::{NatsConfig, NatsLogin};
use crate::server::shipping::batch::{Batch, Record};

/// A JetStream stream.
pub(in crate::server::shipping) struct Nats {
    config: NatsConfig,
    timeout: Duration,
    connected: Option<Context>,
}

impl Nats {
    pub(super) fn new(config: &NatsConfig, timeout: Duration) -> Result<Self, SinkError> {
        let made = Self { config: config.clone(), timeout, connected: None };
        let _valid = made.options()?;
        Ok(made)
    }

    fn options(&self) -> Result<async_nats::ConnectOptions, SinkError> {
        let mut options = async_nats::ConnectOptions::new()
            .name("pgveil ship")
            // A connection that is lost is given up: what is sent again is this sink's to say, and not the library's.
            .max_reconnects(1)
            .connection_timeout(self.timeout)
            .request_timeout(Some(self.timeout));
        options = match &self.config.login {
            NatsLogin::None => options,
            NatsLogin::Password { user, password } => {
                options.user_and_password(user.clone(), password.read()?.expose().to_owned())
            }
            NatsLogin::Token(token) => options.token(token.read()?.expose().to_owned()),
            NatsLogin::Credentials(file) => options
                .credentials(file.read()?.expose())
                .map_err(|error| SinkError::Settings(format!("nats.credentials_file: {}", error.kind())))?,
        };
        if let Some(tls) = &self.config.tls {
            let tls = client_tls(tls)?;
            options = options.require_tls(true).tls_client_config((*tls).clone());
        }
        Ok(options)
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = None;
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        let context = match self.connected.take() {
            Some(context) => context,
            None => match self.connect().await {
                Ok(context) => context,
                Err(reason) => {
                    return Delivery::unavailable(format!("nats {}: {reason}", self.config.servers.join(", ")));
                }
            },
        };
        let delivery = self.publish(&context, batch).await;
        if !matches!(delivery.failure, Some(Failure::Unavailable(_))) {
            self.connected = Some(context);
        }
        delivery
    }

    async fn connect(&self) -> Result<Context, String> {
        let options = self.options().map_err(|error| error.to_string())?;
        let client = options.connect(&self.config.servers).await.map_err(|error| with_causes(&error))?;
        Ok(ContextBuilder::new().timeout(self.timeout).ack_timeout(self.timeout).build(client))
    }

    /// All of them in a row, then their acknowledgements.
    async fn publish(&self, context: &Context, batch: &Batch) -> Delivery {
        let mut waiting = Vec::with_capacity(batch.records.len());
        let mut before: Option<&Record> = None;
        let mut unsent = None;
        for record in &batch.records {
            match self.send(context, batch, record, before).await {
                Ok(acknowledgement) => waiting.push(acknowledgement),
                Err(error) => {
                    unsent = Some(error);
                    break;
                }
            }
            before = Some(record);
        }
        let mut acknowledged = 0;
        for acknowledgement in waiting {
            match acknowledgement.await {
                Ok(_) => acknowledged += 1,
                Err(error) if error.kind() == PublishErrorKind::WrongLastMessageId && acknowledged > 0 => {
                    return self.publish_apart(context, batch, acknowledged).await;
                }
                Err(error) => return Delivery::partial(acknowledged, failure(&error)),
            }
        }
        Delivery { acknowledged, failure: unsent.map(|error| failure(&error)) }
    }

    /// Each after the one before it is acknowledged.
    async fn publish_apart(&self, context: &Context, batch: &Batch, mut acknowledged: usize) -> Delivery {
        for record in batch.from(acknowledged) {
            let outcome = match self.send(context, batch, record, None).await {
                Ok(acknowledgement) => acknowledgement.await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                return Delivery::partial(acknowledged, failure(&error));
            }
            acknowledged += 1;
        }
        Delivery::complete(acknowledged)
    }

    async fn send(
        &self,
        context: &Context,
        batch: &Batch,
        record: &Record,
        before: Option<&Record>,
    ) -> Result<PublishAckFuture, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, batch.id(record));
        if let Some(stream) = &self.config.stream {
            headers.insert(NATS_EXPECTED_STREAM, stream.as_str());
        }
        if let Some(before) = before {
            headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, batch.id(before));
        }
        let line = record.line.as_bytes().to_vec();
        context.publish_with_headers(self.config.subject.clone(), headers, line.into()).await
    }
}

fn failure(error: &PublishError) -> Failure {
    let said = with_causes(error);
    let jetstream = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
        .map(async_nats::jetstream::Error::error_code);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Failure::Refused(said),
        PublishErrorKind::Other if jetstream == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => {
            Failure::Refused(said)
        }
        PublishErrorKind::StreamNotFound => {
            Failure::Unavailable("no stream takes this subject: make one (nats stream add)".to_owned())
        }
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => Failure::Unavailable(said),
    }
}
