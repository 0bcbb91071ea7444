//! What a sink's thread does: read a batch, send it, wait for its acknowledgement, write down how far that is, again.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::back_off::BackOff;
use super::batch::{Batch, Record};
use super::position::{Position, PositionError, PositionFile, with_suffix};
use super::progress::Progress;
use super::segments::{Limits, ReadError, Segments};
use super::sink::{Delivery, Failure, Sink};
use crate::config::{OnRefused, ShipConfig, ShipTarget};
use crate::telemetry::SinkMetrics;

/// Bytes of a batch; a single record may have more.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Longest time until the log is looked at again, whatever its writer announces.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Time between two attempts to become the one who ships, while another process is.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// What the rest of the program wants of the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Counts the reloads.
    pub(super) reloads: u64,
    /// Whether to end when all is shipped, or at the first trouble.
    pub(super) end: bool,
}

/// One sink's work.
pub(super) struct Runner {
    pub(super) config: ShipConfig,
    pub(super) segments: Segments,
    pub(super) sink: Sink,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: SinkMetrics,
    pub(super) wanted: watch::Receiver<Wanted>,
}

/// Why nothing is shipped at the moment.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Position(#[from] PositionError),
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error("{0}")]
    Unavailable(String),
    #[error("record {seq} is refused: {reason}; nothing after it is sent (on_refused = \"park\" would put it aside)")]
    Refused { seq: u64, reason: String },
    #[error("{0}: one of them was altered, or they are two logs")]
    Diverged(String),
    #[error("the refused record {seq} can not be put aside in {}: {source}", path.display())]
    Parking { seq: u64, path: PathBuf, source: io::Error },
}

impl Fault {
    /// As a metric's label.
    fn label(&self) -> &'static str {
        match self {
            Self::Position(PositionError::InUse { .. }) => "in_use",
            Self::Position(PositionError::File { .. } | PositionError::Damaged { .. }) => "position",
            Self::Log(ReadError::File { .. } | ReadError::Damaged { .. }) => "log",
            Self::Log(ReadError::Gap { .. }) => "gap",
            Self::Log(ReadError::Ahead { .. }) => "ahead",
            Self::Log(ReadError::Another { .. }) | Self::Diverged(_) => "diverged",
            Self::Unavailable(_) => "unavailable",
            Self::Refused { .. } => "refused",
            Self::Parking { .. } => "parking",
        }
    }

    /// Whether it passes without anybody doing anything about pgveil or its files.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Position(PositionError::InUse { .. }) => true,
            Self::Position(PositionError::File { .. } | PositionError::Damaged { .. })
            | Self::Log(_)
            | Self::Refused { .. }
            | Self::Diverged(_)
            | Self::Parking { .. } => false,
        }
    }
}

/// Why shipping was interrupted.
enum Interruption {
    /// All is shipped, and no more is wanted.
    End,
    /// Settings' files are to be read again.
    Reload,
    Fault(Fault),
}

impl Runner {
    /// Ship until the end is wanted.
    pub(super) async fn run(mut self) {
        let mut back_off = BackOff::new(self.config.retry_max);
        let mut trouble: Option<&'static str> = None;
        loop {
            let reloads = self.wanted.borrow_and_update().reloads;
            let fault = match self.ship(&mut back_off, &mut trouble, reloads).await {
                Interruption::End => return,
                Interruption::Reload => {
                    self.reload();
                    back_off.reset();
                    continue;
                }
                Interruption::Fault(fault) => fault,
            };
            self.report(&fault, &mut trouble);
            if self.wanted.borrow().end {
                return;
            }
            let in_use = matches!(fault, Fault::Position(PositionError::InUse { .. }));
            let pause = if in_use { LOCK_INTERVAL } else { back_off.pause() };
            self.pause(pause).await;
        }
    }

    /// Ship from the position that is written down, which is this process's alone meanwhile.
    async fn ship(&mut self, back_off: &mut BackOff, trouble: &mut Option<&'static str>, reloads: u64) -> Interruption {
        let file = match PositionFile::open(&self.config.position_file) {
            Ok(file) => file,
            Err(error) => return Interruption::Fault(error.into()),
        };
        let mut position = match file.read() {
            Ok(position) => position,
            Err(error) => return Interruption::Fault(error.into()),
        };
        self.segments.close();
        self.progress.start(position.as_ref().map_or(0, |position| position.seq));
        let mut records = self.config.batch_records;
        loop {
            let wanted = *self.wanted.borrow_and_update();
            if wanted.reloads != reloads {
                return Interruption::Reload;
            }
            self.segments.announced();
            let limits = Limits { records, bytes: BATCH_BYTES_MAX };
            let batch = match self.segments.read(position.as_ref(), limits) {
                Ok(Some(batch)) => batch,
                Ok(None) if wanted.end => return Interruption::End,
                Ok(None) => {
                    self.progress.idle();
                    self.idle().await;
                    continue;
                }
                Err(error) => return Interruption::Fault(error.into()),
            };
            self.progress.sending(batch.records.first().and_then(Record::time));
            let (delivery, in_time) = self.deliver(&batch).await;
            records =
                if in_time { (records * 2).min(self.config.batch_records) } else { (batch.records.len() / 2).max(1) };
            let outcome = self.settle(&file, &mut position, &batch, delivery);
            match outcome {
                Ok(()) => {
                    self.recovered(trouble);
                    back_off.reset();
                    if batch.records.len() < limits.records && !wanted.end {
                        self.pause(self.config.batch_delay).await;
                    }
                }
                Err(fault) if fault.is_passing() && !wanted.end => {
                    self.report(&fault, trouble);
                    self.sink.disconnect();
                    self.pause(back_off.pause()).await;
                }
                Err(fault) => return Interruption::Fault(fault),
            }
        }
    }

    /// What the sink says, and whether it said it in time.
    async fn deliver(&mut self, batch: &Batch) -> (Delivery, bool) {
        let patience = match self.config.target {
            // A reader of it may take all the time that it wants: what is written can not be taken back.
            ShipTarget::Stdout => Duration::MAX,
            ShipTarget::Syslog(_) | ShipTarget::Postgresql(_) | ShipTarget::Nats(_) | ShipTarget::Kafka(_) => {
                self.config.timeout
            }
        };
        match tokio::time::timeout(patience, self.sink.deliver(batch)).await {
            Ok(delivery) => (delivery, true),
            Err(_) => {
                self.sink.disconnect();
                let reason = format!("no acknowledgement within {} ms", patience.as_millis());
                (Delivery::unavailable(reason), false)
            }
        }
    }

    /// Write down what was acknowledged, and put aside what is refused if that is wanted.
    fn settle(
        &mut self,
        file: &PositionFile,
        position: &mut Option<Position>,
        batch: &Batch,
        delivery: Delivery,
    ) -> Result<(), Fault> {
        let Delivery { mut acknowledged, failure } = delivery;
        let count = u64::try_from(acknowledged).unwrap_or(0);
        let refused = batch.records.get(acknowledged);
        let seq = refused.map_or(0, |record| record.seq);
        let fault = match (failure, refused) {
            (None, _) => None,
            (Some(Failure::Unavailable(reason)), _) => Some(Fault::Unavailable(reason)),
            (Some(Failure::Diverged(reason)), _) => Some(Fault::Diverged(reason)),
            (Some(Failure::Refused(reason)), Some(record)) if self.config.on_refused == OnRefused::Park => {
                match self.park(record) {
                    Ok(()) => {
                        tracing::error!(sink = %self.config.name, seq, %reason, "a record was refused, and put aside");
                        acknowledged += 1;
                        None
                    }
                    Err(source) => Some(Fault::Parking { seq, path: self.parking_place(), source }),
                }
            }
            (Some(Failure::Refused(reason)), _) => Some(Fault::Refused { seq, reason }),
        };
        let last = acknowledged.checked_sub(1).and_then(|index| batch.records.get(index));
        if let Some(last) = last {
            let reached = Position::of(&batch.log, last.seq, &last.line);
            file.write(&reached)?;
            self.progress.acknowledged(last.seq, last.time());
            self.metrics.shipped.inc_by(count);
            *position = Some(reached);
        }
        fault.map_or(Ok(()), Err)
    }

    fn parking_place(&self) -> PathBuf {
        with_suffix(&self.config.position_file, ".refused")
    }

    /// Keep a refused record. It may be there twice, if the process ends right after.
    fn park(&self, record: &Record) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.parking_place())?;
        file.write_all(format!("{}\n", record.line).as_bytes())?;
        file.sync_all()?;
        self.metrics.parked.inc();
        Ok(())
    }

    /// Read the files of its settings again. If one is wrong, what was read before stays.
    fn reload(&mut self) {
        match Sink::new(&self.config) {
            Ok(sink) => self.sink = sink,
            Err(error) => {
                tracing::error!(sink = %self.config.name, %error, "shipping goes on with the former settings");
                self.sink.disconnect();
            }
        }
    }

    /// Say a trouble once, and count it each time.
    fn report(&self, fault: &Fault, trouble: &mut Option<&'static str>) {
        let label = fault.label();
        self.metrics.failed(label);
        self.metrics.stopped.set(i64::from(!fault.is_passing()));
        if trouble.replace(label) == Some(label) {
            tracing::debug!(sink = %self.config.name, %fault, "the access log is still not shipped");
            return;
        }
        if fault.is_passing() {
            tracing::warn!(sink = %self.config.name, %fault, "the access log is not shipped; trying again");
        } else {
            tracing::error!(sink = %self.config.name, %fault, "the access log is not shipped until this is put right");
        }
    }

    fn recovered(&self, trouble: &mut Option<&'static str>) {
        self.metrics.stopped.set(0);
        if trouble.take().is_some() {
            tracing::info!(sink = %self.config.name, "the access log is shipped again");
        }
    }

    /// Wait until more is written, or something else is wanted.
    async fn idle(&mut self) {
        tokio::select! {
            () = self.segments.more() => {}
            _ = self.wanted.changed() => {}
            () = tokio::time::sleep(IDLE_MAX) => {}
        }
    }

    /// Wait, unless something else is wanted before.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = self.wanted.changed() => {
                if changed.is_err() {
                    // Nobody is left to want anything.
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;
    use crate::config::{Confirmation, Facility, RootCertificates, ShipConfig, SinkTls, SyslogConfig, SyslogServer};
    use crate::server::log_sink::Hold;
    use crate::server::shipping::fixtures::{Scratch, line, line_with, run};
    use crate::server::shipping::position::read;
    use crate::telemetry::Metrics;

    /// A log, a sink that takes messages of up to 480 bytes, and what it was sent.
    struct Bench {
        scratch: Scratch,
        config: ShipConfig,
        receiver: UdpSocket,
        durable: watch::Sender<u64>,
        wanted: watch::Sender<Wanted>,
        metrics: Metrics,
    }

    impl Bench {
        async fn new(on_refused: OnRefused) -> Self {
            let scratch = Scratch::new();
            let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let target = ShipTarget::Syslog(SyslogConfig {
                server: SyslogServer::Udp(receiver.local_addr().unwrap().to_string()),
                facility: Facility::Audit,
                hostname: None,
                confirm: Confirmation::Close,
                message_bytes_max: 480,
                tls: SinkTls { roots: RootCertificates::System, client_certificate: None },
            });
            let config = ShipConfig {
                name: "test".into(),
                target,
                position_file: scratch.path("position"),
                on_refused,
                batch_records: 2,
                batch_delay: Duration::from_millis(1),
                timeout: Duration::from_secs(5),
                retry_max: Duration::from_millis(20),
            };
            let wanted = watch::Sender::new(Wanted::default());
            Self { scratch, config, receiver, durable: watch::Sender::new(0), wanted, metrics: Metrics::new().unwrap() }
        }

        fn write(&self, seq: u64, line: &str) {
            let path = self.scratch.path("access.jsonl");
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
            self.durable.send_replace(seq);
        }

        fn start(&self) -> tokio::task::JoinHandle<()> {
            let runner = Runner {
                config: self.config.clone(),
                segments: Segments::new(&self.scratch.path("access.jsonl"), self.durable.subscribe()),
                sink: Sink::new(&self.config).unwrap(),
                progress: Arc::new(Progress::new(0, Hold::default())),
                metrics: self.metrics.sink("test"),
                wanted: self.wanted.subscribe(),
            };
            tokio::spawn(runner.run())
        }

        /// The numbers of the records that come in, so many.
        async fn received(&self, count: usize) -> Vec<u64> {
            let mut numbers = Vec::new();
            let mut bytes = [0; 1000];
            while numbers.len() < count {
                let receiving = self.receiver.recv(&mut bytes);
                let length = tokio::time::timeout(Duration::from_secs(5), receiving).await.unwrap().unwrap();
                let text = std::str::from_utf8(&bytes[..length]).unwrap();
                let record: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
                numbers.push(record["seq"].as_u64().unwrap());
            }
            numbers
        }

        fn position(&self) -> u64 {
            read(&self.config.position_file).unwrap().map_or(0, |position| position.seq)
        }

        fn stopped(&self) -> bool {
            self.metrics.sink("test").stopped.get() == 1
        }

        async fn until(&self, condition: impl Fn() -> bool) {
            for _ in 0..1000 {
                if condition() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("this did not come to be within 5 s");
        }

        async fn end(&self, running: tokio::task::JoinHandle<()>) {
            self.wanted.send_modify(|wanted| wanted.end = true);
            tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
            self.wanted.send_modify(|wanted| wanted.end = false);
        }
    }

    #[test]
    fn each_start_goes_on_after_what_was_acknowledged() {
        run(async {
            let bench = Bench::new(OnRefused::Stop).await;
            (1..=5).for_each(|seq| bench.write(seq, &line(seq)));
            let running = bench.start();
            assert_eq!(bench.received(5).await, [1, 2, 3, 4, 5]);
            bench.end(running).await;
            assert_eq!(bench.position(), 5);
            bench.write(6, &line(6));
            let running = bench.start();
            bench.write(7, &line(7));
            assert_eq!(bench.received(2).await, [6, 7]);
            bench.end(running).await;
        });
    }

    #[test]
    fn a_refused_record_stops_what_comes_after_it_until_it_is_taken() {
        run(async {
            let mut bench = Bench::new(OnRefused::Stop).await;
            let long = line_with(2, &format!(",\"x\":\"{}\"", "x".repeat(480)));
            bench.write(1, &line(1));
            bench.write(2, &long);
            bench.write(3, &line(3));
            let running = bench.start();
            assert_eq!(bench.received(1).await, [1]);
            bench.until(|| bench.stopped() && bench.position() == 1).await;
            bench.end(running).await;
            bench.config.on_refused = OnRefused::Park;
            let running = bench.start();
            assert_eq!(bench.received(1).await, [3]);
            bench.until(|| !bench.stopped() && bench.position() == 3).await;
            bench.end(running).await;
            let parked = std::fs::read_to_string(bench.scratch.path("position.refused")).unwrap();
            assert_eq!(parked, long + "\n");
            assert_eq!(bench.metrics.sink("test").parked.get(), 1);
        });
    }

    #[test]
    fn a_position_that_does_not_go_with_the_log_stops_until_it_is_put_right() {
        run(async {
            let bench = Bench::new(OnRefused::Stop).await;
            (1..=3).for_each(|seq| bench.write(seq, &line(seq)));
            let put = |text: &str| std::fs::write(bench.scratch.path("position"), text).unwrap();
            for text in [
                serde_json::to_string(&Position::of("", 9, &line(9))).unwrap(),
                serde_json::to_string(&Position::of("", 2, &line(9))).unwrap(),
                "{}".to_owned(),
            ] {
                put(&text);
                let running = bench.start();
                bench.until(|| bench.stopped()).await;
                // Nobody has the file meanwhile.
                put(&serde_json::to_string(&Position::of("", 1, &line(1))).unwrap());
                assert_eq!(bench.received(2).await, [2, 3]);
                bench.until(|| !bench.stopped()).await;
                bench.end(running).await;
            }
        });
    }

    #[test]
    fn two_processes_do_not_ship_to_the_same_sink_at_once() {
        run(async {
            let bench = Bench::new(OnRefused::Stop).await;
            bench.write(1, &line(1));
            let first = bench.start();
            assert_eq!(bench.received(1).await, [1]);
            bench.until(|| bench.position() == 1).await;
            let second = bench.start();
            bench.write(2, &line(2));
            assert_eq!(bench.received(1).await, [2]);
            first.abort();
            let _ended = first.await;
            bench.write(3, &line(3));
            assert_eq!(bench.received(1).await, [3]);
            bench.end(second).await;
            assert!(bench.receiver.try_recv(&mut [0; 10]).is_err());
        });
    }
}
