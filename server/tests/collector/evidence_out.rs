//! Evidence out of a collector: items read, and bundles.

use std::collections::BTreeMap;

use evidence::container::{Expect, Limits as ContainerLimits, Verifier};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::item::{ItemRecord, Stage};
use evidence::seal::Seal;
use proto::v1::read_response::Message;
use proto::{service, v1};
use testkit::collections;
use testkit::containers::lab::Built;
use testkit::containers::{file, symlink};

use crate::container::*;
use crate::evidence_in::*;
use crate::lab::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_read_whole_and_the_read_is_recorded_before_its_first_byte() {
    let Scene { lab, ada, web, order, signed, incident } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &web, &order).await;

    let mut client = service::evidence_client(ada.channel.clone());
    for (path, content) in &attempt.files {
        let request = v1::ReadItemRequest {
            // A prefix is enough for people.
            collection: attempt.collection()[..12].to_owned(),
            path: path.clone().into_bytes().into(),
            ordinal: 0,
            purpose: "Which host is this".into(),
        };
        let mut stream = client.read_item(request).await.unwrap().into_inner();
        let Some(Message::Begin(begin)) = stream.message().await.unwrap().unwrap().message else {
            panic!("no begin")
        };
        let entry = proven(&lab, &begin.accessed.unwrap());
        assert_eq!(entry.envelope.type_, EntryType::EvidenceAccessed);
        assert_eq!(entry.envelope.reference("person"), Some("ada"));
        assert!(!String::from_utf8_lossy(&begin.record).is_empty());
        let (read, end) = drain(&mut stream).await;
        assert!(read == *content, "{path}");
        assert!(end.digest_checked);
        assert_eq!(end.sha256, Digest::of(content).to_string());
    }
    let without_purpose = v1::ReadItemRequest { collection: attempt.collection(), ..Default::default() };
    let status = client.read_item(without_purpose).await.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);

    let request = v1::ReadObjectRequest {
        collection: attempt.collection(),
        object: "segment/1".into(),
        purpose: "copy".into(),
    };
    let mut stream = client.read_object(request).await.unwrap().into_inner();
    assert!(matches!(stream.message().await.unwrap().unwrap().message, Some(Message::Begin(_))));
    assert!(drain(&mut stream).await.0 == attempt.segments[1].bytes);

    let request = v1::ListItemsRequest {
        collection: attempt.collection(),
        prefix: b"/etc".as_slice().into(),
        not_ok_only: false,
        purpose: "look".into(),
    };
    let mut stream = client.list_items(request).await.unwrap().into_inner();
    let mut shown = Vec::new();
    while let Some(batch) = stream.message().await.unwrap() {
        for record in batch.records {
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            shown.push(record["shown"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(shown, ["/etc/hostname", "/etc/motd"]);
    let accessed = chain_types(&ada.channel, &incident).await;
    assert_eq!(
        accessed.iter().filter(|type_| *type_ == "evidence.accessed").count(),
        5,
        "three items, a segment, a list"
    );
}

/// An attempt with a file of two names and a symlink: items 0, 1 and 2.
fn attempt_with_links(endpoint: &Endpoint, order: &evidence::signed::Signed) -> Attempt {
    let (document, delegation, sealer) = delegate(endpoint, order, 1);
    let content = b"one file, two names\n".to_vec();
    let mut writer = writer(&document, &sealer);
    let mut first = file(b"/srv/first", content.len() as u64);
    first.before.as_mut().unwrap().nlink = 2;
    let first = writer.whole(first, &content).unwrap();
    writer.hard_link(&first, file(b"/srv/second", content.len() as u64));
    writer.add(symlink(b"/srv/symlink", b"first")).unwrap();
    let Built { segments, summary, .. } = writer.finish();
    Attempt { delegation, document, sealer, segments, summary, files: vec![("/srv/second".into(), content)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_is_read_as_the_item_that_holds_its_content_and_both_reads_are_recorded() {
    let Scene { lab, ada, web, order, signed, incident } = scene().await;
    let attempt = attempt_with_links(&web, &signed);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &web, &order).await;
    let collection = attempt.collection();

    let mut client = service::evidence_client(ada.channel.clone());
    let request = |path: &str| v1::ReadItemRequest {
        collection: collection.clone(),
        path: path.as_bytes().to_vec().into(),
        ordinal: 0,
        purpose: "what is in it".into(),
    };
    let mut stream = client.read_item(request("/srv/second")).await.unwrap().into_inner();
    let Some(Message::Begin(begin)) = stream.message().await.unwrap().unwrap().message else {
        panic!("no begin")
    };
    let record = ItemRecord::parse_line(&begin.record, Stage::Final).unwrap();
    assert_eq!((record.n, record.shown.as_str()), (1, "/srv/second"));
    let (read, end) = drain(&mut stream).await;
    let content = &attempt.files[0].1;
    assert_eq!((&read, begin.size), (content, content.len() as u64));
    assert_eq!(record.sha256, Some(Digest::of(content)));
    assert!(end.digest_checked);
    let read: Vec<String> = chain_entries(&ada.channel, &incident)
        .await
        .into_iter()
        .filter(|envelope| envelope.type_ == EntryType::EvidenceAccessed)
        .map(|envelope| envelope.reference("object").unwrap().to_owned())
        .collect();
    assert_eq!(read, [format!("{collection}/item/0"), format!("{collection}/item/1")]);

    let refused = client.read_item(request("/srv/symlink")).await.unwrap();
    let status = refused.into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(status.message(), "item 2 is a symlink to first: read what it names, first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_an_unfinished_collection_is_read_without_a_seek_table() {
    let Scene { lab, ada, web, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.segment(&attempt.segments[0]).await;
    upload.position().await;
    let request = v1::ReadItemRequest {
        collection: attempt.collection(),
        path: b"/etc/hostname".to_vec().into(),
        ordinal: 0,
        purpose: "look early".into(),
    };
    let mut stream =
        service::evidence_client(ada.channel.clone()).read_item(request).await.unwrap().into_inner();
    assert!(matches!(stream.message().await.unwrap().unwrap().message, Some(Message::Begin(_))));
    let (read, end) = drain(&mut stream).await;
    assert_eq!(read, b"web-03\n");
    assert!(end.digest_checked);
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_both_altered_a_frame_are_caught_while_it_is_read() {
    let Scene { lab, ada, web, order, signed, .. } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &web, &order).await;
    // Noise is stored raw inside its frame: the flip survives decompression and only the item's digest tells.
    for store in ["a", "b"] {
        let path = &lab.stored(store, "segments/")[1];
        let mut bytes = fs_err::read(path).unwrap();
        bytes[4 << 20] ^= 1;
        fs_err::remove_file(path).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    let request = v1::ReadItemRequest {
        collection: attempt.collection(),
        path: b"/var/log/big".to_vec().into(),
        ordinal: 0,
        purpose: "look".into(),
    };
    let mut stream =
        service::evidence_client(ada.channel.clone()).read_item(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(v1::ReadResponse { message: Some(Message::End(_)) })) => {
                panic!("altered bytes were called checked")
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::DataLoss);
}

async fn drain(stream: &mut tonic::Streaming<v1::ReadResponse>) -> (Vec<u8>, v1::ReadEnd) {
    let mut read = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        match response.message.unwrap() {
            Message::Data(data) => read.extend_from_slice(&data),
            Message::End(end) => return (read, end),
            Message::Begin(_) => panic!("a second begin"),
        }
    }
    panic!("no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_under_one_checkpoint_and_its_record_follows_it() {
    let Scene { lab, ada, web, order, signed, incident } = scene().await;
    let attempt = attempt(&web, &signed, 1);
    let mut upload = Upload::begin(&lab, &web, &attempt.delegation).await;
    upload.position().await;
    upload.finish(&attempt, 0, &web, &order).await;

    let mut client = service::bundle_client(ada.channel.clone());
    let request = v1::ExportRequest {
        incident: incident.clone(),
        purpose: "for the consultant".into(),
        without_quorum: false,
        only: Vec::new(),
    };
    let mut stream = client.export(request).await.unwrap().into_inner();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut name, mut open) = (String::new(), false);
    while let Some(chunk) = stream.message().await.unwrap() {
        if !chunk.path.is_empty() {
            assert!(!open, "{name} is not finished");
            evidence::bundle::check_name(&chunk.path).unwrap();
            name = chunk.path;
            assert!(files.insert(name.clone(), Vec::new()).is_none(), "{name} twice");
        }
        files.get_mut(&name).unwrap().extend_from_slice(&chunk.data);
        open = !chunk.last;
    }
    assert!(!open);

    let overview: evidence::bundle::Overview = evidence::json::parse_document(&files["bundle.json"]).unwrap();
    assert_eq!(overview.collections, [attempt.document.collection]);
    let head = lab.policy().verify_checkpoint(&files["ledger/checkpoint"]).unwrap().checkpoint;
    assert_eq!(head.size, overview.entries);
    let mut chain = evidence::entry::ChainHead::START;
    for seq in 0..=overview.head_seq {
        let entry = &files[&format!("custody/{seq:06}.entry")];
        let proof = ledger::ProofFile::parse(&files[&format!("custody/{seq:06}.tlog-proof")]).unwrap();
        let leaf = ledger::leaf_hash(entry);
        assert_eq!(proof.verify(&leaf, &lab.policy()).unwrap().checkpoint, head);
        chain.step(&evidence::entry::Entry::parse(entry).unwrap().envelope, leaf.into()).unwrap();
    }
    assert_eq!(chain.prev, overview.head);
    verify_container(&files, &attempt);
    let collection = attempt.collection();
    for needed in [
        "README.txt".to_owned(),
        "certification.txt".into(),
        "deployment/roster-1.json.sig".into(),
        "deployment/roster-2.json.sig".into(),
        "deployment/allowed_signers".into(),
        "deployment/log.vkey".into(),
        "deployment/ca.pem".into(),
        "deployment/token-web-03-2.json.sig".into(),
        "deployment/enrolment-web-03-2.json.2.sig".into(),
        format!("orders/{}.json.sig", signed.digest()),
        format!("orders/{}.targets/web-03.json", signed.digest()),
        format!("evidence/{collection}/manifest.json.2.sig"),
        format!("evidence/{collection}/delegation.json.sig"),
    ] {
        assert!(files.contains_key(&needed), "{needed}");
    }
    assert!(files.keys().any(|name| name.starts_with("details/")));

    let mut sums = evidence::bundle::Sums::new();
    for (name, bytes) in &files {
        sums.insert(name, Digest::of(bytes)).unwrap();
    }
    let sums = sums.encode();
    let refs = [
        ("sums", Digest::of(&sums).to_string()),
        ("head", overview.head.to_string()),
        ("count", (overview.head_seq + 1).to_string()),
    ];
    let chain = Chain::Incident(incident.parse().unwrap());
    // export-4, export-5: the act has the fields of the bundle that went out, and this one is whole and has its quorum.
    let selection = Digest::ZERO.to_string();
    let part = [("items", "1"), ("partial", "yes"), ("selection", selection.as_str())];
    for fields in [&part[..], &[("without_quorum", "yes")]] {
        let act =
            ada.act(EntryType::BundleExported, chain.clone(), &refs, fields, Some("for the consultant"));
        let request = v1::RecordExportRequest { act: act.act, detail: act.detail, sums: sums.clone().into() };
        let refused = client.record_export(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("of the bundle that went out"), "{refused}");
    }
    let act = ada.act(EntryType::BundleExported, chain, &refs, &[], Some("for the consultant"));
    let request = v1::RecordExportRequest { act: act.act, detail: act.detail, sums: sums.into() };
    let recorded = client.record_export(request).await.unwrap().into_inner();
    let exported = recorded.exported.unwrap();
    assert_eq!(proven(&lab, &exported).envelope.type_, EntryType::BundleExported);
    let later = ledger::ProofFile::parse(&exported.proof).unwrap();
    let later = ledger::Checkpoint::from_text(later.checkpoint().text()).unwrap();
    let consistency = proto::convert::hashes("consistency", &recorded.consistency).unwrap();
    ledger::verify_consistency(head.size, &head.root, later.size, &later.root, &consistency).unwrap();
}

fn verify_container(files: &BTreeMap<String, Vec<u8>>, attempt: &Attempt) {
    let collection = attempt.collection();
    let container = &files[&format!("evidence/{collection}/container.tar.zst")];
    let identity = collections::identity(&attempt.document);
    let expect = Expect { identity, sealer: attempt.sealer.public(), limits: ContainerLimits::NONE };
    let mut verifier = Verifier::new(expect).unwrap();
    let mut at = 0;
    for index in 0..attempt.segments.len() {
        let seal = &files[&format!("evidence/{collection}/seals/{index:06}.seal")];
        let len = Seal::parse(seal).unwrap().header.stored_len as usize;
        verifier.segment(seal, &container[at..at + len], &mut |_| {}).unwrap();
        at += len;
    }
    assert_eq!(at, container.len());
    assert_eq!(verifier.finish().unwrap(), attempt.summary);
}
