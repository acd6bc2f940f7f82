//! How families of metrics are put together.

use std::time::Duration;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// The prefix of each name.
const PREFIX: &str = "pmemkv_";

/// All families.
#[derive(Default)]
pub(super) struct Families(pub(super) Vec<MetricFamily>);

/// One value with its labels.
pub(super) type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

impl Families {
    /// Adds a gauge without labels: its value may rise and fall.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, [(&[][..], value)]);
    }

    /// Adds a counter without labels: its value only grows, until CONFIG RESETSTAT or the end of the process.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::COUNTER, [(&[][..], value)]);
    }

    /// Adds a gauge with a label for each value. Without values there is none.
    pub(super) fn gauges(&mut self, name: &str, help: &str, values: &[([(&str, &str); 1], f64)]) {
        let samples = values.iter().map(|(labels, value)| (&labels[..], *value));
        self.add(name, help, MetricType::GAUGE, samples);
    }

    pub(super) fn add<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        let metrics: Vec<Metric> = samples
            .into_iter()
            .map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.iter().map(label).collect());
                if kind == MetricType::COUNTER {
                    let mut counter = Counter::default();
                    counter.set_value(value);
                    metric.set_counter(counter);
                } else {
                    let mut gauge = Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
                metric
            })
            .collect();
        self.push(name, help, kind, metrics);
    }

    pub(super) fn push(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // The encoder refuses a family without samples.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(format!("{PREFIX}{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

pub(super) fn label((name, value): &(&str, &str)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name((*name).to_owned());
    label.set_value((*value).to_owned());
    label
}

/// A count as a double. From 2^53 on a double cannot hold every number, which no chart shows.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(value: u64) -> f64 {
    value as f64
}

pub(super) fn seconds_of_nanos(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
