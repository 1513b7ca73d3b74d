//! Forged delegations, seals, manifests and containers.

use testkit::bundles::*;

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::item::outcome::Outcome;

use super::{draft, interrupted, refused, stored};

#[test]
fn evidence() {
    let second = |change: fn(&mut Collected)| {
        move |collected: &mut Collected| {
            if collected.attempt == 2 {
                change(collected);
            }
        }
    };
    refused(vec![
        (
            "another delegation key",
            "delegation",
            with! { collected: |collected: &mut Collected| collected.delegation.keys = vec![MALLORY] },
        ),
        ("an attempt more than ordered", "delegation", with! { order: |paper| paper.document.attempts = 1 }),
        (
            "a delegation of another generation",
            "delegation",
            with! { collected: second(|collected| {
                collected.delegation.document.generation = "2".parse().unwrap();
            }) },
        ),
        (
            "seals by a foreign sealer",
            "seals",
            with! { collected: second(|collected| collected.forge.sealer = MALLORY) },
        ),
        (
            "tail cut, seek table made anew, by a foreign sealer",
            "seals",
            with! { collected: second(|collected| {
                collected.forge.sealer = MALLORY;
                collected.forge.plain.truncate(1 << 20);
                collected.forge.cuts.clear();
            }) },
        ),
        (
            "tail cut by the true sealer, old manifest",
            "container",
            with! {
                collected: second(|collected| {
                    collected.forge.plain.truncate(1 << 20);
                    collected.forge.cuts.clear();
                }),
            },
        ),
        (
            "tail segment dropped, the manifest says so",
            "manifest",
            with! { collected: second(|collected| collected.forge.keep = 1) },
        ),
        (
            "tail segment dropped, the seal before called final",
            "container",
            with! { collected: second(|collected| {
                collected.forge.keep = 1;
                collected.forge.edit = |header| (header.is_final, header.open) = (true, false);
            }) },
        ),
        (
            "seal of another attempt",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.attempt = 1) },
        ),
        (
            "seal of another order",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.order = Digest([1; 32])) },
        ),
        (
            "seals not linked",
            "seals",
            with! { collected: second(|collected| collected.forge.edit = |header| header.prev = Digest::ZERO) },
        ),
        (
            "an outcome edited, resealed, the manifest old",
            "manifest",
            with! {
                collected: second(|collected| {
                    let forge = &mut collected.forge;
                    forge.record(b"/etc/torn").outcome = Outcome::Modified;
                    let lines = forge.record(b"live/outcomes.jsonl").clone();
                    let at = usize::try_from(lines.data.unwrap()).unwrap();
                    let end = at + usize::try_from(lines.size.unwrap()).unwrap();
                    let text = String::from_utf8(forge.plain[at..end].to_vec()).unwrap().replacen("io_error", "modified", 1);
                    forge.plain[at..end].copy_from_slice(text.as_bytes());
                    forge.record(b"live/outcomes.jsonl").sha256 = Some(Digest::of(text.as_bytes()));
                }),
                manifest: |paper| {
                    let torn = paper.document.outcomes.iter().position(|(outcome, _)| *outcome == Outcome::Modified).unwrap();
                    paper.document.outcomes[torn].0 = Outcome::IoError;
                    paper.document.outcomes.sort();
                },
            },
        ),
        ("a manifest by the sealer alone", "manifest", with! { manifest: |paper| paper.keys.truncate(1) }),
        (
            "a manifest by sealer and stranger",
            "manifest",
            with! { manifest: |paper| paper.keys[1] = MALLORY },
        ),
        (
            "a manifest with its signatures swapped",
            "manifest",
            with! { manifest: |paper| paper.keys.reverse() },
        ),
        (
            "the manifest of another delegation",
            "manifest",
            with! { manifest: |paper| paper.document.delegation = Digest([1; 32]) },
        ),
        (
            "a manifest of another incident",
            "manifest",
            with! { manifest: |paper| paper.document.incident = "INC-2026-0008".parse().unwrap() },
        ),
        (
            "a manifest with another plan",
            "manifest",
            with! { manifest: |paper| paper.document.steps.truncate(2) },
        ),
        (
            "a manifest with wider limits",
            "manifest",
            with! { manifest: |paper| paper.document.limits.items += 1 },
        ),
        (
            "a manifest with another root",
            "manifest",
            with! { manifest: |paper| paper.document.items_root = Digest([1; 32]) },
        ),
        ("a manifest with fewer items", "manifest", with! { manifest: |paper| paper.document.items -= 1 }),
        (
            "two manifests swapped",
            "custody.acts",
            with! { files: |files: &mut Files| {
                let (stored, interrupted) = (stored(files), interrupted(files));
                for name in ["manifest.json", "manifest.json.sig", "manifest.json.2.sig"] {
                    let moved = files.remove(&format!("{stored}{name}")).unwrap();
                    files.insert(format!("{interrupted}{name}"), moved);
                }
            } },
        ),
        (
            "the manifest lost",
            "manifest",
            with! { files: |files: &mut Files| files.retain(|name, _| !name.contains("/manifest.")) },
        ),
        (
            "the stored evidence left out",
            "coverage",
            with! { files: |files: &mut Files| {
                let stored = stored(files);
                files.retain(|name, _| !name.starts_with(&stored));
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.retain(|id| !stored.contains(&id.to_string())));
            } },
        ),
        (
            "the interrupted evidence left out",
            "coverage",
            with! { files: |files: &mut Files| {
                let interrupted = interrupted(files);
                files.retain(|name, _| !name.starts_with(&interrupted));
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.retain(|id| !interrupted.contains(&id.to_string())));
            } },
        ),
        (
            "the interrupted collection cut by its last segment",
            "seals",
            with! { files: |files: &mut Files| {
                let folder = interrupted(files);
                let seal = files.remove(&format!("{folder}seals/000001.seal")).unwrap();
                let length = usize::try_from(evidence::seal::Seal::parse(&seal).unwrap().header.stored_len).unwrap();
                let container = files.get_mut(&format!("{folder}container.tar.zst")).unwrap();
                container.truncate(container.len() - length);
            } },
        ),
        (
            "progress that the seals do not know",
            "seals",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let progress = draft(drafts, EntryType::CollectionProgress);
                progress.refs[2].1 = Digest([1; 32]).to_string();
                progress.act = own(&progress.act_by("collector:c1"));
            } },
        ),
        (
            "stored twice",
            "coverage",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let (refs, act) = { let stored = draft(drafts, EntryType::CollectionStored); (stored.refs.clone(), stored.act.clone()) };
                drafts.push(Draft { type_: EntryType::CollectionStored, chain: incident(), time: at("11:40:00"), refs, act });
            } },
        ),
        (
            "never started",
            "coverage",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                let at = drafts.iter().rposition(|draft| draft.type_ == EntryType::CollectionStarted).unwrap();
                drafts.remove(at);
            } },
        ),
        (
            "collection.stored of another endpoint",
            "manifest",
            with! { drafts: |drafts: &mut Vec<Draft>| {
                draft(drafts, EntryType::CollectionStored).refs[3].1 = "db-01".into();
            } },
        ),
        (
            "a collection that bundle.json does not list",
            "coverage",
            with! { files: |files: &mut Files| {
                edit(files, "bundle.json", |overview: &mut Overview| overview.collections.truncate(1));
            } },
        ),
    ]);
}

#[test]
fn containers_that_two_readers_read_differently() {
    const HIDDEN: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0hidden";
    let second = |change: fn(&mut testkit::containers::forge::Forge)| {
        move |collected: &mut Collected| {
            if collected.attempt == 2 {
                change(&mut collected.forge);
            }
        }
    };
    refused(vec![
        (
            "hidden frame before",
            "container",
            with! { collected: second(|forge| forge.hidden[0] = HIDDEN.to_vec()) },
        ),
        (
            "hidden frame before the seek table",
            "container",
            with! { collected: second(|forge| forge.hidden[1] = HIDDEN.to_vec()) },
        ),
        (
            "hidden frame behind the seek table",
            "container",
            with! { collected: second(|forge| forge.hidden[2] = HIDDEN.to_vec()) },
        ),
        (
            "a second archive in a frame behind",
            "container",
            with! { collected: second(|forge| {
                forge.hidden[2] = evidence::frames::compress_frame(&forge.plain[..4096], 1).unwrap();
            }) },
        ),
        (
            "a second archive behind the end",
            "container",
            with! { collected: second(|forge| {
                let again = forge.plain.clone();
                forge.plain.extend(again);
            }) },
        ),
        (
            "a member name twice",
            "container",
            with! { collected: second(|forge| {
                let first = forge.record(b"/etc/hello").clone();
                let other = forge.record(ODD_FILE.as_bytes());
                (other.path, other.shown, other.member) = (first.path, first.shown, first.member);
                let (header, at) = (evidence::item::tar::member_header(other).unwrap(), usize::try_from(other.at.unwrap()).unwrap());
                forge.plain[at..at + header.len()].copy_from_slice(&header);
            }) },
        ),
        (
            "a pax size that overrides",
            "container",
            with! { collected: second(|forge| {
                let mut other = forge.record(ODD_FILE.as_bytes()).clone();
                (other.size, other.stored) = (Some(1 << 40), Some(1 << 40));
                let (header, at) = (evidence::item::tar::member_header(&other).unwrap(), usize::try_from(other.at.unwrap()).unwrap());
                forge.plain[at..at + header.len()].copy_from_slice(&header);
            }) },
        ),
        (
            "content altered under its old digest",
            "container",
            with! { collected: second(|forge| {
                let at = usize::try_from(forge.record(ODD_FILE.as_bytes()).data.unwrap()).unwrap();
                forge.plain[at] ^= 1;
            }) },
        ),
        (
            "a header altered",
            "container",
            with! { collected: second(|forge| {
                let at = usize::try_from(forge.record(ODD_FILE.as_bytes()).data.unwrap()).unwrap();
                forge.plain[at - 400] ^= 1;
            }) },
        ),
        (
            "bytes behind the last segment",
            "container",
            with! { files: |files: &mut Files| {
                let folder = stored(files);
                files.get_mut(&format!("{folder}container.tar.zst")).unwrap().extend(HIDDEN);
            } },
        ),
    ]);
}
