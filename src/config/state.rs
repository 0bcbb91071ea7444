//! `[state]`: where is kept what several pgveil processes share, and what outlives one. `[alerts]`: who is told of breaches.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::file::read_secret;
use super::value::{RootCertificates, Secret};
use super::{ConfigError, SslMode, TcpConfig, UpstreamConfig};

/// `[state]`: locks, limits and budgets that outlive the process, and that several processes share.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSettings {
    /// Where locks, what limits count and budgets are kept [default: postgresql if state.dsn is set, else embedded]
    #[arg(id = "state.engine", long = "state-engine", env = "PGVEIL_STATE_ENGINE", value_name = "ENGINE")]
    pub engine: Option<StateEngine>,
    /// Engine embedded: the file [default: state.jsonl beside the access log]
    #[arg(id = "state.path", long = "state-path", env = "PGVEIL_STATE_PATH", value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Engine postgresql: the database, as a libpq connection string or URI without a password
    #[arg(id = "state.dsn", long = "state-dsn", env = "PGVEIL_STATE_DSN", value_name = "CONNECTION")]
    pub dsn: Option<String>,
    /// Engine postgresql: file with the password
    #[arg(
        id = "state.password_file",
        long = "state-password-file",
        env = "PGVEIL_STATE_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// Engine postgresql: file with the authorities that the server's certificate must lead to, or "system"; its name is
    /// verified too
    #[arg(id = "state.sslrootcert", long = "state-sslrootcert", env = "PGVEIL_STATE_SSLROOTCERT", value_name = "FILE")]
    pub sslrootcert: Option<RootCertificates>,
}

/// `[alerts]`: who is told when a limit of the policy's guard is exceeded.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// Where alerts are sent to, by POST: https://..., or http:// to this machine
    #[arg(id = "alerts.url", long = "alerts-url", env = "PGVEIL_ALERTS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The secret that alerts are signed with, 32 characters or more (others can see flags: set the variable, or a file)
    #[arg(
        id = "alerts.secret",
        long = "alerts-secret",
        env = "PGVEIL_ALERTS_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub secret: Option<Secret>,
    /// File with that secret
    #[arg(
        id = "alerts.secret_file",
        long = "alerts-secret-file",
        env = "PGVEIL_ALERTS_SECRET_FILE",
        value_name = "FILE"
    )]
    pub secret_file: Option<PathBuf>,
    /// File with the authorities that the receiver's certificate must lead to, or "system" [default: system]
    #[arg(id = "alerts.ca_file", long = "alerts-ca-file", env = "PGVEIL_ALERTS_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<RootCertificates>,
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StateEngine {
    /// In the process: it ends with it.
    Memory,
    /// In a file on this machine.
    Embedded,
    /// In tables of a PostgreSQL database, for several machines.
    Postgresql,
}

/// Where state is kept, and how it is reached.
#[derive(Clone, Debug)]
pub enum StateConfig {
    /// In the process.
    Memory,
    /// In a file.
    Embedded(PathBuf),
    /// In a database.
    Postgresql(Box<StateDatabase>),
}

/// A database that state is kept in.
#[derive(Clone, Debug)]
pub struct StateDatabase {
    /// The server.
    pub upstream: UpstreamConfig,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret>,
}

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct AlertsConfig {
    /// The address.
    pub url: String,
    /// What they are signed with.
    pub secret: Secret,
    /// Authorities of the receiver.
    pub roots: RootCertificates,
}

/// Characters that a secret has at the least.
const SECRET_CHARACTERS_MIN: usize = 32;

impl StateSettings {
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            engine: self.engine.or(below.engine),
            path: self.path.or(below.path),
            dsn: self.dsn.or(below.dsn),
            password_file: self.password_file.or(below.password_file),
            sslrootcert: self.sslrootcert.or(below.sslrootcert),
        }
    }

    /// The paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let roots = self.sslrootcert.as_mut().and_then(RootCertificates::path_mut);
        self.path.iter_mut().chain(&mut self.password_file).chain(roots)
    }

    /// Fill in the defaults; the file is one beside the access log's.
    ///
    /// # Errors
    /// The engine lacks a setting, or one makes no sense.
    pub fn complete(self, tcp: TcpConfig, access_log: &Path) -> Result<StateConfig, ConfigError> {
        // A lock that a restart takes away is none. Beside a device (a log that goes to /dev/null) no file is put by itself.
        let unnamed = match (&self.dsn, &self.path) {
            (Some(_), _) => StateEngine::Postgresql,
            (None, None) if access_log.starts_with("/dev") => StateEngine::Memory,
            (None, _) => StateEngine::Embedded,
        };
        match self.engine.unwrap_or(unnamed) {
            StateEngine::Memory if self.path.is_some() || self.dsn.is_some() => Err(ConfigError::Conflict {
                settings: "state.engine, state.path and state.dsn",
                reason: "engine memory keeps nothing: say engine = \"embedded\" or \"postgresql\"",
            }),
            StateEngine::Memory => Ok(StateConfig::Memory),
            StateEngine::Embedded => {
                Ok(StateConfig::Embedded(self.path.unwrap_or_else(|| access_log.with_file_name("state.jsonl"))))
            }
            StateEngine::Postgresql => self.database(tcp).map(|database| StateConfig::Postgresql(Box::new(database))),
        }
    }

    fn database(self, tcp: TcpConfig) -> Result<StateDatabase, ConfigError> {
        use tokio_postgres::config::{Host, SslMode as GivenMode};
        let help = "name the database: postgresql://USER@HOST/DATABASE";
        let missing = ConfigError::Missing { setting: "state.dsn", help };
        let dsn = self.dsn.ok_or(missing)?;
        let wrong = |reason| ConfigError::Conflict { settings: "state.dsn", reason };
        // The parser's own message could quote a password.
        let given: tokio_postgres::Config = dsn.parse().map_err(|_| wrong("it is no connection string or URI"))?;
        if given.get_password().is_some() {
            return Err(wrong("a password does not belong there: set state.password_file"));
        }
        let user = given.get_user().ok_or_else(|| wrong("it names no user"))?.to_owned();
        let sslmode = match (given.get_ssl_mode(), &self.sslrootcert) {
            (_, Some(_)) => SslMode::VerifyFull,
            (GivenMode::Disable, None) => SslMode::Disable,
            (GivenMode::Require, None) => SslMode::Require,
            (_, None) => SslMode::Prefer,
        };
        let upstream = UpstreamConfig {
            host: match given.get_hosts().first() {
                Some(Host::Tcp(name)) => name.clone(),
                Some(Host::Unix(_)) => return Err(wrong("it names a Unix-domain socket; name a host")),
                None => "127.0.0.1".to_owned(),
            },
            port: given.get_ports().first().copied().unwrap_or(5432),
            sslmode,
            sslrootcert: self.sslrootcert,
            client_certificate: None,
            connect_timeout: given.get_connect_timeout().copied().unwrap_or(std::time::Duration::from_secs(5)),
            tcp,
        };
        let password = self.password_file.map(|path| read_secret(&path)).transpose()?;
        let database = given.get_dbname().unwrap_or(&user).to_owned();
        Ok(StateDatabase { upstream, database, user, password })
    }
}

impl AlertSettings {
    pub(super) fn or(self, below: Self) -> Self {
        let own = self.secret.is_some() || self.secret_file.is_some();
        let (secret, secret_file) = if own { (None, None) } else { (below.secret, below.secret_file) };
        Self {
            url: self.url.or(below.url),
            secret: self.secret.or(secret),
            secret_file: self.secret_file.or(secret_file),
            ca_file: self.ca_file.or(below.ca_file),
        }
    }

    /// The paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let roots = self.ca_file.as_mut().and_then(RootCertificates::path_mut);
        self.secret_file.iter_mut().chain(roots)
    }

    /// `None`: nobody is told.
    pub(super) fn complete(self) -> Result<Option<AlertsConfig>, ConfigError> {
        let Some(url) = self.url else { return Ok(None) };
        let secret = match (self.secret, self.secret_file) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::Conflict {
                    settings: "alerts.secret and alerts.secret_file",
                    reason: "only one of them can be set",
                });
            }
            (Some(secret), None) => secret,
            (None, Some(path)) => read_secret(&path)?,
            (None, None) => {
                let help = "alerts are signed: name a file with a secret, or set PGVEIL_ALERTS_SECRET";
                return Err(ConfigError::Missing { setting: "alerts.secret_file", help });
            }
        };
        if secret.expose().chars().count() < SECRET_CHARACTERS_MIN {
            return Err(ConfigError::Conflict {
                settings: "alerts.secret",
                reason: "it is shorter than 32 characters",
            });
        }
        Ok(Some(AlertsConfig { url, secret, roots: self.ca_file.unwrap_or(RootCertificates::System) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> Result<StateConfig, String> {
        let settings: StateSettings = toml::from_str(text).unwrap();
        settings.complete(TcpConfig::default(), Path::new("/log/access.jsonl")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_engine_needs_what_it_keeps_state_in() {
        assert!(matches!(state("engine = \"memory\""), Ok(StateConfig::Memory)));
        for (text, expected) in [
            ("", "/log/state.jsonl"),
            ("engine = \"embedded\"", "/log/state.jsonl"),
            ("path = \"/lib/state\"", "/lib/state"),
        ] {
            assert!(matches!(state(text), Ok(StateConfig::Embedded(path)) if path == Path::new(expected)), "{text}");
        }
        let at_device = |text: &str| {
            let settings: StateSettings = toml::from_str(text).unwrap();
            settings.complete(TcpConfig::default(), Path::new("/dev/null")).unwrap()
        };
        assert!(matches!(at_device(""), StateConfig::Memory));
        assert!(matches!(at_device("path = \"/lib/state\""), StateConfig::Embedded(_)));
        assert!(matches!(state("dsn = \"host=db user=a\""), Ok(StateConfig::Postgresql(_))));
        let Ok(StateConfig::Postgresql(database)) =
            state("engine = \"postgresql\"\ndsn = \"postgresql://veil@db:5433/shop?sslmode=disable\"")
        else {
            panic!("no database")
        };
        assert_eq!((database.user.as_str(), database.database.as_str()), ("veil", "shop"));
        assert_eq!((database.upstream.port, database.upstream.sslmode), (5433, SslMode::Disable));
        for (text, expected) in [
            ("engine = \"memory\"\npath = \"x\"", "engine memory keeps nothing"),
            ("engine = \"postgresql\"", "state.dsn is not set"),
            ("engine = \"postgresql\"\ndsn = \"postgresql://a:hunter2@b/c\"", "state.password_file"),
            ("engine = \"postgresql\"\ndsn = \"host=b\"", "it names no user"),
        ] {
            let found = state(text).unwrap_err();
            assert!(found.contains(expected) && !found.contains("hunter2"), "{text}: {found}");
        }
    }

    #[test]
    fn alerts_are_signed() {
        let alerts = |text: &str| {
            let settings: AlertSettings = toml::from_str(text).unwrap();
            settings.complete().map(|found| found.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(alerts(""), Ok(false));
        assert!(alerts("url = \"https://x\"").unwrap_err().contains("alerts are signed"));
        assert!(alerts("url = \"https://x\"\nsecret = \"short\"").unwrap_err().contains("shorter"));
        assert_eq!(alerts(&format!("url = \"https://x\"\nsecret = \"{}\"", "s".repeat(32))), Ok(true));
    }
}
