//! The page that a mirror shows at `/metrics`: its status, as gauges. The same recorder renders the
//! collector's page. Guarantee: no label names a host, a person, a path or an incident.

use metrics::{Unit, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::status::Status;

/// A gauge: name, unit, help, value.
type Row = (&'static str, Unit, &'static str, u64);

fn rows(status: &Status) -> [Row; 13] {
    let failing = status.collections_failing.len() as u64;
    let (fraud, alarm) = (u64::from(status.fraud.is_some()), u64::from(status.is_alarm()));
    [
        (
            "exhibit_mirror_offered_size",
            Unit::Count,
            "Size of the newest note of the collector",
            status.offered,
        ),
        ("exhibit_mirror_witnessed_size", Unit::Count, "Size vouched for as /witness", status.witnessed),
        ("exhibit_mirror_held_size", Unit::Count, "Size held and vouched for as /mirror", status.held),
        ("exhibit_mirror_fraud", Unit::Count, "1 while a fraud proof is not acknowledged", fraud),
        ("exhibit_mirror_alarm", Unit::Count, "1 while somebody must act", alarm),
        (
            "exhibit_mirror_collections_held",
            Unit::Count,
            "Collections copied and stated",
            status.collections_held,
        ),
        (
            "exhibit_mirror_collections_waiting",
            Unit::Count,
            "Collections to be copied or stated",
            status.collections_waiting,
        ),
        (
            "exhibit_mirror_collections_failing",
            Unit::Count,
            "Collections that do not verify or cannot be had",
            failing,
        ),
        (
            "exhibit_mirror_copied_bytes",
            Unit::Bytes,
            "Bytes of segments copied since the start",
            status.bytes_copied,
        ),
        (
            "exhibit_mirror_repaired_objects",
            Unit::Count,
            "Objects put back into the own store",
            status.repaired,
        ),
        (
            "exhibit_mirror_given_back_objects",
            Unit::Count,
            "Objects given back to the collector",
            status.given_back,
        ),
        (
            "exhibit_mirror_scrub_objects",
            Unit::Count,
            "Objects read by the running or last scrub",
            status.scrub_objects,
        ),
        (
            "exhibit_mirror_scrub_lost_objects",
            Unit::Count,
            "Objects lost and not put back",
            status.scrub_lost,
        ),
    ]
}

/// The page, in Prometheus' text form.
#[must_use]
pub fn page(status: &Status) -> String {
    // Use a recorder of its own: the status is the only place that keeps these numbers.
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        for (name, unit, help, value) in rows(status) {
            describe_gauge!(name, unit, help);
            gauge!(name).set(value as f64);
        }
    });
    recorder.handle().render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gauge_is_on_the_page_with_its_help_and_value() {
        let status =
            Status { held: 41, bytes_copied: 3 << 40, fraud: Some("f".to_owned()), ..Status::default() };
        let page = page(&status);
        for (name, _, help, value) in rows(&status) {
            assert!(page.contains(&format!("# HELP {name} {help}\n")), "{name}: {page}");
            assert!(page.contains(&format!("# TYPE {name} gauge\n")), "{name}: {page}");
            assert!(page.contains(&format!("\n{name} {value}\n")), "{name}: {page}");
        }
    }
}
