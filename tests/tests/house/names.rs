//! A file is named for the one thing in it.

use crate::SourceTree;

/// Names that say nothing of what is inside.
const DRAWERS: [&str; 8] = ["utils", "util", "common", "misc", "helpers", "helper", "types", "mod"];

fn drawers(tree: &SourceTree) -> Vec<String> {
    let is_drawer = |path: &str| path.trim_end_matches(".rs").split('/').any(|part| DRAWERS.contains(&part));
    tree.rust_files()
        .filter(|file| is_drawer(&file.path))
        .map(|file| format!("{}: name it for what is in it", file.path))
        .collect()
}

#[test]
fn no_file_or_folder_is_a_drawer_for_everything() {
    crate::assert_kept(drawers);
}

#[test]
fn a_drawer_is_found() {
    crate::assert_found(drawers, "node/src/utils.rs", "");
    crate::assert_found(drawers, "node/src/common/thing.rs", "");
    crate::assert_found(drawers, "node/src/store/mod.rs", "");
    crate::assert_allowed(drawers, "node/src/commonality.rs", "");
}
