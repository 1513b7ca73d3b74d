//! `exhibit authority sign-log-key`: the authority lets a new log key follow the old one (docs/spec/ledger.md, *Change of the log key*).
//! Guarantee: the command prints what it signs. It signs one document for each change number, unless the holder of this folder moves the
//! first document away.

use std::path::{Path, PathBuf};

use evidence::document::Document as _;
use evidence::json;
use evidence::keys::PublicKey;
use evidence::log_key::LogKeyChange;
use evidence::roster::AuthoritySet;
use evidence::signed::Signed;

use super::folder::newest_roster;
use super::person::public_key;
use crate::failure::{because, could_not, failed, usage};
use crate::home::write_durably;
use crate::output::Output;
use crate::signer::Signer;

pub(super) const EXAMPLES: &str = "\
Examples:
  exhibit authority sign-log-key admin log-key-1.json            # with every authority key in admin/keys
  exhibit authority sign-log-key admin log-key-1.signed          # another admin adds their signature

Before you sign, compare the old key, the new key, the size and the root with the operator by phone. Compare the root with the one that a
mirror or an endpoint holds at that size: your signature lets the new key speak for this history. Sign `compromised` only when the collector is stopped.";

/// `exhibit authority sign-log-key`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `exhibit authority init` made
    dir: PathBuf,
    /// The file that `exhibit-server log-key propose` wrote, or the `.signed` file from another admin
    document: PathBuf,
    /// An authority key from outside DIR/keys: a private key, or a public key whose private half is in an SSH agent or on a security key
    #[arg(long)]
    key: Vec<PathBuf>,
}

pub(super) fn sign(args: &Args, output: Output) -> anyhow::Result<()> {
    let (authority, _, _, roster) = newest_roster(&args.dir)?;
    let deployment = roster.deployment.to_string();
    let (change, document, mut signatures) = read(&args.document)?;
    if change.deployment.as_str() != deployment {
        return Err(usage(
            format!("the change is of deployment {}, this authority of {deployment}", change.deployment),
            "ask whoever gave it to you",
        ));
    }
    let kept = args.dir.join(format!("log-key-{}.signed", change.number));
    let before = match fs_err::read(&kept) {
        Ok(bytes) => Some(Signed::parse(&bytes).map_err(|cause| failed(because(&cause), ""))?),
        Err(_) => None,
    };
    if before.is_some_and(|before| before.document != document) {
        return Err(could_not(
            format!("another change {} was signed here before: {}", change.number, kept.display()),
            "two keys must not follow one: if it was never adopted, and never will be, move that file away",
        ));
    }
    let signers = |signatures: &[String]| -> anyhow::Result<Vec<PublicKey>> {
        if signatures.is_empty() {
            return Ok(Vec::new());
        }
        let signed = Signed::from_parts(document.clone(), signatures.to_vec())
            .map_err(|cause| failed(because(&cause), ""))?;
        signed
            .verify_all(LogKeyChange::TYPE)
            .map_err(|cause| failed(because(&cause), "ask for new signatures"))
    };
    let mut by = signers(&signatures)?;
    let here = (1..=16).map(|number| args.dir.join("keys").join(format!("authority-{number}")));
    let mut is_added = false;
    for key in here.filter(|key| key.exists()).chain(args.key.iter().cloned()) {
        let public = public_key(&key)?;
        if !authority.keys.contains(&public) {
            if args.key.contains(&key) {
                return Err(usage(format!("{} is no authority key", key.display()), "choose another --key"));
            }
            continue;
        }
        if !by.contains(&public) {
            signatures.push(Signer::new(&key).sign(LogKeyChange::TYPE, &document)?);
            by.push(public);
            is_added = true;
        }
    }
    if !is_added {
        return Err(could_not(
            "every authority key here has signed it already, or there is none",
            "copy one to DIR/keys/authority-1, or name it with --key",
        ));
    }
    signers(&signatures)?;
    let signed = Signed::from_parts(document, signatures).map_err(|cause| failed(because(&cause), ""))?;
    let in_force = LogKeyChange::verify(&signed, &change.deployment, &authority).is_ok();
    write_durably(&kept, &signed.encode())?;
    let beside = args.document.with_extension("signed");
    if beside != kept {
        write_durably(&beside, &signed.encode())?;
    }
    print_change(&change, &signed, &authority, &beside, in_force, output)
}

/// Reads a proposed change, with or without signatures.
fn read(path: &Path) -> anyhow::Result<(LogKeyChange, Vec<u8>, Vec<String>)> {
    let bytes =
        fs_err::read(path).map_err(|cause| could_not(because(&cause), "name the proposed document"))?;
    let broken = |why: String| {
        could_not(format!("{}: {why}", path.display()), "have it made again: exhibit-server log-key propose")
    };
    let (document, signatures) = match Signed::parse(&bytes) {
        Ok(signed) => (signed.document, signed.signatures),
        Err(_) => (bytes, Vec::new()),
    };
    let change: LogKeyChange = json::parse_document(&document).map_err(|cause| broken(because(&cause)))?;
    change.validate().map_err(|rule| broken(rule.to_owned()))?;
    Ok((change, document, signatures))
}

fn print_change(
    change: &LogKeyChange,
    signed: &Signed,
    authority: &AuthoritySet,
    path: &Path,
    in_force: bool,
    output: Output,
) -> anyhow::Result<()> {
    let value = serde_json::json!({
        "deployment": change.deployment, "number": change.number, "reason": change.reason,
        "old": change.old, "new": change.new, "size": change.size, "root": change.root,
        "issued": change.issued, "file": path, "signatures": signed.signatures.len(),
        "threshold": authority.threshold,
    });
    output.result(&value, || {
        format!(
            "change {} of the log key of {}, {}: {}\n  old     {}\n  new     {}\n  behind  {} entries at least, root {}\n  issued  {}\n  signed by {} of the {} authority keys it needs",
            change.number,
            change.deployment,
            change.reason,
            path.display(),
            change.old,
            change.new,
            change.size,
            change.root,
            change.issued,
            signed.signatures.len(),
            authority.threshold
        )
    })?;
    if in_force {
        output.print_note("next, at the collector, stopped: exhibit-server log-key adopt DIR FILE");
    } else {
        output.print_note(
            "not in force yet: other holders add their signatures with `exhibit authority sign-log-key`",
        );
    }
    Ok(())
}
