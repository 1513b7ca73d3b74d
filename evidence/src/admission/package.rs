//! The package that an endpoint receives with an order, and steps 1 and 2: it can be read, and it is meant for this deployment.

use ledger::ProofFile;

use super::{Reason, Refusal};
use crate::document::Document;
use crate::entry::Entry;
use crate::id::DeploymentId;
use crate::order::{Approval, Order, TargetProof};
use crate::roster::Roster;
use crate::signed::Signed;

/// Most rosters of one package. An endpoint that was off for years catches up over several packages.
const ROSTERS_MAX: usize = 64;

/// Most approvals of one package.
const APPROVALS_MAX: usize = 16;

/// An order with everything needed to judge it, as raw bytes.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// The order: document and signature.
    pub order: &'a [u8],
    /// Rosters after the one that the endpoint has, in rising version; may be empty.
    pub rosters: Vec<&'a [u8]>,
    /// Approvals: documents and signatures.
    pub approvals: Vec<&'a [u8]>,
    /// Place of the endpoint's leaf among the targets.
    pub target: TargetProof,
    /// The entry `order.issued`.
    pub issued: Proven<'a>,
    /// The entries `order.approved`, one for each approval, in the same sequence.
    pub approved: Vec<Proven<'a>>,
    /// The proof from the endpoint's checkpoint to the one inside `issued`.
    pub consistency: Vec<ledger::Hash>,
}

/// An entry of the ledger with its `.tlog-proof`.
#[derive(Debug, Clone, Copy)]
pub struct Proven<'a> {
    pub entry: &'a [u8],
    /// The proof file.
    pub proof: &'a [u8],
}

/// The package after step 1.
pub(super) struct Parsed<'a> {
    pub(super) order: Order,
    pub(super) order_signed: Signed,
    pub(super) rosters: Vec<(Roster, Signed)>,
    pub(super) approvals: Vec<(Approval, Signed)>,
    pub(super) target: &'a TargetProof,
    pub(super) issued: Logged,
    pub(super) approved: Vec<Logged>,
    pub(super) consistency: &'a [ledger::Hash],
}

/// An entry after step 1. Its proof is not verified yet.
pub(super) struct Logged {
    pub(super) entry: Entry,
    pub(super) leaf: ledger::Hash,
    pub(super) proof: ProofFile,
}

/// Step 1, `malformed`.
pub(super) fn parse<'a>(package: &'a Package<'_>) -> Result<Parsed<'a>, Refusal> {
    let malformed = |detail: &str| Refusal::new(Reason::Malformed, detail);
    if package.rosters.len() > ROSTERS_MAX || package.approvals.len() > APPROVALS_MAX {
        return Err(malformed("more than 64 rosters or 16 approvals"));
    }
    if package.approved.len() != package.approvals.len() {
        return Err(malformed("not one order.approved entry for each approval"));
    }
    let (order, order_signed) = document(package.order)?;
    let rosters = package.rosters.iter().map(|bytes| document(bytes)).collect::<Result<_, _>>()?;
    let approvals: Vec<(Approval, Signed)> =
        package.approvals.iter().map(|bytes| document(bytes)).collect::<Result<_, _>>()?;
    if order_signed.signatures.len() != 1 || approvals.iter().any(|(_, signed)| signed.signatures.len() != 1)
    {
        return Err(malformed("an order or approval has exactly one signature"));
    }
    Ok(Parsed {
        order,
        order_signed,
        rosters,
        approvals,
        target: &package.target,
        issued: logged(&package.issued)?,
        approved: package.approved.iter().map(logged).collect::<Result<_, _>>()?,
        consistency: &package.consistency,
    })
}

impl Parsed<'_> {
    /// Step 2, `foreign`.
    pub(super) fn check_deployment(&self, deployment: &DeploymentId) -> Result<(), Refusal> {
        let rosters = self.rosters.iter().map(|(roster, _)| &roster.deployment);
        let approvals = self.approvals.iter().map(|(approval, _)| &approval.deployment);
        let entries =
            std::iter::once(&self.issued).chain(&self.approved).map(|one| &one.entry.envelope.deployment);
        let mut all = std::iter::once(&self.order.deployment).chain(rosters).chain(approvals).chain(entries);
        match all.find(|other| *other != deployment) {
            None => Ok(()),
            Some(other) => {
                Err(Refusal::new(Reason::Foreign, format!("deployment {other}, this is {deployment}")))
            }
        }
    }
}

fn document<T: Document>(bytes: &[u8]) -> Result<(T, Signed), Refusal> {
    let signed = Signed::parse(bytes).map_err(|error| Refusal::because(Reason::Malformed, &error))?;
    let document = signed.read().map_err(|error| Refusal::because(Reason::Malformed, &error))?;
    Ok((document, signed))
}

fn logged(proven: &Proven<'_>) -> Result<Logged, Refusal> {
    let entry = Entry::parse(proven.entry).map_err(|error| Refusal::because(Reason::Malformed, &error))?;
    let proof =
        ProofFile::parse(proven.proof).map_err(|error| Refusal::because(Reason::Malformed, &error))?;
    Ok(Logged { entry, leaf: ledger::leaf_hash(proven.entry), proof })
}
