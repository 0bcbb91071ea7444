//! Settings as they are written down, each of them optional.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::access_log::AccessLogSettings;
use super::file::read_secret;
use super::keys::KeysSettings;
use super::ship::{ShipSettings, sinks};
use super::state::{AlertSettings, StateSettings};
use super::tcp::{TcpSettings, tcp};
use super::value::{Address, CatalogCheck, LogFormat, RootCertificates, Secret, SslMode};
use super::{
    CatalogConfig, ClientCertificate, ClientTlsConfig, Config, ConfigError, LogConfig, LoginConfig, TcpConfig,
    UpstreamConfig,
};

/// All settings, as of the file's top level, and as flags.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where clients connect, as ADDRESS:PORT [default: 127.0.0.1:6432]
    #[arg(long, env = "PGVEIL_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<Address>,
    /// Where /metrics, /healthz and /readyz are, as ADDRESS:PORT [default: 127.0.0.1:9464]
    #[arg(long, env = "PGVEIL_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<Address>,
    /// Policy files, or directories with *.yaml and *.yml files
    #[arg(long, env = "PGVEIL_POLICIES", value_name = "PATH", value_delimiter = ',')]
    pub policies: Option<Vec<PathBuf>>,
    /// File with the keys of keyed masks: lines of NAME = "64 hexadecimal digits"
    #[arg(long, env = "PGVEIL_MASK_KEYS_FILE", value_name = "FILE")]
    pub mask_keys_file: Option<PathBuf>,
    /// File with the keys that tokens of asserted end users are checked with
    #[arg(long, env = "PGVEIL_ACTOR_KEYS_FILE", value_name = "FILE")]
    pub actor_keys_file: Option<PathBuf>,
    /// File with the secrets of one-time codes: lines of NAME = "base32"
    #[arg(long, env = "PGVEIL_TOTP_FILE", value_name = "FILE")]
    pub totp_file: Option<PathBuf>,
    /// Where it is kept which one-time codes were used and which urgent reveals wait for a review [default: reveals.json
    /// beside the access log]
    #[arg(long, env = "PGVEIL_REVEAL_STATE_FILE", value_name = "FILE")]
    pub reveal_state_file: Option<PathBuf>,
    /// Threads that serve sessions [default: the number of processors]
    #[arg(long, env = "PGVEIL_WORKERS", value_name = "COUNT")]
    pub workers: Option<NonZeroUsize>,
    /// Client connections at a time; more are turned away [default: 10000]
    #[arg(long, env = "PGVEIL_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<usize>,
    /// Milliseconds until a client has to be logged in [default: 60000]
    #[arg(long, env = "PGVEIL_STARTUP_TIMEOUT_MS", value_name = "MS")]
    pub startup_timeout_ms: Option<u64>,
    /// Milliseconds that open transactions have to end at a shutdown [default: 30000]
    #[arg(long, env = "PGVEIL_DRAIN_TIMEOUT_MS", value_name = "MS")]
    pub drain_timeout_ms: Option<u64>,
    /// Let a second pgveil listen on the same addresses, to take over from this one [default: false]
    #[arg(
        long,
        env = "PGVEIL_REUSE_PORT",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub reuse_port: Option<bool>,
    /// Dead peers.
    #[command(flatten)]
    pub tcp: TcpSettings,
    /// The server.
    #[command(flatten)]
    pub upstream: UpstreamSettings,
    /// pgveil's own login.
    #[command(flatten)]
    pub catalog: CatalogSettings,
    /// Who may log in, and how.
    #[command(flatten)]
    pub login: LoginSettings,
    /// TLS for clients.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// The keys of encrypted columns.
    #[command(flatten)]
    pub keys: KeysSettings,
    /// What outlives the process.
    #[command(flatten)]
    pub state: StateSettings,
    /// Who is told of breaches.
    #[command(flatten)]
    pub alerts: AlertSettings,
    /// The access log.
    #[command(flatten)]
    pub access_log: AccessLogSettings,
    /// The operational log.
    #[command(flatten)]
    pub log: LogSettings,
}

/// `[upstream]`: the server.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSettings {
    /// Host name or address of the server [default: 127.0.0.1]
    #[arg(id = "upstream.host", long = "upstream-host", env = "PGVEIL_UPSTREAM_HOST", value_name = "HOST")]
    pub host: Option<String>,
    /// TCP port of the server [default: 5432]
    #[arg(id = "upstream.port", long = "upstream-port", env = "PGVEIL_UPSTREAM_PORT", value_name = "PORT")]
    pub port: Option<u16>,
    /// TLS towards the server [default: prefer]
    #[arg(id = "upstream.sslmode", long = "upstream-sslmode", env = "PGVEIL_UPSTREAM_SSLMODE", value_name = "MODE")]
    pub sslmode: Option<SslMode>,
    /// File with the authorities that the server's certificate must lead to, or "system"
    #[arg(
        id = "upstream.sslrootcert",
        long = "upstream-sslrootcert",
        env = "PGVEIL_UPSTREAM_SSLROOTCERT",
        value_name = "FILE"
    )]
    pub sslrootcert: Option<RootCertificates>,
    /// Client certificate shown to the server
    #[arg(id = "upstream.sslcert", long = "upstream-sslcert", env = "PGVEIL_UPSTREAM_SSLCERT", value_name = "FILE")]
    pub sslcert: Option<PathBuf>,
    /// Private key of that certificate
    #[arg(id = "upstream.sslkey", long = "upstream-sslkey", env = "PGVEIL_UPSTREAM_SSLKEY", value_name = "FILE")]
    pub sslkey: Option<PathBuf>,
    /// Milliseconds until a connection to the server has to stand [default: 10000]
    #[arg(
        id = "upstream.connect_timeout_ms",
        long = "upstream-connect-timeout-ms",
        env = "PGVEIL_UPSTREAM_CONNECT_TIMEOUT_MS",
        value_name = "MS"
    )]
    pub connect_timeout_ms: Option<u64>,
}

/// `[catalog]`: pgveil's own login.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogSettings {
    /// The protected database; clients of other databases are refused
    #[arg(id = "catalog.database", long = "catalog-database", env = "PGVEIL_CATALOG_DATABASE", value_name = "NAME")]
    pub database: Option<String>,
    /// Database user that pgveil reads the catalog as; needs no rights on tables [default: pgveil]
    #[arg(id = "catalog.user", long = "catalog-user", env = "PGVEIL_CATALOG_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// Its password (others can see flags and environment: prefer a file)
    #[arg(
        id = "catalog.password",
        long = "catalog-password",
        env = "PGVEIL_CATALOG_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub password: Option<Secret>,
    /// File with its password
    #[arg(
        id = "catalog.password_file",
        long = "catalog-password-file",
        env = "PGVEIL_CATALOG_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// Seconds between two readings of the catalog that nobody asked for [default: 1]
    #[arg(
        id = "catalog.refresh_seconds",
        long = "catalog-refresh-seconds",
        env = "PGVEIL_CATALOG_REFRESH_SECONDS",
        value_name = "SECONDS"
    )]
    pub refresh_seconds: Option<u64>,
    /// When to look for changes of the catalog that are made past pgveil: for each statement and result of callers who see
    /// masks, or by the interval alone [default: statement]
    #[arg(id = "catalog.check", long = "catalog-check", env = "PGVEIL_CATALOG_CHECK", value_name = "WHEN")]
    pub check: Option<CatalogCheck>,
    /// Milliseconds between two such looks while somebody is connected [default: 50]
    #[arg(id = "catalog.check_ms", long = "catalog-check-ms", env = "PGVEIL_CATALOG_CHECK_MS", value_name = "MS")]
    pub check_ms: Option<u64>,
}

/// `[login]`: who may log in, and how.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginSettings {
    /// Rules of logins in the form of pg_hba.conf [default: every login is relayed]
    #[arg(id = "login.hba_file", long = "login-hba-file", env = "PGVEIL_LOGIN_HBA_FILE", value_name = "FILE")]
    pub hba_file: Option<PathBuf>,
    /// Which database users a certificate's name may come as, in the form of pg_ident.conf
    #[arg(id = "login.ident_file", long = "login-ident-file", env = "PGVEIL_LOGIN_IDENT_FILE", value_name = "FILE")]
    pub ident_file: Option<PathBuf>,
    /// Query for the SCRAM verifier of user $1 [default: from pg_authid]
    #[arg(
        id = "login.verifier_query",
        long = "login-verifier-query",
        env = "PGVEIL_LOGIN_VERIFIER_QUERY",
        value_name = "SQL"
    )]
    pub verifier_query: Option<String>,
    /// Database user that asks it [default: catalog.user]
    #[arg(id = "login.user", long = "login-user", env = "PGVEIL_LOGIN_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// File with its password [default: that of catalog.user]
    #[arg(
        id = "login.password_file",
        long = "login-password-file",
        env = "PGVEIL_LOGIN_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
}

/// `[tls]`: TLS for clients.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Certificate chain for clients, in PEM
    #[arg(id = "tls.certificate", long = "tls-certificate", env = "PGVEIL_TLS_CERTIFICATE", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Private key of that certificate, in PEM
    #[arg(id = "tls.key", long = "tls-key", env = "PGVEIL_TLS_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Authorities for client certificates, in PEM
    #[arg(id = "tls.client_ca", long = "tls-client-ca", env = "PGVEIL_TLS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Refuse clients that do not use TLS [default: false]
    #[arg(
        id = "tls.required",
        long = "tls-required",
        env = "PGVEIL_TLS_REQUIRED",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub required: Option<bool>,
}

/// `[log]`: the operational log.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// error, warn, info, debug, trace, or tracing directives [default: info]
    #[arg(id = "log.level", long = "log-level", env = "PGVEIL_LOG_LEVEL", value_name = "LEVEL")]
    pub level: Option<String>,
    /// How lines look [default: text]
    #[arg(id = "log.format", long = "log-format", env = "PGVEIL_LOG_FORMAT", value_name = "FORMAT")]
    pub format: Option<LogFormat>,
}

const POLICIES_HELP: &str =
    "name policy files or directories (--policies, PGVEIL_POLICIES); an empty list masks nothing";
const DATABASE_HELP: &str = "name the protected database (--catalog-database, PGVEIL_CATALOG_DATABASE)";

/// What a superuser may ask; others are given a function that asks this.
const VERIFIER_QUERY: &str = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin \
     AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())";

impl Settings {
    /// These settings, and where one is missing that of `below`.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        let (upstream, catalog, tls) = (below.upstream, below.catalog, below.tls);
        // A password given higher up displaces a password file below, and the other way round.
        let own_password = self.catalog.password.is_some() || self.catalog.password_file.is_some();
        let (password, password_file) =
            if own_password { (None, None) } else { (catalog.password, catalog.password_file) };
        Self {
            listen: self.listen.or(below.listen),
            admin_listen: self.admin_listen.or(below.admin_listen),
            policies: self.policies.or(below.policies),
            mask_keys_file: self.mask_keys_file.or(below.mask_keys_file),
            actor_keys_file: self.actor_keys_file.or(below.actor_keys_file),
            totp_file: self.totp_file.or(below.totp_file),
            reveal_state_file: self.reveal_state_file.or(below.reveal_state_file),
            workers: self.workers.or(below.workers),
            max_connections: self.max_connections.or(below.max_connections),
            startup_timeout_ms: self.startup_timeout_ms.or(below.startup_timeout_ms),
            drain_timeout_ms: self.drain_timeout_ms.or(below.drain_timeout_ms),
            reuse_port: self.reuse_port.or(below.reuse_port),
            tcp: self.tcp.or(below.tcp),
            upstream: UpstreamSettings {
                host: self.upstream.host.or(upstream.host),
                port: self.upstream.port.or(upstream.port),
                sslmode: self.upstream.sslmode.or(upstream.sslmode),
                sslrootcert: self.upstream.sslrootcert.or(upstream.sslrootcert),
                sslcert: self.upstream.sslcert.or(upstream.sslcert),
                sslkey: self.upstream.sslkey.or(upstream.sslkey),
                connect_timeout_ms: self.upstream.connect_timeout_ms.or(upstream.connect_timeout_ms),
            },
            catalog: CatalogSettings {
                database: self.catalog.database.or(catalog.database),
                user: self.catalog.user.or(catalog.user),
                password: self.catalog.password.or(password),
                password_file: self.catalog.password_file.or(password_file),
                refresh_seconds: self.catalog.refresh_seconds.or(catalog.refresh_seconds),
                check: self.catalog.check.or(catalog.check),
                check_ms: self.catalog.check_ms.or(catalog.check_ms),
            },
            login: LoginSettings {
                hba_file: self.login.hba_file.or(below.login.hba_file),
                ident_file: self.login.ident_file.or(below.login.ident_file),
                verifier_query: self.login.verifier_query.or(below.login.verifier_query),
                user: self.login.user.or(below.login.user),
                password_file: self.login.password_file.or(below.login.password_file),
            },
            tls: TlsSettings {
                certificate: self.tls.certificate.or(tls.certificate),
                key: self.tls.key.or(tls.key),
                client_ca: self.tls.client_ca.or(tls.client_ca),
                required: self.tls.required.or(tls.required),
            },
            keys: self.keys.or(below.keys),
            state: self.state.or(below.state),
            alerts: self.alerts.or(below.alerts),
            access_log: self.access_log.or(below.access_log),
            log: LogSettings {
                level: self.log.level.or(below.log.level),
                format: self.log.format.or(below.log.format),
            },
        }
    }

    /// Take relative paths as relative to this directory: the one of the file that they are written in.
    pub(super) fn relative_to(&mut self, directory: &Path) {
        let paths = [
            &mut self.mask_keys_file,
            &mut self.actor_keys_file,
            &mut self.totp_file,
            &mut self.reveal_state_file,
            &mut self.upstream.sslcert,
            &mut self.upstream.sslkey,
            &mut self.catalog.password_file,
            &mut self.login.hba_file,
            &mut self.login.ident_file,
            &mut self.login.password_file,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.tls.client_ca,
            &mut self.access_log.path,
            &mut self.access_log.signing_key,
            &mut self.access_log.checkpoint_file,
        ];
        let roots = match &mut self.upstream.sslrootcert {
            Some(RootCertificates::File(path)) => Some(path),
            Some(RootCertificates::System) | None => None,
        };
        for path in paths
            .into_iter()
            .chain(self.keys.paths())
            .flatten()
            .chain(self.policies.iter_mut().flatten())
            .chain(roots)
            .chain(self.state.paths())
            .chain(self.alerts.paths())
            .chain(self.access_log.ship.iter_mut().flatten().flat_map(ShipSettings::paths))
        {
            *path = directory.join(&*path);
        }
    }
}

impl Config {
    /// Fill in the defaults and check what settings have to do with each other.
    ///
    /// # Errors
    /// A setting without default is missing, a value is out of range, a secret's file can not be read.
    pub fn complete(given: Settings) -> Result<Self, ConfigError> {
        let missing = |setting, help| ConfigError::Missing { setting, help };
        let policies = given.policies.ok_or_else(|| missing("policies", POLICIES_HELP))?;
        let database = given.catalog.database.ok_or_else(|| missing("catalog.database", DATABASE_HELP))?;
        let password = match (given.catalog.password, given.catalog.password_file) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::Conflict {
                    settings: "catalog.password and catalog.password_file",
                    reason: "only one of them can be set",
                });
            }
            (Some(password), None) => Some(password),
            (None, Some(path)) => Some(read_secret(&path)?),
            (None, None) => None,
        };
        let tcp = tcp(&given.tcp)?;
        let user = given.catalog.user.unwrap_or_else(|| "pgveil".to_owned());
        let (ship, access_log) = (given.access_log.ship.clone(), given.access_log.complete()?);
        Ok(Self {
            listen: given.listen.map_or_else(|| ([127, 0, 0, 1], 6432).into(), |address| address.0),
            admin_listen: given.admin_listen.map_or_else(|| ([127, 0, 0, 1], 9464).into(), |address| address.0),
            upstream: upstream(given.upstream, tcp)?,
            login: login(given.login, &user, password.as_ref())?,
            catalog: CatalogConfig {
                user,
                password,
                database,
                refresh_interval: Duration::from_secs(in_range(
                    "catalog.refresh_seconds",
                    given.catalog.refresh_seconds.unwrap_or(1),
                    (1, 86_400),
                    "1 to 86400",
                )?),
                check: given.catalog.check.unwrap_or_default(),
                check_interval: Duration::from_millis(in_range(
                    "catalog.check_ms",
                    given.catalog.check_ms.unwrap_or(50),
                    (1, 60_000),
                    "1 to 60000",
                )?),
            },
            tls: client_tls(given.tls)?,
            policies,
            mask_keys_file: given.mask_keys_file,
            actor_keys_file: given.actor_keys_file,
            totp_file: given.totp_file,
            reveal_state_file: given
                .reveal_state_file
                .unwrap_or_else(|| access_log.path.with_file_name("reveals.json")),
            keys: given.keys.complete()?,
            state: given.state.complete(tcp, &access_log.path)?,
            alerts: given.alerts.complete()?,
            ship: sinks(ship.unwrap_or_default(), &access_log.path)?,
            access_log,
            log: LogConfig {
                level: given.log.level.unwrap_or_else(|| "info".to_owned()),
                format: given.log.format.unwrap_or_default(),
            },
            workers: given.workers.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
            max_connections: given.max_connections.unwrap_or(10_000),
            startup_timeout: milliseconds("startup_timeout_ms", given.startup_timeout_ms.unwrap_or(60_000))?,
            drain_timeout: milliseconds("drain_timeout_ms", given.drain_timeout_ms.unwrap_or(30_000))?,
            reuse_port: given.reuse_port.unwrap_or(false),
            tcp,
        })
    }
}

fn upstream(given: UpstreamSettings, tcp: TcpConfig) -> Result<UpstreamConfig, ConfigError> {
    let client_certificate = match (given.sslcert, given.sslkey) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ConfigError::Conflict {
                settings: "upstream.sslcert and upstream.sslkey",
                reason: "a certificate and its key go together: set both or neither",
            });
        }
    };
    let sslmode = given.sslmode.unwrap_or_default();
    if matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull) && given.sslrootcert.is_none() {
        return Err(ConfigError::Missing {
            setting: "upstream.sslrootcert",
            help: "sslmode verify-ca and verify-full need a file with the trusted authorities, or \"system\"",
        });
    }
    Ok(UpstreamConfig {
        host: given.host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: given.port.unwrap_or(5432),
        sslmode,
        sslrootcert: given.sslrootcert,
        client_certificate,
        connect_timeout: milliseconds("upstream.connect_timeout_ms", given.connect_timeout_ms.unwrap_or(10_000))?,
        tcp,
    })
}

/// `user` and `password`: the catalog's login, which asks for verifiers where no other is named.
fn login(given: LoginSettings, user: &str, password: Option<&Secret>) -> Result<LoginConfig, ConfigError> {
    let password = match (&given.password_file, &given.user) {
        (Some(path), _) => Some(read_secret(path)?),
        (None, Some(other)) if other != user => None,
        (None, Some(_) | None) => password.cloned(),
    };
    if given.ident_file.is_some() && given.hba_file.is_none() {
        return Err(ConfigError::Missing {
            setting: "login.hba_file",
            help: "login.ident_file is for rules that use its maps",
        });
    }
    Ok(LoginConfig {
        hba_file: given.hba_file,
        ident_file: given.ident_file,
        verifier_query: given.verifier_query.unwrap_or_else(|| VERIFIER_QUERY.to_owned()),
        user: given.user.unwrap_or_else(|| user.to_owned()),
        password,
    })
}

fn client_tls(given: TlsSettings) -> Result<Option<ClientTlsConfig>, ConfigError> {
    match (given.certificate, given.key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientTlsConfig {
            certificate,
            key,
            client_ca: given.client_ca,
            required: given.required.unwrap_or(false),
        })),
        (None, None) if given.client_ca.is_none() && given.required != Some(true) => Ok(None),
        (None, None) => Err(ConfigError::Missing {
            setting: "tls.certificate",
            help: "tls.client_ca and tls.required need tls.certificate and tls.key",
        }),
        (Some(_), None) | (None, Some(_)) => Err(ConfigError::Conflict {
            settings: "tls.certificate and tls.key",
            reason: "a certificate and its key go together: set both or neither",
        }),
    }
}

fn milliseconds(setting: &'static str, value: u64) -> Result<Duration, ConfigError> {
    in_range(setting, value, (1, 86_400_000), "1 to 86400000 (a day)").map(Duration::from_millis)
}

pub(super) fn in_range(
    setting: &'static str,
    value: u64,
    (least, most): (u64, u64),
    allowed: &'static str,
) -> Result<u64, ConfigError> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(ConfigError::Range { setting, value, allowed }) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    fn flags(arguments: &[&str]) -> Settings {
        Flags::try_parse_from(["pgveil"].iter().chain(arguments)).unwrap().settings
    }

    fn file(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    const LEAST: &str = "policies = []\ncatalog.database = \"shop\"\n";

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let given = flags(&["--upstream-host", "db2", "--log-format", "json", "--tls-required=false"]);
        let below = file(&format!("{LEAST}upstream.host = \"db1\"\nupstream.port = 5433\nlog.format = \"text\"\n"));
        let config = Config::complete(given.or(below)).unwrap();
        assert_eq!((config.upstream.host.as_str(), config.upstream.port), ("db2", 5433));
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!((config.listen.to_string(), config.admin_listen.port()), ("127.0.0.1:6432".to_owned(), 9464));
    }

    #[test]
    fn a_password_displaces_a_password_file_from_below() {
        let below = file(&format!("{LEAST}catalog.password_file = \"/nowhere\"\n"));
        let config = Config::complete(flags(&["--catalog-password", "x"]).or(below)).unwrap();
        assert_eq!(config.catalog.password.unwrap().expose(), "x");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (text, expected) in [
            (
                "catalog.database = \"shop\"",
                "policies is not set: name policy files or directories (--policies, PGVEIL_POLICIES); an empty list masks nothing",
            ),
            (
                "policies = []",
                "catalog.database is not set: name the protected database (--catalog-database, PGVEIL_CATALOG_DATABASE)",
            ),
            (
                "policies = []\ncatalog.database = \"d\"\ntls.required = true",
                "tls.certificate is not set: tls.client_ca and tls.required need tls.certificate and tls.key",
            ),
            (
                "policies = []\ncatalog.database = \"d\"\ntls.key = \"k\"",
                "tls.certificate and tls.key: a certificate and its key go together: set both or neither",
            ),
            (
                "policies = []\ncatalog.database = \"d\"\nupstream.sslmode = \"verify-full\"",
                "upstream.sslrootcert is not set: sslmode verify-ca and verify-full need a file with the trusted authorities, or \"system\"",
            ),
            (
                "policies = []\ncatalog.database = \"d\"\ncatalog.refresh_seconds = 0",
                "catalog.refresh_seconds is 0; allowed is 1 to 86400",
            ),
            (
                "policies = []\ncatalog.database = \"d\"\ntcp.keepalives_count = 128",
                "tcp.keepalives_count is 128; allowed is 1 to 127",
            ),
        ] {
            assert_eq!(Config::complete(file(text)).unwrap_err().to_string(), expected);
        }
    }
}
