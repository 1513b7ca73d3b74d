//! `exhibit-verify`: the offline verifier, for people who trust nobody's server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use exhibit_verify::{Trust, verify};
use indicatif::{ProgressBar, ProgressStyle};

/// Verify an exported bundle offline, against keys that you pinned beforehand.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  exhibit-verify INC-2026-0007.bundle --trust trust/\n  exhibit-verify INC-2026-0007.bundle --trust trust/ --json | jq '.checks[] | select(.verdict != \"ok\")'\n\n\
    The trust directory holds what you pinned, never what came with the bundle: `authority` (who names responders), `policy` (the ledger's key), \
    optionally `tsa.pem` and `roster_version_min`. `exhibit trust export DIR` writes it; compare its fingerprints with the engagement letter.\n\n\
    Exit codes: 0 verified, 1 a check failed, 2 could not check, 64 usage."
)]
struct Args {
    /// The bundle's folder.
    bundle: PathBuf,
    /// Folder with your pins
    #[arg(long)]
    trust: PathBuf,
    /// Accept a bundle that says it was exported without the cosigners that the pinned policy requires.
    #[arg(long)]
    without_quorum: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { 64 } else { 0 };
            // If even the message cannot be printed, there is nothing left to do.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("exhibit-verify: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<u8, String> {
    let mut trust = Trust::load(&args.trust).map_err(|cause| {
        format!("{cause}\n  next: point --trust at a directory written by `exhibit trust export`")
    })?;
    trust.accept_without_quorum = args.without_quorum;
    let bar = if args.quiet || args.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(
        ProgressStyle::default_bar()
            .template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let verified = verify(&args.bundle, &trust, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    let report = verified.map_err(|cause| {
        // Display only: an error may have no further cause.
        let why = std::error::Error::source(&cause).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{cause}{why}\n  next: {}", cause.next())
    })?;
    let text = if args.json {
        serde_json::to_string(&report).map_err(|cause| cause.to_string())?
    } else {
        report.text()
    };
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(format!("cannot write the report: {cause}"));
        }
        _ => {}
    }
    Ok(report.exit_code())
}
