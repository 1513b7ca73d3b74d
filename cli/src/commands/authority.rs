//! `exhibit authority`: the admins' machine. Makes authority keys, persons' keys and rosters, signed through ssh-keygen.
//! Guarantee: a key is never overwritten; a roster is written only after it was read back and verified.
//! Not here: publishing a roster (`exhibit-server publish-roster`): this machine needs no network.

mod log_key;
mod person;

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use evidence::document::Document as _;
use evidence::id::{DeploymentId, PersonId};
use evidence::json::to_document;
use evidence::keys::PublicKey;
use evidence::order::Sensitivity;
use evidence::roster::{AuthoritySet, Roster, RosterFloor, RosterType, Rules};
use evidence::signed::Signed;

use self::person::{PersonText, public_key, put_person, role_text};
use crate::clock;
use crate::failure::{because, could_not, failed, usage};
use crate::home::write_durably;
use crate::output::Output;
use crate::signer::{Signer, create_key};

const INIT_EXAMPLES: &str = "\
Examples:
  exhibit authority init admin --deployment acme --person alice=responder,endpoint-admin
  exhibit authority init admin --deployment acme --authority-keys 3 --threshold 2 \\
      --person alice=responder:alice.pub --person bob=approver,analyst:bob.pub --two-persons sensitive

Roles: responder, approver, analyst, auditor, endpoint-admin. Keep the folder offline: only `authority` and `roster-*.signed` leave it.";

const ROSTER_EXAMPLES: &str = "\
Examples:
  exhibit authority roster admin                                          # the same persons for another 90 days
  exhibit authority roster admin --add carol=analyst:carol.pub --remove bob";

const SIGN_EXAMPLES: &str = "\
Examples:
  exhibit authority sign roster-2.signed --key keys/authority-2";

/// `exhibit authority …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Make authority keys, persons' keys where none are given, and the first roster
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Make and sign the next roster version
    #[command(after_help = ROSTER_EXAMPLES)]
    Roster(RosterArgs),
    /// Add another authority key's signature to a roster
    #[command(after_help = SIGN_EXAMPLES)]
    Sign(SignArgs),
    /// Let a new log key take the place of the old one: look at what a collector proposes, and sign it
    #[command(after_help = log_key::EXAMPLES)]
    SignLogKey(log_key::Args),
}

/// `exhibit authority init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Folder to make
    dir: PathBuf,
    /// Name of the deployment
    #[arg(long, value_name = "ID")]
    deployment: DeploymentId,
    /// A person, roles, and a public key file; without file a key is made in DIR/keys
    #[arg(long = "person", value_name = "NAME=ROLE[,ROLE][:PUBKEYFILE]", required = true)]
    persons: Vec<PersonText>,
    /// How many authority keys to make
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    authority_keys: u32,
    /// How many of them must sign a roster [default: more than half]
    #[arg(long, value_name = "K")]
    threshold: Option<u32>,
    /// Days until the roster ends, at most 90
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Orders of this sensitivity need a second person
    #[arg(long, value_name = "SENSITIVITY")]
    two_persons: Vec<SensitivityText>,
    /// Longest life of an order, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    order_hours: u32,
}

/// `exhibit authority roster`.
#[derive(Debug, clap::Args)]
pub struct RosterArgs {
    /// Folder that `authority init` made
    dir: PathBuf,
    /// Adds a person; for one who is there: replaces the roles and adds the key, if given
    #[arg(long, value_name = "NAME=ROLE[,ROLE][:PUBKEYFILE]")]
    add: Vec<PersonText>,
    /// Removes a person with all keys
    #[arg(long, value_name = "NAME")]
    remove: Vec<PersonId>,
    /// Days until the roster ends, at most 90
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Orders of this sensitivity need a second person; `none` ends the rule [default: as before]
    #[arg(long, value_name = "SENSITIVITY")]
    two_persons: Vec<SensitivityText>,
    /// Longest life of an order, in hours [default: as before]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=720))]
    order_hours: Option<u32>,
}

/// `exhibit authority sign`.
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// The `.signed` file; the signature is added to it
    roster: PathBuf,
    /// The authority key: private, or public with the secret half in an SSH agent or on a security key
    #[arg(long)]
    key: PathBuf,
}

/// `normal`, `sensitive` or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SensitivityText {
    /// No sensitivity.
    None,
    /// Every order of normal sensitivity.
    Normal,
    /// Every sensitive order.
    Sensitive,
}

fn sensitivities(written: &[SensitivityText]) -> Vec<Sensitivity> {
    let mut list: Vec<Sensitivity> = written
        .iter()
        .filter_map(|one| match one {
            SensitivityText::None => None,
            SensitivityText::Normal => Some(Sensitivity::Normal),
            SensitivityText::Sensitive => Some(Sensitivity::Sensitive),
        })
        .collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// Runs the command.
///
/// # Errors
/// State, cause and next step.
pub fn run(args: Args, output: Output) -> anyhow::Result<()> {
    match args {
        Args::Init(args) => init(&args, output),
        Args::Roster(args) => roster(&args, output),
        Args::Sign(args) => sign(&args, output),
        Args::SignLogKey(args) => log_key::sign(&args, output),
    }
}

fn init(args: &InitArgs, output: Output) -> anyhow::Result<()> {
    let dir = &args.dir;
    if dir.join("authority").exists() || dir.join("keys").exists() {
        return Err(usage(
            format!("{} holds an authority already", dir.display()),
            "choose another folder; `exhibit authority roster` makes the next roster",
        ));
    }
    let threshold = args.threshold.unwrap_or(args.authority_keys / 2 + 1);
    if threshold == 0 || threshold > args.authority_keys {
        return Err(usage(
            format!("a threshold of {threshold} cannot be met by {} keys", args.authority_keys),
            "choose --threshold from 1 to --authority-keys",
        ));
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir.join("keys"))?;
    // A folder that was there keeps its mode: keys lie below `keys`, made here.
    fs_err::set_permissions(dir.join("keys"), Permissions::from_mode(0o700))?;
    let mut authority_keys = Vec::new();
    for number in 1..=args.authority_keys {
        let path = dir.join("keys").join(format!("authority-{number}"));
        create_key(&path, &format!("authority {number} of {}", args.deployment))?;
        authority_keys.push(public_key(&path)?);
    }
    let authority =
        AuthoritySet::new(threshold, authority_keys).map_err(|cause| usage(because(&cause), ""))?;
    let mut persons = Vec::new();
    for person in &args.persons {
        put_person(&mut persons, person, dir)?;
    }
    let issued = clock::now()?;
    let roster = Roster {
        type_: RosterType,
        deployment: args.deployment.clone(),
        version: 1,
        previous: None,
        issued,
        not_after: after_days(issued, args.days)?,
        authority: authority.clone(),
        persons,
        rules: Rules { two_persons: sensitivities(&args.two_persons), order_hours_max: args.order_hours },
    };
    write_durably(&dir.join("authority"), authority.to_trust_file().as_bytes())?;
    publish(dir, &roster, &authority, None, output)
}

/// The authority of a folder, and its newest roster with its file: signed by somebody, not yet judged.
fn founded(dir: &Path) -> anyhow::Result<(AuthoritySet, PathBuf, Signed, Roster)> {
    let text = fs_err::read_to_string(dir.join("authority"))
        .map_err(|cause| could_not(because(&cause), "name the folder that `exhibit authority init` made"))?;
    let authority = AuthoritySet::from_trust_file(&text).map_err(|cause| could_not(because(&cause), ""))?;
    let (_, path) = newest(dir)?;
    let signed = Signed::parse(&fs_err::read(&path)?)
        .map_err(|cause| failed(format!("{}: {}", path.display(), because(&cause)), ""))?;
    let roster: Roster = signed.read().map_err(|cause| failed(because(&cause), ""))?;
    Ok((authority, path, signed, roster))
}

fn roster(args: &RosterArgs, output: Output) -> anyhow::Result<()> {
    let dir = &args.dir;
    let (authority, path, signed, before) = founded(dir)?;
    Roster::verify(&signed, &before.deployment, &authority, None).map_err(|cause| {
        failed(
            format!("{}: {}", path.display(), because(&cause)),
            "each version is built on one in force: add the missing signatures with `exhibit authority sign`",
        )
    })?;
    let mut persons = before.persons.clone();
    for id in &args.remove {
        let count = persons.len();
        persons.retain(|person| person.id != *id);
        if persons.len() == count {
            return Err(usage(format!("{id} is not in roster {}", before.version), "check the name"));
        }
    }
    for person in &args.add {
        put_person(&mut persons, person, dir)?;
    }
    let issued = clock::now()?;
    let two_persons =
        if args.two_persons.is_empty() { before.rules.two_persons } else { sensitivities(&args.two_persons) };
    let next = Roster {
        type_: RosterType,
        deployment: before.deployment,
        version: before.version.checked_add(1).ok_or_else(|| usage("the version counter is full", ""))?,
        previous: Some(signed.digest()),
        issued,
        not_after: after_days(issued, args.days)?,
        authority: authority.clone(),
        persons,
        rules: Rules {
            two_persons,
            order_hours_max: args.order_hours.unwrap_or(before.rules.order_hours_max),
        },
    };
    let floor = RosterFloor { version: before.version, digest: Some(signed.digest()) };
    publish(dir, &next, &authority, Some(floor), output)
}

fn sign(args: &SignArgs, output: Output) -> anyhow::Result<()> {
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
            "nothing is to be done",
        ));
    }
    let armour = Signer::new(&args.key).sign(Roster::TYPE, &signed.document)?;
    signed.signatures.push(armour);
    let signed = Signed::from_parts(signed.document, signed.signatures).map_err(|cause| broken(&cause))?;
    signed.verify_all(Roster::TYPE).map_err(|cause| broken(&cause))?;
    let dir = args.roster.parent().unwrap_or(Path::new("."));
    write_roster(dir, &args.roster, roster.version, &signed)?;
    tell(&roster, &signed, &args.roster, output)
}

fn after_days(from: evidence::time::Time, days: u32) -> anyhow::Result<evidence::time::Time> {
    from.checked_add(Duration::from_secs(u64::from(days) * 86_400))
        .ok_or_else(|| usage("the year 9999 is the last", ""))
}

/// Path of the highest `roster-<version>.signed`.
fn newest(dir: &Path) -> anyhow::Result<(u64, PathBuf)> {
    let mut best: Option<(u64, PathBuf)> = None;
    for file in fs_err::read_dir(dir)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.strip_prefix("roster-").and_then(|rest| rest.strip_suffix(".signed"));
        let Some(version) = version.and_then(|version| version.parse().ok()) else {
            continue;
        };
        if best.as_ref().is_none_or(|(highest, _)| version > *highest) {
            best = Some((version, path));
        }
    }
    best.ok_or_else(|| {
        could_not(
            format!("{} holds no roster", dir.display()),
            "name the folder that `exhibit authority init` made",
        )
    })
}

/// Signs with every authority key whose secret lies here, verifies, writes.
fn publish(
    dir: &Path,
    roster: &Roster,
    authority: &AuthoritySet,
    floor: Option<RosterFloor>,
    output: Output,
) -> anyhow::Result<()> {
    roster
        .validate()
        .map_err(|rule| usage(format!("this roster is not valid: {rule}"), "correct the persons given"))?;
    let document = to_document(roster)?;
    let mut signatures = Vec::new();
    for number in 1..=16 {
        let key = dir.join("keys").join(format!("authority-{number}"));
        if key.exists() && authority.keys.contains(&public_key(&key)?) {
            signatures.push(Signer::new(&key).sign(Roster::TYPE, &document)?);
        }
    }
    if signatures.is_empty() {
        return Err(could_not(
            format!("{} holds no authority key", dir.join("keys").display()),
            "copy one authority key there as keys/authority-1; others add theirs with `exhibit authority sign`",
        ));
    }
    let signed = Signed::from_parts(document, signatures).map_err(|cause| failed(because(&cause), ""))?;
    let needed = usize::try_from(authority.threshold).unwrap_or(usize::MAX);
    if signed.signatures.len() >= needed {
        Roster::verify(&signed, &roster.deployment, authority, floor.as_ref())
            .map_err(|cause| failed(because(&cause), "nothing was written"))?;
    }
    let path = dir.join(format!("roster-{}.signed", roster.version));
    if path.exists() {
        return Err(could_not(
            format!("{} exists", path.display()),
            "a version is made once; move the file away",
        ));
    }
    write_roster(dir, &path, roster.version, &signed)?;
    tell(roster, &signed, &path, output)
}

fn write_roster(dir: &Path, path: &Path, version: u64, signed: &Signed) -> anyhow::Result<()> {
    for (name, bytes) in signed.split(&format!("roster-{version}")) {
        write_durably(&dir.join(name), &bytes)?;
    }
    write_durably(path, &signed.encode())
}

fn tell(roster: &Roster, signed: &Signed, path: &Path, output: Output) -> anyhow::Result<()> {
    let value = serde_json::json!({
        "deployment": roster.deployment,
        "version": roster.version,
        "roster": signed.digest(),
        "file": path,
        "not_after": roster.not_after,
        "authority": roster.authority.id(),
        "threshold": roster.authority.threshold,
        "signatures": signed.signatures.len(),
        "persons": roster.persons.iter().map(|person| serde_json::json!({
            "person": person.id,
            "roles": person.roles,
            "keys": person.keys.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut lines = vec![
            format!("roster {} of {}: {}", roster.version, roster.deployment, path.display()),
            format!("  in force until {}", roster.not_after),
            format!(
                "  signed by {} of the {} authority keys it needs",
                signed.signatures.len(),
                roster.authority.threshold
            ),
            format!("  authority set {}", roster.authority.id()),
        ];
        for key in &roster.authority.keys {
            lines.push(format!("  authority key {}", key.fingerprint()));
        }
        for person in &roster.persons {
            let keys: Vec<String> = person.keys.iter().map(|key| key.fingerprint().to_string()).collect();
            let roles: Vec<String> = person.roles.iter().map(role_text).collect();
            lines.push(format!("  {}: {} ({})", person.id, roles.join(", "), keys.join(", ")));
        }
        lines.join("\n")
    })?;
    if signed.signatures.len() < usize::try_from(roster.authority.threshold).unwrap_or(usize::MAX) {
        output.say("not in force yet: other holders add their signatures with `exhibit authority sign`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use clap::Parser;

    use super::*;
    use crate::output::Format;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        args: Args,
    }

    fn exhibit(words: &[&str]) -> anyhow::Result<()> {
        let line = Line::try_parse_from(std::iter::once("authority").chain(words.iter().copied()))?;
        run(line.args, Output { format: Format::Json })
    }

    fn read(path: &Path) -> (Signed, Roster) {
        let signed = Signed::parse(&fs_err::read(path).unwrap()).unwrap();
        let roster = signed.read().unwrap();
        (signed, roster)
    }

    #[test]
    fn rosters_are_signed_by_ssh_keygen_linked_and_verified_under_the_trust_file() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("admin");
        let path = dir.to_str().unwrap();
        exhibit(&[
            "init",
            path,
            "--deployment",
            "acme",
            "--person",
            "bob=approver",
            "--person",
            "alice=responder,endpoint-admin",
        ])
        .unwrap();
        for name in ["keys/authority-1", "keys/alice", "keys/bob"] {
            assert_eq!(fs_err::metadata(dir.join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
        }
        let authority =
            AuthoritySet::from_trust_file(&fs_err::read_to_string(dir.join("authority")).unwrap()).unwrap();
        let (first, roster) = read(&dir.join("roster-1.signed"));
        let admitted =
            Roster::admit(&first, &roster.deployment, &authority, None, clock::now().unwrap()).unwrap();
        assert_eq!(
            admitted.roster().persons.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(),
            ["alice", "bob"]
        );
        assert_eq!(fs_err::read(dir.join("roster-1.json")).unwrap(), first.document);

        exhibit(&[
            "roster",
            path,
            "--add",
            "carol=analyst",
            "--remove",
            "bob",
            "--two-persons",
            "sensitive",
            "--days",
            "30",
        ])
        .unwrap();
        let (second, roster) = read(&dir.join("roster-2.signed"));
        assert_eq!(roster.previous, Some(first.digest()));
        Roster::verify(&second, &roster.deployment, &authority, Some(&admitted.floor())).unwrap();
        assert!(roster.needs_approval(Sensitivity::Sensitive));
        assert_eq!(roster.persons.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["alice", "carol"]);
        assert!(
            exhibit(&["init", path, "--deployment", "acme", "--person", "a=auditor"]).is_err(),
            "an authority is never overwritten"
        );
        assert!(exhibit(&["roster", path, "--remove", "bob"]).is_err());
    }

    #[test]
    fn a_second_authority_adds_its_signature_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("admin");
        let path = dir.to_str().unwrap();
        exhibit(&["init", path, "--deployment", "acme", "--person", "a=responder", "--authority-keys", "2"])
            .unwrap();
        // The second holder takes the key away.
        let away = folder.path().join("second");
        fs_err::rename(dir.join("keys/authority-2"), &away).unwrap();
        fs_err::rename(dir.join("keys/authority-2.pub"), folder.path().join("second.pub")).unwrap();
        exhibit(&["roster", path]).unwrap();
        let file = dir.join("roster-2.signed");
        let authority =
            AuthoritySet::from_trust_file(&fs_err::read_to_string(dir.join("authority")).unwrap()).unwrap();
        let (half, roster) = read(&file);
        assert!(Roster::verify(&half, &roster.deployment, &authority, None).is_err());
        assert!(exhibit(&["roster", path]).is_err(), "nothing is built on a roster that is not in force");
        let (file_text, away_text) = (file.to_str().unwrap(), away.to_str().unwrap());
        exhibit(&["sign", file_text, "--key", away_text]).unwrap();
        let (whole, roster) = read(&file);
        Roster::verify(&whole, &roster.deployment, &authority, None).unwrap();
        assert!(dir.join("roster-2.json.2.sig").exists());
        assert!(exhibit(&["sign", file_text, "--key", away_text]).is_err(), "a key signs once");
        assert!(
            exhibit(&["sign", file_text, "--key", dir.join("keys/a").to_str().unwrap()]).is_err(),
            "no authority key"
        );
    }
}
