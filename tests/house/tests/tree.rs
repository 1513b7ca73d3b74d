//! The rules of the house, on this checkout.

use std::path::Path;

use house::allowed::judge;
use house::rules::violations;
use house::tree::Tree;

#[test]
fn the_tree_keeps_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let tree = Tree::read(root).unwrap();
    assert!(
        tree.files.len() > 500 && tree.crates.len() > 10,
        "{} files, {:?}",
        tree.files.len(),
        tree.crates
    );
    let found = violations(&tree);
    let list = fs_err::read_to_string(root.join("tests/house/allowed.txt")).unwrap();
    let wrong = judge(&found, &list);
    assert!(
        wrong.is_empty(),
        "{}\n(rules: tests/house/src/rules.rs; list: tests/house/allowed.txt)",
        wrong.join("\n")
    );
}
