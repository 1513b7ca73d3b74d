//! The endpoints of a deployment, read from its chain in the ledger and proven by the chain's last entry.
//! Guarantee: name, generation and evidence key of an endpoint come from an `agent.enrolled` entry, in a chain of hashes whose last entry
//! is proven under the pinned log key. The collector's own list of endpoints is never used.
//! Not here: the token behind an enrolment that another home made. Every bundle has its signature checked.

use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Token};
use evidence::entry::{ChainHead, Entry, EntryType};
use evidence::id::{EndpointId, Generation};
use evidence::keys::PublicKey;
use evidence::order::Target;
use evidence::signed::Signed;
use evidence::time::Time;
use proto::v1;
use serde::{Deserialize, Serialize};

use crate::failure::{because, could_not, failed};
use crate::session::{Session, refused};

const FILE: &str = "directory.json";
const LIED: &str =
    "keep this home as it is and tell the operator and the admins: the ledger does not hold together";

/// What the ledger says about endpoints, up to the last entry read.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Index of the first entry that was not read yet.
    next_index: u64,
    /// Entries of the deployment's chain so far, leaf hash of the last, and its time.
    next_seq: u64,
    prev: Option<Digest>,
    time: Option<Time>,
    enrolled: Vec<Enrolled>,
    retired: Vec<(EndpointId, Generation)>,
}

/// One enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Which enrolment.
    pub generation: Generation,
    /// The key that signs its evidence.
    pub evidence_key: PublicKey,
    /// Index of the entry in the log.
    pub index: u64,
}

impl Enrolled {
    /// As an order addresses it.
    pub fn target(&self) -> Target {
        Target {
            endpoint: self.endpoint.clone(),
            generation: self.generation,
            evidence_key: self.evidence_key.fingerprint(),
        }
    }
}

impl Directory {
    /// The newest enrolment of an endpoint. `None` if it was retired.
    pub fn current(&self, endpoint: &EndpointId) -> Option<&Enrolled> {
        let all = self.enrolled.iter().filter(|one| one.endpoint == *endpoint);
        let newest = all.max_by_key(|one| one.generation)?;
        let retired =
            self.retired.iter().any(|(id, generation)| id == endpoint && *generation == newest.generation);
        (!retired).then_some(newest)
    }

    /// One enrolment, retired or not.
    pub fn enrolment(&self, endpoint: &EndpointId, generation: Generation) -> Option<&Enrolled> {
        self.enrolled.iter().find(|one| one.endpoint == *endpoint && one.generation == generation)
    }

    /// Every endpoint that is not retired, by name.
    pub fn all_current(&self) -> Vec<&Enrolled> {
        let mut names: Vec<&EndpointId> = self.enrolled.iter().map(|one| &one.endpoint).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter_map(|name| self.current(name)).collect()
    }
}

impl Session {
    /// Reads the ledger from where this home stopped, and proves the entries that it read.
    /// Fails if the chain has a gap, an enrolment is not valid, or the end is not proven.
    pub async fn directory(&self) -> anyhow::Result<Directory> {
        let mut directory: Directory = match self.home.read(FILE)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|cause| {
                could_not(
                    format!("{FILE}: {cause}"),
                    "remove the file; the next command reads the ledger again",
                )
            })?,
            None => Directory::default(),
        };
        let mut client = proto::service::ledger_client(self.channel());
        let request = v1::EntriesRequest {
            from: directory.next_index,
            count: 0,
            incident: String::new(),
            follow: false,
        };
        let mut rows = client.entries(request).await.map_err(refused)?.into_inner();
        let mut last = None;
        while let Some(row) = rows.message().await.map_err(refused)? {
            self.add_entry(&mut directory, &row)?;
            last = Some((row.index, row.entry));
        }
        let Some((index, bytes)) = last else {
            return Ok(directory);
        };
        let prove = v1::ProveRequest { what: Some(v1::prove_request::What::Index(index)), cosigned: false };
        let proven = client.prove(prove).await.map_err(refused)?.into_inner();
        let recorded = self.prove_recorded("entry", Some(proven)).await?;
        if recorded.index != index || recorded.bytes != bytes {
            return Err(failed(
                format!("entry {index} is proven with other content than it was shown with"),
                LIED,
            ));
        }
        self.home.write(FILE, &serde_json::to_vec(&directory)?)?;
        Ok(directory)
    }

    fn add_entry(&self, directory: &mut Directory, row: &v1::EntryRow) -> anyhow::Result<()> {
        let index = row.index;
        let broken = |why: String| failed(format!("ledger entry {index}: {why}"), LIED);
        if index < directory.next_index {
            return Err(broken("shown twice".to_owned()));
        }
        let entry = Entry::parse(&row.entry).map_err(|cause| broken(because(&cause)))?;
        let envelope = &entry.envelope;
        if envelope.deployment != self.config.deployment || envelope.incident.incident().is_some() {
            return Err(broken("not of this deployment's own chain".to_owned()));
        }
        let leaf: Digest = ledger::leaf_hash(&row.entry).into();
        let mut head = ChainHead {
            next_seq: directory.next_seq,
            prev: directory.prev.unwrap_or(Digest::ZERO),
            time: directory.time.unwrap_or(Time::EPOCH),
        };
        head.step(envelope, leaf).map_err(|cause| broken(because(&cause)))?;
        (directory.next_seq, directory.prev, directory.time) =
            (head.next_seq, Some(head.prev), Some(head.time));
        directory.next_index =
            index.checked_add(1).ok_or_else(|| broken("no index comes after it".to_owned()))?;
        match envelope.type_ {
            EntryType::AgentEnrolled => {
                let enrolled = self.enrolled(&entry, index).map_err(broken)?;
                directory.enrolled.push(enrolled);
            }
            EntryType::EndpointRetired => {
                let endpoint = envelope.reference("endpoint").and_then(|text| text.parse().ok());
                let generation = envelope.reference("generation").and_then(|text| text.parse().ok());
                let retired =
                    endpoint.zip(generation).ok_or_else(|| broken("names no endpoint".to_owned()))?;
                directory.retired.push(retired);
            }
            type_ if !type_.is_known() => {
                let index = row.index;
                self.output.print_note(&format!(
                    "entry {index} of the ledger is of a type that this program does not know ({type_}): upgrade it to see what the entry says"
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks the two signatures of an enrolment, and its token if this home made it.
    fn enrolled(&self, entry: &Entry, index: u64) -> Result<Enrolled, String> {
        let act = entry.act.as_ref().ok_or("the enrolment is not in its entry")?;
        let signed = act.signed().map_err(|cause| because(&cause))?;
        let (request, signers) = signed.open::<EnrolmentRequest>().map_err(|cause| because(&cause))?;
        let by_itself = matches!(signers.as_slice(), [_, evidence] if *evidence == request.evidence_key);
        if !by_itself {
            return Err("the enrolment is not signed by its own key".to_owned());
        }
        let token =
            self.home.read(&format!("tokens/{}.signed", request.token)).map_err(|cause| cause.to_string())?;
        if let Some(token) = token {
            let token = Signed::parse(&token).map_err(|cause| because(&cause))?;
            let known: Token = token.read().map_err(|cause| because(&cause))?;
            EnrolmentRequest::verify(&signed, &known, token.digest()).map_err(|cause| because(&cause))?;
        }
        let envelope = &entry.envelope;
        for (name, value) in [
            ("endpoint", request.endpoint.to_string()),
            ("generation", request.generation.to_string()),
            ("evidence_key", request.evidence_key.fingerprint().to_string()),
            ("token", request.token.to_string()),
        ] {
            if envelope.reference(name) != Some(&value) {
                return Err(format!("its {name} is not the enrolment's"));
            }
        }
        if request.deployment != envelope.deployment {
            return Err("the enrolment is of another deployment".to_owned());
        }
        Ok(Enrolled {
            endpoint: request.endpoint,
            generation: request.generation,
            evidence_key: request.evidence_key,
            index,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::keys::SigningKey;

    fn enrolled(endpoint: &str, generation: u32) -> Enrolled {
        let seed = [u8::try_from(generation).unwrap(); 32];
        Enrolled {
            endpoint: endpoint.parse().unwrap(),
            generation: Generation::new(generation).unwrap(),
            evidence_key: SigningKey::from_seed(&seed).public(),
            index: u64::from(generation),
        }
    }

    #[test]
    fn the_newest_enrolment_counts_unless_it_is_retired() {
        let mut directory = Directory {
            enrolled: vec![enrolled("b", 1), enrolled("a", 1), enrolled("a", 2)],
            ..Directory::default()
        };
        let names = |directory: &Directory| -> Vec<String> {
            directory.all_current().iter().map(|one| format!("{}#{}", one.endpoint, one.generation)).collect()
        };
        assert_eq!(names(&directory), ["a#2", "b#1"]);
        // Retiring an old generation changes nothing; retiring the newest never brings an old one back.
        directory.retired.push(("a".parse().unwrap(), Generation::FIRST));
        assert_eq!(names(&directory), ["a#2", "b#1"]);
        directory.retired.push(("a".parse().unwrap(), Generation::new(2).unwrap()));
        assert_eq!(names(&directory), ["b#1"]);
        let bytes = serde_json::to_vec(&directory).unwrap();
        assert_eq!(names(&serde_json::from_slice(&bytes).unwrap()), ["b#1"]);
    }
}
