//! Wrong and hostile input through real processes: forged orders and ledgers, endpoints that lie, files that bite, enrolment
//! attacked at the wire. Each test says in one line what it tried and what it got.

mod endpoint;
mod enrolment;
mod files;
mod orders;
mod uploads;

use std::path::Path;
use std::process::Command;

use evidence::document::Document;
use evidence::signed::Signed;
use lab::run;
use proto::v1;
pub use testkit::clock::now;

/// A document signed by a person's or authority's SSH key, with the tool that people use.
pub fn signed_by<T: Document>(document: &T, key: &Path) -> Signed {
    let bytes = evidence::json::to_document(document).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("document");
    fs_err::write(&path, &bytes).unwrap();
    run(Command::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", T::TYPE, "-f"]).arg(key).arg(&path))
        .unwrap();
    let armour = fs_err::read_to_string(folder.path().join("document.sig")).unwrap();
    Signed::from_parts(bytes, vec![armour]).unwrap()
}

pub fn wire(signed: &Signed) -> Option<v1::SignedDocument> {
    Some(signed.into())
}
