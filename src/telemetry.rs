//! What pgveil tells its operators: Prometheus metrics and the operational log.
//!
//! Names are `pgveil_<noun>_<unit>[_total]`; label values come from closed sets, or are the policy's own tags. Children of
//! labelled families are resolved once, so that counting is one atomic addition. Nothing in here ever sees a value, a
//! parameter or a literal.

mod metrics;
mod tracing_setup;

pub use metrics::{CancelOutcome, ConnectionState, Direction, KeyLabel, Leg, Metrics, SinkMetrics};
pub use tracing_setup::{log_panics_without_their_message, start_log};
