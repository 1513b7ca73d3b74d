//! The texts in a bundle that people read.

use evidence::bundle::Overview;

/// Says what a bundle is, how to check it, and what it does not prove.
pub fn readme(overview: &Overview) -> Vec<u8> {
    let Overview {
        deployment,
        incident,
        origin,
        exported,
        by,
        entries,
        head_seq,
        collections,
        without_quorum,
        ..
    } = overview;
    let warning = if *without_quorum {
        "EXPORTED WITHOUT QUORUM: the cosigners whom the collector's policy asks for did not sign the head that
this bundle leans on. Nobody but the collector vouches for its ledger. exhibit-verify says so, and a
verifier whose policy asks for cosigners does not pass it unless told to (--without-quorum).

"
    } else {
        ""
    };
    format!(
        "{warning}Evidence of incident {incident}, deployment {deployment}
Exported {exported} by {by}: {} collections, {} custody entries,
proven under checkpoint {entries} of the log {origin}.

How to check it
  1. exhibit-verify BUNDLE --trust TRUSTDIR
     TRUSTDIR holds what you pinned yourself, before, and from another hand than this bundle's: the
     authority's keys and the log's key. Keys inside the bundle prove nothing about the bundle.
  2. Or with stock tools: python3 verify.py BUNDLE TRUSTDIR. Use your own copy of verify.py; the digest
     of the right one is published with each release. It needs ssh-keygen, openssl and zstd.
  3. Or by hand: sha256sum -c --strict SHA256SUMS, and compare the list with the files: a file that is
     not listed was added by somebody. Then ssh-keygen -Y verify over SHA256SUMS, and openssl ts -verify
     over SHA256SUMS.tsr where there is one.

What is where
  evidence/<collection>/container.tar.zst   what was collected, as sealed on the endpoint: tar --zstd -tf
  evidence/<collection>/seals/              signed header of each segment, with the record of each item
  evidence/<collection>/manifest.json       what the collection is, signed by the endpoint
  orders/, approvals/                       who asked for it, and who agreed
  custody/                                  every act about this incident, with its proof of inclusion
  ledger/checkpoint                         the signed head of the log that those proofs lead to
  export/                                   the entry that logs this export
  In a container, a byte that could not be read is zero and is listed in its item record (gaps). A file
  that was not read at all has a record with its reason, and no member: live/outcomes.jsonl lists them.

What this does not prove
  - That the endpoint told its agent the truth: whoever rules a machine can lie to every program on it.
  - That nothing else was there: the order says what was asked for, the limits and outcomes what is missing.
  - That nobody read the stored evidence outside Exhibit: operators of the stores can.
  - That the log is complete, unless somebody outside the operator's hands holds a checkpoint that this
    one continues. Without such a witness the operator, alone, could have written another history.
  - Against operator, mirrors and time-stamping authority acting together: nothing here helps.
",
        collections.len(),
        // A chain counts from 0.
        u128::from(*head_seq) + 1,
    )
    .into_bytes()
}

/// The same text for a partial production.
pub fn readme_of_part(overview: &Overview, items: usize) -> Vec<u8> {
    let Overview { deployment, incident, origin, exported, by, entries, head_seq, collections, .. } =
        overview;
    format!(
        "PARTIAL PRODUCTION of evidence of incident {incident}, deployment {deployment}
Exported {exported} by {by}: {items} chosen items of {} collections, {} custody entries,
proven under checkpoint {entries} of the log {origin}.

Somebody chose these items. What was not chosen is not here, and nothing in here says why. The containers
that hold everything stay sealed with their owner.

How to check it
  1. exhibit-verify BUNDLE --trust TRUSTDIR
     TRUSTDIR holds what you pinned yourself, before, and from another hand than this bundle's.
  2. Or with stock tools: python3 verify.py BUNDLE TRUSTDIR. Use your own copy of verify.py.
  3. Or by hand: sha256sum -c --strict SHA256SUMS, compare the list with the files, ssh-keygen -Y verify.

What is where
  evidence/<collection>/items/<n>.content   the item's bytes; a byte that could not be read is zero (gaps)
  evidence/<collection>/items/<n>.record    its record: path, sha256, times, outcome, and a salt
  evidence/<collection>/items/<n>.proof     its place among all items, under items_root of the manifest
  evidence/<collection>/manifest.json       what the collection is, signed by the endpoint
  orders/, approvals/                       who asked for it, and who agreed
  custody/                                  every act about this incident, with its proof of inclusion
  ledger/checkpoint                         the signed head of the log that those proofs lead to
  export/                                   the entry that logs this export as partial, and of which items
  Which item is which:  grep -o '\"shown\":\"[^\"]*\"' evidence/*/items/*.record
  An item without .content was not read, or is a folder, a link or a special file: its record says which.

What this does not prove
  - Anything about the items left out, but their number and the manifest's totals.
  - That the endpoint told its agent the truth: whoever rules a machine can lie to every program on it.
  - That nobody read the stored evidence outside Exhibit: operators of the stores can.
  - That the log is complete, unless somebody outside the operator's hands holds a checkpoint that this
    one continues. Without such a witness the operator, alone, could have written another history.
  - Against operator, mirrors and time-stamping authority acting together: nothing here helps.
What this tells of the items left out: how many there are, their outcomes and bytes in all (manifest), and
what the order asked for (its plan names paths).
",
        collections.len(),
        // A chain counts from 0.
        u128::from(*head_seq) + 1,
    )
    .into_bytes()
}

/// A form for FRE 902(13) and (14), filled in as far as the collector knows. A person completes and signs it.
pub fn certification(overview: &Overview) -> Vec<u8> {
    let collections: String = overview.collections.iter().map(|id| format!("    {id}\n")).collect();
    format!(
        "CERTIFICATION OF RECORDS GENERATED BY AN ELECTRONIC PROCESS
AND OF DATA COPIED FROM AN ELECTRONIC DEVICE
(form under Federal Rules of Evidence 902(11), 902(13) and 902(14); have counsel review it)

1. I, ______________________________ (name), am ______________________________ (position) of
   ______________________________ (organisation), and am qualified by training and experience to make
   this certification.

2. The records are the folder exported as incident {incident} of deployment {deployment}
   on {exported} by {by}. The SHA-256 digest of its file SHA256SUMS is
       ________________________________________________________________
   (sha256sum SHA256SUMS), and SHA256SUMS lists the SHA-256 digest of every other file.

3. The records were generated by Exhibit {version}, an electronic process that reads files and system
   state on an endpoint under a signed order, digests each item with SHA-256 while it is read, seals the
   result on the endpoint with a digital signature, and verifies digests and signatures again on receipt.
   The process produces an accurate result; how I know this:
   ____________________________________________________________________________________________

4. The data copied from electronic devices are {what} these collections, each identified by its id:
{collections}
5. I verified the records with ______________________________ (tool and version) on __________________
   (date). The result was:
   ____________________________________________________________________________________________

I declare under penalty of perjury that the foregoing is true and correct.

Date: ____________________        Signature: ______________________________
",
        what = if overview.partial { "chosen items of" } else { "all of" },
        incident = overview.incident,
        deployment = overview.deployment,
        exported = overview.exported,
        by = overview.by,
        version = env!("CARGO_PKG_VERSION"),
    )
    .into_bytes()
}
