//! `exhibit evidence`: reads single items. The collector logs each reading before it sends the first byte.
//! Guarantee: this command hashes the content and compares the digest with the item record. Content that does not match never gets the
//! file name that the person asked for. Not here: proving the record itself (the verification of a bundle does that).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use evidence::digest::{Digest, Hasher};
use evidence::entry::EntryType;
use evidence::item::{ItemRecord, Stage};
use proto::v1;
use proto::v1::read_response::Message;
use serde_json::json;

use crate::commands::order::check_prefix;
use crate::context::Context;
use crate::failure::{because, could_not, failed, usage};
use crate::output::{Format, bytes, shown, write_line};
use crate::progress::byte_bar;
use crate::session::{Session, refusal_with_next};

/// `exhibit evidence …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// List the items of a collection
    #[command(
        after_help = "Examples:\n  exhibit evidence ls 7b1e44d0 --purpose \"First look\"\n  exhibit evidence ls 7b1e44d0 /var/log --json --purpose \"Which logs are there\"\n  exhibit evidence ls 7b1e44d0 --not-ok --purpose \"What is missing\""
    )]
    Ls {
        /// Id of the collection, or a unique prefix of at least 8 digits
        collection: String,
        /// List only paths that start with these bytes
        #[arg(default_value = "")]
        prefix: OsString,
        /// List only items whose outcome is not `ok`
        #[arg(long)]
        not_ok: bool,
        /// Why you look; stored as an erasable detail of the ledger entry
        #[arg(long)]
        purpose: String,
    },
    /// Print the content of one item
    #[command(
        after_help = "Examples:\n  exhibit evidence cat 7b1e44d0 /etc/hostname --purpose \"Which host is this\"\n  exhibit evidence cat 7b1e44d0 '#12' --purpose \"Odd name\" | xxd"
    )]
    Cat(ReadArgs),
    /// Write the content of one item to a file
    #[command(
        after_help = "Examples:\n  exhibit evidence get 7b1e44d0 /var/log/auth.log --out auth.log --purpose \"Login analysis\""
    )]
    Get {
        /// What to read.
        #[command(flatten)]
        read: ReadArgs,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Which item, and why.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// Id of the collection, or a unique prefix of at least 8 digits
    collection: String,
    /// The item: its exact path on the endpoint, a stream such as live/host.jsonl, or '#' and the item's number
    item: OsString,
    /// Why you read it; stored as an erasable detail of the ledger entry
    #[arg(long)]
    purpose: String,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::Ls { collection, prefix, not_ok: not_ok_only, purpose } => {
            let request =
                v1::ListItemsRequest { collection, prefix: prefix.into_vec().into(), not_ok_only, purpose };
            list(&session, request).await
        }
        Args::Cat(read) => cat(&session, &read).await,
        Args::Get { read, out } => get(&session, &read, &out).await,
    }
}

/// Everybody who reads must give a purpose.
pub(super) fn check_purpose(purpose: &str) -> anyhow::Result<()> {
    if purpose.trim().is_empty() {
        return Err(usage("a purpose is needed", "say why you read: --purpose TEXT"));
    }
    Ok(())
}

async fn list(session: &Session, request: v1::ListItemsRequest) -> anyhow::Result<()> {
    check_prefix(&request.collection)?;
    check_purpose(&request.purpose)?;
    let mut client = proto::service::evidence_client(session.channel());
    let listed = || refusal_with_next("list the collections: exhibit collection list");
    let mut batches = client.list_items(request).await.map_err(listed())?.into_inner();
    while let Some(batch) = batches.message().await.map_err(listed())? {
        for line in batch.records {
            let record = record(&line)?;
            let text = match session.output.format {
                Format::Json => String::from_utf8(line.to_vec())?,
                // Display only: without a size or a note the column stays empty.
                Format::Text => format!(
                    "{:>8} {:>11} {:<14} {}{}",
                    format!("#{}", record.n),
                    record.size.map(bytes).unwrap_or_default(),
                    shown(record.outcome.as_str()),
                    shown(&record.shown),
                    record.note.map(|note| format!("  ({})", shown(&note))).unwrap_or_default(),
                ),
            };
            write_line(&text)?;
        }
    }
    Ok(())
}

fn record(line: &[u8]) -> anyhow::Result<ItemRecord> {
    ItemRecord::parse_line(line, Stage::Final).map_err(|cause| {
        failed(
            format!("item record: {}", because(&cause)),
            "tell the operator: exhibit ledger fsck --evidence",
        )
    })
}

/// Which item was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AskedItem<'a> {
    Path(&'a [u8]),
    Ordinal(u64),
}

impl<'a> AskedItem<'a> {
    /// Names on Linux are bytes. A name that is not UTF-8 is passed on unchanged.
    fn parse(text: &'a OsStr) -> anyhow::Result<Self> {
        let Some(digits) = text.as_bytes().strip_prefix(b"#") else {
            return Ok(Self::Path(text.as_bytes()));
        };
        String::from_utf8_lossy(digits)
            .parse()
            .map(Self::Ordinal)
            .map_err(|cause| usage(format!("{}: {cause}", text.display()), "give '#' and a number"))
    }

    fn is_asked(self, record: &ItemRecord) -> bool {
        match self {
            Self::Path(path) => record.path.0 == path,
            Self::Ordinal(n) => record.n == n,
        }
    }
}

/// One item as the collector sent it.
struct ReceivedItem {
    record: ItemRecord,
    sha256: Digest,
    count: u64,
    index: u64,
}

impl ReceivedItem {
    /// Compares the digest made here with the record's.
    fn check(&self) -> anyhow::Result<()> {
        match self.record.sha256 {
            Some(recorded) if recorded != self.sha256 => Err(failed(
                format!("content has digest {}, its record says {recorded}", self.sha256),
                "do not use it; tell the operator: exhibit ledger fsck --evidence",
            )),
            _ => Ok(()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "path": self.record.shown, "item": self.record.n, "outcome": self.record.outcome, "bytes": self.count,
            "sha256": self.sha256, "checked": self.record.sha256.is_some(), "gaps": self.record.gaps.len(),
            "accessed_index": self.index,
        })
    }

    /// What a reader of the content must know.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.record.sha256.is_none() {
            warnings.push("the record has no digest of this content; it was not checked".to_owned());
        }
        if !self.record.outcome.is_ok() {
            warnings.push(format!("outcome is {}, not ok", shown(self.record.outcome.as_str())));
        }
        if !self.record.gaps.is_empty() {
            warnings.push(format!("{} ranges could not be read and are zeros here", self.record.gaps.len()));
        }
        warnings
    }
}

async fn read(session: &Session, args: &ReadArgs, out: &mut dyn Write) -> anyhow::Result<ReceivedItem> {
    check_prefix(&args.collection)?;
    check_purpose(&args.purpose)?;
    let item = AskedItem::parse(&args.item)?;
    let (path, ordinal) = match item {
        AskedItem::Ordinal(ordinal) => (Vec::new(), ordinal),
        AskedItem::Path(path) => (path.to_vec(), 0),
    };
    let next = format!("list the items: exhibit evidence ls {} --purpose TEXT", args.collection);
    let listed = || refusal_with_next(next.clone());
    let mut client = proto::service::evidence_client(session.channel());
    let request = v1::ReadItemRequest {
        collection: args.collection.clone(),
        path: path.into(),
        ordinal,
        purpose: args.purpose.clone(),
    };
    let mut stream = client.read_item(request).await.map_err(listed())?.into_inner();
    let odd =
        |what: &str| failed(format!("the collector's answer is out of order: {what}"), "tell the operator");
    let Some(Message::Begin(begin)) =
        stream.message().await.map_err(listed())?.and_then(|answer| answer.message)
    else {
        return Err(odd("no beginning"));
    };
    let record = record(&begin.record)?;
    if !item.is_asked(&record) {
        return Err(odd("another item than was asked for"));
    }
    let accessed = session.prove_recorded("accessed", begin.accessed).await?;
    let envelope = &accessed.entry.envelope;
    if envelope.type_ != EntryType::EvidenceAccessed
        || envelope.reference("person") != Some(session.config.person.as_str())
    {
        return Err(odd("the reading is not logged as yours"));
    }
    let bar = byte_bar(session.output, Some(begin.size));
    let (mut hasher, mut count, mut ended) = (Hasher::new(), 0_u64, None);
    while let Some(answer) = stream.message().await.map_err(listed())? {
        match answer.message {
            Some(Message::Data(data)) if ended.is_none() => {
                count = count
                    .checked_add(u64::try_from(data.len())?)
                    .filter(|count| *count <= begin.size)
                    .ok_or_else(|| odd("more content than was announced"))?;
                hasher.update(&data);
                out.write_all(&data)?;
                bar.set_position(count);
            }
            Some(Message::End(end)) if ended.is_none() => ended = Some(end),
            _ => return Err(odd("a message that does not belong there")),
        }
    }
    bar.finish_and_clear();
    let end = ended.ok_or_else(|| could_not("the content ended early", "try again"))?;
    let sha256 = hasher.finish();
    if count != begin.size {
        return Err(failed(
            format!("{count} of {} bytes came", begin.size),
            "try again; then tell the operator",
        ));
    }
    // If a file has holes too large to hash, the collector's digest covers only its data, and differs from this content's digest.
    if end.digest_checked && record.sha256.is_some() && end.sha256 != sha256.to_string() {
        return Err(failed(
            format!("content has digest {sha256}, the collector says {}", end.sha256),
            "do not use it; try again, then tell the operator",
        ));
    }
    Ok(ReceivedItem { record, sha256, count, index: accessed.index })
}

async fn cat(session: &Session, args: &ReadArgs) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    let read = if stdout.is_terminal() {
        let mut safe = Terminal(stdout.lock());
        read(session, args, &mut safe).await?
    } else {
        let mut out = std::io::BufWriter::new(stdout.lock());
        let read = read(session, args, &mut out).await?;
        out.flush()?;
        read
    };
    for warning in read.warnings() {
        eprintln!("warning: {warning}");
    }
    read.check()
}

async fn get(session: &Session, args: &ReadArgs, out: &Path) -> anyhow::Result<()> {
    if out.exists() {
        return Err(could_not(format!("{} exists", out.display()), "choose another --out"));
    }
    let beside = beside(out);
    // What lies there is somebody else's, and a link would lead the bytes elsewhere: neither is written to.
    let file = File::options().write(true).create_new(true).open(&beside);
    let mut file = file.map_err(|cause| {
        could_not(format!("cannot make {}: {cause}", beside.display()), "check the folder above")
    })?;
    let read = match read(session, args, &mut file).await {
        Ok(read) => read,
        Err(error) => {
            // A part of an item is worth nothing. Best effort: the person has to hear the first error.
            drop(fs_err::remove_file(&beside));
            return Err(error);
        }
    };
    file.sync_all()?;
    read.check().map_err(|error| error.context(format!("{} is kept for the operator", beside.display())))?;
    durable::rename(&beside, out)?;
    let value = read.to_json();
    session.output.result(&value, || {
        let mut lines = vec![format!("{}: {}, sha256 {}", out.display(), bytes(read.count), read.sha256)];
        lines.extend(read.warnings().into_iter().map(|warning| format!("  warning: {warning}")));
        lines.join("\n")
    })
}

/// The name of `out` until it is complete. Each process has its own, so that no two write one file.
pub(super) fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
}

/// Writes to a terminal, and replaces control characters so that evidence cannot drive it.
struct Terminal<W>(W);

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(data);
        let kept: String = text.split_inclusive(['\n', '\t']).map(line).collect();
        self.0.write_all(kept.as_bytes())?;
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// One piece of text. It may end in a line feed or a tab, which do no harm.
fn line(piece: &str) -> String {
    match piece.strip_suffix(['\n', '\t']) {
        Some(body) => format!("{}{}", shown(body), if piece.ends_with('\n') { '\n' } else { '\t' }),
        None => shown(piece),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        args: Args,
    }

    #[test]
    fn an_item_is_asked_for_by_raw_bytes_or_by_number() {
        let parse = |bytes| AskedItem::parse(OsStr::from_bytes(bytes)).ok();
        assert_eq!(parse(b"/tmp/caf\xe9"), Some(AskedItem::Path(b"/tmp/caf\xe9")));
        assert_eq!(parse(b"#12"), Some(AskedItem::Ordinal(12)));
        assert_eq!(parse(b"#"), None);
        assert_eq!(parse(b"#\xe9"), None);
        for words in [
            &[b"exhibit".as_slice(), b"ls", b"7b1e44d0", b"/tmp/caf\xe9"][..],
            &[b"exhibit", b"cat", b"7b1e44d0", b"/tmp/caf\xe9"],
            &[b"exhibit", b"get", b"7b1e44d0", b"/tmp/caf\xe9", b"--out", b"caf\xe9"],
        ] {
            let words = words.iter().map(|word| OsStr::from_bytes(word));
            let purpose = ["--purpose", "look"].map(OsStr::new);
            let parsed = Program::try_parse_from(words.chain(purpose)).unwrap();
            let asked = match parsed.args {
                Args::Ls { prefix, .. } => prefix,
                Args::Cat(read) | Args::Get { read, .. } => read.item,
            };
            assert_eq!(asked.as_bytes(), b"/tmp/caf\xe9");
        }
    }

    #[test]
    fn evidence_cannot_drive_the_terminal() {
        let mut out = Vec::new();
        Terminal(&mut out).write_all(b"a\tb\n\x1b[2J\x9b\rc").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\tb\n\u{fffd}[2J\u{fffd}\u{fffd}c");
    }
}
