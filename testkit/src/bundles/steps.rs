//! The steps of a bundle: sign documents, seal collections, log entries, sum files, record the export.

use evidence::bundle::{BundleVersion, Overview, allowed_signers, consistency};
use evidence::digest::Digest;
use evidence::enrolment::{AgentBuild, EnrolmentType};
use evidence::entry::{EntryType, pairs};
use evidence::id::{Chain, Generation};
use evidence::json;
use evidence::signed::Signed;
use evidence::text::FixedBytes;

use super::*;
use crate::chains::{Chains, Hands};
use crate::log::Log;
use crate::{collections, orders};

impl Recipe<'_> {
    /// Runs all steps.
    pub fn build(&self) -> Bundle {
        let mut files = Files::new();
        let mut rosters: Vec<Signed> = Vec::new();
        for version in 1..=self.roster_versions {
            let mut roster = first_roster();
            if let Some(previous) = rosters.last() {
                roster =
                    Roster { version, previous: Some(previous.digest()), issued: at("09:00:00"), ..roster };
                roster.persons.pop();
            }
            let mut paper = Paper { document: roster, keys: vec![AUTHORITY] };
            (self.roster)(&mut paper);
            let signed = sign(&paper.document, &paper.keys);
            put(&mut files, &format!("deployment/roster-{version}"), &signed);
            rosters.push(signed);
        }
        let mut paper = Paper { document: token(), keys: vec![CAT] };
        (self.token)(&mut paper);
        let token = sign(&paper.document, &paper.keys);
        put(&mut files, "deployment/token-web-03-1", &token);
        let mut paper = Paper {
            document: EnrolmentRequest {
                type_: EnrolmentType,
                deployment: "acme".parse().unwrap(),
                endpoint: "web-03".parse().unwrap(),
                generation: Generation::FIRST,
                token: token.digest(),
                evidence_key: key(EVIDENCE).public(),
                tls_spki_sha256: Digest([5; 32]),
                csr_sha256: Digest([2; 32]),
                nonce: FixedBytes([1; 16]),
                at: at("08:20:00"),
                agent: AgentBuild { version: "0.1.0".into(), build_sha256: Digest([6; 32]) },
            },
            keys: vec![TOKEN, EVIDENCE],
        };
        (self.enrolment)(&mut paper);
        let evidence_print = paper.document.evidence_key.fingerprint();
        let enrolment = sign(&paper.document, &paper.keys);
        put(&mut files, "deployment/enrolment-web-03-1", &enrolment);

        let mut paper = Paper { document: self.order_under(rosters.last().unwrap()), keys: vec![ALICE] };
        (self.order)(&mut paper);
        let order_roster = paper.document.roster_sha256;
        let order = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("orders/{}", order.digest()), &order);
        let proof = targets(EVIDENCE).proof(&"web-03".parse().unwrap()).unwrap();
        files.insert(
            format!("orders/{}.targets/web-03.json", order.digest()),
            json::to_document(&proof).unwrap(),
        );
        let mut paper = Paper { document: orders::approval(order.digest(), at("09:35:00")), keys: vec![BOB] };
        (self.approval)(&mut paper);
        let approval = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("approvals/{}", approval.digest()), &approval);

        let mut made = Vec::new();
        for attempt in [1_u32, 2] {
            let nonce = FixedBytes([u8::try_from(attempt).unwrap(); 16]);
            let web = orders::target("web-03", 1, &key(EVIDENCE).public());
            let sealer = key(self.sealer).public();
            let delegation =
                collections::delegation(&web, order.digest(), attempt, sealer, at("10:00:00"), nonce);
            let (collection, identity) = (delegation.collection, collections::identity(&delegation));
            // The first attempt was cut off after two of its segments. The second has two segments in all.
            let (long, cuts, keep) = if attempt == 1 {
                (&vec![0; 2_200_000], vec![1, 1], 2)
            } else {
                (&self.long, self.cuts.clone(), self.cuts.len() + 1)
            };
            let mut collected = Collected {
                attempt,
                delegation: Paper { document: delegation, keys: vec![EVIDENCE] },
                forge: Forge::new(identity, self.sealer, self.odd_file, long, cuts, keep),
            };
            (self.collected)(&mut collected);
            let signed = sign(&collected.delegation.document, &collected.delegation.keys);
            let mut container = (attempt, collected.forge.build());
            (self.container)(&mut container);
            let folder = format!("evidence/{collection}");
            put(&mut files, &format!("{folder}/delegation"), &signed);
            let stored: Vec<u8> =
                container.1.segments.iter().flat_map(|(stored, _)| stored.iter().copied()).collect();
            files.insert(format!("{folder}/container.tar.zst"), stored);
            for (index, (_, seal)) in container.1.segments.iter().enumerate() {
                files.insert(format!("{folder}/seals/{index:06}.seal"), seal.clone());
            }
            made.push((collected.delegation.document, signed, container.1));
        }
        let [first, second] = made.as_slice() else { panic!("two attempts") };
        let document = collections::manifest(
            &second.0,
            second.1.digest(),
            key(EVIDENCE).public(),
            &self.order_under(rosters.last().unwrap()),
            [at("10:00:00"), at("10:01:00")],
            &second.2.summary,
        );
        let document = Manifest { limitations: vec![self.limitation.into()], ..document };
        let mut paper = Paper { document, keys: vec![self.sealer, EVIDENCE] };
        (self.manifest)(&mut paper);
        let manifest = sign(&paper.document, &paper.keys);
        put(&mut files, &format!("evidence/{}/manifest", second.0.collection), &manifest);
        let (title, title_digest) = title(self.title);
        files.insert(format!("details/{title_digest}.json"), title);

        let mut drafts = self.draft(
            &rosters,
            &token,
            &enrolment,
            evidence_print.to_string(),
            &order,
            order_roster,
            &approval,
        );
        let second_roster =
            drafts.iter().rposition(|draft| draft.type_ == EntryType::RosterPublished).unwrap();
        let later = rosters.iter().skip(2).map(|roster| {
            let version = roster.read::<Roster>().unwrap().version;
            published(roster, version, "09:00:02")
        });
        let more: Vec<Draft> = later.chain(self.enrol_machines(&mut files)).collect();
        drafts.splice(second_roster + 1..second_roster + 1, more);
        drafts.extend(Self::draft_collections(first, second, &manifest, title_digest));
        drafts.extend(self.collect_from_machines(&mut files, rosters.last().unwrap()));
        (self.drafts)(&mut drafts);
        let mut chains = Chains::new(Log {
            cosigners: self.cosigners.iter().map(|(number, name)| signer(*number, name).into()).collect(),
            ..Log::new(self.origin, self.log)
        });
        for draft in drafts {
            chains.append(draft, &self.hands());
        }
        let size = chains.log.size();
        let mut head = (0, Digest::ZERO);
        for (index, (entry, bytes)) in chains.entries.iter().enumerate() {
            let name = match &entry.envelope.incident {
                chain if *chain == incident() => {
                    head = (entry.envelope.seq, ledger::leaf_hash(bytes).into());
                    format!("custody/{:06}", entry.envelope.seq)
                }
                // A bundle holds no logins, so its deployment's chain has gaps.
                Chain::Deployment if entry.envelope.type_ != EntryType::LoginIssued => {
                    format!("custody/deployment/{index}")
                }
                // For hooks that put a genuine entry where it does not belong.
                _ => format!("{ELSEWHERE}{index}"),
            };
            files.insert(format!("{name}.entry"), bytes.clone());
            files.insert(format!("{name}.tlog-proof"), chains.log.proof_at(index as u64, size));
        }
        files.insert("ledger/checkpoint".into(), chains.log.note_at(size).to_string().into_bytes());
        let collections = Overview::listed(collections_by_endpoint(&files).into_values().flatten());
        let overview = Overview {
            format: BundleVersion,
            deployment: "acme".parse().unwrap(),
            incident: INCIDENT.parse().unwrap(),
            origin: self.origin.to_owned(),
            exported: at("12:00:00"),
            by: "person:alice".parse().unwrap(),
            head_seq: head.0,
            head: head.1,
            entries: size,
            collections,
            partial: false,
            quorum: false,
            without_quorum: false,
        };
        files.insert("bundle.json".into(), json::to_document(&overview).unwrap());
        files.insert(
            "README.txt".into(),
            b"An Exhibit bundle. Check it with exhibit-verify or verify.py.\n".to_vec(),
        );
        files.insert("verify.py".into(), b"raise SystemExit(\"use your own copy\")\n".to_vec());
        files.insert(
            "certification.txt".into(),
            b"I, ____, certify under FRE 902(13) and (14) ...\n".to_vec(),
        );
        let newest: Roster = rosters.last().unwrap().read().unwrap();
        let signers = allowed_signers(&newest, enrolled(&files));
        files.insert("deployment/allowed_signers".into(), signers);
        files.insert(
            "deployment/log.vkey".into(),
            format!("{}\n", log_key(self.log, self.origin)).into_bytes(),
        );
        files.insert("deployment/ca.pem".into(), CA.as_bytes().to_vec());
        (self.files)(&mut files);
        files.retain(|name, _| !name.starts_with(ELSEWHERE));
        self.export(&mut files, &mut chains, size);
        (self.after)(&mut files);
        Bundle { files }
    }

    /// Signs the sums, logs the export after an entry of somebody else, and writes `export/`.
    fn export(&self, files: &mut Files, chains: &mut Chains, size: u64) {
        sum(files, self.sums_key);
        let overview: Overview = json::parse_document(&files["bundle.json"]).unwrap();
        let refs = [
            ("sums", Digest::of(&files["SHA256SUMS"]).to_string()),
            ("head", overview.head.to_string()),
            ("count", (overview.head_seq + 1).to_string()),
        ];
        let mut draft = Draft::new(EntryType::BundleExported, incident(), "12:00:02", refs, |draft| {
            draft.signed("person:alice", ALICE)
        });
        let mut paper = Paper { document: draft.act_by("person:alice"), keys: vec![ALICE] };
        if overview.partial {
            paper.document.fields = pairs::sorted(selection(files).fields());
        }
        (self.export)(&mut paper);
        draft.refs = paper.document.refs.clone();
        draft.chain = paper.document.incident.clone();
        draft.act = sign(&paper.document, &paper.keys).into();
        let noted = Draft::new(EntryType::IncidentNoted, other_incident(), "12:00:01", [], |draft| {
            draft.signed("person:dan", DAN)
        });
        chains.append(noted, &self.hands());
        chains.append(draft, &self.hands());
        let later = chains.log.size();
        files.insert("export/entry".into(), chains.entries.last().unwrap().1.clone());
        files.insert("export/entry.tlog-proof".into(), chains.log.proof(later - 1));
        files.insert("export/checkpoint".into(), chains.log.note().to_string().into_bytes());
        files.insert("export/consistency".into(), consistency(&chains.log.consistency(size)));
    }

    fn hands(&self) -> Hands<'_> {
        Hands { entry: &*self.entry, leaf: &*self.leaf }
    }
}
