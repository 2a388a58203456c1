//! Small rooms.

use crate::SourceTree;
use cairn_tests::fuse::notice;

/// No Rust file is longer.
const HARD_LIMIT_LINES: usize = 700;
/// A longer one is worth a look, and is listed.
const LOOK_LIMIT_LINES: usize = 300;

fn longer_than(tree: &SourceTree, limit: usize) -> Vec<String> {
    let lengths = tree.rust_files().map(|file| (file.text.lines().count(), &file.path));
    let mut long: Vec<_> = lengths.filter(|(lines, _)| *lines > limit).collect();
    long.sort_unstable_by(|one, other| other.cmp(one));
    long.into_iter().map(|(lines, path)| format!("{path}: {lines} lines")).collect()
}

#[test]
fn no_file_is_too_long_and_long_ones_are_listed() {
    for file in longer_than(&SourceTree::of_workspace(), LOOK_LIMIT_LINES) {
        notice(&format!("worth a look: {file}"));
    }
    crate::assert_kept(|tree| longer_than(tree, HARD_LIMIT_LINES));
}

#[test]
fn a_long_file_is_found() {
    let rule = |tree: &SourceTree| longer_than(tree, HARD_LIMIT_LINES);
    crate::assert_found(rule, "node/src/store.rs", &"\n".repeat(HARD_LIMIT_LINES + 1));
    crate::assert_allowed(rule, "node/src/store.rs", &"\n".repeat(HARD_LIMIT_LINES));
}
