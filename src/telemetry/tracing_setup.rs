//! The operational log: lines on standard error, as text or JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Directives that no setting can lift: these crates write the statements or messages that they are given into their
/// own log lines.
const SILENCED: [&str; 5] =
    ["sqlparser=off", "tokio_postgres=off", "postgres_protocol=off", "pgwire=off", "squawk_syntax=off"];

/// Start writing the operational log. Once for each process: a second call changes nothing.
///
/// # Errors
/// The level is not one that `tracing` knows.
pub fn start_log(config: &LogConfig) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = filter(&config.level)?;
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    // An error here means that a subscriber is set already, as in tests that start twice.
    let _already = match config.format {
        LogFormat::Text => registry.with(format).try_init(),
        LogFormat::Json => registry.with(format.json().flatten_event(true)).try_init(),
    };
    Ok(())
}

/// Log where the program panicked, and not what the panic says: its message can quote the bytes that were worked on.
pub fn log_panics_without_their_message() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(%place, %thread, "a fault in pgveil: please report it");
    }));
}

/// Crates other than pgveil speak up from `warn` on.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let simple = !level.contains(['=', ',']);
    let asked = if simple { format!("warn,pgveil={level}") } else { level.to_owned() };
    SILENCED
        .iter()
        .try_fold(EnvFilter::try_new(asked)?, |filter, directive| Ok(filter.add_directive(directive.parse()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_quote_statements_stay_silent_whatever_is_asked() {
        for level in ["trace", "info,sqlparser=trace", "sqlparser=debug,tokio_postgres=debug"] {
            let shown = filter(level).unwrap().to_string();
            for directive in SILENCED {
                assert!(shown.contains(directive), "{level}: {shown}");
            }
            assert!(!shown.contains("sqlparser=trace") && !shown.contains("sqlparser=debug"), "{level}: {shown}");
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_an_error() {
        assert!(filter("pgveil=loud").is_err());
    }
}
