//! The settings of `pgveil serve`: one TOML file, environment variables, flags.
//!
//! [`Settings`] is the form that all three share, every one of them optional; flags win over the environment, the
//! environment over the file, the file over the defaults. [`Config`] is what comes out: complete and checked.
//! (A flag and its environment variable reach [`Settings`] through clap, which lets the flag win.)

mod access_log;
mod file;
mod keys;
mod print;
mod settings;
mod ship;
mod state;
mod tcp;
mod value;

pub use access_log::{AccessLogConfig, AccessLogSettings, Retention};
pub use file::{
    ActorKeyEntry, FileError, MaskKeyFile, read_actor_keys, read_mask_keys, read_private, read_settings,
    read_totp_secrets,
};
pub use keys::{AwsKmsConfig, KeyProvider, KeysConfig, KeysSettings, Pkcs11Config, ProviderConfig, VaultConfig};
pub use settings::Settings;
pub use ship::{
    Confirmation, Facility, KafkaConfig, KafkaLogin, KafkaMechanism, NatsConfig, NatsLogin, OnRefused,
    PostgresqlConfig, SecretSource, ShipConfig, ShipSettings, ShipTarget, SinkTls, SyslogConfig, SyslogServer,
};
pub use state::{AlertSettings, AlertsConfig, StateConfig, StateDatabase, StateEngine, StateSettings};
pub use tcp::TcpConfig;
pub use value::{Address, CatalogCheck, Durability, LogFormat, RootCertificates, Secret, SslMode};

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the settings file is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/pgveil/pgveil.toml";

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub admin_listen: SocketAddr,
    /// The server.
    pub upstream: UpstreamConfig,
    /// pgveil's own login, for reading the catalog.
    pub catalog: CatalogConfig,
    /// Who may log in, and how.
    pub login: LoginConfig,
    /// TLS for clients; `None`: not offered.
    pub tls: Option<ClientTlsConfig>,
    /// Policy files, and directories of them.
    pub policies: Vec<PathBuf>,
    /// File with the keys of keyed masks.
    pub mask_keys_file: Option<PathBuf>,
    /// File with the keys that tokens of asserted end users are checked with.
    pub actor_keys_file: Option<PathBuf>,
    /// File with the secrets of one-time codes.
    pub totp_file: Option<PathBuf>,
    /// What is known of reveals on request beyond the end of the process.
    pub reveal_state_file: PathBuf,
    /// The keys of encrypted columns; `None`: none can be encrypted.
    pub keys: Option<KeysConfig>,
    /// Where locks, what limits count and budgets are kept.
    pub state: StateConfig,
    /// Who is told of breaches of limits; `None`: nobody.
    pub alerts: Option<AlertsConfig>,
    /// Where access events go.
    pub access_log: AccessLogConfig,
    /// Where the access log is sent to, beside its own files.
    pub ship: Vec<ShipConfig>,
    /// The operational log.
    pub log: LogConfig,
    /// Threads that serve sessions.
    pub workers: NonZeroUsize,
    /// Client connections at a time; more are turned away.
    pub max_connections: usize,
    /// Time until a client has to be logged in.
    pub startup_timeout: Duration,
    /// Time that open sessions have to come to the end of their transaction at a shutdown.
    pub drain_timeout: Duration,
    /// Whether another process may listen on the same addresses.
    pub reuse_port: bool,
    /// When a client is taken to be dead.
    pub tcp: TcpConfig,
}

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether and how TLS is used.
    pub sslmode: SslMode,
    /// Certificates of authorities that the server's certificate must lead to.
    pub sslrootcert: Option<RootCertificates>,
    /// Client certificate shown to the server, and its key.
    pub client_certificate: Option<ClientCertificate>,
    /// Time until the connection, TLS included, has to stand.
    pub connect_timeout: Duration,
    /// When it is taken to be dead.
    pub tcp: TcpConfig,
}

impl UpstreamConfig {
    /// Host and port, for people.
    pub fn address(&self) -> String {
        format!("server {} port {}", self.host, self.port)
    }
}

/// A certificate with its private key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// pgveil's own login.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// The database user. Needs to connect, and no rights on tables.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret>,
    /// The database that is protected. Clients of other databases are refused.
    pub database: String,
    /// Time between two readings of the catalog that nobody asked for.
    pub refresh_interval: Duration,
    /// When it is looked whether the catalog has changed past pgveil.
    pub check: CatalogCheck,
    /// Time between two such looks while there are sessions.
    pub check_interval: Duration,
}

/// Who may log in, and how.
#[derive(Clone, Debug)]
pub struct LoginConfig {
    /// Rules in the form of `pg_hba.conf`; `None`: every login is relayed.
    pub hba_file: Option<PathBuf>,
    /// Maps of certificates' names to database users, in the form of `pg_ident.conf`.
    pub ident_file: Option<PathBuf>,
    /// The query for what the server has stored of a password: `$1` is the user, a row has one text.
    pub verifier_query: String,
    /// The database user that it is asked as.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret>,
}

/// TLS for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsConfig {
    /// Certificate chain in PEM.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// Certificates of authorities for client certificates; `None`: none are asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether clients without TLS are refused.
    pub required: bool,
}

/// The operational log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as of `tracing`'s environment filter.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that a setting names.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting that has no default.
    #[error("{setting} is not set: {help}")]
    Missing {
        /// Its name in the file.
        setting: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// Settings that do not go together.
    #[error("{settings}: {reason}")]
    Conflict {
        /// Their names.
        settings: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A sink of the access log.
    #[error("[[access_log.ship]] {name:?}: {reason}")]
    Ship {
        /// The sink's name.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A secret that is to come from the environment.
    #[error("the environment variable {name} is not set, which a setting names as the place of a secret")]
    Variable {
        /// The variable.
        name: String,
    },
    /// A value out of its range.
    #[error("{setting} is {value}; allowed is {allowed}")]
    Range {
        /// Its name in the file.
        setting: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
}

impl Config {
    /// The settings of flags and environment (already one in `given`), then of the file, then the defaults.
    ///
    /// `file`: the file that was asked for; `None`: [`DEFAULT_PATH`], if there is one.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(given: Settings, file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::complete(given.over_file(file)?)
    }
}

impl Settings {
    /// These settings, and where one is missing that of the file; see [`Config::load`].
    ///
    /// # Errors
    /// The file can not be read or is wrong.
    pub fn over_file(self, file: Option<&Path>) -> Result<Self, FileError> {
        let default = Path::new(DEFAULT_PATH);
        Ok(match file {
            Some(path) => self.or(read_settings(path)?),
            None if default.exists() => self.or(read_settings(default)?),
            None => self,
        })
    }
}
