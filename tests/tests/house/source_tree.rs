//! The text files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file, by its path from the root of the workspace.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files that are not generated.
#[derive(Debug)]
pub(crate) struct SourceTree {
    files: Vec<SourceFile>,
}

impl SourceTree {
    /// The workspace this test was built from.
    pub(crate) fn of_workspace() -> Self {
        let root = workspace_root();
        let ignored = ignored_entries(&root);
        let mut files = Vec::new();
        collect(&root, &root, &ignored, &mut files);
        assert!(files.iter().any(|file| file.path == "Cargo.toml"), "{} is not the workspace", root.display());
        Self { files }
    }

    /// A tree that has only these files.
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files().filter(|file| Path::new(&file.path).extension().is_some_and(|extension| extension == "rs"))
    }
}

impl SourceFile {
    /// Lines with their numbers, without those that are only comment.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}

/// The tree that is tested. Cargo says which when it runs a test; the path at compile time may be that of another clone
/// that shares the target directory.
pub(crate) fn workspace_root() -> PathBuf {
    let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().expect("a member has a workspace").to_path_buf()
}

/// Entries of the root that git ignores, written `/name`.
fn ignored_entries(root: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(root.join(".gitignore")).unwrap();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix('/'));
    names.chain([".git"]).map(|name| root.join(name.trim_end_matches('/'))).collect()
}

fn collect(root: &Path, folder: &Path, ignored: &[PathBuf], files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if ignored.contains(&path) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, ignored, files);
        } else if kind.is_file() {
            // What is not UTF-8 is no source text.
            if let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) {
                let path = path.strip_prefix(root).unwrap().to_str().expect("names in the tree are UTF-8").to_owned();
                files.push(SourceFile { path, text });
            }
        }
    }
}
