//! House rules that no compiler checks. Each rule has a test on the tree and one with a planted violation.

#![allow(clippy::unwrap_used, reason = "all of this binary is test code, functions beside the tests included")]

mod clocks;
mod dependencies;
mod imports;
mod leftovers;
mod names;
mod sizes;
mod source_tree;
mod top_level;
mod workplace;

use source_tree::SourceTree;

/// Fails with every violation that `rule` finds in the workspace.
#[track_caller]
fn assert_kept(rule: impl Fn(&SourceTree) -> Vec<String>) {
    let violations = rule(&SourceTree::of_workspace());
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// Checks that `rule` finds exactly one violation in a tree of one planted file, and none without it.
#[track_caller]
fn assert_found(rule: impl Fn(&SourceTree) -> Vec<String>, path: &str, text: &str) {
    let violations = rule(&SourceTree::planted(&[(path, text)]));
    assert_eq!(violations.len(), 1, "planted in {path}: {text:?}, found {violations:?}");
    assert!(violations[0].contains(path), "the file is not named: {}", violations[0]);
}

/// Checks that `rule` lets a planted file pass.
#[track_caller]
fn assert_allowed(rule: impl Fn(&SourceTree) -> Vec<String>, path: &str, text: &str) {
    let violations = rule(&SourceTree::planted(&[(path, text)]));
    assert_eq!(violations, Vec::<String>::new(), "{path}: {text:?}");
}
