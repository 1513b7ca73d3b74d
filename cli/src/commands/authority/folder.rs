//! The folder that `exhibit authority init` makes: the authority file, the keys, and one file for each roster version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evidence::document::Document as _;
use evidence::json::to_document;
use evidence::roster::{AuthoritySet, Roster, RosterFloor};
use evidence::signed::Signed;
use evidence::time::Time;

use super::person::public_key;
use crate::failure::{because, could_not, failed, usage};
use crate::home::write_durably;
use crate::output::Output;
use crate::signer::Signer;

/// The authority of a folder, and its newest roster with the file it lies in. The roster parses; no signature was checked.
pub(super) fn newest_roster(dir: &Path) -> anyhow::Result<(AuthoritySet, PathBuf, Signed, Roster)> {
    let text = fs_err::read_to_string(dir.join("authority"))
        .map_err(|cause| could_not(because(&cause), "name the folder that `exhibit authority init` made"))?;
    let authority = AuthoritySet::from_trust_file(&text).map_err(|cause| could_not(because(&cause), ""))?;
    let (_, path) = newest(dir)?;
    let signed = Signed::parse(&fs_err::read(&path)?)
        .map_err(|cause| failed(format!("{}: {}", path.display(), because(&cause)), ""))?;
    let roster: Roster = signed.read().map_err(|cause| failed(because(&cause), ""))?;
    Ok((authority, path, signed, roster))
}

pub(super) fn after_days(from: Time, days: u32) -> anyhow::Result<Time> {
    from.checked_add(Duration::from_secs(u64::from(days) * 86_400))
        .ok_or_else(|| usage("the year 9999 is the last", ""))
}

/// Path of the highest `roster-<version>.signed`.
fn newest(dir: &Path) -> anyhow::Result<(u64, PathBuf)> {
    let mut best: Option<(u64, PathBuf)> = None;
    for file in fs_err::read_dir(dir)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let version =
            name.and_then(|name| name.strip_prefix("roster-")).and_then(|rest| rest.strip_suffix(".signed"));
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

/// Signs with every authority key whose private half is in this folder, verifies the result and writes it.
pub(super) fn publish(
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
    if is_complete(&signed, authority) {
        Roster::verify(&signed, &roster.deployment, authority, floor.as_ref())
            .map_err(|cause| failed(because(&cause), "nothing was written"))?;
    }
    let path = dir.join(format!("roster-{}.signed", roster.version));
    if path.exists() {
        return Err(could_not(
            format!("{} exists", path.display()),
            "a roster version is made once: move the file away if it was never published",
        ));
    }
    write_roster(dir, &path, roster.version, &signed)?;
    print_roster(roster, &signed, &path, output)
}

/// True if as many signatures stand below the roster as its authority demands.
fn is_complete(signed: &Signed, authority: &AuthoritySet) -> bool {
    u32::try_from(signed.signatures.len()).is_ok_and(|count| count >= authority.threshold)
}

pub(super) fn write_roster(dir: &Path, path: &Path, version: u64, signed: &Signed) -> anyhow::Result<()> {
    for (name, bytes) in signed.split(&format!("roster-{version}")) {
        write_durably(&dir.join(name), &bytes)?;
    }
    write_durably(path, &signed.encode())
}

pub(super) fn print_roster(
    roster: &Roster,
    signed: &Signed,
    path: &Path,
    output: Output,
) -> anyhow::Result<()> {
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
            let roles: Vec<&str> = person.roles.iter().map(|role| role.as_str()).collect();
            lines.push(format!("  {}: {} ({})", person.id, roles.join(", "), keys.join(", ")));
        }
        lines.join("\n")
    })?;
    if !is_complete(signed, &roster.authority) {
        output
            .print_note("not in force yet: other holders add their signatures with `exhibit authority sign`");
    }
    Ok(())
}
