//! One fixture per defect, made by a skilled forger: the sealer's own key signs again what it can sign, so that only
//! one rule is broken.

mod chain;
mod flips;
mod plain;
mod records;
mod stored;

use evidence::container::Malformed;
use testkit::containers::lab::verify_parts;
use testkit::containers::pieces::Pieces;

fn defect(parts: &[(&[u8], &[u8])]) -> Malformed {
    verify_parts(parts.iter().copied()).unwrap_err()
}

macro_rules! assert_defect {
    ($defect:expr, $pattern:pat $(if $guard:expr)?) => {
        let found = $defect;
        assert!(matches!(found, $pattern $(if $guard)?), "{found:?}");
    };
}
use assert_defect;

const HIDDEN: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0hidden";

#[test]
fn the_hand_itself_makes_a_good_container() {
    let (seal, segment) = Pieces::small().build();
    verify_parts([(seal.as_slice(), segment.as_slice())]).unwrap();
}
