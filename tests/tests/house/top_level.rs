//! What stands at the top, and what each folder must have.

use std::collections::BTreeSet;

use crate::SourceTree;

const MEMBERS: [&str; 6] = ["codec", "fs", "master", "node", "proto", "tests"];
const FILES: [&str; 6] = ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "Makefile", "README.md"];

fn entries(tree: &SourceTree) -> BTreeSet<&str> {
    tree.files().map(|file| file.path.split('/').next().unwrap_or_default()).collect()
}

fn strangers(tree: &SourceTree) -> Vec<String> {
    let known = |entry: &str| entry.starts_with('.') || MEMBERS.contains(&entry) || FILES.contains(&entry);
    entries(tree)
        .into_iter()
        .filter(|entry| !known(entry))
        .map(|entry| format!("{entry} has no place at the top"))
        .collect()
}

fn undesigned(tree: &SourceTree) -> Vec<String> {
    let has = |path: &str| tree.files().any(|file| file.path == path && !file.text.trim().is_empty());
    let present = entries(tree);
    let designs = MEMBERS.iter().filter(|member| present.contains(*member)).map(|member| format!("{member}/DESIGN.md"));
    designs.filter(|path| !has(path)).map(|path| format!("{path} is missing or empty")).collect()
}

#[test]
fn only_known_entries_stand_at_the_top() {
    crate::assert_kept(strangers);
}

#[test]
fn a_stranger_is_found() {
    crate::assert_found(strangers, "notes.txt", "");
    crate::assert_allowed(strangers, ".rustfmt.toml", "");
}

#[test]
fn every_member_says_how_it_works() {
    crate::assert_kept(undesigned);
    let tree = SourceTree::of_workspace();
    assert!(MEMBERS.iter().all(|member| entries(&tree).contains(member)), "all six members are there");
}

#[test]
fn a_member_without_a_design_is_found() {
    let violations = undesigned(&SourceTree::planted(&[("node/src/lib.rs", ""), ("codec/DESIGN.md", "text")]));
    assert_eq!(violations, ["node/DESIGN.md is missing or empty"]);
    crate::assert_found(undesigned, "node/DESIGN.md", " \n");
}
