//! Live progress of an order on stderr: one line for each endpoint, with its rate and the time that its limits leave.
//! Guarantee: this is display only, and text from a host cannot drive the terminal. Not here: whether an order is finished.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evidence::entry::state::AttemptState;
use evidence::order::Limits;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use proto::v1;

use crate::output::{Output, bytes, shown};
use crate::settings::Span;

/// Most endpoints that get a line each. A larger order shows one line for all.
const LINES_MAX: usize = 24;

/// The display.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    limits: Limits,
    bars: MultiProgress,
    lines: BTreeMap<String, Line>,
}

#[derive(Debug)]
struct Line {
    bar: Option<ProgressBar>,
    state: String,
    /// When this display first saw the attempt running: its number, the time, and the bytes read by then.
    since: Option<(u32, Instant, u64)>,
}

impl Progress {
    /// A display for an order with these limits.
    pub fn new(output: Output, limits: Limits) -> Self {
        Self { output, limits, bars: MultiProgress::new(), lines: BTreeMap::new() }
    }

    /// Shows the newest state.
    pub fn update(&mut self, progress: &v1::OrderProgress) {
        let many = progress.attempts.len() > LINES_MAX;
        if many && self.output.animated() {
            self.summary(progress);
        }
        for attempt in &progress.attempts {
            let animated = self.output.animated() && !many;
            let bars = &self.bars;
            let line = self.lines.entry(attempt.endpoint.clone()).or_insert_with(|| Line {
                bar: animated.then(|| bars.add(bar())),
                state: String::new(),
                since: None,
            });
            let text = line.text(attempt, &self.limits);
            match &line.bar {
                Some(bar) => bar.set_message(text),
                None if !many && line.state != attempt.state => self.output.print_note(&text),
                None => {}
            }
            line.state.clone_from(&attempt.state);
        }
    }

    /// Ends the display and leaves the last state on the screen.
    pub fn finish(&self) {
        for line in self.lines.values() {
            if let Some(bar) = &line.bar {
                bar.abandon();
            }
        }
    }

    fn summary(&mut self, progress: &v1::OrderProgress) {
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        for attempt in &progress.attempts {
            let count = states.entry(&attempt.state).or_default();
            *count += 1;
        }
        let states: Vec<String> =
            states.iter().map(|(state, count)| format!("{count} {}", shown(state))).collect();
        // Display only, from here on: a collector that reports absurd sizes gets an absurd line.
        let stored =
            progress.attempts.iter().map(|attempt| attempt.stored_bytes).fold(0, u64::saturating_add);
        let bars = &self.bars;
        let line = self.lines.entry(String::new()).or_insert_with(|| Line {
            bar: Some(bars.add(bar())),
            state: String::new(),
            since: None,
        });
        if let Some(bar) = &line.bar {
            bar.set_message(format!(
                "{} endpoints: {}; {} stored",
                progress.attempts.len(),
                states.join(", "),
                bytes(stored)
            ));
        }
    }
}

impl Line {
    fn text(&mut self, attempt: &v1::AttemptRow, limits: &Limits) -> String {
        let mut text = format!("{}  {}", shown(&attempt.endpoint), shown(&attempt.state));
        if attempt.attempt > 1 {
            text.push_str(&format!(" (attempt {})", attempt.attempt));
        }
        if attempt.segments > 0 || attempt.items > 0 {
            text.push_str(&format!(
                "  {} items, {} read, {} stored",
                attempt.items,
                bytes(attempt.plain_bytes),
                bytes(attempt.stored_bytes)
            ));
        }
        if attempt.state.parse() == Ok(AttemptState::Running) {
            let (number, begun, before) =
                *self.since.get_or_insert((attempt.attempt, Instant::now(), attempt.plain_bytes));
            if number != attempt.attempt {
                self.since = Some((attempt.attempt, Instant::now(), attempt.plain_bytes));
            }
            // Display only: a collector may report less than before.
            let rate = rate(attempt.plain_bytes.saturating_sub(before), begun.elapsed());
            let left = Duration::from_secs(limits.wall_s).saturating_sub(begun.elapsed());
            text.push_str(&format!(
                ", {}/s, ends in at most {}",
                bytes(rate),
                Span(Duration::from_secs(left.as_secs()))
            ));
        }
        if !attempt.detail.is_empty() {
            text.push_str(&format!("  {}", shown(&attempt.detail)));
        }
        text
    }
}

/// Bytes a second, for display. Saturates.
fn rate(count: u64, elapsed: Duration) -> u64 {
    let ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / ms).unwrap_or(u64::MAX)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is a valid constant. If it were wrong, the default style would show.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A progress bar for bytes whose total may be unknown. Hidden if nobody watches.
pub fn byte_bar(output: Output, total: Option<u64>) -> ProgressBar {
    if !output.animated() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {wide_msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_line_tells_items_bytes_and_detail_and_hides_control_characters() {
        let limits =
            Limits { wall_s: 1800, stored_bytes: 1, plain_bytes: 1, item_bytes: 1, items: 1, cpu_pct: 1 };
        let mut line = Line { bar: None, state: String::new(), since: None };
        let mut attempt = v1::AttemptRow {
            endpoint: "web-03".to_owned(),
            attempt: 2,
            state: AttemptState::Running.to_string(),
            items: 7,
            plain_bytes: 2048,
            stored_bytes: 1024,
            segments: 1,
            ..v1::AttemptRow::default()
        };
        let text = line.text(&attempt, &limits);
        assert!(
            text.starts_with(
                "web-03  running (attempt 2)  7 items, 2.0 KiB read, 1.0 KiB stored, 0 B/s, ends in at most "
            ),
            "{text}"
        );
        attempt.state = AttemptState::Refused.to_string();
        attempt.detail = "policy\u{1b}[2J".to_owned();
        assert!(line.text(&attempt, &limits).ends_with("stored  policy\u{fffd}[2J"));
        assert_eq!(rate(3000, Duration::from_secs(2)), 1500);
        // Nothing is drawn for programs.
        let mut progress = Progress::new(Output { format: Format::Json }, limits);
        progress.update(&v1::OrderProgress { attempts: vec![attempt], ..v1::OrderProgress::default() });
        assert!(progress.lines.values().all(|line| line.bar.is_none()));
    }
}
