//! `[[access_log.ship]]`: where the access log is sent to, beside its own files.
//!
//! Each table names one sink, and holds one table of that sink's own: `stdout`, `syslog`, `postgresql`, `nats` or `kafka`.
//! Lists are in the file only: there are no flags for them.

mod sinks;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use super::file::read_secret;
use super::value::{RootCertificates, Secret};
use super::{ClientCertificate, settings};
pub use sinks::{
    Confirmation, Facility, KafkaConfig, KafkaLogin, KafkaMechanism, NatsConfig, NatsLogin, PostgresqlConfig,
    SyslogConfig, SyslogServer,
};
use sinks::{KafkaSettings, NatsSettings, PostgresqlSettings, SyslogSettings};

/// Sinks that one log is shipped to.
const SINKS_MAX: usize = 16;

/// One `[[access_log.ship]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShipSettings {
    name: String,
    stdout: Option<bool>,
    syslog: Option<SyslogSettings>,
    postgresql: Option<PostgresqlSettings>,
    nats: Option<NatsSettings>,
    kafka: Option<KafkaSettings>,
    position_file: Option<PathBuf>,
    on_refused: Option<OnRefused>,
    batch_records: Option<u64>,
    batch_delay_ms: Option<u64>,
    timeout_ms: Option<u64>,
    retry_max_ms: Option<u64>,
}

/// What becomes of a record that a sink refuses for what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRefused {
    /// Nothing after it is sent until the sink takes it.
    #[default]
    Stop,
    /// It is kept in a file of its own, counted, and what comes after it is sent.
    Park,
}

/// One sink.
#[derive(Clone, Debug)]
pub struct ShipConfig {
    /// Its name, in metrics and files: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What it is, and how it is reached.
    pub target: ShipTarget,
    /// What was acknowledged is written down here.
    pub position_file: PathBuf,
    /// What becomes of records that it refuses.
    pub on_refused: OnRefused,
    /// Records that are sent together.
    pub batch_records: usize,
    /// Pause before records that came in meanwhile are sent.
    pub batch_delay: Duration,
    /// Time in which a batch has to be acknowledged, connecting included.
    pub timeout: Duration,
    /// Longest pause before it is tried again.
    pub retry_max: Duration,
}

/// What a sink is.
#[derive(Clone, Debug)]
pub enum ShipTarget {
    /// Standard output, one JSON object a line.
    Stdout,
    /// A syslog receiver.
    Syslog(SyslogConfig),
    /// A table.
    Postgresql(PostgresqlConfig),
    /// A JetStream stream.
    Nats(NatsConfig),
    /// One partition of a topic.
    Kafka(KafkaConfig),
}

/// Where a secret is. It is read anew for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl SecretSource {
    /// Read it.
    ///
    /// # Errors
    /// The file can not be read or is readable to others; the variable is not set.
    pub fn read(&self) -> Result<Secret, ConfigError> {
        match self {
            Self::File(path) => Ok(read_secret(path)?),
            Self::Variable(name) => {
                std::env::var(name).map(Secret::from).map_err(|_| ConfigError::Variable { name: name.clone() })
            }
        }
    }
}

/// How TLS is used with a sink: its certificate is always verified, name included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkTls {
    /// Authorities that the certificate must lead to.
    pub roots: RootCertificates,
    /// Client certificate shown to the sink.
    pub client_certificate: Option<ClientCertificate>,
}

/// What is wrong with one sink's settings, and what to do.
type Wrong = String;

impl ShipSettings {
    /// The paths in it.
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let Self { position_file, syslog, postgresql, nats, kafka, .. } = self;
        let mut paths: Vec<&mut PathBuf> = position_file.iter_mut().collect();
        paths.extend(syslog.iter_mut().flat_map(SyslogSettings::paths));
        paths.extend(postgresql.iter_mut().flat_map(PostgresqlSettings::paths));
        paths.extend(nats.iter_mut().flat_map(NatsSettings::paths));
        paths.extend(kafka.iter_mut().flat_map(KafkaSettings::paths));
        paths
    }

    fn complete(self, log: &Path) -> Result<ShipConfig, Wrong> {
        let well_formed =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(well_formed) {
            return Err("a name has 1 to 32 lower-case letters, digits, - and _".to_owned());
        }
        let mut targets = Vec::new();
        if self.stdout == Some(true) {
            targets.push(ShipTarget::Stdout);
        }
        targets.extend(self.syslog.map(SyslogSettings::complete).transpose()?.map(ShipTarget::Syslog));
        targets.extend(self.postgresql.map(PostgresqlSettings::complete).transpose()?.map(ShipTarget::Postgresql));
        targets.extend(self.nats.map(NatsSettings::complete).transpose()?.map(ShipTarget::Nats));
        targets.extend(self.kafka.map(KafkaSettings::complete).transpose()?.map(ShipTarget::Kafka));
        let Ok([target]) = <[ShipTarget; 1]>::try_from(targets) else {
            return Err("name exactly one of stdout = true, syslog, postgresql, nats and kafka".to_owned());
        };
        let position_file = self.position_file.unwrap_or_else(|| beside(log, &self.name));
        Ok(ShipConfig {
            target,
            position_file,
            on_refused: self.on_refused.unwrap_or_default(),
            batch_records: usize::try_from(in_range("batch_records", self.batch_records, 500, (1, 10_000))?)
                .unwrap_or(500),
            batch_delay: milliseconds("batch_delay_ms", self.batch_delay_ms, 200, (10, 60_000))?,
            timeout: milliseconds("timeout_ms", self.timeout_ms, 10_000, (100, 600_000))?,
            retry_max: milliseconds("retry_max_ms", self.retry_max_ms, 30_000, (100, 3_600_000))?,
            name: self.name,
        })
    }
}

/// `access.jsonl.ship-NAME` beside `access.jsonl`.
fn beside(log: &Path, name: &str) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(format!(".ship-{name}"));
    path.into()
}

fn in_range(setting: &str, value: Option<u64>, default: u64, (least, most): (u64, u64)) -> Result<u64, Wrong> {
    let value = value.unwrap_or(default);
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{setting} is {value}; allowed is {least} to {most}"))
    }
}

fn milliseconds(setting: &str, value: Option<u64>, default: u64, range: (u64, u64)) -> Result<Duration, Wrong> {
    in_range(setting, value, default, range).map(Duration::from_millis)
}

/// All sinks, checked. `log`: the access log's path, beside which positions are written down.
///
/// # Errors
/// The first thing that is wrong, with the sink's name.
pub(super) fn sinks(given: Vec<ShipSettings>, log: &Path) -> Result<Vec<ShipConfig>, ConfigError> {
    settings::in_range(
        "the number of [[access_log.ship]]",
        u64::try_from(given.len()).unwrap_or(u64::MAX),
        (0, u64::try_from(SINKS_MAX).unwrap_or(u64::MAX)),
        "at most 16",
    )?;
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    let mut sinks = Vec::new();
    for one in given {
        let name = one.name.clone();
        let wrong = |reason: String| ConfigError::Ship { name: name.clone(), reason };
        let sink = one.complete(log).map_err(wrong)?;
        if !names.insert(sink.name.clone()) {
            return Err(wrong("another sink has this name".to_owned()));
        }
        if sink.position_file == log || !files.insert(sink.position_file.clone()) {
            return Err(wrong("position_file is another's file".to_owned()));
        }
        for secret in sink.target.secrets() {
            secret.read()?;
        }
        sinks.push(sink);
    }
    let shouting = sinks.iter().filter(|sink| matches!(sink.target, ShipTarget::Stdout)).count();
    match sinks.iter().rfind(|sink| matches!(sink.target, ShipTarget::Stdout)) {
        Some(last) if shouting > 1 => Err(ConfigError::Ship {
            name: last.name.clone(),
            reason: "there is one standard output, and another sink has it".to_owned(),
        }),
        Some(_) | None => Ok(sinks),
    }
}

impl ShipTarget {
    fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::Stdout | Self::Syslog(_) => Vec::new(),
            Self::Postgresql(PostgresqlConfig { password, .. }) => password.iter().collect(),
            Self::Nats(NatsConfig { login, .. }) => match login {
                NatsLogin::None => Vec::new(),
                NatsLogin::Password { password: secret, .. }
                | NatsLogin::Token(secret)
                | NatsLogin::Credentials(secret) => vec![secret],
            },
            Self::Kafka(KafkaConfig { login, .. }) => login.iter().map(|login| &login.password).collect(),
        }
    }
}

impl ShipConfig {
    /// As a settings file has it.
    pub(super) fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let path = |path: &Path| super::print::quoted(&path.display().to_string());
        writeln!(out, "\n[[access_log.ship]]\nname = \"{}\"", self.name)?;
        writeln!(out, "position_file = {}", path(&self.position_file))?;
        let on_refused = match self.on_refused {
            OnRefused::Stop => "stop",
            OnRefused::Park => "park",
        };
        writeln!(out, "on_refused = \"{on_refused}\"\nbatch_records = {}", self.batch_records)?;
        writeln!(out, "batch_delay_ms = {}\ntimeout_ms = {}", self.batch_delay.as_millis(), self.timeout.as_millis())?;
        writeln!(out, "retry_max_ms = {}", self.retry_max.as_millis())?;
        match &self.target {
            ShipTarget::Stdout => writeln!(out, "stdout = true"),
            ShipTarget::Syslog(syslog) => syslog.write_toml(out),
            ShipTarget::Postgresql(postgresql) => postgresql.write_toml(out),
            ShipTarget::Nats(nats) => nats.write_toml(out),
            ShipTarget::Kafka(kafka) => kafka.write_toml(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Tables {
        ship: Vec<ShipSettings>,
    }

    fn complete(text: &str) -> Result<Vec<ShipConfig>, String> {
        let tables: Tables = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        sinks(tables.ship, Path::new("/log/access.jsonl")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sink_s_settings_have_defaults() {
        let sinks = complete("[[ship]]\nname = 'out'\nstdout = true\n").unwrap();
        let [sink] = sinks.as_slice() else { panic!("{sinks:?}") };
        assert_eq!(sink.position_file, Path::new("/log/access.jsonl.ship-out"));
        assert_eq!((sink.batch_records, sink.on_refused), (500, OnRefused::Stop));
    }

    #[test]
    fn what_is_wrong_with_a_sink_is_said_with_its_name() {
        for (text, expected) in [
            ("name = 'A b'\nstdout = true", "[[access_log.ship]] \"A b\": a name has 1 to 32 lower-case letters"),
            ("name = 'a'", "[[access_log.ship]] \"a\": name exactly one of stdout = true, syslog,"),
            (
                "name = 'a'\nstdout = true\nsyslog.server = 'udp://h:1'",
                "[[access_log.ship]] \"a\": name exactly one of",
            ),
            (
                "name = 'a'\nstdout = true\nbatch_records = 0",
                "[[access_log.ship]] \"a\": batch_records is 0; allowed is 1",
            ),
            (
                "name = 'a'\nstdout = true\nposition_file = '/log/access.jsonl'",
                "[[access_log.ship]] \"a\": position_file is",
            ),
            (
                "name = 'a'\nstdout = true\n[[ship]]\nname = 'b'\nstdout = true",
                "[[access_log.ship]] \"b\": there is one",
            ),
            (
                "name = 'a'\nstdout = true\n[[ship]]\nname = 'a'\nsyslog.server = 'tcp://h:1'",
                "[[access_log.ship]] \"a\": another",
            ),
            (
                "name = 'a'\nsyslog.server = 'h:514'",
                "[[access_log.ship]] \"a\": syslog.server is \"h:514\"; allowed is udp://",
            ),
            (
                "name = 'a'\nsyslog.server = 'tls://h'",
                "[[access_log.ship]] \"a\": syslog.server is \"tls://h\"; allowed is",
            ),
            (
                "name = 'a'\nsyslog.server = 'tcp://h:1'\nsyslog.sslrootcert = 'c'",
                "[[access_log.ship]] \"a\": syslog.sslrootcert",
            ),
            (
                "name = 'a'\nsyslog.server = 'tls://h:1'\nsyslog.sslkey = 'k'",
                "[[access_log.ship]] \"a\": syslog.sslcert and",
            ),
            (
                "name = 'a'\nsyslog = { server = 'tcp://h:1', colour = 'red' }",
                "unknown field `colour`, expected one of",
            ),
            ("name = 'a'\npostgresql.host = 'h'", "[[access_log.ship]] \"a\": postgresql.database is not set"),
            (
                "name = 'a'\npostgresql = { database = 'd', table = 'a.b.c' }",
                "[[access_log.ship]] \"a\": postgresql.table is",
            ),
            (
                "name = 'a'\npostgresql = { database = 'd', password_env = 'PGVEIL_NOT_SET' }",
                "the environment variable PGVEIL_NOT_SET",
            ),
            (
                "name = 'a'\nnats = { servers = ['nats://u:p@h:1'], subject = 's' }",
                "[[access_log.ship]] \"a\": nats.servers: ",
            ),
            ("name = 'a'\nnats = { servers = [], subject = 's' }", "[[access_log.ship]] \"a\": nats.servers is empty"),
            (
                "name = 'a'\nnats = { servers = ['nats://h:1'], subject = 's.>' }",
                "[[access_log.ship]] \"a\": nats.subject is",
            ),
            (
                "name = 'a'\nnats = { servers = ['nats://h:1'], subject = 's', token_file = 't' }",
                "[[access_log.ship]] \"a\": nats: credentials go over TLS only",
            ),
            (
                "name = 'a'\nkafka = { brokers = ['h'], topic = 't' }",
                "[[access_log.ship]] \"a\": kafka.brokers: \"h\" is not",
            ),
            (
                "name = 'a'\nkafka = { brokers = ['h:1'], topic = 't', user = 'u', password_env = 'P' }",
                "[[access_log.ship]] \"a\": kafka: credentials go over TLS only",
            ),
            (
                "name = 'a'\nkafka = { brokers = ['h:1'], topic = 't', user = 'u' }",
                "[[access_log.ship]] \"a\": kafka.user",
            ),
        ] {
            let shown = complete(&format!("[[ship]]\n{text}")).map(drop).unwrap_err();
            assert!(shown.starts_with(expected), "{shown}\nnot {expected}");
            assert!(!shown.contains("u:p"), "{shown}");
        }
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        let text = "[[ship]]\nname = 'out'\nstdout = true\n\
             [[ship]]\nname = 'siem'\non_refused = 'park'\nsyslog = { server = 'tls://h:6514', sslcert = '/c', sslkey = '/k' }\n\
             [[ship]]\nname = 'dev'\nsyslog = { server = 'unix:///dev/log', facility = 'local3', confirm = 'sent' }\n\
             [[ship]]\nname = 'pg'\npostgresql = { host = 'h', database = 'd', user = 'u', table = 'audit.log', sslmode = 'require', password_env = 'PATH' }\n\
             [[ship]]\nname = 'nats'\nnats = { servers = ['tls://h:4222', 'tls://i:4222'], subject = 's', stream = 'S', user = 'u', password_env = 'PATH' }\n\
             [[ship]]\nname = 'kafka'\nkafka = { brokers = ['h:9092'], topic = 't', partition = 2, tls = true, sslrootcert = '/r', user = 'u', password_env = 'PATH', mechanism = 'scram-sha-512' }\n";
        let print = |text: &str| {
            let mut printed = String::new();
            complete(text).unwrap().iter().for_each(|sink| sink.write_toml(&mut printed).unwrap());
            printed
        };
        let printed = print(text);
        assert_eq!(print(&printed.replace("access_log.ship", "ship")), printed);
    }
}
