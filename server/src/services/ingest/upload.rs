//! Serves one upload call: receives messages and answers with positions.
//!
//! Guarantee: the call takes memory for a segment before it reads the segment's bytes. The first answer says what is durable and
//! names the newest seal, so that the endpoint notices a collector that forgot. A newer call for the same collection ends this
//! one. Not here: what a segment must be (`ingest::segment`); the manifest (`ingest::finish`).

use std::sync::Arc;

use bytes::Bytes;
use certs::connection::PeerInfo;
use evidence::digest::{Digest, Hasher};
use evidence::entry::EntryType;
use evidence::id::{EndpointId, Generation};
use evidence::length::len;
use evidence::signed::Signed;
use proto::segment::{Assembled, Assembly};
use proto::status::Class;
use proto::v1::upload_request::Message;
use proto::v1::{SegmentBegin, UploadRequest, UploadResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::begin::{self, Admitted};
use super::budget::SegmentShare;
use super::ended::{Durable, Ended};
use super::finish;
use super::segment::{self, Arrived};
use super::slots::Turn;
use super::warm::{PROGRESS_BYTES, PROGRESS_EVERY, Warm};
use crate::failure::Failure;
use crate::metrics::ActiveUpload;
use crate::services::ingest::Ingest;

/// Most answers that may wait for the endpoint. It reads them while it sends, so a few are enough.
pub const ANSWERS_LEN: usize = 8;

type Answers = mpsc::Sender<Result<UploadResponse, Status>>;

/// Serves one call until it ends. The last answer says how it ended.
pub async fn serve<S>(
    ingest: Arc<Ingest>,
    peer: Arc<PeerInfo>,
    endpoint: EndpointId,
    generation: Generation,
    requests: S,
    answers: Answers,
) where
    S: Stream<Item = Result<UploadRequest, Status>> + Unpin + Send,
{
    let mut call = Call { ingest: &ingest, peer: &peer, requests, answers: answers.clone() };
    let ended = call.run(&endpoint, generation).await;
    let last = match ended {
        Ok(()) | Err(Ended::Gone) => None,
        Err(Ended::Rejected(rejection)) => Some(Ok(rejection.into())),
        Err(Ended::Failed(failure)) => Some(Err(failure.into())),
    };
    if let Some(last) = last {
        // The endpoint may have left. Then nobody needs the answer.
        drop(answers.send(last).await);
    }
}

struct Call<'c, S> {
    ingest: &'c Ingest,
    peer: &'c PeerInfo,
    requests: S,
    answers: Answers,
}

/// Where a call waits for a message: between two segments, or inside one.
#[derive(Clone, Copy)]
enum AwaitedAt {
    Between,
    Inside,
}

/// The endpoint's next message.
enum Next {
    Message(Message),
    /// The endpoint ended its side cleanly.
    End,
}

impl<S> Call<'_, S>
where
    S: Stream<Item = Result<UploadRequest, Status>> + Unpin + Send,
{
    async fn run(&mut self, endpoint: &EndpointId, generation: Generation) -> Result<(), Ended> {
        let Next::Message(Message::Begin(first)) = self.next(None, AwaitedAt::Between).await? else {
            return Err(Failure::malformed("an upload begins with its delegation").into());
        };
        let delegation: Signed = proto::convert::signed("delegation", first.delegation)
            .map_err(|error| Failure::malformed(crate::failure::chain(&error)))?;
        // A place pays for a verifier and for memory. The judgement of the delegation needs neither; the collector also judges it when
        // the endpoint answers its order. So a refused call never takes an honest call's place, and never waits for one (I9).
        let admitted = begin::admit(self.ingest, endpoint, generation, delegation).await?;
        // Thousands of calls may wait for a place. This wait ends when the peer's connection closes.
        let _place = tokio::select! {
            place = self.ingest.budget.upload() => place?,
            () = self.peer.closed.cancelled() => return Err(Ended::Gone),
        };
        let _counted = ActiveUpload::begin();
        let mut turn = tokio::select! {
            turn = self.ingest.uploads.enter(admitted.collection) => turn,
            () = self.peer.closed.cancelled() => return Err(Ended::Gone),
        };
        let admitted = begin::readmit(self.ingest, admitted).await?;
        if let Some(index) = admitted.stored_index {
            return self.already_stored(&admitted, index).await;
        }
        let mut warm = match turn.take_warm() {
            Some(warm) => warm,
            None => {
                // The endpoint learns its position at once. Its segments wait until the verifier has caught up.
                let durable = self.durable_in_database(&admitted).await?;
                self.answer(durable.into()).await?;
                let warm = tokio::select! {
                    warm = Warm::build(self.ingest, &admitted) => warm?,
                    () = turn.displaced.cancelled() => return Err(Ended::Gone),
                };
                return self.segments(&admitted, turn, warm).await;
            }
        };
        warm.progress_at = Instant::now();
        self.answer(warm.durable().into()).await?;
        self.segments(&admitted, turn, warm).await
    }

    async fn segments(
        &mut self,
        admitted: &Admitted,
        mut turn: Turn<Digest, Warm>,
        mut warm: Warm,
    ) -> Result<(), Ended> {
        loop {
            let step = self.step(admitted, &turn, &mut warm).await;
            match step {
                Ok(None) => {}
                Ok(Some(manifest)) => {
                    let receipt =
                        finish::finish(self.ingest, admitted, warm, manifest, &turn.displaced).await?;
                    return self.stored(admitted, receipt).await;
                }
                Err(Ended::Gone) => {
                    turn.keep_warm(warm);
                    return Err(Ended::Gone);
                }
                Err(ended) => return Err(ended),
            }
        }
    }

    /// Takes one segment, or the manifest. The call waits for everything that may be cut off before it begins the segment. From
    /// then on verifier and chain stay together.
    async fn step(
        &mut self,
        admitted: &Admitted,
        turn: &Turn<Digest, Warm>,
        warm: &mut Warm,
    ) -> Result<Option<Signed>, Ended> {
        match self.next(Some(turn), AwaitedAt::Between).await? {
            Next::End => Err(Ended::Gone),
            Next::Message(Message::Segment(begin)) => {
                let (share, arrived) = self.receive(turn, begin).await?;
                segment::accept(self.ingest, admitted, warm, arrived).await.map_err(|ended| match ended {
                    // Verifier and chain may now differ, so neither is kept for another call.
                    Ended::Gone => Ended::unavailable("store a segment", "the upload was ended"),
                    other => other,
                })?;
                drop(share);
                self.progress(admitted, warm).await?;
                self.answer(warm.durable().into()).await?;
                Ok(None)
            }
            Next::Message(Message::Manifest(manifest)) => {
                let signed = proto::convert::signed("manifest", manifest.manifest)
                    .map_err(|error| Failure::malformed(crate::failure::chain(&error)))?;
                Ok(Some(signed))
            }
            Next::Message(Message::Begin(_) | Message::SealData(_) | Message::Data(_)) => {
                Err(Failure::malformed("a segment or the manifest is due").into())
            }
        }
    }

    /// Receives one segment and hashes it as it arrives.
    async fn receive(
        &mut self,
        turn: &Turn<Digest, Warm>,
        begin: SegmentBegin,
    ) -> Result<(SegmentShare, Arrived), Ended> {
        let mut assembly = Assembly::default();
        assembly.begin(begin)?;
        let share = tokio::select! {
            share = self.ingest.budget.segment(begin.seal_len, begin.stored_len) => share?,
            () = turn.displaced.cancelled() => return Err(Ended::Gone),
            () = self.peer.closed.cancelled() => return Err(Ended::Gone),
        };
        let mut hasher = Hasher::new();
        loop {
            let step = match self.next(Some(turn), AwaitedAt::Inside).await? {
                Next::Message(Message::SealData(piece)) => assembly.seal_data(&piece)?,
                Next::Message(Message::Data(piece)) => {
                    hasher.update(&piece);
                    assembly.data(&piece)?
                }
                Next::Message(_) => return Err(Failure::malformed("the segment is not complete").into()),
                Next::End => return Err(Ended::Gone),
            };
            if let Assembled::Whole(whole) = step {
                let arrived = Arrived {
                    seal: whole.seal,
                    stored: Bytes::clone(&whole.stored),
                    sha256: hasher.finish(),
                    ended: turn.displaced.clone(),
                };
                return Ok((share, arrived));
            }
        }
    }

    async fn next(&mut self, turn: Option<&Turn<Digest, Warm>>, place: AwaitedAt) -> Result<Next, Ended> {
        // While the collector drains, an open segment is received to its end, and no other begins.
        let stopped = match place {
            AwaitedAt::Between => &self.ingest.collector.intake,
            AwaitedAt::Inside => &self.ingest.collector.stop,
        };
        let displaced = async {
            match turn {
                Some(turn) => turn.displaced.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            biased;
            () = stopped.cancelled() => return Err(Ended::Gone),
            () = self.peer.closed.cancelled() => return Err(Ended::Gone),
            () = displaced => return Err(Ended::Gone),
            message = self.requests.next() => message,
        };
        match message {
            None => Ok(Next::End),
            // The message is too large: tell the endpoint that sent it.
            Some(Err(status)) if Class::of(&status) == Class::OverLimit => {
                Err(Failure::new(Class::OverLimit, status.message()).into())
            }
            // A cut connection is not a protocol error. What is durable stays.
            Some(Err(status)) => {
                tracing::debug!(%status, "Upload call was cut");
                Err(Ended::Gone)
            }
            Some(Ok(UploadRequest { message: Some(message) })) => Ok(Next::Message(message)),
            Some(Ok(UploadRequest { message: None })) => {
                Err(Failure::malformed("a message of an unknown kind").into())
            }
        }
    }

    async fn answer(&self, response: UploadResponse) -> Result<(), Ended> {
        // A peer that left reads no answers, and another call waits for its collection.
        tokio::select! {
            sent = self.answers.send(Ok(response)) => sent.map_err(|_closed| Ended::Gone),
            () = self.peer.closed.cancelled() => Err(Ended::Gone),
        }
    }

    async fn durable_in_database(&self, admitted: &Admitted) -> Result<Durable, Ended> {
        let segments = self.ingest.collector.segments_of(admitted.number).await?;
        let copies = segments.iter().map(|row| row.copies).min().unwrap_or(0);
        let wanted = self.ingest.collector.replicas.policy().copies_wanted();
        Ok(Durable {
            next_index: len(&segments),
            seal: segments.last().map(|row| row.seal_sha256),
            copies,
            degraded: !segments.is_empty() && copies < wanted,
        })
    }

    async fn progress(&self, admitted: &Admitted, warm: &mut Warm) -> Result<(), Ended> {
        if warm.progress_at.elapsed() < PROGRESS_EVERY && warm.progress_bytes < PROGRESS_BYTES {
            return Ok(());
        }
        // Nothing has arrived yet, so there is no progress to record.
        let Some(index) = warm.chain.next_index().checked_sub(1) else { return Ok(()) };
        let refs = [
            ("collection", admitted.collection.to_string()),
            ("index", index.to_string()),
            ("seal", warm.chain.head().to_string()),
        ];
        self.ingest
            .collector
            .recorder
            .record_own(EntryType::CollectionProgress, admitted.chain.clone(), &refs)
            .await?;
        (warm.progress_at, warm.progress_bytes) = (Instant::now(), 0);
        self.ingest.watches.changed(&admitted.order_id);
        Ok(())
    }

    async fn already_stored(&self, admitted: &Admitted, index: u64) -> Result<(), Ended> {
        let durable = self.durable_in_database(admitted).await?;
        self.answer(durable.into()).await?;
        let receipt = finish::receipt(self.ingest, index).await?;
        self.stored(admitted, receipt).await
    }

    async fn stored(&self, _admitted: &Admitted, receipt: proto::convert::Proven) -> Result<(), Ended> {
        let stored = proto::v1::Stored { receipt: Some(receipt.into()) };
        self.answer(UploadResponse { message: Some(proto::v1::upload_response::Message::Stored(stored)) })
            .await
    }
}

#[cfg(test)]
mod tests {
    use certs::certificate::Serial;
    use proto::v1::UploadBegin;
    use testkit::wait::PATIENCE;
    use tokio_util::sync::CancellationToken;

    use super::super::UPLOADS_MAX;
    use super::*;
    use crate::ops::rebuild::tests::life::vector;
    use crate::upkeep::disposal::chore::tests::{Mood, runtime, scene};

    /// The endpoint of the worked examples, which is retired by now.
    fn peer() -> PeerInfo {
        PeerInfo {
            identity: "exhibit://acme/endpoint/web-03/2".parse().unwrap(),
            serial: Serial([1; 16]),
            fingerprint: [1; 32],
            key: certs::key::TlsKey::generate().unwrap().public(),
            not_after: evidence::time::Time::MAX,
            address: ([127, 0, 0, 1], 1).into(),
            closed: CancellationToken::new(),
        }
    }

    #[test]
    fn a_refused_call_waits_for_no_place_among_the_uploads() {
        let scene = scene(Mood::Well, false);
        let ingest = &scene.services.ingest;
        runtime().block_on(async {
            let mut places = Vec::new();
            for _ in 0..UPLOADS_MAX {
                places.push(ingest.budget.upload().await.unwrap());
            }
            let delegation = Signed::parse(&vector("delegation.signed")).unwrap();
            let begin = UploadBegin { delegation: Some(delegation.into()) };
            let begin = UploadRequest { message: Some(Message::Begin(begin)) };
            let (answers, mut heard) = mpsc::channel(ANSWERS_LEN);
            let (endpoint, generation) = ("web-03".parse().unwrap(), "2".parse().unwrap());
            let requests = tokio_stream::iter([Ok(begin)]);
            let call = serve(Arc::clone(ingest), Arc::new(peer()), endpoint, generation, requests, answers);
            tokio::time::timeout(PATIENCE, call).await.expect("an end while all places are taken");
            let refusal = heard.recv().await.unwrap().unwrap_err();
            assert_eq!(Class::of(&refusal), Class::Forbidden, "{refusal}");
        });
    }
}
