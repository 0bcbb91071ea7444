//! The values that settings have. Each is read from the same text in the file, in a flag and in a variable.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// `ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        format!("{host}:{port}")
            .parse()
            .map(Self)
            .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:6432 or [::1]:6432".to_owned())
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A password. Never shown; its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<redacted>")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

/// Whether and how TLS is used towards the server, as libpq's `sslmode`
/// (PostgreSQL manual, section 34.19.1 "Client Verification of Server Certificates").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server has it.
    #[default]
    Prefer,
    /// Always; the certificate is not checked, unless `sslrootcert` is set.
    Require,
    /// Always; the certificate must lead to a known authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate must be the host's.
    VerifyFull,
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the operating system.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

impl RootCertificates {
    /// The path of their file.
    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::System => None,
            Self::File(path) => Some(path),
        }
    }
}

impl FromStr for RootCertificates {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "system" { Self::System } else { Self::File(text.into()) })
    }
}

impl<'de> Deserialize<'de> for RootCertificates {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Ok(parsed) = String::deserialize(from)?.parse();
        Ok(parsed)
    }
}

/// When it is looked whether the catalog has changed past pgveil.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogCheck {
    /// Each `catalog.check_ms`.
    Interval,
    /// Also before each result of a caller to whom something is masked, and before each message that does more than read.
    #[default]
    Statement,
}

/// When an event counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// When the operating system has it: survives the end of pgveil, not a loss of power.
    #[default]
    Write,
    /// When the disk has it.
    Fsync,
}

/// How lines of the operational log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
