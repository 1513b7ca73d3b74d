//! The checks `seals` and `container`: the container verifier reads every seal and every stored byte of a collection.

use std::io::{BufReader, Read as _};

use evidence::causes::chain;
use evidence::container::{ContainerSummary, Expect, Limits, Malformed, SEGMENT_STORED_MAX, Verifier};
use evidence::digest::Digest;
use evidence::seal::delegation::Delegation;
use evidence::seal::{Identity, Seal};

use crate::files::Files;

/// The result of reading a whole container.
pub(super) struct Walked {
    pub(super) summary: ContainerSummary,
    pub(super) seals: Vec<Digest>,
    pub(super) is_final: bool,
}

/// Reads the container through the verifier. `None` if the bundle holds no segment. An error names the check that failed.
pub(super) fn walk(
    files: &Files<'_>,
    folder: &str,
    delegation: &Delegation,
    limits: Limits,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<Walked>, (&'static str, String)> {
    let prefix = format!("{folder}/seals/");
    let seals: Vec<&str> = files.below(&prefix).collect();
    let container = |why: String| ("container", why);
    let seal_error = |why: String| ("seals", why);
    let identity = Identity {
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: u64::from(delegation.attempt),
    };
    let name = format!("{folder}/container.tar.zst");
    if seals.is_empty() && !files.has(&name) {
        return Ok(None);
    }
    let mut verifier = Verifier::new(Expect { identity, sealer: delegation.sealer.clone(), limits })
        .map_err(|cause| container(chain(&cause)))?;
    let mut left = files.length(&name).ok_or_else(|| container(format!("{name} is missing")))?;
    let mut reader =
        BufReader::with_capacity(1 << 20, files.judged(&name).map_err(|cause| container(chain(&cause)))?);
    let mut digests = Vec::new();
    let mut is_final = false;
    for (index, seal_name) in seals.iter().enumerate() {
        if *seal_name != format!("{folder}/seals/{index:06}.seal") {
            return Err(seal_error(format!("{seal_name} where seal {index} follows")));
        }
        let bytes = files.required(seal_name).map_err(seal_error)?;
        let seal =
            Seal::parse(&bytes).map_err(|cause| seal_error(format!("{seal_name}: {}", chain(&cause))))?;
        let length = seal.header.stored_len;
        if length > left || length > SEGMENT_STORED_MAX {
            return Err(container(format!("ends inside segment {index}")));
        }
        let mut segment = Vec::new();
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut segment)
            .map_err(|cause| container(cause.to_string()))?;
        left = left.checked_sub(length).ok_or_else(|| container(format!("ends inside segment {index}")))?;
        let report = verifier.segment(&bytes, &segment, &mut |_| {}).map_err(|cause| {
            let check = match cause {
                Malformed::Seal { .. } | Malformed::Chain(_) => "seals",
                _ => "container",
            };
            // Every limit but that of different outcomes is the order's.
            let rule = match cause {
                Malformed::Limit { limit, .. } if limit != "outcomes" => "collection-30: ",
                _ => "",
            };
            (check, format!("{rule}segment {index}: {}", chain(&cause)))
        })?;
        digests.push(report.seal_digest);
        is_final = report.header.is_final;
        progress(length);
    }
    if left > 0 {
        return Err(container(format!("{left} bytes behind the last segment")));
    }
    if seals.is_empty() {
        return Err(seal_error("there are none".to_owned()));
    }
    let summary = if is_final {
        verifier.finish().map_err(|cause| container(chain(&cause)))?
    } else {
        verifier.interrupted().summary
    };
    Ok(Some(Walked { summary, seals: digests, is_final }))
}
