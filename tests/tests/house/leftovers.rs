//! Marks of work that is not done. They are put together here, so that this file has none itself.

use crate::SourceTree;

const MARKS: [&str; 5] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ign", "ore"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
/// Threads of a server are not put to sleep, and tests wait for what they can see.
const THREAD_SLEEP: &str = concat!("thread::", "sleep");
/// The one place that may.
const MAY_SLEEP: &str = "tests/src/wait.rs";

fn marks(tree: &SourceTree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            let marks = MARKS.iter().filter(|mark| line.contains(**mark));
            found.extend(marks.map(|mark| format!("{}:{}: {mark}", file.path, index + 1)));
        }
    }
    found
}

fn sleeps(tree: &SourceTree) -> Vec<String> {
    let files = tree.rust_files().filter(|file| file.path != MAY_SLEEP);
    files
        .flat_map(|file| file.code_lines().map(move |(number, line)| (&file.path, number, line)))
        .filter(|(_, _, line)| line.contains(THREAD_SLEEP))
        .map(|(path, number, _)| format!("{path}:{number}: wait for an event instead"))
        .collect()
}

#[test]
fn nothing_is_left_for_later() {
    crate::assert_kept(marks);
}

#[test]
fn each_mark_is_found() {
    for mark in MARKS {
        crate::assert_found(marks, "node/src/store.rs", &format!("fn f() {{}} // {mark}"));
    }
    crate::assert_found(marks, "README.md", MARKS[3]);
}

#[test]
fn no_thread_sleeps() {
    crate::assert_kept(sleeps);
}

#[test]
fn a_sleeping_thread_is_found() {
    let line = format!("std::{THREAD_SLEEP}(moment);");
    crate::assert_found(sleeps, "node/src/store.rs", &line);
    crate::assert_allowed(sleeps, MAY_SLEEP, &line);
}
