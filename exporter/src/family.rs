//! From a metric's definition and its values to the `prometheus` crate's family.

use prometheus::core::Desc;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};

use crate::component::archive::reader::shown;
use crate::names::Metric;

/// The family of `metric` with one sample for each pair of label values and value.
///
/// A value that is not finite is left out: the text encoder writes infinity in a form that Prometheus refuses.
pub(crate) fn family<'a, const N: usize>(
    metric: &Metric,
    samples: impl IntoIterator<Item = ([&'a str; N], f64)>,
) -> MetricFamily {
    debug_assert_eq!(N, metric.labels.len(), "{}", metric.name);
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(if metric.is_counter() {
        MetricType::COUNTER
    } else {
        MetricType::GAUGE
    });
    family.set_metric(
        samples
            .into_iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(values, value)| sample(metric, &values, value))
            .collect(),
    );
    family
}

fn sample(metric: &Metric, values: &[&str], value: f64) -> Sample {
    let labels = metric.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(shown(value).into_owned());
        pair
    });
    let mut sample = Sample::default();
    sample.set_label(labels.collect());
    if metric.is_counter() {
        let mut counter = Counter::default();
        counter.set_value(value);
        sample.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
    }
    sample
}

/// What the registry wants to know of `metric` beforehand.
pub(crate) fn desc(metric: &Metric) -> prometheus::Result<Desc> {
    let labels = metric.labels.iter().map(|l| (*l).to_owned()).collect();
    Desc::new(
        metric.name.to_owned(),
        metric.help.to_owned(),
        labels,
        Default::default(),
    )
}

/// 1 or 0.
pub(crate) fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// A count or a number of bytes; exact up to 2^53.
#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other number than f64"
)]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{FREE, LAST_STATUS};

    #[test]
    fn values_that_are_not_finite_are_left_out() {
        let made = family(&FREE, [(["a"], f64::INFINITY), (["b"], f64::NAN), (["c"], 1.0)]);
        assert_eq!(made.get_metric().len(), 1);
    }

    #[test]
    fn labels_keep_the_order_of_the_definition() {
        let made = family(&LAST_STATUS, [(["r", "p", "never"], 1.0)]);
        let pairs: Vec<_> = made.get_metric()[0]
            .get_label()
            .iter()
            .map(|l| format!("{}={}", l.name(), l.value()))
            .collect();
        assert_eq!(pairs, ["repository=r", "plan=p", "status=never"]);
    }
}
