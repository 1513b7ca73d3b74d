//! `exhibit authority roster`: makes the next version of the roster from the one in force.

use std::path::PathBuf;

use evidence::id::PersonId;
use evidence::order::Sensitivity;
use evidence::roster::{Roster, RosterFloor, RosterType, Rules};

use super::folder::{after_days, newest_roster, publish};
use super::person::{PersonText, put_person};
use crate::clock;
use crate::failure::{because, failed, usage};
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  exhibit authority roster admin                                          # the same persons for another 90 days
  exhibit authority roster admin --add carol=analyst:carol.pub --remove bob";

/// `exhibit authority roster`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `exhibit authority init` made
    dir: PathBuf,
    /// Add a person. If the person exists, replace their roles and add the key, if one is given
    #[arg(long, value_name = "NAME=ROLE[,ROLE][:PUBKEYFILE]")]
    add: Vec<PersonText>,
    /// Remove a person and all their keys
    #[arg(long, value_name = "NAME")]
    remove: Vec<PersonId>,
    /// Days until the roster expires, at most 90
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Sensitivity for which orders need a second person; `none` removes the rule [default: as in the last version]
    #[arg(long, value_name = "SENSITIVITY")]
    two_persons: Vec<SensitivityText>,
    /// Longest life of an order, in hours [default: as in the last version]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=720))]
    order_hours: Option<u32>,
}

/// `normal`, `sensitive` or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SensitivityText {
    /// No order.
    None,
    /// Every order of normal sensitivity.
    Normal,
    /// Every sensitive order.
    Sensitive,
}

pub(super) fn sensitivities(written: &[SensitivityText]) -> Vec<Sensitivity> {
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

pub(super) fn next(args: &Args, output: Output) -> anyhow::Result<()> {
    let dir = &args.dir;
    let (authority, path, signed, before) = newest_roster(dir)?;
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
