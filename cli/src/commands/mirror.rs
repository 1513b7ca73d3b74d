//! `exhibit mirror`: admits and retires backup servers with a signed act.
//! Guarantee: the act admits exactly the keys in the file, and the command prints them before it signs. Keys never come from the
//! collector. Not here: running a mirror (`exhibit-server mirror`).

use std::path::PathBuf;

use clap::Subcommand;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, DeploymentId, MirrorId};
use evidence::keys::PublicKey;
use evidence::roster::Role;
use serde::Deserialize;

use crate::acts::Draft;
use crate::context::Context;
use crate::failure::{could_not, usage};
use crate::session::{Session, refusal_with_next};

/// `exhibit mirror …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Admit a mirror, from the file that `exhibit-server mirror init` wrote
    #[command(after_help = "Examples:\n  exhibit mirror admit admission.json\n\n\
        Compare the printed fingerprints with the mirror's operator by phone.")]
    Admit {
        /// The mirror's admission.json
        file: PathBuf,
    },
    /// Retire a mirror: refuse its certificate and ignore its later statements
    #[command(after_help = "Examples:\n  exhibit mirror retire backup-1 --reason \"Replaced by backup-2\"")]
    Retire {
        /// The mirror
        mirror: MirrorId,
        /// Your reason; stored as an erasable detail
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `admission.json` (docs/spec/mirror.md).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admission {
    admission: String,
    deployment: DeploymentId,
    mirror: MirrorId,
    key: PublicKey,
    tls_spki_sha256: Digest,
    witness_key: String,
    mirror_key: String,
}

/// Runs the command.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let session = context.session().await?;
    match args {
        Args::Admit { file } => {
            let text = fs_err::read(&file)?;
            let next = "copy admission.json of the mirror once more";
            let admission: Admission = serde_json::from_slice(&text)
                .map_err(|cause| could_not(format!("{}: {cause}", file.display()), next))?;
            if admission.admission != "exhibit-mirror-admission-v1" {
                return Err(could_not(format!("{} is no admission file", file.display()), next));
            }
            if admission.deployment != session.config.deployment {
                let text = format!("the mirror is made for deployment {}", admission.deployment);
                return Err(usage(text, "make it anew with the card of this deployment"));
            }
            let refs = vec![
                ("key", admission.key.fingerprint().to_string()),
                ("mirror", admission.mirror.to_string()),
                ("mirror_key", admission.mirror_key),
                ("tls_spki_sha256", admission.tls_spki_sha256.to_string()),
                ("witness_key", admission.witness_key),
            ];
            for (name, value) in &refs {
                session.output.print_note(&format!("  {name:<15} {value}"));
            }
            record(&session, &admission.mirror, EntryType::MirrorAdmitted, refs, None, "admitted").await
        }
        Args::Retire { mirror, reason } => {
            let refs = vec![("mirror", mirror.to_string())];
            record(&session, &mirror, EntryType::MirrorRetired, refs, reason, "retired").await
        }
    }
}

async fn record(
    session: &Session,
    mirror: &MirrorId,
    act: EntryType,
    refs: Vec<(&'static str, String)>,
    text: Option<String>,
    done: &str,
) -> anyhow::Result<()> {
    let roster = session.roster().await?;
    let draft = Draft {
        act,
        chain: Chain::Deployment,
        // The act's rules demand this order.
        refs: refs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        fields: Vec::new(),
        text,
    };
    let (request, signed) = session.act(draft, &roster, &[Role::EndpointAdmin])?;
    let mut client = proto::service::incident_client(session.channel());
    let answer = client.record_act(request).await;
    let answer = answer
        .map_err(refusal_with_next("an id is admitted once; a new mirror takes a new id"))?
        .into_inner();
    let recorded = session.prove_recorded("entry", answer.entry).await?;
    recorded.expect(act, &signed.digest(), &refs)?;
    let value = serde_json::json!({"mirror": mirror, "index": recorded.index});
    session
        .output
        .result(&value, || format!("mirror {mirror} {done}, proven at {} in the ledger", recorded.index))
}
