//! `exhibit incident hold` and `retention`: protect evidence from destruction, and set until when it must be kept.
//! Guarantee: a release names the act that placed its hold, so it ends that hold and no other. Not here: disposal (`disposition`).

use std::time::Duration;

use clap::Subcommand;
use evidence::entry::EntryType;
use evidence::id::IncidentId;
use evidence::roster::Role;
use evidence::time::Time;
use proto::parts::join;
use proto::v1;

use super::{act_about, refusal_with_list};
use crate::clock;
use crate::failure::usage;
use crate::output::shown;
use crate::session::Session;

/// Longest retention in days, a little over a century. Whoever wants more sets no retention, which keeps the evidence for ever.
const DAYS_MAX: u64 = 36_600;

/// `exhibit incident hold …`.
#[derive(Debug, Subcommand)]
pub enum HoldArgs {
    /// Place a hold (responder or approver)
    #[command(
        after_help = "Examples:\n  exhibit incident hold place INC-2026-0001 --reason \"Litigation 4711\""
    )]
    Place {
        /// The incident
        incident: IncidentId,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: String,
    },
    /// Release a hold (approver)
    #[command(
        after_help = "Examples:\n  exhibit incident hold release INC-2026-0001 --reason \"Settled\"\n  exhibit incident hold release INC-2026-0001 --hold 7b1e44d0 --reason \"Settled\""
    )]
    Release {
        /// The incident
        incident: IncidentId,
        /// First digits of the hold's id, as `exhibit incident show` prints it; needed only if there are several
        #[arg(long)]
        hold: Option<String>,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: String,
    },
}

/// `exhibit incident retention …`.
#[derive(Debug, Subcommand)]
pub enum RetentionArgs {
    /// Set the date until which evidence must be kept (approver). Without a date, evidence is kept for ever
    #[command(
        after_help = "Examples:\n  exhibit incident retention set INC-2026-0001 --until 2036-12-31 --reason \"Ten years by law\"\n  exhibit incident retention set INC-2026-0001 --days 365 --reason \"Internal policy\""
    )]
    Set {
        /// The incident
        incident: IncidentId,
        /// A day (its start in UTC) or a time
        #[arg(long, value_name = "DATE", value_parser = date, conflicts_with = "days", required_unless_present = "days")]
        until: Option<Time>,
        /// Days from now
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
        days: Option<u64>,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: String,
    },
}

/// Parses `YYYY-MM-DD`, or a time as documents write it.
fn date(text: &str) -> Result<Time, String> {
    let time = if text.len() == 10 { format!("{text}T00:00:00.000Z").parse() } else { text.parse() };
    time.map_err(|_not_a_time| "write YYYY-MM-DD or YYYY-MM-DDThh:mm:ss.mmmZ".to_owned())
}

/// Places or releases a hold.
pub(super) async fn hold(session: &Session, args: HoldArgs) -> anyhow::Result<()> {
    match args {
        HoldArgs::Place { incident, reason } => {
            let roles = [Role::Responder, Role::Approver];
            act_about(session, EntryType::HoldPlaced, incident, &[], Some(require_reason(reason)?), &roles)
                .await
        }
        HoldArgs::Release { incident, hold, reason } => {
            let reason = require_reason(reason)?;
            let standing = fetch_holds(session, &incident).await?;
            let refs = [("hold", choose_hold(&standing, hold.as_deref(), &incident)?)];
            let roles = [Role::Approver];
            act_about(session, EntryType::HoldReleased, incident, &refs, Some(reason), &roles).await
        }
    }
}

pub(super) async fn set(session: &Session, args: RetentionArgs) -> anyhow::Result<()> {
    let RetentionArgs::Set { incident, until, days, reason } = args;
    let reason = require_reason(reason)?;
    let until = match (until, days) {
        (Some(until), _) => until,
        (None, Some(days)) => {
            let span = days.checked_mul(86_400).map(Duration::from_secs);
            let now = clock::now()?;
            span.and_then(|span| now.checked_add(span))
                .ok_or_else(|| usage("that date is beyond the calendar", "give fewer --days"))?
        }
        (None, None) => return Err(usage("no date is given", "give --until DATE or --days N")),
    };
    let refs = [("until", until.to_string())];
    let roles = [Role::Approver];
    act_about(session, EntryType::RetentionChanged, incident, &refs, Some(reason), &roles).await
}

fn require_reason(reason: String) -> anyhow::Result<String> {
    if reason.trim().is_empty() {
        return Err(usage("a reason is needed", "say why: --reason TEXT"));
    }
    Ok(reason)
}

async fn fetch_holds(session: &Session, incident: &IncidentId) -> anyhow::Result<Vec<v1::HoldRow>> {
    let mut client = proto::service::incident_client(session.channel());
    let request = v1::ShowIncidentRequest { incident: incident.to_string() };
    Ok(join(client.show_incident(request).await).await.map_err(refusal_with_list())?.holds)
}

/// The id of the hold that the person means.
fn choose_hold(
    standing: &[v1::HoldRow],
    wanted: Option<&str>,
    incident: &IncidentId,
) -> anyhow::Result<String> {
    let next = format!("see the holds that stand: exhibit incident show {incident}");
    if let Some(wanted) = wanted
        && (wanted.len() < 8 || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(usage(format!("{wanted} is no hold"), "give at least 8 digits of its id"));
    }
    let matching: Vec<&v1::HoldRow> =
        standing.iter().filter(|row| wanted.is_none_or(|wanted| row.hold.starts_with(wanted))).collect();
    match matching.as_slice() {
        [one] => Ok(one.hold.clone()),
        [] => Err(usage(format!("no such hold stands on {incident}"), next)),
        more => Err(usage(format!("{} holds stand on {incident}", more.len()), "name one: --hold ID")),
    }
}

/// For programs.
pub(super) fn to_json(answer: &v1::ShowIncidentResponse) -> serde_json::Value {
    let hold = |row: &v1::HoldRow| serde_json::json!({"hold": row.hold, "placed": row.placed, "by": row.by, "reason": row.reason});
    serde_json::json!({
        "until": (!answer.retention_until.is_empty()).then_some(&answer.retention_until),
        "holds": answer.holds.iter().map(hold).collect::<Vec<_>>(),
        "kept": (!answer.kept.is_empty()).then_some(&answer.kept),
    })
}

/// For people.
pub(super) fn to_text(answer: &v1::ShowIncidentResponse) -> String {
    let mut lines = vec![format!(
        "  evidence: {}",
        if answer.kept.is_empty() {
            "nothing keeps it any more".to_owned()
        } else {
            format!("kept: {}", shown(&answer.kept))
        }
    )];
    if !answer.retention_until.is_empty() {
        lines.push(format!("  retention until {}", shown(&answer.retention_until)));
    }
    for row in &answer.holds {
        let short: String = row.hold.chars().take(12).collect();
        lines.push(format!(
            "  hold {} placed {} by {}: {}",
            shown(&short),
            shown(&row.placed),
            shown(&row.by),
            shown(&row.reason)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hold: &str) -> v1::HoldRow {
        v1::HoldRow { hold: hold.to_owned(), ..v1::HoldRow::default() }
    }

    #[test]
    fn a_release_means_one_hold() {
        let incident: IncidentId = "INC-2026-0001".parse().unwrap();
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let both = [row(&one), row(&two)];
        let pick = |rows: &[v1::HoldRow], wanted| choose_hold(rows, wanted, &incident).ok();
        assert_eq!(pick(&both[..1], None), Some(one.clone()));
        assert_eq!(pick(&both, Some("cdcdcdcd")), Some(two));
        for (rows, wanted) in [
            (&both[..], None),
            (&[][..], None),
            (&both[..], Some("ab")),
            (&both[..], Some("ababababff")),
            (&both[..], Some("the first")),
        ] {
            assert_eq!(pick(rows, wanted), None, "{wanted:?}");
        }
    }

    #[test]
    fn a_date_is_a_day_or_a_time() {
        assert_eq!(date("2036-12-31").unwrap().to_string(), "2036-12-31T00:00:00.000Z");
        assert_eq!(date("2036-12-31T10:00:00.000Z").unwrap().to_string(), "2036-12-31T10:00:00.000Z");
        for wrong in ["31.12.2036", "2036-13-01", "tomorrow", ""] {
            date(wrong).unwrap_err();
        }
    }
}
