//! `exhibit endpoint`: makes enrolment tokens; lists, shows and retires endpoints.
//! Guarantee: this machine makes the secret of a token and prints it; the secret leaves no other way. The collector learns only the
//! public half. Not here: enrolling (`exhibit-agent enrol`).

use std::time::Duration;

use clap::Subcommand;
use evidence::enrolment::{Token, TokenString, TokenType};
use evidence::entry::EntryType;
use evidence::entry::pairs;
use evidence::id::{Chain, EndpointId, Generation};
use evidence::keys::SigningKey;
use evidence::log_key::LogKey;
use evidence::roster::Role;
use proto::parts::join;
use proto::v1;

use crate::acts::Draft;
use crate::clock;
use crate::context::Context;
use crate::directory::Directory;
use crate::failure::{because, could_not, usage};
use crate::output::{shown, table, write_line};
use crate::session::{Session, refusal_with_next, refused};

const TOKEN_EXAMPLES: &str = "\
Examples:
  exhibit endpoint token web-03
  exhibit endpoint token web-03 --generation 2       # the machine was reinstalled
  exhibit endpoint token web-03 --quiet | ssh root@web-03 'read t; exhibit-agent enrol --token \"$t\"'

The token contains a one-time secret: treat it like a password. It expires after one use or --days.";

/// `exhibit endpoint …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Make an enrolment token for one endpoint
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenArgs),
    /// List endpoints
    #[command(after_help = "Examples:\n  exhibit endpoint list\n  exhibit endpoint list --json")]
    List,
    /// Show one endpoint, with the evidence key that the ledger proves
    #[command(after_help = "Examples:\n  exhibit endpoint show web-03")]
    Show {
        /// The endpoint
        endpoint: EndpointId,
    },
    /// Retire an endpoint: revoke its certificate and send it no more orders
    #[command(after_help = "Examples:\n  exhibit endpoint retire web-03 --reason \"Decommissioned\"")]
    Retire {
        /// The endpoint
        endpoint: EndpointId,
        /// Number of the enrolment [default: the newest]
        #[arg(long)]
        generation: Option<Generation>,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `exhibit endpoint token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Name of the endpoint
    endpoint: EndpointId,
    /// Number of the enrolment; a name that was enrolled before needs the next number
    #[arg(long, value_name = "N")]
    generation: Option<Generation>,
    /// Days until the token expires, at most 7
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    days: u32,
    /// Address at which the endpoint reaches the main listener [default: the address that you use]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Address at which the endpoint reaches the enrolment listener [default: the address that you use]
    #[arg(long, value_name = "HOST:PORT")]
    enrol_address: Option<String>,
    /// Print only the token
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::Token(args) => token(&session, &args).await,
        Args::List => list(&session).await,
        Args::Show { endpoint } => show(&session, &endpoint).await,
        Args::Retire { endpoint, generation, reason } => retire(&session, endpoint, generation, reason).await,
    }
}

/// The generations of one endpoint, or without a name those of all endpoints, without inventories.
async fn rows(session: &Session, endpoint: Option<&EndpointId>) -> anyhow::Result<Vec<v1::EndpointRow>> {
    let mut client = proto::service::endpoint_client(session.channel());
    // Empty asks for all.
    let endpoint = endpoint.map(EndpointId::to_string).unwrap_or_default();
    let answer = client.list_endpoints(v1::ListEndpointsRequest { endpoint }).await;
    Ok(join(answer).await.map_err(refused)?.endpoints)
}

async fn token(session: &Session, args: &TokenArgs) -> anyhow::Result<()> {
    let roster = session.roster().await?;
    let used = rows(session, Some(&args.endpoint)).await?.into_iter().map(|row| row.generation).max();
    let generation = match (args.generation, used) {
        (Some(generation), _) => generation,
        (None, None) => Generation::FIRST,
        (None, Some(used)) => {
            return Err(usage(
                format!("{} has generation {used} already", args.endpoint),
                // Only a hint.
                format!("a new enrolment replaces it: --generation {}", used.saturating_add(1)),
            ));
        }
    };
    let key = SigningKey::generate(getrandom::fill)
        .map_err(|cause| could_not(format!("no random bytes: {cause}"), "try again"))?;
    let issued = clock::now()?;
    let not_after = issued.checked_add(Duration::from_secs(u64::from(args.days) * 86_400));
    let log_key: LogKey = session.pins.log_key()?.parse()?;
    let address = |name: &str, given: Option<&String>, default: &str| {
        let text = given.map_or(default, String::as_str);
        text.parse()
            .map_err(|cause| usage(format!("{text}: {cause}"), format!("name it: --{name} HOST:PORT")))
    };
    let token = Token {
        type_: TokenType,
        deployment: session.config.deployment.clone(),
        endpoint: args.endpoint.clone(),
        generation,
        key: key.public(),
        issuer: session.config.person.clone(),
        issued,
        not_after: not_after.ok_or_else(|| usage("the year 9999 is the last", ""))?,
        enrol: address("enrol-address", args.enrol_address.as_ref(), &session.config.enrol_address)?,
        collector: address("address", args.address.as_ref(), &session.config.address)?,
        collector_id: session.config.collector.clone(),
        authority: session.pins.authority.id(),
        ca_sha256: session.pins.ca_sha256(),
        log_key,
        roster_version_min: roster.roster().version,
    };
    let signed = session.sign(&token, &roster, &[Role::EndpointAdmin])?;
    let digest = signed.digest();
    // Store the token before the collector learns of it, so that this home can later compare an enrolment with its token.
    session.home.write(&format!("tokens/{digest}.signed"), &signed.encode())?;
    let string = TokenString::new(signed.clone(), key).map_err(|cause| could_not(because(&cause), ""))?;

    let mut client = proto::service::endpoint_client(session.channel());
    let request = v1::RegisterTokenRequest { token: Some(signed.into()) };
    let answer = client.register_token(request).await;
    let next = format!(
        "name the generation after its newest, which `exhibit endpoint show {}` lists: --generation N",
        args.endpoint
    );
    let answer = answer.map_err(refusal_with_next(next))?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    let refs = [
        ("endpoint", args.endpoint.to_string()),
        ("generation", generation.to_string()),
        ("token", digest.to_string()),
    ];
    recorded.expect(EntryType::EndpointAdmitted, &digest, &refs)?;

    let string = string.encode();
    if args.quiet {
        return write_line(&string);
    }
    let value = serde_json::json!({
        "endpoint": args.endpoint, "generation": generation, "not_after": token.not_after, "token": string.as_str(),
        "index": recorded.index,
    });
    session.output.print_note(&format!(
        "token for {}#{generation}, one use, until {}; a secret. On that machine: exhibit-agent enrol --token …",
        args.endpoint, token.not_after
    ));
    session.output.result(&value, || string.as_str().to_owned())
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let rows = rows(session, None).await?;
    let values: Vec<serde_json::Value> = rows.iter().map(value).collect();
    session.output.result(&values, || {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    format!("{}#{}", shown(&row.endpoint), row.generation),
                    shown(&row.state),
                    if row.connected { "connected".to_owned() } else { "-".to_owned() },
                    shown(&row.last_seen),
                    shown(&row.agent_version),
                    shown(&row.warning),
                ]
            })
            .collect();
        table(&["endpoint", "state", "link", "last seen", "agent", "warning"], &lines)
    })
}

fn value(row: &v1::EndpointRow) -> serde_json::Value {
    serde_json::json!({
        "endpoint": row.endpoint, "generation": row.generation, "evidence_key": row.evidence_key, "state": row.state,
        "connected": row.connected, "last_seen": row.last_seen, "agent_version": row.agent_version,
        "clock_offset_ms": row.clock_offset_ms, "warning": row.warning,
    })
}

/// The newest inventory of an endpoint: `null` before its first. An endpoint may send anything, so an inventory that is not JSON is an
/// error with the text for the user.
fn inventory(row: &v1::EndpointRow) -> Result<serde_json::Value, String> {
    if row.inventory_json.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_str(&row.inventory_json).map_err(|cause| {
        format!(
            "warning: the inventory of {}#{} is not shown, it is not JSON: {cause}",
            shown(&row.endpoint),
            row.generation
        )
    })
}

async fn show(session: &Session, endpoint: &EndpointId) -> anyhow::Result<()> {
    let roster = session.roster().await?;
    let person = roster.roster().person(&session.config.person);
    // An endpoint admin without another role may not read the ledger, and so sees no proven keys.
    let reads_ledger =
        person.is_some_and(|person| person.roles.iter().any(|role| *role != Role::EndpointAdmin));
    let directory = if reads_ledger { session.directory().await? } else { Directory::default() };
    let rows = rows(session, Some(endpoint)).await?;
    if rows.is_empty() {
        return Err(could_not(
            format!("there is no endpoint {endpoint}"),
            "see the endpoints: exhibit endpoint list",
        ));
    }
    let known = |row: &v1::EndpointRow| proven_key(&directory, endpoint, row.generation);
    let values: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let mut value = value(row);
            let inventory = inventory(row).unwrap_or_else(|why| {
                eprintln!("{why}");
                serde_json::Value::Null
            });
            if let Some(map) = value.as_object_mut() {
                map.insert("inventory".to_owned(), inventory);
                map.insert("proven_evidence_key".to_owned(), serde_json::json!(known(row)));
            }
            value
        })
        .collect();
    session.output.result(&values, || {
        let mut lines = Vec::new();
        for row in &rows {
            let key = match known(row) {
                Some(key) => format!("{key} (proven in the ledger)"),
                None => "none proven in the ledger".to_owned(),
            };
            lines.push(format!("{endpoint}#{}  {}", row.generation, shown(&row.state)));
            lines.push(format!("  evidence key  {key}"));
            lines.push(format!(
                "  last seen     {} by agent {}",
                shown(&row.last_seen),
                shown(&row.agent_version)
            ));
            lines.push(format!("  clock offset  {} ms", row.clock_offset_ms));
            if !row.warning.is_empty() {
                lines.push(format!("  warning       {}", shown(&row.warning)));
            }
            if !row.inventory_json.is_empty() {
                lines.push(format!("  inventory     {}", shown(&row.inventory_json)));
            }
        }
        lines.join("\n")
    })
}

fn proven_key(directory: &Directory, endpoint: &EndpointId, generation: u64) -> Option<String> {
    let generation = Generation::new(u32::try_from(generation).ok()?)?;
    Some(directory.enrolment(endpoint, generation)?.evidence_key.fingerprint().to_string())
}

async fn retire(
    session: &Session,
    endpoint: EndpointId,
    generation: Option<Generation>,
    reason: Option<String>,
) -> anyhow::Result<()> {
    let generation = match generation {
        Some(generation) => generation,
        None => {
            // The collector's word is enough here: the act names the generation, and the ledger shows it to everybody.
            let used = rows(session, Some(&endpoint)).await?.into_iter();
            let newest = used.filter_map(|row| Generation::new(u32::try_from(row.generation).ok()?)).max();
            newest.ok_or_else(|| {
                could_not(
                    format!("there is no endpoint {endpoint}"),
                    "see the endpoints: exhibit endpoint list",
                )
            })?
        }
    };
    let roster = session.roster().await?;
    let refs = [("endpoint", endpoint.to_string()), ("generation", generation.to_string())];
    let draft = Draft {
        act: EntryType::EndpointRetired,
        chain: Chain::Deployment,
        refs: pairs::sorted(refs.clone()),
        fields: Vec::new(),
        text: reason,
    };
    let (request, signed) = session.act(draft, &roster, &[Role::EndpointAdmin])?;
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.record_act(request).await;
    let next = "see endpoints and generations: exhibit endpoint list";
    let answer = answer.map_err(refusal_with_next(next))?.into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    recorded.expect(EntryType::EndpointRetired, &signed.digest(), &refs)?;
    let value = serde_json::json!({"endpoint": endpoint, "generation": generation, "index": recorded.index});
    session.output.result(&value, || {
        format!("{endpoint}#{generation} retired, proven at {} in the ledger", recorded.index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_that_is_not_json_is_named_and_not_shown() {
        let row = |inventory_json: &str| v1::EndpointRow {
            endpoint: "web-1".to_owned(),
            generation: 2,
            inventory_json: inventory_json.to_owned(),
            ..v1::EndpointRow::default()
        };
        assert_eq!(inventory(&row("")), Ok(serde_json::Value::Null));
        assert_eq!(inventory(&row(r#"{"cpus":4}"#)), Ok(serde_json::json!({"cpus": 4})));
        let why = inventory(&row("{\u{1b}")).unwrap_err();
        assert!(why.contains("web-1#2") && why.contains("not JSON") && !why.contains('\u{1b}'), "{why}");
    }
}
