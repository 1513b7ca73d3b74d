//! `exhibit authority`: the commands for admins on the offline machine that holds the authority keys.
//! Guarantee: no command overwrites a key, and a roster is written only after it was read back and verified.
//! Not here: publishing a roster. The operator does that with `exhibit-server publish-roster`, so this machine needs no network.

mod folder;
mod init;
mod log_key;
mod person;
mod roster;
mod sign;

use clap::Subcommand;

use crate::output::Output;

/// `exhibit authority …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Make authority keys and the first roster, and keys for persons who bring none
    #[command(after_help = init::EXAMPLES)]
    Init(init::Args),
    /// Make and sign the next roster version
    #[command(after_help = roster::EXAMPLES)]
    Roster(roster::Args),
    /// Add another authority key's signature to a roster
    #[command(after_help = sign::EXAMPLES)]
    Sign(sign::Args),
    /// Show a change of the log key that a collector proposes, and sign it
    #[command(after_help = log_key::EXAMPLES)]
    SignLogKey(log_key::Args),
}

/// Runs the command.
pub fn run(args: Args, output: Output) -> anyhow::Result<()> {
    match args {
        Args::Init(args) => init::init(&args, output),
        Args::Roster(args) => roster::next(&args, output),
        Args::Sign(args) => sign::sign(&args, output),
        Args::SignLogKey(args) => log_key::sign(&args, output),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use clap::Parser;
    use evidence::order::Sensitivity;
    use evidence::roster::{AuthoritySet, Roster};
    use evidence::signed::Signed;

    use super::*;
    use crate::clock;
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
