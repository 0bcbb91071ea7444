//! The catalog of a live database, for commands that look at one and end.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode as GivenMode};

use crate::catalog::{Catalog, CatalogVersion};
use crate::config::{CatalogCheck, CatalogConfig, Config, Secret, SslMode, TcpConfig, UpstreamConfig};
use crate::server::catalog_login::{CatalogLogin, CatalogReadError};
use crate::server::{TlsError, Upstream};

/// Why a live database's catalog is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgainstError {
    /// The connection string makes no sense.
    #[error("the connection string is not understood: {0}")]
    ConnectionString(tokio_postgres::Error),
    /// It leaves something out.
    #[error("the connection string names no {0}")]
    Missing(&'static str),
    /// TLS towards the server.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server.
    #[error("{server}: {source}")]
    Catalog {
        /// Its address.
        server: String,
        /// What it said.
        source: CatalogReadError,
    },
    /// The runtime.
    #[error("no runtime can be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Read the catalog of the database that a libpq connection string or URI names, such as
/// `host=db.example port=5432 dbname=shop user=pgveil` or `postgresql://pgveil@db.example/shop`. `password` is for a
/// string without one.
///
/// # Errors
/// The string makes no sense, or the catalog can not be read.
pub(super) fn catalog_at(connection: &str, password: Option<String>) -> Result<Catalog, AgainstError> {
    let (upstream, login) = described(connection, password)?;
    read(&upstream, login)
}

/// Read the catalog of the database that the settings name.
///
/// # Errors
/// The catalog can not be read.
pub(super) fn catalog_of(config: Config) -> Result<Catalog, AgainstError> {
    read(&config.upstream, config.catalog)
}

fn read(upstream: &UpstreamConfig, login: CatalogConfig) -> Result<Catalog, AgainstError> {
    let server = upstream.address();
    let upstream = Arc::new(Upstream::new(upstream)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let catalog = runtime.block_on(async {
        let rows = CatalogLogin::new(upstream, login).read_all().await?;
        rows.load(CatalogVersion(1))
    });
    catalog.map_err(|source| AgainstError::Catalog { server, source })
}

/// Server and login that a connection string names; `password` is for a string without one.
///
/// # Errors
/// The string makes no sense, or leaves the user out.
pub(super) fn described(
    given: &str,
    password: Option<String>,
) -> Result<(UpstreamConfig, CatalogConfig), AgainstError> {
    let given: tokio_postgres::Config = given.parse().map_err(AgainstError::ConnectionString)?;
    let host = match given.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(directory)) => directory.display().to_string(),
        None => "127.0.0.1".to_owned(),
    };
    let user = given.get_user().ok_or(AgainstError::Missing("user"))?.to_owned();
    let stated = given.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let upstream = UpstreamConfig {
        host,
        port: given.get_ports().first().copied().unwrap_or(5432),
        sslmode: match given.get_ssl_mode() {
            GivenMode::Disable => SslMode::Disable,
            GivenMode::Require => SslMode::Require,
            // `prefer`, and what this library may learn later.
            _ => SslMode::Prefer,
        },
        sslrootcert: None,
        client_certificate: None,
        connect_timeout: given.get_connect_timeout().copied().unwrap_or(Duration::from_secs(10)),
        tcp: TcpConfig::default(),
    };
    let login = CatalogConfig {
        database: given.get_dbname().unwrap_or(&user).to_owned(),
        user,
        password: stated.or(password).map(Secret::from),
        refresh_interval: Duration::from_secs(30),
        check: CatalogCheck::default(),
        check_interval: Duration::from_secs(30),
    };
    Ok((upstream, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_and_uris_say_the_same() {
        for given in [
            "host=db.example port=5433 dbname=shop user=ann sslmode=require",
            "postgresql://ann@db.example:5433/shop?sslmode=require",
        ] {
            let (upstream, login) = described(given, Some("secret".into())).unwrap();
            assert_eq!(
                (upstream.host.as_str(), upstream.port, upstream.sslmode),
                ("db.example", 5433, SslMode::Require)
            );
            assert_eq!((login.user.as_str(), login.database.as_str()), ("ann", "shop"));
            assert_eq!(login.password.unwrap().expose(), "secret");
        }
        let stated = described("user=ann password=own", Some("other".into())).unwrap().1.password.unwrap();
        assert_eq!(stated.expose(), "own");
        assert!(matches!(described("host=db.example", None), Err(AgainstError::Missing("user"))));
        assert!(matches!(described("port=many", None), Err(AgainstError::ConnectionString(_))));
    }
}
