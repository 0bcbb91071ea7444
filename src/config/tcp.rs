//! `[tcp]`: how dead peers are found out, clients and the server alike.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::ConfigError;
use super::settings::in_range;

/// When a peer is taken to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Silence until the peer is asked for a sign of life.
    pub keepalives_idle: Duration,
    /// Time between two such questions.
    pub keepalives_interval: Duration,
    /// Questions without an answer until the connection is given up.
    pub keepalives_count: u32,
    /// Longest time that something sent may go without an acknowledgement; `None`: what the operating system has, which is
    /// about 15 minutes on Linux.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpConfig {
    /// A peer that has vanished is noticed after two minutes.
    fn default() -> Self {
        Self {
            keepalives_idle: Duration::from_secs(60),
            keepalives_interval: Duration::from_secs(15),
            keepalives_count: 4,
            user_timeout: None,
        }
    }
}

/// `[tcp]`: connections with clients and with the server.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpSettings {
    /// Seconds of silence until a client or the server is asked for a sign of life [default: 60]
    #[arg(
        id = "tcp.keepalives_idle",
        long = "tcp-keepalives-idle",
        env = "PGVEIL_TCP_KEEPALIVES_IDLE",
        value_name = "SECONDS"
    )]
    pub keepalives_idle: Option<u64>,
    /// Seconds between two such questions [default: 15]
    #[arg(
        id = "tcp.keepalives_interval",
        long = "tcp-keepalives-interval",
        env = "PGVEIL_TCP_KEEPALIVES_INTERVAL",
        value_name = "SECONDS"
    )]
    pub keepalives_interval: Option<u64>,
    /// Questions without an answer until a connection is given up [default: 4]
    #[arg(
        id = "tcp.keepalives_count",
        long = "tcp-keepalives-count",
        env = "PGVEIL_TCP_KEEPALIVES_COUNT",
        value_name = "COUNT"
    )]
    pub keepalives_count: Option<u64>,
    /// Milliseconds that data may go unacknowledged, also by a peer that does not read; 0: the system's [default: 0]
    #[arg(id = "tcp.user_timeout", long = "tcp-user-timeout", env = "PGVEIL_TCP_USER_TIMEOUT", value_name = "MS")]
    pub user_timeout: Option<u64>,
}

impl TcpSettings {
    /// These settings, and where one is missing that of `below`.
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            keepalives_idle: self.keepalives_idle.or(below.keepalives_idle),
            keepalives_interval: self.keepalives_interval.or(below.keepalives_interval),
            keepalives_count: self.keepalives_count.or(below.keepalives_count),
            user_timeout: self.user_timeout.or(below.user_timeout),
        }
    }
}

/// The bounds are those of Linux (`tcp(7)`).
pub(super) fn tcp(given: &TcpSettings) -> Result<TcpConfig, ConfigError> {
    let defaults = TcpConfig::default();
    let seconds = |setting, given: Option<u64>, default: Duration| {
        let value = given.unwrap_or(default.as_secs());
        in_range(setting, value, (1, 32_767), "1 to 32767").map(Duration::from_secs)
    };
    let count = given.keepalives_count.unwrap_or(defaults.keepalives_count.into());
    let count = in_range("tcp.keepalives_count", count, (1, 127), "1 to 127")?;
    let timeout = given.user_timeout.unwrap_or(0);
    let timeout = in_range("tcp.user_timeout", timeout, (0, 86_400_000), "0 to 86400000 (a day)")?;
    Ok(TcpConfig {
        keepalives_idle: seconds("tcp.keepalives_idle", given.keepalives_idle, defaults.keepalives_idle)?,
        keepalives_interval: seconds(
            "tcp.keepalives_interval",
            given.keepalives_interval,
            defaults.keepalives_interval,
        )?,
        keepalives_count: u32::try_from(count).unwrap_or(defaults.keepalives_count),
        user_timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
    })
}
