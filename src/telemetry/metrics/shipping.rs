//! Metrics of the sinks that the access log is shipped to. The label `sink` is a name from the settings.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Made, Maker};

/// Metrics of all sinks.
pub(super) struct ShippingMetrics {
    behind_records: IntGaugeVec,
    behind_seconds: GaugeVec,
    shipped: IntCounterVec,
    parked: IntCounterVec,
    stopped: IntGaugeVec,
    failures: IntCounterVec,
}

/// Metrics of one sink.
#[derive(Clone)]
pub struct SinkMetrics {
    /// Records of the log that it has not acknowledged.
    pub behind_records: IntGauge,
    /// Age of the oldest of them.
    pub behind_seconds: Gauge,
    /// Records that it has acknowledged.
    pub shipped: IntCounter,
    /// Records that it refused and that were put aside.
    pub parked: IntCounter,
    /// 1 while nothing is sent until somebody does something about it.
    pub stopped: IntGauge,
    failures: IntCounterVec,
    name: String,
}

impl ShippingMetrics {
    pub(super) fn new(made: &Maker) -> Made<Self> {
        let labelled = |metric: &str, help: &str| Opts::new(metric, help);
        Ok(Self {
            behind_records: made.register(IntGaugeVec::new(
                labelled(
                    "pgveil_shipping_behind_records",
                    "Records of the access log that a sink has not acknowledged.",
                ),
                &["sink"],
            )?)?,
            behind_seconds: made.register(GaugeVec::new(
                labelled(
                    "pgveil_shipping_behind_seconds",
                    "Age of the oldest record that a sink has not acknowledged.",
                ),
                &["sink"],
            )?)?,
            shipped: made.register(IntCounterVec::new(
                labelled("pgveil_shipping_records_total", "Records of the access log that a sink has acknowledged."),
                &["sink"],
            )?)?,
            parked: made.register(IntCounterVec::new(
                labelled("pgveil_shipping_parked_total", "Records that a sink refused and that were put aside."),
                &["sink"],
            )?)?,
            stopped: made.register(IntGaugeVec::new(
                labelled(
                    "pgveil_shipping_stopped",
                    "1 while nothing is shipped to a sink until somebody acts, else 0.",
                ),
                &["sink"],
            )?)?,
            failures: made.register(IntCounterVec::new(
                labelled("pgveil_shipping_failures_total", "Attempts to ship that failed, by reason."),
                &["sink", "reason"],
            )?)?,
        })
    }

    pub(super) fn sink(&self, name: &str) -> SinkMetrics {
        SinkMetrics {
            behind_records: self.behind_records.with_label_values(&[name]),
            behind_seconds: self.behind_seconds.with_label_values(&[name]),
            shipped: self.shipped.with_label_values(&[name]),
            parked: self.parked.with_label_values(&[name]),
            stopped: self.stopped.with_label_values(&[name]),
            failures: self.failures.clone(),
            name: name.to_owned(),
        }
    }
}

impl SinkMetrics {
    /// An attempt has failed for this reason, one of a closed set.
    pub fn failed(&self, reason: &'static str) {
        self.failures.with_label_values(&[self.name.as_str(), reason]).inc();
    }
}
