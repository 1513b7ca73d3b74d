//! `exhibit bundle export`: writes an incident to a folder that strangers can verify, signs the folder, logs the export and verifies the
//! result.
//! Guarantee: the folder gets its name only when it is complete, synced, logged and verified. No name that the collector sends leads out
//! of the folder. Not here: the checks (`exhibit-verify`); the choice of files (server).

mod wanted;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use evidence::bundle::production::Selection;
use evidence::bundle::{
    self, FILES_MAX, Overview, SUMS_NAMESPACE, SUMS_STAMPS, Sums, UNCOVERED, WITHOUT_QUORUM_FIELD, check_name,
};
use evidence::digest::{Digest, Hasher};
use evidence::entry::EntryType;
use evidence::entry::pairs;
use evidence::id::{Actor, Chain, IncidentId};
use evidence::json;
use evidence::keys::sshsig;
use evidence::roster::{AdmittedRoster, Role};
use exhibit_verify::{Report, Verdict};
use indicatif::ProgressBar;
use ledger::{Note, ProofFile, verify_consistency};
use proto::status::Class;
use proto::{convert, v1};
use wanted::Wanted;

use crate::acts::Draft;
use crate::commands::verify;
use crate::context::Context;
use crate::failure::{because, could_not, failed, usage};
use crate::output::bytes;
use crate::progress::byte_bar;
use crate::session::{Session, refusal_with_next, refused};

/// Of the files of a bundle, less the umask: it is made for others.
const MODE: u32 = 0o666;

/// Files that a collector may leave out, because they are the same in every bundle.
const OWN_FILES: &[(&str, &str)] = &[("verify.py", include_str!("../../../packaging/verify.py"))];

/// `exhibit bundle …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Export an incident: evidence, custody entries, proofs, checksums and your signature
    #[command(
        after_help = "Examples:\n  exhibit bundle export INC-2026-0001 --out INC-2026-0001.bundle --purpose \"For the consultant\"\n  exhibit bundle export INC-2026-0001 --only 7b1e44d0:12 --only '/var/log/**' --out part.bundle --purpose \"Court order 17\"\n  exhibit trust export trust     # send this through another channel than the bundle"
    )]
    Export(ExportArgs),
}

/// `exhibit bundle export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The incident
    incident: IncidentId,
    /// Folder to create
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Export only these items, each with its proof and without its neighbours: COLLECTION:NUMBER, COLLECTION:PATTERN or PATTERN. A pattern
    /// starts with / or live/. In it, * and ? match within one folder, ** across folders
    #[arg(long, value_name = "SELECTOR")]
    only: Vec<OsString>,
    /// Read more selectors from this file, one per line; empty lines and lines that start with `#` are ignored
    #[arg(long, value_name = "LIST")]
    from_file: Option<PathBuf>,
    /// For whom or what; stored as an erasable detail of the ledger entry
    #[arg(long, default_value = "")]
    purpose: String,
    /// Export even if the required cosigners are unavailable. The bundle says so
    #[arg(long)]
    without_quorum: bool,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let Args::Export(args) = args;
    export_bundle(args, context).await
}

/// Exports a whole incident.
pub async fn export_whole(
    incident: IncidentId,
    out: PathBuf,
    purpose: String,
    without_quorum: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let args = ExportArgs { incident, out, only: Vec::new(), from_file: None, purpose, without_quorum };
    export_bundle(args, context).await
}

async fn export_bundle(args: ExportArgs, context: &Context) -> anyhow::Result<()> {
    super::evidence::check_purpose(&args.purpose)?;
    if args.out.exists() {
        return Err(usage(format!("{} exists", args.out.display()), "choose another --out"));
    }
    let wanted = Wanted::of(&args)?;
    let session = context.session().await?;
    let roster = session.roster().await?;
    let partial = super::evidence::beside(&args.out);
    durable::create_private_folder(&partial).map_err(|cause| {
        could_not(format!("cannot make {}: {cause}", partial.display()), "check the folder above")
    })?;
    let written = export(&session, &roster, &args, &wanted, &partial).await;
    let (sums, selection) = match written {
        Ok(written) => written,
        Err(error) => {
            // The ledger does not record it as exported, and part of a bundle is worth nothing.
            fs_err::remove_dir_all(&partial)?;
            return Err(error);
        }
    };
    record(&session, &roster, &args, &selection, &partial, &sums).await?;

    let trust = session.home.path("trust");
    let report = verify::verify(&partial, &trust, args.without_quorum, session.output)?;
    if report.exit_code() == 1 {
        session.output.print_note(&report.text());
        return Err(does_not_verify(&report, &partial));
    }
    // The files were flushed when they were written, but without this flush their names may get lost.
    durable::sync_folders(&partial)?;
    // Crash before this line: the partial folder stays, and the ledger records an export. Another export makes a new entry.
    durable::rename(&partial, &args.out)?;
    let value = serde_json::json!({
        "incident": args.incident, "dir": args.out, "files": sums.len(), "sums": Digest::of(&sums.encode()), "report": report,
    });
    session.output.result(&value, || {
        format!(
            "{}\n{}: {} files, exported and verified\n  SHA256SUMS {}",
            report.text(),
            args.out.display(),
            sums.len(),
            Digest::of(&sums.encode())
        )
    })?;
    handed_over(&report, &args.out)
}

/// The failing checks come last, by name, because the reader must act on them.
fn does_not_verify(report: &Report, partial: &Path) -> anyhow::Error {
    let lines = report.checks.iter().filter(|check| check.verdict == Verdict::Failed).map(|check| {
        let subject = if check.subject.is_empty() { String::new() } else { format!(" {}", check.subject) };
        format!("\n  FAILED {}{subject}: {}", check.check, check.says)
    });
    failed(
        format!("the bundle does not verify; it is kept as {}", partial.display()),
        format!("hand it to nobody; tell the operator which checks failed:{}", lines.collect::<String>()),
    )
}

/// Hands over, with a warning, a bundle that verifies but lacks something that this home requires. It is logged as exported, and
/// nothing in it is wrong.
fn handed_over(report: &Report, out: &Path) -> anyhow::Result<()> {
    if report.exit_code() == 0 {
        return Ok(());
    }
    let open: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.required && check.verdict == Verdict::NotChecked)
        .map(|check| check.check)
        .collect();
    let next = if open.contains(&"sums.stamp") {
        "export again when the time-stamping authority answers; until then whoever pins it gets exit code 2 for this bundle"
    } else {
        "the lines `not checked` above say what is missing"
    };
    Err(could_not(
        format!(
            "{} is exported and logged, but it does not verify completely: {} could not be checked",
            out.display(),
            open.join(", ")
        ),
        next,
    ))
}

/// Receives the files, adds our own, writes and signs SHA256SUMS.
async fn export(
    session: &Session,
    roster: &AdmittedRoster,
    args: &ExportArgs,
    wanted: &Wanted,
    dir: &Path,
) -> anyhow::Result<(Sums, Selection)> {
    let mut client = proto::service::bundle_client(session.channel());
    let request = v1::ExportRequest {
        incident: args.incident.to_string(),
        purpose: args.purpose.clone(),
        without_quorum: args.without_quorum,
        only: wanted.texts.iter().cloned().map(Into::into).collect(),
    };
    let next = if wanted.texts.is_empty() {
        "list the incidents: exhibit incident list"
    } else {
        "list the items: exhibit evidence ls COLLECTION --purpose TEXT"
    };
    // What forbids an export for now says itself how it ends. Only a thing that is not there needs a list.
    let refusal = |status: tonic::Status| match Class::of(&status) {
        Class::Missing => refusal_with_next(next)(status),
        _ => refused(status),
    };
    let mut chunks = client.export(request).await.map_err(refusal)?.into_inner();
    let mut writer = Writer { dir, sums: Sums::new(), open: None, bar: byte_bar(session.output, None) };
    while let Some(chunk) = chunks.message().await.map_err(refusal)? {
        writer.write_chunk(chunk)?;
    }
    let mut sums = writer.finish()?;
    for (name, text) in OWN_FILES {
        if sums.digest(name).is_none() {
            write_file(dir, name, text.as_bytes())?;
            sums.insert(name, Digest::of(text.as_bytes()))?;
        }
    }
    // Check before signing: a collector that sends more than was requested, or a part instead of the whole, gets no signature.
    let selection = wanted.check(dir, &sums)?;
    let encoded = sums.encode();
    let armour = session.config.signer().sign(SUMS_NAMESPACE, &encoded)?;
    let key = sshsig::verify(&armour, SUMS_NAMESPACE, &encoded).map_err(|cause| {
        could_not(because(&cause), "use an Ed25519 key, or touch the security key when it asks")
    })?;
    if !roster.roster().speaks_for(&key, &session.config.person, &[Role::Responder]) {
        return Err(could_not(
            format!("roster {} does not let {} export", roster.roster().version, session.config.person),
            "ask the admins for the role responder",
        ));
    }
    write_file(dir, "SHA256SUMS", &encoded)?;
    write_file(dir, "SHA256SUMS.sig", armour.as_bytes())?;
    Ok((sums, selection))
}

/// Logs the export and writes `export/` and the stamp.
async fn record(
    session: &Session,
    roster: &AdmittedRoster,
    args: &ExportArgs,
    selection: &Selection,
    dir: &Path,
    sums: &Sums,
) -> anyhow::Result<()> {
    let odd = |why: String| failed(why, "tell the operator");
    let overview: Overview = json::parse_document(&fs_err::read(dir.join("bundle.json"))?)
        .map_err(|cause| odd(format!("bundle.json: {}", because(&cause))))?;
    if overview.incident != args.incident || overview.by != Actor::Person(session.config.person.clone()) {
        return Err(odd(format!("the collector exported {} for {}", overview.incident, overview.by)));
    }
    if overview.without_quorum && !args.without_quorum {
        return Err(odd("the collector exported without quorum, which nobody asked for".to_owned()));
    }
    if overview.partial == selection.is_empty() {
        return Err(odd("bundle.json does not say what was asked for: a part, or the whole".to_owned()));
    }
    let note =
        Note::parse(&fs_err::read(dir.join("ledger/checkpoint"))?).map_err(|cause| odd(because(&cause)))?;
    let head = session.accept_checkpoint(&note).await?;

    let encoded = sums.encode();
    let count = overview.head_seq.checked_add(1);
    let count =
        count.ok_or_else(|| odd("bundle.json counts more entries than there are numbers".to_owned()))?;
    let refs = [
        ("sums", Digest::of(&encoded).to_string()),
        ("head", overview.head.to_string()),
        ("count", count.to_string()),
    ];
    let draft = Draft {
        act: EntryType::BundleExported,
        chain: Chain::Incident(args.incident.clone()),
        refs: pairs::sorted(refs.clone()),
        fields: fields_of(&overview, selection),
        text: Some(args.purpose.clone()),
    };
    let (act, signed) = session.act(draft, roster, &[Role::Responder])?;
    let mut client = proto::service::bundle_client(session.channel());
    let request = v1::RecordExportRequest { act: act.act, detail: act.detail, sums: encoded.into() };
    let answer = client.record_export(request).await.map_err(refused)?.into_inner();
    let recorded = session.prove_recorded("exported", answer.exported).await?;
    recorded.expect(EntryType::BundleExported, &signed.digest(), &refs)?;
    let proof = ProofFile::parse(&recorded.proof)?;
    let later = session.accept_checkpoint(proof.checkpoint()).await?;
    let consistency = convert::hashes("consistency", &answer.consistency)?;
    verify_consistency(head.size, &head.root, later.size, &later.root, &consistency).map_err(|cause| {
        odd(format!("the export does not continue the bundle's checkpoint: {}", because(&cause)))
    })?;

    write_file(dir, "export/entry", &recorded.bytes)?;
    write_file(dir, "export/entry.tlog-proof", &recorded.proof)?;
    write_file(dir, "export/checkpoint", proof.checkpoint().to_string().as_bytes())?;
    write_file(dir, "export/consistency", &bundle::consistency(&consistency))?;
    if answer.stamps.is_empty() {
        session
            .output
            .print_note("warning: no time stamp over SHA256SUMS: no time-stamping authority answered");
    }
    for (name, stamp) in SUMS_STAMPS.iter().zip(&answer.stamps) {
        write_file(dir, name, stamp)?;
    }
    Ok(())
}

/// The fields of an export's act: the waived demand, and which part of the incident this is.
fn fields_of(overview: &Overview, selection: &Selection) -> Vec<(String, String)> {
    let waived = overview.without_quorum.then_some(WITHOUT_QUORUM_FIELD);
    let mut fields: Vec<_> =
        waived.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if !selection.is_empty() {
        fields.extend(pairs::sorted(selection.fields()));
    }
    fields.sort();
    fields
}

/// Writes the files of the stream, one after another.
struct Writer<'a> {
    dir: &'a Path,
    sums: Sums,
    open: Option<Open>,
    bar: ProgressBar,
}

struct Open {
    name: String,
    file: fs_err::File,
    hasher: Hasher,
    size: u64,
    count: u64,
}

impl Writer<'_> {
    fn write_chunk(&mut self, chunk: v1::BundleChunk) -> anyhow::Result<()> {
        let odd = |why: String| failed(why, "tell the operator: the export stream is out of order");
        let mut open = match (self.open.take(), chunk.path.is_empty()) {
            (None, false) => self.begin(chunk.path, chunk.size)?,
            (Some(open), true) => open,
            (Some(open), false) => {
                return Err(odd(format!("{} is not finished before the next file", open.name)));
            }
            (None, true) => return Err(odd("content without a file".to_owned())),
        };
        let count = open.count.checked_add(u64::try_from(chunk.data.len())?);
        open.count = count.ok_or_else(|| odd(format!("{} has no countable length", open.name)))?;
        if open.size != 0 && open.count > open.size {
            return Err(odd(format!("{} is longer than announced", open.name)));
        }
        open.hasher.update(&chunk.data);
        open.file.write_all(&chunk.data).map_err(|cause| {
            could_not(format!("cannot write {}: {cause}", open.name), "free space, then export again")
        })?;
        self.bar.inc(u64::try_from(chunk.data.len())?);
        if !chunk.last {
            self.open = Some(open);
            return Ok(());
        }
        if open.size != 0 && open.count != open.size {
            return Err(odd(format!("{} is shorter than announced", open.name)));
        }
        open.file.sync_all()?;
        self.sums.insert(&open.name, open.hasher.finish())?;
        Ok(())
    }

    fn begin(&self, name: String, size: u64) -> anyhow::Result<Open> {
        check_name(&name).map_err(|cause| failed(because(&cause), "tell the operator"))?;
        if UNCOVERED.contains(&name.as_str()) || self.sums.len() >= FILES_MAX {
            return Err(failed(format!("the collector may not send {name}"), "tell the operator"));
        }
        self.bar.set_message(format!("{name} {}", if size == 0 { String::new() } else { bytes(size) }));
        let path = self.dir.join(&name);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = durable::file_in_new_folder(&path, MODE);
        let file = file.map_err(|cause| could_not(cause.to_string(), "check the folder above"))?;
        Ok(Open { name, file, hasher: Hasher::new(), size, count: 0 })
    }

    fn finish(self) -> anyhow::Result<Sums> {
        self.bar.finish_and_clear();
        match self.open {
            Some(open) => Err(could_not(format!("the export was cut inside {}", open.name), "try again")),
            None => Ok(self.sums),
        }
    }
}

fn write_file(dir: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = dir.join(name);
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    Ok(durable::write_in_new_folder(&path, content, MODE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(path: &str, size: u64, data: &'static [u8], last: bool) -> v1::BundleChunk {
        v1::BundleChunk { path: path.to_owned(), size, data: bytes::Bytes::from_static(data), last }
    }

    fn receive(dir: &Path, chunks: Vec<v1::BundleChunk>) -> anyhow::Result<Sums> {
        let mut writer = Writer { dir, sums: Sums::new(), open: None, bar: ProgressBar::hidden() };
        for chunk in chunks {
            writer.write_chunk(chunk)?;
        }
        writer.finish()
    }

    #[test]
    fn files_are_written_in_pieces_and_summed_as_sha256sum_does() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = vec![
            chunk("bundle.json", 4, b"{", false),
            chunk("", 0, b"}\n\n", true),
            chunk("custody/000000.entry", 0, b"x", true),
            chunk("empty", 0, b"", true),
        ];
        let sums = receive(dir.path(), chunks).unwrap();
        fs_err::write(dir.path().join("SHA256SUMS"), sums.encode()).unwrap();
        let checked = std::process::Command::new("sha256sum")
            .args(["-c", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(dir.path())
            .status();
        assert!(checked.unwrap().success());
        assert_eq!(sums.len(), 3);
    }

    #[test]
    fn an_export_that_does_not_verify_names_the_failing_checks_last() {
        let mut report = Report::default();
        report.ok("sums", "", "every file has its digest");
        report.failed("conveniences", "", "deployment/allowed_signers is another");
        report.ok("coverage", "", "all is here");
        report.failed("order", "5f1e", "signed by nobody");
        report.not_checked("sums.stamp", "", "no stamp");
        let error = does_not_verify(&report, Path::new("out.partial-1"));
        assert_eq!(
            error.downcast_ref::<crate::failure::Failure>().unwrap().exit,
            crate::failure::Exit::Failed
        );
        let text = error.to_string();
        assert!(text.starts_with("the bundle does not verify; it is kept as out.partial-1\n"), "{text}");
        let last: Vec<&str> = text.lines().rev().take(2).map(str::trim).collect();
        assert_eq!(
            last,
            [
                "FAILED order 5f1e: signed by nobody",
                "FAILED conveniences: deployment/allowed_signers is another"
            ]
        );
        assert!(!text.contains("sums") && !text.contains("coverage"), "{text}");
    }

    #[test]
    fn a_bundle_without_its_stamp_is_handed_over_with_a_warning() {
        let mut report = Report::default();
        report.ok("sums", "", "every file has its digest");
        handed_over(&report, Path::new("out")).unwrap();
        report.not_checked("sums.stamp", "", "SHA256SUMS.tsr is missing");
        let error = handed_over(&report, Path::new("out")).unwrap_err();
        let failure = error.downcast::<crate::failure::Failure>().unwrap();
        assert_eq!(failure.exit, crate::failure::Exit::CouldNot);
        assert_eq!(
            failure.state,
            "out is exported and logged, but it does not verify completely: sums.stamp could not be checked"
        );
        assert!(failure.next.starts_with("export again when"), "{}", failure.next);
    }

    #[test]
    fn a_stream_out_of_order_or_out_of_the_folder_is_refused() {
        for (why, chunks) in [
            ("leaves the folder", vec![chunk("../x", 0, b"", true)]),
            ("absolute", vec![chunk("/etc/x", 0, b"", true)]),
            ("hidden", vec![chunk(".x", 0, b"", true)]),
            ("uncovered", vec![chunk("export/entry", 0, b"", true)]),
            ("twice", vec![chunk("a", 0, b"", true), chunk("a", 0, b"", true)]),
            ("no name", vec![chunk("", 0, b"x", true)]),
            ("unfinished before the next", vec![chunk("a", 0, b"x", false), chunk("b", 0, b"x", true)]),
            ("unfinished at the end", vec![chunk("a", 0, b"x", false)]),
            ("longer", vec![chunk("a", 1, b"xx", true)]),
            ("shorter", vec![chunk("a", 3, b"xx", true)]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            assert!(receive(dir.path(), chunks).is_err(), "{why}");
        }
    }
}
