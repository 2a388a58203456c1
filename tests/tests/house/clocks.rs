//! The wall clock is for people: no decision reads it, so it may jump.

use crate::SourceTree;

/// Put together here, so that this file has none itself.
const WALL_CLOCK: &str = concat!("SystemTime::", "now");

/// Where it may be read: times that are shown, and modification times of files.
const MAY_READ: [&str; 4] =
    ["master/src/clock.rs", "fs/src/fuse/adapter.rs", "fs/src/filesystem/attributes.rs", "fs/src/cli/"];

fn readings(tree: &SourceTree) -> Vec<String> {
    let files = tree.rust_files().filter(|file| !MAY_READ.iter().any(|allowed| file.path.starts_with(allowed)));
    files
        .flat_map(|file| file.code_lines().map(move |(number, line)| (&file.path, number, line)))
        .filter(|(_, _, line)| line.contains(WALL_CLOCK))
        .map(|(path, number, _)| format!("{path}:{number}: decide by a monotonic clock"))
        .collect()
}

#[test]
fn the_wall_clock_is_read_where_times_are_shown() {
    crate::assert_kept(readings);
}

#[test]
fn a_decision_by_the_wall_clock_is_found() {
    let line = format!("let late = {WALL_CLOCK}() > deadline;");
    crate::assert_found(readings, "master/src/lease/decide.rs", &line);
    crate::assert_found(readings, "node/src/store.rs", &line);
    crate::assert_allowed(readings, "fs/src/cli/put_source.rs", &line);
}
