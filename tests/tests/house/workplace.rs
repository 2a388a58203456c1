//! Nothing in the tree tells where it was written.

use crate::SourceTree;
use crate::source_tree::workspace_root;

/// Folders of people and machines. Put together here, so that this file has none itself.
const PLACES: [&str; 4] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

fn places(tree: &SourceTree, checkout: &str) -> Vec<String> {
    let mut found = Vec::new();
    let inside = format!("{checkout}/");
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            let place = PLACES.iter().find(|place| starts_a_path(line, place)).copied();
            let place = place.or_else(|| starts_a_path(line, &inside).then_some(checkout));
            found.extend(place.map(|place| format!("{}:{}: names {place}", file.path, index + 1)));
        }
    }
    found
}

/// Whether `place` is at the start of a path: `a/place/` and `$X/place/` are folders inside something else.
fn starts_a_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(position, _)| {
        !line[..position]
            .ends_with(|before: char| before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}' | ')' | '~'))
    })
}

#[test]
fn no_file_names_a_place_on_this_machine() {
    let root = workspace_root();
    crate::assert_kept(|tree| places(tree, root.to_str().unwrap()));
}

#[test]
fn a_place_is_found() {
    let rule = |tree: &SourceTree| places(tree, "/srv/checkout");
    for place in PLACES {
        crate::assert_found(rule, "README.md", &format!("cd {place}someone"));
    }
    crate::assert_found(rule, "Makefile", "cp /srv/checkout/target/cairn .");
    crate::assert_allowed(rule, "Makefile", &format!("ls target{}x $(HOME)/.cache", PLACES[3]));
}
