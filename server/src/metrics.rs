//! The collector's metrics with their names and units: one table, and the page that shows it.
//!
//! Guarantee: a metric that is not in [`TABLE`] cannot be recorded, because only the functions here record. No label
//! carries a host, a person, a path or an incident. Not here: logs (`tracing`), custody (the ledger).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evidence::entry::state::CollectionState;
use evidence::length::to_u64;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// The value now.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name as scraped; its last word is the unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Its meaning, for people.
    pub help: &'static str,
}

macro_rules! table {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// Every metric of this program.
        pub const TABLE: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help },)*];
    };
}

table! {
    ENDPOINTS = "exhibit_endpoints_connected_count", Gauge, Count, "Endpoints with a live call";
    CLONES = "exhibit_clone_alarms_total", Counter, Count, "Identities seen live twice or with a state that went back";
    UPLOADS = "exhibit_uploads_active_count", Gauge, Count, "Uploads in progress";
    SEGMENTS = "exhibit_segments_stored_total", Counter, Count, "Segments verified, durable and acknowledged";
    STORED = "exhibit_segments_stored_bytes_total", Counter, Bytes, "Stored bytes of acknowledged segments";
    PLAIN = "exhibit_segments_plain_bytes_total", Counter, Bytes, "Plain bytes of acknowledged segments";
    DEGRADED = "exhibit_segments_degraded_total", Counter, Count, "Segments acknowledged on fewer copies than asked";
    VERIFY = "exhibit_segment_verify_seconds", Histogram, Seconds, "Deep verification of one segment";
    WRITE = "exhibit_segment_write_seconds", Histogram, Seconds, "Making one segment durable on the stores";
    COLLECTIONS = "exhibit_collections_total", Counter, Count, "Collections by how they ended";
    VERIFIERS_DIED = "exhibit_verifiers_died_total", Counter, Count, "Caged verifiers that ended without a verdict";
    REPAIRS = "exhibit_repairs_pending_count", Gauge, Count, "Objects that lack copies";
    CAPABILITIES_LOST = "exhibit_store_capabilities_lost_count", Gauge, Count, "Capabilities that buckets had and have no more";
    FIXITY = "exhibit_fixity_failures_total", Counter, Count, "Stored objects that are missing or changed";
    SCRUBBED = "exhibit_scrub_read_bytes_total", Counter, Bytes, "Stored bytes that were read again and re-hashed";
    ENTRIES = "exhibit_ledger_entries_total", Counter, Count, "Ledger entries written by this process";
    ENTRY = "exhibit_ledger_entry_seconds", Histogram, Seconds, "From submission of an entry to its proof";
    COSIGNED = "exhibit_cosignatures_total", Counter, Count, "Cosignatures of witnesses that verified and were kept";
    COSIGNING_FAILED = "exhibit_cosigning_failures_total", Counter, Count, "Questions to witnesses that brought no cosignature";
    CONTRADICTED = "exhibit_ledger_contradictions_total", Counter, Count, "Witnesses that hold another history of this ledger";
    STAMPS_REFUSED = "exhibit_stamps_refused_total", Counter, Count, "Answers of time-stamping authorities that no verifier would take";
    UNCOSIGNED = "exhibit_ledger_uncosigned_entries_count", Gauge, Count, "Entries behind the newest cosigned head";
    BROKEN = "exhibit_ledger_broken_entries_count", Gauge, Count, "Recorded entries that the rules of custody refuse";
    READS = "exhibit_reads_total", Counter, Count, "Reads of evidence content";
    READ_BYTES = "exhibit_reads_bytes_total", Counter, Bytes, "Content bytes sent to readers";
    DELIVERIES = "exhibit_order_deliveries_total", Counter, Count, "Order packages sent to endpoints";
    REFUSED = "exhibit_requests_refused_total", Counter, Count, "Requests refused, by gRPC code";
}

/// An endpoint's call began (`+1`) or ended (`-1`).
pub fn endpoints_connected(now: usize) {
    gauge!(ENDPOINTS).set(as_gauge(to_u64(now)));
}

/// An identity was seen twice, or its state went back.
pub fn clone_alarm() {
    counter!(CLONES).increment(1);
}

/// Counts one running upload for as long as the value lives.
#[derive(Debug)]
pub struct ActiveUpload(());

impl ActiveUpload {
    /// Counts one.
    #[must_use]
    pub fn begin() -> Self {
        gauge!(UPLOADS).increment(1.0);
        Self(())
    }
}

impl Drop for ActiveUpload {
    fn drop(&mut self) {
        gauge!(UPLOADS).decrement(1.0);
    }
}

/// A segment was acknowledged.
pub fn segment_stored(stored_bytes: u64, plain_bytes: u64, degraded: bool) {
    counter!(SEGMENTS).increment(1);
    counter!(STORED).increment(stored_bytes);
    counter!(PLAIN).increment(plain_bytes);
    if degraded {
        counter!(DEGRADED).increment(1);
    }
}

/// A segment passed the caged verifier.
pub fn segment_verified(elapsed: Duration) {
    histogram!(VERIFY).record(elapsed);
}

/// A segment and its seal became durable.
pub fn segment_written(elapsed: Duration) {
    histogram!(WRITE).record(elapsed);
}

/// A collection ended in this state, which is the label `result`.
pub fn collection_ended(state: CollectionState) {
    counter!(COLLECTIONS, "result" => state.as_str()).increment(1);
}

/// A caged verifier ended without a verdict.
pub fn verifier_died() {
    counter!(VERIFIERS_DIED).increment(1);
}

/// How many objects lack copies.
pub fn repairs_pending(now: u64) {
    gauge!(REPAIRS).set(as_gauge(now));
}

/// Bytes were re-hashed by the scrub.
pub fn scrubbed(bytes: u64) {
    counter!(SCRUBBED).increment(bytes);
}

/// How many capabilities the buckets have lost, as this start found.
pub fn capabilities_lost(now: usize) {
    gauge!(CAPABILITIES_LOST).set(as_gauge(to_u64(now)));
}

/// A stored object is missing or changed.
pub fn fixity_failed() {
    counter!(FIXITY).increment(1);
}

/// An entry is proven.
pub fn entry_written(elapsed: Duration) {
    counter!(ENTRIES).increment(1);
    histogram!(ENTRY).record(elapsed);
}

/// A witness's line was stored.
pub fn cosigned() {
    counter!(COSIGNED).increment(1);
}

/// A witness gave no line.
pub fn cosigning_failed() {
    counter!(COSIGNING_FAILED).increment(1);
}

/// An authority's answer was not kept, because a verifier would refuse it.
pub fn stamp_refused() {
    counter!(STAMPS_REFUSED).increment(1);
}

/// A witness holds another history.
pub fn ledger_contradicted() {
    counter!(CONTRADICTED).increment(1);
}

/// How many entries no witness has seen.
pub fn uncosigned_entries(now: u64) {
    gauge!(UNCOSIGNED).set(as_gauge(now));
}

/// How many recorded entries the rules of custody refuse.
pub fn broken_entries(now: u64) {
    gauge!(BROKEN).set(as_gauge(now));
}

/// A read of evidence began.
pub fn read_begun() {
    counter!(READS).increment(1);
}

/// Content went to a reader.
pub fn read_bytes(bytes: u64) {
    counter!(READ_BYTES).increment(bytes);
}

/// An order package went out.
pub fn order_delivered() {
    counter!(DELIVERIES).increment(1);
}

/// A request was answered with an error.
pub fn request_refused(code: &'static str) {
    counter!(REFUSED, "code" => code).increment(1);
}

/// A count as a gauge. Above 2^53 its last digits are rounded, which harms nobody.
fn as_gauge(count: u64) -> f64 {
    count as f64
}

static PAGE: OnceLock<Page> = OnceLock::new();

/// The text page of all metrics.
#[derive(Clone)]
pub struct Page(Arc<PrometheusHandle>);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The exporter did not start.
    #[error("start the metrics recorder")]
    Start(#[source] metrics_exporter_prometheus::BuildError),
    /// Another recorder is in place.
    #[error("install the metrics recorder")]
    Install(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Bounds of the histograms in seconds: from a page-cache write to a disk that is about to give up.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Starts recording in this process, once; later calls give the same page.
pub fn install() -> Result<Page, MetricsError> {
    if let Some(page) = PAGE.get() {
        return Ok(page.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), &SECONDS)
            .map_err(MetricsError::Start)?;
    }
    let recorder = builder.build_recorder();
    let page = Page(Arc::new(recorder.handle()));
    if let Err(other) = metrics::set_global_recorder(recorder) {
        // If two callers come at once, the recorder of the first is in force. Show its page.
        return PAGE.get().cloned().ok_or_else(|| MetricsError::Install(other.to_string().into()));
    }
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
    Ok(PAGE.get_or_init(|| page).clone())
}

impl Page {
    /// The page as scraped.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// The HTTP service: `/metrics`, nothing else. Loopback unless the operator says otherwise.
    pub fn router(self) -> axum::Router {
        axum::Router::new().route("/metrics", axum::routing::get(async move || self.text()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for metric in TABLE {
            let last = match (metric.kind, metric.unit) {
                (Kind::Counter, Unit::Bytes) => "_bytes_total",
                (Kind::Counter, _) => "_total",
                (Kind::Gauge, _) => "_count",
                (Kind::Histogram, _) => "_seconds",
            };
            assert!(metric.name.starts_with("exhibit_") && metric.name.ends_with(last), "{}", metric.name);
        }
    }

    #[test]
    fn what_is_recorded_is_on_the_page() {
        let page = install().unwrap();
        segment_stored(8 << 20, 16 << 20, true);
        collection_ended(CollectionState::Malformed);
        segment_verified(Duration::from_millis(3));
        let text = page.text();
        assert!(text.contains("exhibit_segments_degraded_total 1"), "{text}");
        assert!(text.contains("exhibit_collections_total{result=\"malformed\"} 1"), "{text}");
        assert!(text.contains("exhibit_segment_verify_seconds_bucket"), "{text}");
    }
}
