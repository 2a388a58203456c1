//! Who may import what.

use crate::SourceTree;
use crate::source_tree::SourceFile;

/// Crates that few places keep to themselves, and those places.
const CONFINED: [(&str, &[&str]); 2] =
    [("fuser", &["fs/src/fuse", "tests/src/bench/memory_mount"]), ("openraft", &["master/src/store/raft"])];

/// Folders, and modules of the same crate that they know nothing of.
const ONE_WAY: [(&str, &[&str]); 4] = [
    ("fs/src/cache", &["filesystem", "fuse", "cli"]),
    ("fs/src/client", &["filesystem", "fuse", "cli"]),
    ("fs/src/filesystem", &["fuse", "cli"]),
    ("fs/src/fuse", &["cli"]),
];

/// `use` statements with the number of their first line, whole even if they go over several lines.
fn use_statements(file: &SourceFile) -> Vec<(usize, String)> {
    let mut statements = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in file.code_lines() {
        if open.is_none() && is_use(line) {
            open = Some((number, String::new()));
        }
        if let Some((_, text)) = &mut open {
            text.push_str(line);
        }
        if line.ends_with(';') {
            statements.extend(open.take());
        }
    }
    statements
}

fn is_use(line: &str) -> bool {
    let visible = line.strip_prefix("pub").map(str::trim_start);
    let rest = match visible {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, rest)| rest.trim_start()),
        Some(rest) => rest,
        None => line,
    };
    rest.starts_with("use ")
}

fn globs(tree: &SourceTree) -> Vec<String> {
    let statements = tree
        .rust_files()
        .flat_map(|file| use_statements(file).into_iter().map(move |(number, text)| (&file.path, number, text)));
    statements
        .filter(|(_, _, text)| text.contains('*'))
        .map(|(path, number, text)| format!("{path}:{number}: {text} hides where its names come from"))
        .collect()
}

fn mentions_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let starts_a_path = |position: usize| {
        !line[..position].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    };
    line.match_indices(&path).any(|(position, _)| starts_a_path(position)) || line == format!("use {name};")
}

fn strays(tree: &SourceTree) -> Vec<String> {
    let mut found = Vec::new();
    for (name, homes) in CONFINED {
        let is_stray = |file: &&SourceFile| homes.iter().all(|home| !file.path.starts_with(home));
        for file in tree.rust_files().filter(is_stray) {
            let lines = file.code_lines().filter(|(_, line)| mentions_crate(line, name));
            let homes = homes.join("*, ");
            found.extend(lines.map(|(number, _)| format!("{}:{number}: {name} belongs to {homes}*", file.path)));
        }
    }
    found
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

fn against_the_way(tree: &SourceTree) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, unknown) in ONE_WAY {
        for file in tree.rust_files().filter(|file| is_in(&file.path, folder)) {
            for module in unknown {
                let path = format!("crate::{module}::");
                let lines = file.code_lines().filter(|(_, line)| line.contains(&path));
                found.extend(
                    lines.map(|(number, _)| format!("{}:{number}: {folder} knows nothing of {module}", file.path)),
                );
            }
        }
    }
    found
}

#[test]
fn no_import_takes_everything() {
    crate::assert_kept(globs);
}

#[test]
fn a_glob_is_found_wherever_it_hides() {
    crate::assert_found(globs, "node/src/store.rs", "use std::fmt::*;");
    crate::assert_found(globs, "node/src/store.rs", "pub(crate) use self::{\n    one,\n    two::*,\n};");
    crate::assert_found(globs, "node/src/store.rs", "mod tests {\n    use super::*;\n}");
    crate::assert_allowed(globs, "node/src/store.rs", "let product = use_count * 2;\nuse std::fmt;");
}

#[test]
fn fuser_and_openraft_stay_in_their_modules() {
    crate::assert_kept(strays);
}

#[test]
fn a_stray_import_is_found() {
    // Put together here, so that this file has no stray itself.
    let [file_attr, log_id] = CONFINED.map(|(name, _)| format!("use {name}::Thing;"));
    crate::assert_found(strays, "fs/src/filesystem.rs", &file_attr);
    crate::assert_found(strays, "master/src/lease.rs", &log_id);
    crate::assert_found(strays, "master/src/lease.rs", &format!("fn f() -> {}::LogId {{}}", CONFINED[1].0));
    crate::assert_allowed(strays, "fs/src/fuse.rs", &file_attr);
    crate::assert_allowed(strays, "master/src/store/raft/log.rs", &log_id);
    crate::assert_allowed(
        strays,
        "fs/src/filesystem.rs",
        &format!("// {file_attr}\nuse crate::not_{};", &file_attr[4..]),
    );
}

#[test]
fn folders_import_one_way() {
    crate::assert_kept(against_the_way);
}

#[test]
fn an_import_against_the_way_is_found() {
    crate::assert_found(against_the_way, "fs/src/client/reader.rs", "use crate::filesystem::Inode;");
    crate::assert_found(against_the_way, "fs/src/filesystem.rs", "use crate::fuse::Adapter;");
    crate::assert_allowed(against_the_way, "fs/src/filesystem.rs", "use crate::client::Client;");
}
