//! `exhibit verify`: the offline verification of `exhibit-verify`, built into this program.

use std::path::{Path, PathBuf};

use exhibit_verify::{Report, Trust};

use crate::failure::{because, could_not, failed};
use crate::output::Output;
use crate::progress::byte_bar;

/// `exhibit verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  exhibit verify INC-2026-0001.bundle --trust trust\n\nExit codes: 0 verified; 1 a check failed; 2 a required check could not be made."
)]
pub struct Args {
    /// The bundle's folder
    bundle: PathBuf,
    /// Folder with your pins, as `exhibit trust export` writes it; never take it from the bundle
    #[arg(long)]
    trust: PathBuf,
    /// Accept a bundle that says it was exported without the cosigners that the pinned policy requires
    #[arg(long)]
    without_quorum: bool,
}

/// Runs the command.
/// Fails if a check failed or could not be made.
pub fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let report = verify(&args.bundle, &args.trust, args.without_quorum, output)?;
    output.result(&report, || report.text())?;
    judge(&report, &args.bundle)
}

/// Verifies with a progress bar.
pub fn verify(bundle: &Path, trust: &Path, without_quorum: bool, output: Output) -> anyhow::Result<Report> {
    let mut trust = Trust::load(trust)
        .map_err(|cause| could_not(because(&cause), "give the folder that `exhibit trust export` wrote"))?;
    trust.accept_without_quorum = without_quorum;
    let bar = byte_bar(output, Some(0));
    let report = exhibit_verify::verify(bundle, &trust, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    report.map_err(|cause| could_not(because(&cause), cause.next()))
}

/// The exit code of a report.
pub fn judge(report: &Report, bundle: &Path) -> anyhow::Result<()> {
    match report.exit_code() {
        0 => Ok(()),
        1 => Err(failed(
            format!("{} failed a check", bundle.display()),
            "keep it as it is, compare with another copy, and tell who handed it over",
        )),
        _ => Err(could_not(
            format!("{} was not verified: a required check could not be made", bundle.display()),
            "the lines `not checked` above say what is missing",
        )),
    }
}
