//! `exhibit incident`: opens, annotates, closes and reopens incidents; holds, retention, the list and the custody timeline.
//! Guarantee: the person's key signs every act. An act is shown as done only with its verified ledger proof.
//! Not here: orders and evidence of an incident (`order`, `collection`).

mod retention;

use clap::{Subcommand, ValueEnum};
use evidence::entry::EntryType;
use evidence::entry::pairs;
use evidence::id::{Chain, IncidentId};
use evidence::roster::Role;
use proto::parts::join;
use proto::status::Class;
use proto::v1;

use crate::acts::Draft;
use crate::checkpoints::RecordedEntry;
use crate::context::Context;
use crate::failure::usage;
use crate::output::{shown, shown_lines, table};
use crate::session::{Session, refusal_with_next, refused};

/// `exhibit incident …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Open an incident and print its id
    #[command(
        after_help = "Examples:\n  exhibit incident open --title \"Odd logins on web-03\" --severity high\n  exhibit incident open --title Phishing --severity medium --tlp amber --class fraud"
    )]
    Open(OpenArgs),
    /// List incidents
    #[command(after_help = "Examples:\n  exhibit incident list\n  exhibit incident list --open --json")]
    List {
        /// Show only open incidents
        #[arg(long)]
        open: bool,
    },
    /// Show an incident and its custody timeline
    #[command(after_help = "Examples:\n  exhibit incident show INC-2026-0001")]
    Show {
        /// The incident
        incident: IncidentId,
    },
    /// Add a note. The text can be erased later; its salted digest stays in the ledger for ever
    #[command(
        after_help = "Examples:\n  exhibit incident note INC-2026-0001 \"Disk image requested from the hoster\"\n  exhibit incident note INC-2026-0001 - < minutes.txt"
    )]
    Note {
        /// The incident
        incident: IncidentId,
        /// The note; `-` reads it from standard input
        text: String,
    },
    /// Close an incident
    #[command(
        after_help = "Examples:\n  exhibit incident close INC-2026-0001 --reason \"Eradicated; report filed\""
    )]
    Close(EndArgs),
    /// Reopen a closed incident
    #[command(
        after_help = "Examples:\n  exhibit incident reopen INC-2026-0001 --reason \"Seen again on db-01\""
    )]
    Reopen(EndArgs),
    /// Place and release legal holds; nothing of an incident under hold can be destroyed
    #[command(subcommand)]
    Hold(retention::HoldArgs),
    /// Set how long an incident's evidence is kept
    #[command(subcommand)]
    Retention(retention::RetentionArgs),
}

/// `exhibit incident open`.
#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// One line; stored as an erasable detail
    #[arg(long)]
    title: String,
    /// Severity
    #[arg(long, value_enum)]
    severity: Severity,
    /// Traffic light protocol 2.0
    #[arg(long, value_enum, default_value_t = Tlp::Amber)]
    tlp: Tlp,
    /// Class of the Reference Security Incident Taxonomy (RSIT)
    #[arg(long = "class", value_enum, default_value_t = RsitClass::Other)]
    rsit: RsitClass,
}

/// `exhibit incident close` and `reopen`.
#[derive(Debug, clap::Args)]
pub struct EndArgs {
    /// The incident
    incident: IncidentId,
    /// Your reason; stored as an erasable detail
    #[arg(long)]
    reason: Option<String>,
}

/// How bad an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Severity {
    /// Little harm.
    Low,
    /// Some harm.
    Medium,
    /// Much harm.
    High,
    /// Existential harm.
    VeryHigh,
}

/// Who may be told (FIRST, TLP 2.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tlp {
    /// Everybody.
    Clear,
    /// The community.
    Green,
    /// The organisation and its clients.
    Amber,
    /// The organisation.
    AmberStrict,
    /// Those in the room.
    Red,
}

/// RSIT classes (ENISA, TF-CSIRT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RsitClass {
    /// Spam, harmful speech.
    AbusiveContent,
    /// Malware and its infrastructure.
    MaliciousCode,
    /// Scanning, sniffing, social engineering.
    InformationGathering,
    /// Exploits and login attempts.
    IntrusionAttempts,
    /// Compromised accounts, applications, systems.
    Intrusions,
    /// Denial of service, outage.
    Availability,
    /// Leaks, unauthorised access or change.
    InformationContentSecurity,
    /// Phishing, masquerade, copyright.
    Fraud,
    /// Open to abuse.
    Vulnerable,
    /// None of these.
    Other,
    /// A test.
    Test,
}

/// The word for a choice, as acts write it.
#[expect(clippy::expect_used, reason = "only a variant marked `skip` has no word, and these enums have none")]
fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().expect("a word for every choice").get_name().to_owned()
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::Open(args) => open(&session, &args).await,
        Args::List { open } => list(&session, open).await,
        Args::Show { incident } => show(&session, &incident).await,
        Args::Note { incident, text } => {
            let text = if text == "-" { std::io::read_to_string(std::io::stdin().lock())? } else { text };
            if text.trim().is_empty() {
                return Err(usage("the note is empty", "write what happened"));
            }
            act(&session, EntryType::IncidentNoted, incident, Some(text), &[Role::Responder, Role::Analyst])
                .await
        }
        Args::Close(args) => {
            act(&session, EntryType::IncidentClosed, args.incident, args.reason, &[Role::Responder]).await
        }
        Args::Hold(args) => retention::hold(&session, args).await,
        Args::Retention(args) => retention::set(&session, args).await,
        Args::Reopen(args) => {
            act(&session, EntryType::IncidentReopened, args.incident, args.reason, &[Role::Responder]).await
        }
    }
}

async fn open(session: &Session, args: &OpenArgs) -> anyhow::Result<()> {
    /// Another person may take the free number before this act is recorded. More than a few times in a row is a fault.
    const TRIES: u32 = 5;

    let roster = session.roster().await?;
    let mut client = proto::service::incident_client(session.channel());
    let mut tries = 0;
    loop {
        let next = client.next_incident_id(v1::NextIncidentIdRequest {}).await.map_err(refused)?.into_inner();
        let incident: IncidentId = proto::convert::text("incident", "an incident id", &next.incident)?;
        let draft = Draft {
            act: EntryType::IncidentOpened,
            chain: Chain::Incident(incident.clone()),
            refs: pairs::sorted([("incident", incident.to_string())]),
            fields: pairs::sorted([
                ("severity", word(&args.severity)),
                ("tlp", word(&args.tlp)),
                ("class", word(&args.rsit)),
            ]),
            text: Some(args.title.clone()),
        };
        let (request, signed) = session.act(draft, &roster, &[Role::Responder])?;
        let answer = match client.open_incident(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if Class::of(&status) == Class::Exists && tries < TRIES => {
                tries += 1;
                continue;
            }
            Err(status) => return Err(refused(status)),
        };
        let recorded = session.prove_recorded("entry", answer.entry).await?;
        let refs = [("incident", incident.to_string())];
        recorded.expect(EntryType::IncidentOpened, &signed.digest(), &refs)?;
        return done(session, &incident, "opened", &recorded);
    }
}

async fn act(
    session: &Session,
    type_: EntryType,
    incident: IncidentId,
    text: Option<String>,
    roles: &[Role],
) -> anyhow::Result<()> {
    act_about(session, type_, incident, &[], text, roles).await
}

/// Signs and records an act that names something by refs.
async fn act_about(
    session: &Session,
    type_: EntryType,
    incident: IncidentId,
    refs: &[(&'static str, String)],
    text: Option<String>,
    roles: &[Role],
) -> anyhow::Result<()> {
    let roster = session.roster().await?;
    let draft = Draft {
        act: type_,
        chain: Chain::Incident(incident.clone()),
        refs: refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        fields: Vec::new(),
        text,
    };
    let (request, signed) = session.act(draft, &roster, roles)?;
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.record_act(request).await.map_err(refusal_with_list())?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    recorded.expect(type_, &signed.digest(), refs)?;
    let verb = match type_ {
        EntryType::HoldPlaced => "is under hold".to_owned(),
        EntryType::HoldReleased => "has a hold less".to_owned(),
        EntryType::RetentionChanged => "has another retention".to_owned(),
        _ => type_.as_str().trim_start_matches("incident.").to_owned(),
    };
    done(session, &incident, &verb, &recorded)
}

/// Turns a refusal that concerns the named incident into an error with a next step.
fn refusal_with_list() -> impl FnOnce(tonic::Status) -> anyhow::Error {
    refusal_with_next("see the incidents and their states: exhibit incident list")
}

fn done(
    session: &Session,
    incident: &IncidentId,
    verb: &str,
    recorded: &RecordedEntry,
) -> anyhow::Result<()> {
    let value = serde_json::json!({
        "incident": incident,
        "act": recorded.entry.envelope.type_,
        "event": recorded.entry.envelope.event,
        "index": recorded.index,
        "seq": recorded.entry.envelope.seq,
    });
    session.output.result(&value, || {
        format!(
            "{incident} {verb}; entry {} of its chain, proven at {} in the ledger",
            recorded.entry.envelope.seq, recorded.index
        )
    })
}

async fn list(session: &Session, open_only: bool) -> anyhow::Result<()> {
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.list_incidents(v1::ListIncidentsRequest { open_only }).await;
    let answer = join(answer).await.map_err(refused)?;
    let values: Vec<serde_json::Value> = answer.incidents.iter().map(row_value).collect();
    session.output.result(&values, || {
        let rows: Vec<Vec<String>> = answer
            .incidents
            .iter()
            .map(|row| {
                vec![
                    shown(&row.incident),
                    shown(&row.state),
                    shown(&row.severity),
                    shown(&row.tlp),
                    row.collections.to_string(),
                    shown(&row.opened),
                    shown(&row.title),
                ]
            })
            .collect();
        table(&["incident", "state", "severity", "tlp", "collections", "opened", "title"], &rows)
    })
}

fn row_value(row: &v1::IncidentRow) -> serde_json::Value {
    serde_json::json!({
        "incident": row.incident, "title": row.title, "severity": row.severity, "tlp": row.tlp, "class": row.rsit_class,
        "state": row.state, "opened": row.opened, "opened_by": row.opened_by, "entries": row.entries,
        "collections": row.collections,
    })
}

async fn show(session: &Session, incident: &IncidentId) -> anyhow::Result<()> {
    let mut client = proto::service::incident_client(session.channel());
    let request = v1::ShowIncidentRequest { incident: incident.to_string() };
    let answer = join(client.show_incident(request).await).await.map_err(refusal_with_list())?;
    let row = proto::convert::required("incident", answer.incident.clone())?;
    let value = serde_json::json!({
        "incident": row_value(&row),
        "retention": retention::to_json(&answer),
        "timeline": answer.timeline.iter().map(|line| serde_json::json!({
            "index": line.index, "seq": line.seq, "time": line.time, "type": line.r#type, "by": line.by,
            "summary": line.summary, "event": line.event,
        })).collect::<Vec<_>>(),
    });
    session.output.result(&value, || {
        let rows: Vec<Vec<String>> = answer
            .timeline
            .iter()
            .map(|line| {
                vec![
                    line.seq.to_string(),
                    shown(&line.time),
                    shown(&line.r#type),
                    shown(&line.by),
                    shown_lines(&line.summary).replace('\n', " / "),
                ]
            })
            .collect();
        format!(
            "{}  {}  {}\n  severity {}, TLP:{}, class {}, opened {} by {}\n{}\n{}",
            shown(&row.incident),
            shown(&row.state),
            shown(&row.title),
            shown(&row.severity),
            shown(&row.tlp).to_uppercase(),
            shown(&row.rsit_class),
            shown(&row.opened),
            shown(&row.opened_by),
            retention::to_text(&answer),
            table(&["seq", "time", "act", "by", "what"], &rows)
        )
    })
}

#[cfg(test)]
mod tests {
    use evidence::entry::incident;

    use super::*;

    #[test]
    fn the_choices_are_the_words_of_the_specification() {
        fn same<T: ValueEnum>(words: &[impl ToString]) {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(T::value_variants().iter().map(word).collect::<Vec<_>>(), words);
        }
        same::<Severity>(incident::Severity::ALL);
        same::<Tlp>(incident::Tlp::ALL);
        same::<RsitClass>(incident::RsitClass::ALL);
    }
}
