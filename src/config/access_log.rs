//! `[access_log]`: where accesses are written down, how surely, and how long they are kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Deserializer};

use super::ConfigError;
use super::settings::in_range;
use super::ship::ShipSettings;
use super::value::Durability;

const DEFAULT_PATH: &str = "/var/log/pgveil/access.jsonl";
const DAY: Duration = Duration::from_secs(86_400);

/// `[access_log]`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogSettings {
    /// The access log's file [default: /var/log/pgveil/access.jsonl]
    #[arg(id = "access_log.path", long = "access-log-path", env = "PGVEIL_ACCESS_LOG_PATH", value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// When an event counts as written [default: write]
    #[arg(
        id = "access_log.durability",
        long = "access-log-durability",
        env = "PGVEIL_ACCESS_LOG_DURABILITY",
        value_name = "WHEN"
    )]
    pub durability: Option<Durability>,
    /// The key that signs checkpoints; `pgveil log init` makes it [default: none, and nothing is signed]
    #[arg(
        id = "access_log.signing_key",
        long = "access-log-signing-key",
        env = "PGVEIL_ACCESS_LOG_SIGNING_KEY",
        value_name = "FILE"
    )]
    pub signing_key: Option<PathBuf>,
    /// Where the newest checkpoint is put each time, to be taken away from there [default: nowhere]
    #[arg(
        id = "access_log.checkpoint_file",
        long = "access-log-checkpoint-file",
        env = "PGVEIL_ACCESS_LOG_CHECKPOINT_FILE",
        value_name = "FILE"
    )]
    pub checkpoint_file: Option<PathBuf>,
    /// Time between two checkpoints, also when nothing happens [default: 60]
    #[arg(
        id = "access_log.checkpoint_seconds",
        long = "access-log-checkpoint-seconds",
        env = "PGVEIL_ACCESS_LOG_CHECKPOINT_SECONDS",
        value_name = "SECONDS"
    )]
    pub checkpoint_seconds: Option<u64>,
    /// Size at which the file is closed and a new one begun, in MiB [default: 64]
    #[arg(
        id = "access_log.segment_mib",
        long = "access-log-segment-mib",
        env = "PGVEIL_ACCESS_LOG_SEGMENT_MIB",
        value_name = "MIB"
    )]
    pub segment_mib: Option<u64>,
    /// Age at which the file is closed and a new one begun [default: 24]
    #[arg(
        id = "access_log.segment_hours",
        long = "access-log-segment-hours",
        env = "PGVEIL_ACCESS_LOG_SEGMENT_HOURS",
        value_name = "HOURS"
    )]
    pub segment_hours: Option<u64>,
    /// How long closed files are kept: "90 days", or "forever" [default: forever]
    #[arg(
        id = "access_log.retention",
        long = "access-log-retention",
        env = "PGVEIL_ACCESS_LOG_RETENTION",
        value_name = "TIME"
    )]
    pub retention: Option<Retention>,
    /// Where it is sent to.
    #[arg(skip)]
    pub ship: Option<Vec<ShipSettings>>,
}

/// The access log's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// The file that is being written; closed ones get their place and time behind its name.
    pub path: PathBuf,
    /// When an event counts as written.
    pub durability: Durability,
    /// The key that signs checkpoints.
    pub signing_key: Option<PathBuf>,
    /// Where the newest checkpoint is put.
    pub checkpoint_file: Option<PathBuf>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Size at which a file is closed.
    pub segment_bytes: u64,
    /// Age at which a file is closed.
    pub segment_age: Duration,
    /// How long closed files are kept.
    pub retention: Retention,
}

impl AccessLogConfig {
    /// A log at this path, and all else as it is by default.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            durability: Durability::default(),
            signing_key: None,
            checkpoint_file: None,
            checkpoint_interval: Duration::from_secs(60),
            segment_bytes: 64 << 20,
            segment_age: DAY,
            retention: Retention::Forever,
        }
    }
}

impl AccessLogSettings {
    /// These settings, and where one is missing that of `below`.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self {
            path: self.path.or(below.path),
            durability: self.durability.or(below.durability),
            signing_key: self.signing_key.or(below.signing_key),
            checkpoint_file: self.checkpoint_file.or(below.checkpoint_file),
            checkpoint_seconds: self.checkpoint_seconds.or(below.checkpoint_seconds),
            segment_mib: self.segment_mib.or(below.segment_mib),
            segment_hours: self.segment_hours.or(below.segment_hours),
            retention: self.retention.or(below.retention),
            ship: self.ship.or(below.ship),
        }
    }

    /// The log's file.
    pub fn file(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// Fill in the defaults.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn complete(self) -> Result<AccessLogConfig, ConfigError> {
        let config = AccessLogConfig::at(self.file());
        let seconds = self.checkpoint_seconds.unwrap_or(60);
        let mib = self.segment_mib.unwrap_or(64);
        let hours = self.segment_hours.unwrap_or(24);
        Ok(AccessLogConfig {
            durability: self.durability.unwrap_or_default(),
            signing_key: self.signing_key,
            checkpoint_file: self.checkpoint_file,
            checkpoint_interval: Duration::from_secs(in_range(
                "access_log.checkpoint_seconds",
                seconds,
                (1, 3600),
                "1 to 3600",
            )?),
            segment_bytes: in_range("access_log.segment_mib", mib, (1, 1 << 20), "1 to 1048576")? << 20,
            segment_age: Duration::from_secs(
                in_range("access_log.segment_hours", hours, (1, 8760), "1 to 8760")?.saturating_mul(3600),
            ),
            retention: self.retention.unwrap_or_default(),
            ..config
        })
    }
}

/// How long closed files are kept: `90 days`, `1 day` or `forever`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// They are never deleted.
    #[default]
    Forever,
    /// For so many days after their last record.
    Days(u32),
}

impl Retention {
    /// The time; `None`: for ever.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Days(days) => Some(DAY.saturating_mul(days)),
        }
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = |text: &str| {
            let number = text.strip_suffix("days").or_else(|| text.strip_suffix("day"))?;
            number.trim_end().parse().ok().filter(|days| *days > 0)
        };
        match text.trim() {
            "forever" => Ok(Self::Forever),
            text => days(text)
                .map(Self::Days)
                .ok_or_else(|| "expected \"forever\" or a number of days, such as \"90 days\"".to_owned()),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => out.write_str("forever"),
            Self::Days(days) => write!(out, "{days} days"),
        }
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_number_of_days_or_for_ever() {
        for (text, read) in
            [("forever", Retention::Forever), ("90 days", Retention::Days(90)), ("1 day", Retention::Days(1))]
        {
            assert_eq!(text.parse(), Ok(read));
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for text in ["", "90", "0 days", "-1 days", "ninety days", "90 weeks", "for ever"] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }
}
