//! Members depend on each other one way.

use crate::SourceTree;

/// Each member, and which of our crates it may use.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("proto", &[]),
    ("codec", &[]),
    ("master", &["cairn-proto", "cairn-codec"]),
    ("node", &["cairn-proto", "cairn-codec"]),
    ("fs", &["cairn-proto", "cairn-codec", "cairn-master", "cairn-node"]),
    ("tests", &["cairn-proto", "cairn-codec", "cairn-master", "cairn-node", "cairn-fs"]),
];

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

fn wrong_ways(tree: &SourceTree) -> Vec<String> {
    let mut found = Vec::new();
    for (member, allowed) in MAY_USE {
        let path = format!("{member}/Cargo.toml");
        let Some(file) = tree.files().find(|file| file.path == path) else { continue };
        let manifest: toml::Table = file.text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let tables = SECTIONS.iter().filter_map(|section| manifest.get(*section)?.as_table());
        let ours = tables.flat_map(|table| table.keys()).filter(|name| name.starts_with("cairn-"));
        let wrong = ours.filter(|name| !allowed.contains(&name.as_str()));
        found.extend(wrong.map(|name| format!("{path}: {member} may not use {name}")));
    }
    found
}

#[test]
fn members_use_each_other_one_way() {
    crate::assert_kept(wrong_ways);
}

#[test]
fn a_dependency_the_wrong_way_is_found() {
    crate::assert_found(wrong_ways, "node/Cargo.toml", "[dependencies]\ncairn-master.workspace = true\n");
    crate::assert_found(wrong_ways, "codec/Cargo.toml", "[dev-dependencies]\ncairn-proto = { path = \"../proto\" }\n");
    crate::assert_allowed(wrong_ways, "fs/Cargo.toml", "[dependencies]\ncairn-node.workspace = true\n");
}
