//! `exhibit authority sign`: adds the signature of another authority key to a roster.

use std::path::{Path, PathBuf};

use evidence::document::Document as _;
use evidence::keys::PublicKey;
use evidence::roster::Roster;
use evidence::signed::Signed;

use super::folder::{print_roster, write_roster};
use super::person::public_key;
use crate::failure::{because, failed, usage};
use crate::output::Output;
use crate::signer::Signer;

pub(super) const EXAMPLES: &str = "\
Examples:
  exhibit authority sign roster-2.signed --key keys/authority-2";

/// `exhibit authority sign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `.signed` file, to which the signature is added
    roster: PathBuf,
    /// The authority key: a private key, or a public key whose private half is in an SSH agent or on a security key
    #[arg(long)]
    key: PathBuf,
}

pub(super) fn sign(args: &Args, output: Output) -> anyhow::Result<()> {
    let broken =
        |cause: &dyn std::error::Error| failed(format!("{}: {}", args.roster.display(), because(cause)), "");
    let mut signed = Signed::parse(&fs_err::read(&args.roster)?).map_err(|cause| broken(&cause))?;
    let (roster, signers) = signed.open::<Roster>().map_err(|cause| broken(&cause))?;
    let key: PublicKey = public_key(&args.key)?;
    if !roster.authority.keys.contains(&key) {
        return Err(usage(
            format!("{} is no authority key of this roster", args.key.display()),
            "choose another --key",
        ));
    }
    if signers.contains(&key) {
        return Err(usage(
            format!("{} has signed this roster already", args.key.display()),
            "there is nothing to do",
        ));
    }
    let armour = Signer::new(&args.key).sign(Roster::TYPE, &signed.document)?;
    signed.signatures.push(armour);
    let signed = Signed::from_parts(signed.document, signed.signatures).map_err(|cause| broken(&cause))?;
    signed.verify_all(Roster::TYPE).map_err(|cause| broken(&cause))?;
    let dir = args.roster.parent().unwrap_or(Path::new("."));
    write_roster(dir, &args.roster, roster.version, &signed)?;
    print_roster(&roster, &signed, &args.roster, output)
}
