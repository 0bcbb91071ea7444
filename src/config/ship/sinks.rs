//! The settings of each kind of sink.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{SecretSource, SinkTls, Wrong, in_range};
use crate::config::print::quoted;
use crate::config::value::{RootCertificates, SslMode};
use crate::config::{ClientCertificate, TcpConfig, UpstreamConfig};

/// Octets that receivers of syslog should take in one message (RFC 5425 section 4.3.1).
const SYSLOG_BYTES: u64 = 8192;

/// `syslog = { .. }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyslogSettings {
    server: String,
    facility: Option<Facility>,
    hostname: Option<String>,
    confirm: Option<Confirmation>,
    message_bytes_max: Option<u64>,
    sslrootcert: Option<RootCertificates>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
}

/// A syslog receiver (RFC 5424).
#[derive(Clone, Debug)]
pub struct SyslogConfig {
    /// Where it is.
    pub server: SyslogServer,
    /// What the messages are about.
    pub facility: Facility,
    /// What this machine is called in messages; `None`: its own name.
    pub hostname: Option<String>,
    /// When what was sent counts as received.
    pub confirm: Confirmation,
    /// Bytes of a message; longer ones are refused records.
    pub message_bytes_max: usize,
    /// For [`SyslogServer::Tls`].
    pub tls: SinkTls,
}

/// Where a syslog receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// Datagrams (RFC 5426): nobody says whether they come in.
    Udp(String),
    /// A stream with octet counting (RFC 6587 section 3.4.1).
    Tcp(String),
    /// The same under TLS (RFC 5425).
    Tls(String),
    /// A socket of this machine, such as `/dev/log`.
    Unix(PathBuf),
}

/// When what was sent over a stream counts as received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// When the receiver, told that the stream ends, has read it to its end and closes it too. A connection for each batch.
    #[default]
    Close,
    /// When the operating system has taken it: what is on its way when a connection breaks may be lost.
    Sent,
}

/// What syslog messages are about (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the RFC's own names
pub enum Facility {
    User,
    Daemon,
    Auth,
    Authpriv,
    #[default]
    Audit,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

impl Facility {
    /// Its number.
    pub fn code(self) -> u8 {
        self.row().0
    }

    fn row(self) -> (u8, &'static str) {
        match self {
            Self::User => (1, "user"),
            Self::Daemon => (3, "daemon"),
            Self::Auth => (4, "auth"),
            Self::Authpriv => (10, "authpriv"),
            Self::Audit => (13, "audit"),
            Self::Local0 => (16, "local0"),
            Self::Local1 => (17, "local1"),
            Self::Local2 => (18, "local2"),
            Self::Local3 => (19, "local3"),
            Self::Local4 => (20, "local4"),
            Self::Local5 => (21, "local5"),
            Self::Local6 => (22, "local6"),
            Self::Local7 => (23, "local7"),
        }
    }
}

impl SyslogSettings {
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        files(&mut self.sslrootcert, [&mut self.sslcert, &mut self.sslkey])
    }

    pub(super) fn complete(self) -> Result<SyslogConfig, Wrong> {
        let allowed = "udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH";
        let wrong = || format!("syslog.server is {:?}; allowed is {allowed}", self.server);
        let (scheme, place) = self.server.split_once("://").ok_or_else(wrong)?;
        let address = || if is_address(place) { Ok(place.to_owned()) } else { Err(wrong()) };
        let server = match scheme {
            "udp" => SyslogServer::Udp(address()?),
            "tcp" => SyslogServer::Tcp(address()?),
            "tls" => SyslogServer::Tls(address()?),
            "unix" if place.starts_with('/') => SyslogServer::Unix(place.into()),
            _ => return Err(wrong()),
        };
        let plain = !matches!(server, SyslogServer::Tls(_));
        if plain && (self.sslrootcert.is_some() || self.sslcert.is_some() || self.sslkey.is_some()) {
            return Err("syslog.sslrootcert, syslog.sslcert and syslog.sslkey are for tls:// servers".to_owned());
        }
        let printable =
            |name: &String| !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic());
        if !self.hostname.as_ref().is_none_or(printable) {
            return Err("syslog.hostname has 1 to 255 printable ASCII characters without spaces".to_owned());
        }
        let most = if matches!(server, SyslogServer::Udp(_)) { 65_507 } else { 16_777_216 };
        let bytes = in_range("syslog.message_bytes_max", self.message_bytes_max, SYSLOG_BYTES, (480, most))?;
        Ok(SyslogConfig {
            server,
            facility: self.facility.unwrap_or_default(),
            hostname: self.hostname,
            confirm: self.confirm.unwrap_or_default(),
            message_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
            tls: tls("syslog", self.sslrootcert, self.sslcert, self.sslkey)?,
        })
    }
}

impl SyslogConfig {
    pub(super) fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let Self { server, facility, hostname, confirm, message_bytes_max, tls } = self;
        let server = match server {
            SyslogServer::Udp(address) => format!("udp://{address}"),
            SyslogServer::Tcp(address) => format!("tcp://{address}"),
            SyslogServer::Tls(address) => format!("tls://{address}"),
            SyslogServer::Unix(path) => format!("unix://{}", path.display()),
        };
        let confirm = match confirm {
            Confirmation::Close => "close",
            Confirmation::Sent => "sent",
        };
        writeln!(out, "[access_log.ship.syslog]\nserver = {}", quoted(&server))?;
        writeln!(out, "facility = \"{}\"\nconfirm = \"{confirm}\"", facility.row().1)?;
        writeln!(out, "message_bytes_max = {message_bytes_max}")?;
        text(out, "hostname", hostname.as_deref())?;
        if server.starts_with("tls://") { write_tls(out, tls) } else { Ok(()) }
    }
}

/// `postgresql = { .. }`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PostgresqlSettings {
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    table: Option<String>,
    create_table: Option<bool>,
    sslmode: Option<SslMode>,
    sslrootcert: Option<RootCertificates>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct PostgresqlConfig {
    /// The server.
    pub server: UpstreamConfig,
    /// The database.
    pub database: String,
    /// The database user: needs INSERT and SELECT on the table.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<SecretSource>,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Whether the table is made where it is not there.
    pub create_table: bool,
}

impl PostgresqlSettings {
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = files(&mut self.sslrootcert, [&mut self.sslcert, &mut self.sslkey]);
        paths.extend(self.password_file.as_mut());
        paths
    }

    pub(super) fn complete(self) -> Result<PostgresqlConfig, Wrong> {
        let database = self.database.ok_or("postgresql.database is not set: name the database of the table")?;
        let table = self.table.unwrap_or_else(|| "pgveil_access_log".to_owned());
        let (schema, table) = table.split_once('.').unwrap_or(("public", &table));
        let is_name = |name: &str| !name.is_empty() && name.len() <= 63 && !name.contains(['.', '"', '\0']);
        if !is_name(schema) || !is_name(table) {
            return Err(format!(
                "postgresql.table is \"{schema}.{table}\"; allowed is TABLE or SCHEMA.TABLE, without quotes"
            ));
        }
        let sslmode = self.sslmode.unwrap_or_default();
        if matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull) && self.sslrootcert.is_none() {
            return Err(
                "postgresql.sslrootcert is not set: sslmode verify-ca and verify-full need a file, or \"system\""
                    .to_owned(),
            );
        }
        let server = UpstreamConfig {
            host: self.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: self.port.unwrap_or(5432),
            sslmode,
            sslrootcert: self.sslrootcert,
            client_certificate: client_certificate("postgresql", self.sslcert, self.sslkey)?,
            connect_timeout: std::time::Duration::from_secs(10),
            tcp: TcpConfig::default(),
        };
        Ok(PostgresqlConfig {
            server,
            database,
            user: self.user.unwrap_or_else(|| "pgveil".to_owned()),
            password: secret("postgresql.password", self.password_file, self.password_env)?,
            schema: schema.to_owned(),
            table: table.to_owned(),
            create_table: self.create_table.unwrap_or(true),
        })
    }
}

impl PostgresqlConfig {
    pub(super) fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let Self { server, database, user, password, schema, table, create_table } = self;
        let UpstreamConfig { host, port, sslmode, sslrootcert, client_certificate, connect_timeout: _, tcp: _ } =
            server;
        writeln!(out, "[access_log.ship.postgresql]\nhost = {}\nport = {port}", quoted(host))?;
        writeln!(out, "database = {}\nuser = {}", quoted(database), quoted(user))?;
        writeln!(out, "table = {}\ncreate_table = {create_table}", quoted(&format!("{schema}.{table}")))?;
        writeln!(out, "sslmode = \"{}\"", crate::config::print::named(sslmode))?;
        write_certificates(out, sslrootcert.as_ref(), client_certificate.as_ref())?;
        write_secret(out, "password", password.as_ref())
    }
}

/// `nats = { .. }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NatsSettings {
    servers: Vec<String>,
    subject: String,
    stream: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    token_file: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
    sslrootcert: Option<RootCertificates>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
}

/// A JetStream stream.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Servers of one cluster, as `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub servers: Vec<String>,
    /// What records are published under.
    pub subject: String,
    /// The stream that has to take them; `None`: any.
    pub stream: Option<String>,
    /// Who pgveil is.
    pub login: NatsLogin,
    /// TLS; `None`: not used.
    pub tls: Option<SinkTls>,
}

/// Who pgveil is to a NATS server.
#[derive(Clone, Debug)]
pub enum NatsLogin {
    /// Nobody, or whom the client certificate names.
    None,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// Who has this token.
    Token(SecretSource),
    /// The user of a `.creds` file.
    Credentials(SecretSource),
}

impl NatsSettings {
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = files(&mut self.sslrootcert, [&mut self.sslcert, &mut self.sslkey]);
        paths.extend([&mut self.password_file, &mut self.token_file, &mut self.credentials_file].into_iter().flatten());
        paths
    }

    pub(super) fn complete(self) -> Result<NatsConfig, Wrong> {
        let mut encrypted = Vec::new();
        for server in &self.servers {
            let parts = server.split_once("://").filter(|(scheme, _)| ["nats", "tls"].contains(scheme));
            match parts {
                Some((scheme, address)) if is_address(address) => encrypted.push(scheme == "tls"),
                Some(_) | None => {
                    return Err("nats.servers: allowed is nats://HOST:PORT and tls://HOST:PORT, \
                                without user and password (these are settings of their own)"
                        .to_owned());
                }
            }
        }
        let is_tls = *encrypted.first().ok_or("nats.servers is empty: name one or more")?;
        if encrypted.contains(&!is_tls) {
            return Err("nats.servers: all of them are nats:// or all of them are tls://".to_owned());
        }
        let is_token = |token: &str| !token.is_empty() && !token.contains([' ', '\t', '\r', '\n', '*', '>']);
        if !self.subject.split('.').all(is_token) {
            return Err(format!(
                "nats.subject is {:?}; allowed are words with dots between, no wildcards",
                self.subject
            ));
        }
        let password = secret("nats.password", self.password_file, self.password_env)?;
        let login = match (self.user, password, self.token_file, self.credentials_file) {
            (None, None, None, None) => NatsLogin::None,
            (Some(user), Some(password), None, None) => NatsLogin::Password { user, password },
            (None, None, Some(token), None) => NatsLogin::Token(SecretSource::File(token)),
            (None, None, None, Some(file)) => NatsLogin::Credentials(SecretSource::File(file)),
            _ => {
                return Err(
                    "nats: set user with password_file or password_env, or token_file, or credentials_file".to_owned()
                );
            }
        };
        let hosts = self.servers.iter().filter_map(|server| server.split_once("://")).map(|(_, address)| address);
        if !matches!(login, NatsLogin::None | NatsLogin::Credentials(_)) && !is_tls && !hosts.into_iter().all(is_local)
        {
            return Err("nats: credentials go over TLS only: use tls://".to_owned());
        }
        if !is_tls && (self.sslrootcert.is_some() || self.sslcert.is_some() || self.sslkey.is_some()) {
            return Err("nats.sslrootcert, nats.sslcert and nats.sslkey are for tls:// servers".to_owned());
        }
        let tls = tls("nats", self.sslrootcert, self.sslcert, self.sslkey)?;
        let (servers, subject, stream) = (self.servers, self.subject, self.stream);
        Ok(NatsConfig { servers, subject, stream, login, tls: is_tls.then_some(tls) })
    }
}

impl NatsConfig {
    pub(super) fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let Self { servers, subject, stream, login, tls } = self;
        writeln!(out, "[access_log.ship.nats]\nservers = {}\nsubject = {}", list(servers), quoted(subject))?;
        text(out, "stream", stream.as_deref())?;
        match login {
            NatsLogin::None => {}
            NatsLogin::Password { user, password } => {
                text(out, "user", Some(user))?;
                write_secret(out, "password", Some(password))?;
            }
            NatsLogin::Token(token) => write_secret(out, "token", Some(token))?,
            NatsLogin::Credentials(file) => write_secret(out, "credentials", Some(file))?,
        }
        tls.as_ref().map_or(Ok(()), |tls| write_tls(out, tls))
    }
}

/// `kafka = { .. }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaSettings {
    brokers: Vec<String>,
    topic: String,
    partition: Option<u64>,
    tls: Option<bool>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    mechanism: Option<KafkaMechanism>,
    sslrootcert: Option<RootCertificates>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
}

/// One partition of a topic.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Brokers that are asked for the others, as `HOST:PORT`.
    pub brokers: Vec<String>,
    /// The topic. It is not made.
    pub topic: String,
    /// The partition: all records go to one, so that they stay in order.
    pub partition: i32,
    /// Who pgveil is.
    pub login: Option<KafkaLogin>,
    /// TLS; `None`: not used.
    pub tls: Option<SinkTls>,
}

/// Who pgveil is to a Kafka broker.
#[derive(Clone, Debug)]
pub struct KafkaLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretSource,
    /// How it is proved.
    pub mechanism: KafkaMechanism,
}

/// The SASL mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaMechanism {
    /// The broker is told the password.
    Plain,
    /// It is proved that both know it (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl KafkaSettings {
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = files(&mut self.sslrootcert, [&mut self.sslcert, &mut self.sslkey]);
        paths.extend(self.password_file.as_mut());
        paths
    }

    pub(super) fn complete(self) -> Result<KafkaConfig, Wrong> {
        if let Some(broker) = self.brokers.iter().find(|broker| !is_address(broker)) {
            return Err(format!("kafka.brokers: {broker:?} is not HOST:PORT"));
        }
        if self.brokers.is_empty() {
            return Err("kafka.brokers is empty: name one or more".to_owned());
        }
        let is_tls = self.tls.unwrap_or(false);
        let login = match (self.user, secret("kafka.password", self.password_file, self.password_env)?) {
            (Some(user), Some(password)) => {
                Some(KafkaLogin { user, password, mechanism: self.mechanism.unwrap_or_default() })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err("kafka.user and kafka.password_file (or kafka.password_env) go together".to_owned());
            }
        };
        if login.is_some() && !is_tls && !self.brokers.iter().all(|broker| is_local(broker)) {
            return Err("kafka: credentials go over TLS only: set tls = true".to_owned());
        }
        if !is_tls && (self.sslrootcert.is_some() || self.sslcert.is_some() || self.sslkey.is_some()) {
            return Err("kafka.sslrootcert, kafka.sslcert and kafka.sslkey need tls = true".to_owned());
        }
        let tls = tls("kafka", self.sslrootcert, self.sslcert, self.sslkey)?;
        let most = u64::from(i32::MAX.unsigned_abs());
        let partition = in_range("kafka.partition", self.partition, 0, (0, most))?;
        Ok(KafkaConfig {
            brokers: self.brokers,
            topic: self.topic,
            partition: i32::try_from(partition).unwrap_or(0),
            login,
            tls: is_tls.then_some(tls),
        })
    }
}

impl KafkaConfig {
    pub(super) fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let Self { brokers, topic, partition, login, tls } = self;
        writeln!(out, "[access_log.ship.kafka]\nbrokers = {}\ntopic = {}", list(brokers), quoted(topic))?;
        writeln!(out, "partition = {partition}\ntls = {}", tls.is_some())?;
        if let Some(KafkaLogin { user, password, mechanism }) = login {
            let mechanism = match mechanism {
                KafkaMechanism::Plain => "plain",
                KafkaMechanism::ScramSha256 => "scram-sha-256",
                KafkaMechanism::ScramSha512 => "scram-sha-512",
            };
            writeln!(out, "user = {}\nmechanism = \"{mechanism}\"", quoted(user))?;
            write_secret(out, "password", Some(password))?;
        }
        tls.as_ref().map_or(Ok(()), |tls| write_tls(out, tls))
    }
}

/// `HOST:PORT`, nothing more.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['@', '/', ' ', '?', '#']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Whether what is sent to this `HOST:PORT` stays on this machine.
fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn secret(setting: &str, file: Option<PathBuf>, variable: Option<String>) -> Result<Option<SecretSource>, Wrong> {
    match (file, variable) {
        (Some(_), Some(_)) => Err(format!("{setting}_file and {setting}_env: only one of them can be set")),
        (Some(file), None) => Ok(Some(SecretSource::File(file))),
        (None, Some(variable)) => Ok(Some(SecretSource::Variable(variable))),
        (None, None) => Ok(None),
    }
}

fn tls(
    sink: &str,
    roots: Option<RootCertificates>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<SinkTls, Wrong> {
    let client_certificate = client_certificate(sink, certificate, key)?;
    Ok(SinkTls { roots: roots.unwrap_or(RootCertificates::System), client_certificate })
}

fn client_certificate(
    sink: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<ClientCertificate>, Wrong> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            Err(format!("{sink}.sslcert and {sink}.sslkey: a certificate and its key go together: set both or neither"))
        }
    }
}

fn files<'a>(roots: &'a mut Option<RootCertificates>, others: [&'a mut Option<PathBuf>; 2]) -> Vec<&'a mut PathBuf> {
    let roots = match roots {
        Some(RootCertificates::File(path)) => Some(path),
        Some(RootCertificates::System) | None => None,
    };
    others.into_iter().flatten().chain(roots).collect()
}

fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn text(out: &mut String, name: &str, value: Option<&str>) -> std::fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "{name} = {}", quoted(value)))
}

fn write_secret(out: &mut String, name: &str, secret: Option<&SecretSource>) -> std::fmt::Result {
    match secret {
        Some(SecretSource::File(file)) => text(out, &format!("{name}_file"), Some(&file.display().to_string())),
        Some(SecretSource::Variable(variable)) => text(out, &format!("{name}_env"), Some(variable)),
        None => Ok(()),
    }
}

fn write_tls(out: &mut String, tls: &SinkTls) -> std::fmt::Result {
    write_certificates(out, Some(&tls.roots), tls.client_certificate.as_ref())
}

fn write_certificates(
    out: &mut String,
    roots: Option<&RootCertificates>,
    own: Option<&ClientCertificate>,
) -> std::fmt::Result {
    match roots {
        Some(RootCertificates::System) => text(out, "sslrootcert", Some("system"))?,
        Some(RootCertificates::File(file)) => text(out, "sslrootcert", Some(&file.display().to_string()))?,
        None => {}
    }
    if let Some(ClientCertificate { certificate, key }) = own {
        text(out, "sslcert", Some(&certificate.display().to_string()))?;
        text(out, "sslkey", Some(&key.display().to_string()))?;
    }
    Ok(())
}
