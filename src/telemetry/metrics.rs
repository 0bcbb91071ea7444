//! The metrics of one pgveil process, in a registry of their own.

mod labels;
mod shipping;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, process_collector::ProcessCollector,
};

use crate::plan::Snapshot;
use crate::policy::Limit;
use crate::session::io::{CloseReason, Observation, RefusalReason, RestrictiveReason, VerdictLabel};

use labels::{
    BYTE_FLOWS, CLOSE_REASONS, REFUSAL_REASONS, RESTRICTIVE_REASONS, bytes_label, cancel_label, restrictive_label,
    verdict_label,
};
pub use labels::{CancelOutcome, ConnectionState, Direction, KeyLabel, Leg};
use shipping::ShippingMetrics;
pub use shipping::SinkMetrics;

/// A counter with one label from a closed set, its children resolved.
struct Family<K> {
    counters: IntCounterVec,
    children: Vec<(K, IntCounter)>,
    name: fn(K) -> &'static str,
}

impl<K: Copy + PartialEq> Family<K> {
    fn new(made: &Maker, metric: &str, help: &str, label: &str, keys: &[K], name: fn(K) -> &'static str) -> Made<Self> {
        let counters = made.register(IntCounterVec::new(Opts::new(metric, help), &[label])?)?;
        let children = keys.iter().map(|&key| (key, counters.with_label_values(&[name(key)]))).collect();
        Ok(Self { counters, children, name })
    }

    fn add(&self, key: K, count: u64) {
        match self.children.iter().find(|(known, _)| *known == key) {
            Some((_, counter)) => counter.inc_by(count),
            None => self.counters.with_label_values(&[(self.name)(key)]).inc_by(count),
        }
    }
}

/// Counters of one tag of the policy.
struct TagCounters {
    masked: IntCounter,
    revealed: IntCounter,
    filters: IntCounter,
    masks_kept: IntCounter,
    masks_compared: IntCounter,
}

type Made<T> = Result<T, prometheus::Error>;

/// Everything that pgveil counts.
///
/// Counters that only one place counts are public fields; those with labels are methods.
pub struct Metrics {
    registry: Registry,
    connections: IntGaugeVec,
    /// Client connections accepted.
    pub connections_total: IntCounter,
    /// Client connections turned away because `max_connections` was reached.
    pub connections_refused: IntCounter,
    closed: Family<CloseReason>,
    statements: Family<VerdictLabel>,
    refusals: Family<RefusalReason>,
    restrictive: Family<RestrictiveReason>,
    masked: IntCounterVec,
    revealed: IntCounterVec,
    filters: IntCounterVec,
    masks_kept: IntCounterVec,
    masks_compared: IntCounterVec,
    tags: ArcSwap<HashMap<Arc<str>, Arc<TagCounters>>>,
    /// Analyses found in the cache.
    pub analysis_cache_hits: IntCounter,
    /// Analyses that had to be made.
    pub analysis_cache_misses: IntCounter,
    /// Seconds that making an analysis took.
    pub analysis_seconds: Histogram,
    /// Seconds from a client's request coming in to its going on to the server, analysis included; of a sample.
    pub statement_overhead_seconds: Histogram,
    /// 1 while the newest reload of the policy succeeded.
    pub policy_reload_ok: IntGauge,
    /// Reloads of the policy that were put in force.
    pub policy_reloads: IntCounter,
    /// Reloads refused, the running policy kept.
    pub policy_reload_failures: IntCounter,
    /// Tagged columns that the database does not have as the policy in force says.
    pub policy_misfits: IntGauge,
    /// Columns that keep the tag of a parent or key that they no longer have.
    pub tags_kept: IntGauge,
    policy_generation: IntGauge,
    policy_info: IntGaugeVec,
    snapshot_version: IntGauge,
    catalog_version: IntGauge,
    /// Readings of the catalog that succeeded.
    pub catalog_reads: IntCounter,
    /// Readings of the catalog that failed.
    pub catalog_read_failures: IntCounter,
    /// Seconds that a reading of the catalog took.
    pub catalog_read_seconds: Histogram,
    catalog_age: Gauge,
    /// Lines written to the access log.
    pub access_log_writes: IntCounter,
    /// Requests to write to the access log that failed, and records that nobody waited for and that were lost.
    pub access_log_failures: IntCounter,
    /// Bytes written to the access log.
    pub access_log_bytes: IntCounter,
    /// Lines of one write of the access log.
    pub access_log_batch_records: Histogram,
    /// Seconds that the disk took to make a write of the access log durable.
    pub access_log_sync_seconds: Histogram,
    /// When the newest checkpoint of the access log was made, in seconds since 1970.
    pub access_log_checkpoint_time: Gauge,
    /// Files of the access log.
    pub access_log_segments: IntGauge,
    /// 1 while access events can be written.
    pub access_log_ready: IntGauge,
    /// Connections to the server that could not be made.
    pub upstream_connect_errors: IntCounter,
    /// Reloads of the client TLS files that failed.
    pub tls_reload_failures: IntCounter,
    /// Logins that failed.
    pub login_failures: IntCounter,
    /// Verifiers of passwords that the server could not be asked for.
    pub verifier_failures: IntCounter,
    /// Reloads of the rules of logins that failed.
    pub rules_reload_failures: IntCounter,
    keys: IntGaugeVec,
    /// Keys of encrypted columns that could not be unwrapped, each time that it was tried.
    pub key_unwrap_failures: IntCounter,
    /// Reloads of the keyring that failed.
    pub keyring_reload_failures: IntCounter,
    guard_breaches: IntCounterVec,
    /// Accounts that are locked out.
    pub guard_locks: IntGauge,
    /// Alerts that their receiver has taken.
    pub guard_alerts_sent: IntCounter,
    /// Attempts to send an alert that failed.
    pub guard_alert_failures: IntCounter,
    /// Alerts that were dropped, because too many wait.
    pub guard_alerts_dropped: IntCounter,
    /// 1 while the store of what is shared can be reached.
    pub state_ready: IntGauge,
    errors_scrubbed: IntCounter,
    unknown_revealed: IntCounter,
    cancels: Family<CancelOutcome>,
    bytes: Family<(Leg, Direction)>,
    shipping: ShippingMetrics,
}

/// Registers collectors as they are made.
struct Maker {
    registry: Registry,
}

impl Maker {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Made<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn tagged(&self, name: &str, help: &str) -> Made<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), &["tag"])?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }
}

/// 10 µs to 100 ms, in seconds.
const OVERHEAD_BUCKETS: [f64; 13] = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1];

/// 5 ms to 10 s, in seconds.
const CATALOG_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// 1 to 4,096 lines.
const BATCH_BUCKETS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

/// 100 µs to 5 s, in seconds.
const SYNC_BUCKETS: [f64; 12] = [1e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0];

impl Metrics {
    /// All metrics at zero, with process metrics beside them.
    ///
    /// # Errors
    /// Only when two metrics have one name, which is a fault of this file.
    pub fn new() -> Made<Self> {
        let registry = Registry::new();
        let made = Maker { registry: registry.clone() };
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = made.register(IntGaugeVec::new(
            Opts::new("pgveil_build_info", "Always 1; the version of pgveil is a label."),
            &["version"],
        )?)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let connections = made.register(IntGaugeVec::new(
            Opts::new("pgveil_client_connections", "Client connections by state."),
            &["state"],
        )?)?;
        for state in [ConnectionState::Startup, ConnectionState::Open] {
            connections.with_label_values(&[state.label()]).set(0);
        }
        Ok(Self {
            connections,
            connections_total: made.counter("pgveil_client_connections_total", "Client connections accepted.")?,
            connections_refused: made.counter(
                "pgveil_client_connections_refused_total",
                "Client connections turned away because max_connections was reached.",
            )?,
            closed: Family::new(
                &made,
                "pgveil_client_connections_closed_total",
                "Client connections closed, by reason.",
                "reason",
                &CLOSE_REASONS,
                CloseReason::name,
            )?,
            statements: Family::new(
                &made,
                "pgveil_statements_total",
                "Statements by verdict: passed untouched, protected (results rewritten or watched), refused.",
                "verdict",
                &[VerdictLabel::Passed, VerdictLabel::Protected, VerdictLabel::Refused],
                verdict_label,
            )?,
            refusals: Family::new(
                &made,
                "pgveil_refusals_total",
                "Statements refused, by reason.",
                "reason",
                &REFUSAL_REASONS,
                RefusalReason::name,
            )?,
            restrictive: Family::new(
                &made,
                "pgveil_restrictive_defaults_total",
                "Restrictive defaults taken because something is not known, by reason.",
                "reason",
                &RESTRICTIVE_REASONS,
                restrictive_label,
            )?,
            masked: made.tagged(
                "pgveil_columns_masked_total",
                "Tagged columns delivered masked, hidden or redacted, one for each execution and column.",
            )?,
            revealed: made.tagged(
                "pgveil_columns_revealed_total",
                "Tagged columns delivered in clear, one for each execution and column.",
            )?,
            filters: made.tagged(
                "pgveil_filters_permitted_total",
                "Permitted filters on columns that are not clear to the caller, counted as the inference budget does.",
            )?,
            masks_kept: made.tagged(
                "pgveil_masks_kept_total",
                "Masks that came back in an UPDATE; the stored value was kept. One for each execution and tag.",
            )?,
            masks_compared: made.tagged(
                "pgveil_masks_compared_total",
                "Values in an UPDATE that may be masks: the server kept the stored value where they were. One for each execution and tag.",
            )?,
            tags: ArcSwap::default(),
            analysis_cache_hits: made.counter("pgveil_analysis_cache_hits_total", "Analyses found in the cache.")?,
            analysis_cache_misses: made.counter("pgveil_analysis_cache_misses_total", "Analyses made.")?,
            analysis_seconds: made.histogram(
                "pgveil_analysis_seconds",
                "Time that making the analysis of a statement took.",
                &OVERHEAD_BUCKETS,
            )?,
            statement_overhead_seconds: made.histogram(
                "pgveil_statement_overhead_seconds",
                "Time from a client's request coming in to its going on to the server, of a sample of requests.",
                &OVERHEAD_BUCKETS,
            )?,
            policy_reload_ok: made.gauge("pgveil_policy_reload_ok", "1 while the newest reload succeeded, else 0.")?,
            policy_reloads: made.counter("pgveil_policy_reloads_total", "Policies put in force.")?,
            policy_reload_failures: made.counter(
                "pgveil_policy_reload_failures_total",
                "Reloads of the policy that were refused; the running policy stayed in force.",
            )?,
            policy_misfits: made.gauge(
                "pgveil_policy_misfits",
                "Errors between the policy in force and the database, as after a tagged column was renamed.",
            )?,
            tags_kept: made.gauge(
                "pgveil_tags_kept",
                "Columns that keep the tag of a parent or key that they no longer have.",
            )?,
            policy_generation: made.gauge("pgveil_policy_generation", "Counts the policies put in force.")?,
            policy_info: made.register(IntGaugeVec::new(
                Opts::new("pgveil_policy_info", "Always 1; the digest of the policy files in force is a label."),
                &["digest"],
            )?)?,
            snapshot_version: made.gauge("pgveil_snapshot_version", "Version that decisions are made under.")?,
            catalog_version: made.gauge("pgveil_catalog_version", "Version of the catalog in force.")?,
            catalog_reads: made.counter("pgveil_catalog_reads_total", "Readings of the catalog.")?,
            catalog_read_failures: made
                .counter("pgveil_catalog_read_failures_total", "Readings of the catalog that failed.")?,
            catalog_read_seconds: made.histogram(
                "pgveil_catalog_read_seconds",
                "Time that a reading of the catalog took.",
                &CATALOG_BUCKETS,
            )?,
            catalog_age: made.register(Gauge::new(
                "pgveil_catalog_age_seconds",
                "Time since the start of the newest reading of the catalog that succeeded.",
            )?)?,
            access_log_writes: made.counter("pgveil_access_log_writes_total", "Lines written to the access log.")?,
            access_log_failures: made.counter(
                "pgveil_access_log_failures_total",
                "Requests to write to the access log that failed, and records without a waiter that were lost.",
            )?,
            access_log_bytes: made.counter("pgveil_access_log_bytes_total", "Bytes written to the access log.")?,
            access_log_batch_records: made.histogram(
                "pgveil_access_log_batch_records",
                "Lines of one write of the access log.",
                &BATCH_BUCKETS,
            )?,
            access_log_sync_seconds: made.histogram(
                "pgveil_access_log_sync_seconds",
                "Time that the disk took to make a write of the access log durable.",
                &SYNC_BUCKETS,
            )?,
            access_log_checkpoint_time: made.register(Gauge::new(
                "pgveil_access_log_checkpoint_timestamp_seconds",
                "When the newest checkpoint of the access log was made, in seconds since 1970.",
            )?)?,
            access_log_segments: made.gauge("pgveil_access_log_segments", "Files of the access log.")?,
            access_log_ready: made.gauge("pgveil_access_log_ready", "1 while access events can be written, else 0.")?,
            upstream_connect_errors: made
                .counter("pgveil_upstream_connect_errors_total", "Connections to the server that could not be made.")?,
            tls_reload_failures: made.counter(
                "pgveil_tls_reload_failures_total",
                "Reloads of the TLS files for clients that failed; the running ones stayed in force.",
            )?,
            login_failures: made.counter("pgveil_login_failures_total", "Logins that failed.")?,
            verifier_failures: made.counter(
                "pgveil_verifier_failures_total",
                "Logins whose password could not be checked, because the server could not be asked for its verifier.",
            )?,
            rules_reload_failures: made.counter(
                "pgveil_login_rules_reload_failures_total",
                "Reloads of the rules of logins that failed; the running ones stayed in force.",
            )?,
            keys: made.register(IntGaugeVec::new(
                Opts::new("pgveil_encryption_keys", "Versions of keys of encrypted columns, by what they are good for."),
                &["state"],
            )?)?,
            key_unwrap_failures: made.counter(
                "pgveil_encryption_key_unwrap_failures_total",
                "Keys of encrypted columns that their provider did not unwrap, each time that it was tried.",
            )?,
            keyring_reload_failures: made.counter(
                "pgveil_keyring_reload_failures_total",
                "Reloads of the keyring that failed; the keys in use stayed in force.",
            )?,
            guard_breaches: made.register(IntCounterVec::new(
                Opts::new("pgveil_guard_breaches_total", "Limits of the policy's guard exceeded, once for each caller in the limit's time."),
                &["limit", "what"],
            )?)?,
            guard_locks: made.gauge("pgveil_guard_locks", "Accounts that are locked out.")?,
            guard_alerts_sent: made.counter("pgveil_guard_alerts_sent_total", "Alerts that their receiver has taken.")?,
            guard_alert_failures: made
                .counter("pgveil_guard_alert_failures_total", "Attempts to send an alert that failed.")?,
            guard_alerts_dropped: made
                .counter("pgveil_guard_alerts_dropped_total", "Alerts that were dropped, because too many wait.")?,
            state_ready: made.gauge(
                "pgveil_state_ready",
                "1 while the store of what outlives the process can be reached; else callers with limits are shown nothing in clear.",
            )?,
            unknown_revealed: made.counter(
                "pgveil_unknown_reveals_total",
                "Executions that showed values of unknown origin to callers who see everything in clear.",
            )?,
            errors_scrubbed: made.counter(
                "pgveil_errors_scrubbed_total",
                "Errors and notices of the server whose text was taken out.",
            )?,
            cancels: Family::new(
                &made,
                "pgveil_cancel_requests_total",
                "Cancel requests by outcome.",
                "outcome",
                &[CancelOutcome::Forwarded, CancelOutcome::UnknownKey, CancelOutcome::Failed],
                cancel_label,
            )?,
            shipping: ShippingMetrics::new(&made)?,
            bytes: Family::new(
                &made,
                "pgveil_network_bytes_total",
                "Bytes by connection and direction, as read and written by pgveil.",
                "flow",
                &BYTE_FLOWS,
                bytes_label,
            )?,
            registry,
        })
    }

    /// A limit was exceeded.
    pub fn guard_breach(&self, limit: &Limit) {
        self.guard_breaches.with_label_values(&[&limit.name, limit.what.word()]).inc();
    }

    /// Count what the engine saw.
    pub fn observe(&self, observation: &Observation) {
        match observation {
            Observation::Statement(verdict) => self.statements.add(*verdict, 1),
            Observation::Refusal(reason) => self.refusals.add(*reason, 1),
            Observation::RestrictiveDefault(reason) => self.restrictive.add(*reason, 1),
            Observation::ColumnMasked(tag) => self.tag(tag).masked.inc(),
            Observation::ColumnRevealed(tag) => self.tag(tag).revealed.inc(),
            Observation::Filters(tag, times) => self.tag(tag).filters.inc_by(*times),
            Observation::MaskKept(tag) => self.tag(tag).masks_kept.inc(),
            Observation::MaskCompared(tag) => self.tag(tag).masks_compared.inc(),
            Observation::UnknownRevealed => self.unknown_revealed.inc(),
            Observation::ErrorScrubbed => self.errors_scrubbed.inc(),
        }
    }

    /// The counters of a tag. Made at its first use; tags are the policy's, so there are few of them.
    fn tag(&self, tag: &Arc<str>) -> Arc<TagCounters> {
        if let Some(known) = self.tags.load().get(tag) {
            return Arc::clone(known);
        }
        let made = Arc::new(TagCounters {
            masked: self.masked.with_label_values(&[tag]),
            revealed: self.revealed.with_label_values(&[tag]),
            filters: self.filters.with_label_values(&[tag]),
            masks_kept: self.masks_kept.with_label_values(&[tag]),
            masks_compared: self.masks_compared.with_label_values(&[tag]),
        });
        self.tags.rcu(|tags| {
            let mut tags = HashMap::clone(tags);
            tags.insert(Arc::clone(tag), Arc::clone(&made));
            tags
        });
        made
    }

    /// A connection enters a state.
    pub fn connection_entered(&self, state: ConnectionState) {
        self.connections.with_label_values(&[state.label()]).inc();
    }

    /// A connection leaves a state.
    pub fn connection_left(&self, state: ConnectionState) {
        self.connections.with_label_values(&[state.label()]).dec();
    }

    /// A session ended.
    pub fn connection_closed(&self, reason: CloseReason) {
        self.closed.add(reason, 1);
    }

    /// A cancel request was dealt with.
    pub fn cancel_request(&self, outcome: CancelOutcome) {
        self.cancels.add(outcome, 1);
    }

    /// Bytes went over a connection.
    pub fn transferred(&self, leg: Leg, direction: Direction, bytes: u64) {
        self.bytes.add((leg, direction), bytes);
    }

    /// The counter of bytes of a connection and direction, for those who count often.
    pub fn transferred_counter(&self, leg: Leg, direction: Direction) -> IntCounter {
        self.bytes.counters.with_label_values(&[bytes_label((leg, direction))])
    }

    /// A snapshot was put in force.
    pub fn snapshot_published(&self, snapshot: &Snapshot) {
        self.snapshot_version.set(i64::try_from(snapshot.version).unwrap_or(i64::MAX));
        self.catalog_version.set(i64::try_from(snapshot.catalog.version().0).unwrap_or(i64::MAX));
        // A counter that appears with its first event has no increase to alarm on.
        for (_, column) in snapshot.policy.columns() {
            let _counters = self.tag(&column.tag.name);
        }
        for limit in snapshot.policy.limits() {
            let _counter = self.guard_breaches.with_label_values(&[&limit.name, limit.what.word()]);
        }
    }

    /// The metrics of the sink of this name.
    pub fn sink(&self, name: &str) -> SinkMetrics {
        self.shipping.sink(name)
    }

    /// So many versions of keys of encrypted columns are good for that.
    pub fn keys(&self, label: KeyLabel, count: i64) {
        self.keys.with_label_values(&[label.label()]).set(count);
    }

    /// A policy was put in force: how many there were, and the digest of its files in hexadecimal digits.
    pub fn policy_published(&self, generation: u64, digest: &str) {
        self.policy_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.policy_info.reset();
        self.policy_info.with_label_values(&[digest]).set(1);
    }

    /// The metrics in Prometheus' text format. `catalog_age`: since the newest good reading started.
    ///
    /// # Errors
    /// When a collector fails.
    pub fn render(&self, catalog_age: Duration) -> Made<Vec<u8>> {
        self.catalog_age.set(catalog_age.as_secs_f64());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render(Duration::from_secs(2)).unwrap()).unwrap()
    }

    #[test]
    fn every_closed_label_is_there_from_the_start() {
        let shown = text(&Metrics::new().unwrap());
        for line in [
            "pgveil_statements_total{verdict=\"passed\"} 0",
            "pgveil_refusals_total{reason=\"access_log\"} 0",
            "pgveil_restrictive_defaults_total{reason=\"malformed_cell\"} 0",
            "pgveil_cancel_requests_total{outcome=\"unknown_key\"} 0",
            "pgveil_network_bytes_total{flow=\"upstream_sent\"} 0",
            "pgveil_client_connections{state=\"open\"} 0",
            "pgveil_catalog_age_seconds 2",
        ] {
            assert!(shown.contains(line), "{line} is missing in\n{shown}");
        }
    }

    #[test]
    fn observations_are_counted_under_their_own_label() {
        let metrics = Metrics::new().unwrap();
        for _ in 0..3 {
            metrics.observe(&Observation::ColumnRevealed("email".into()));
        }
        metrics.observe(&Observation::ColumnMasked("email".into()));
        metrics.observe(&Observation::Refusal(RefusalReason::Filter));
        let shown = text(&metrics);
        for line in [
            "pgveil_columns_revealed_total{tag=\"email\"} 3",
            "pgveil_columns_masked_total{tag=\"email\"} 1",
            "pgveil_refusals_total{reason=\"filter\"} 1",
            "pgveil_refusals_total{reason=\"denied\"} 0",
        ] {
            assert!(shown.contains(line), "{line} is missing in\n{shown}");
        }
    }

    #[test]
    fn only_the_newest_policy_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.policy_published(1, "aa");
        metrics.policy_published(2, "bb");
        let shown = text(&metrics);
        assert!(shown.contains("pgveil_policy_info{digest=\"bb\"} 1") && !shown.contains("digest=\"aa\""));
        assert!(shown.contains("pgveil_policy_generation 2"));
    }
}
