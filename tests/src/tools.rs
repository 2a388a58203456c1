//! The programs people really use on a mount: `cp`, `cat`, `sh`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::DevCluster;
use crate::binary::cairn_program;
use crate::finished::Finished;
use crate::scale::Scale;
use crate::workload::{self, SourceFile, hexadecimal};

/// A copy or a read of any size that these tests have, on a machine that has other work too.
pub const BULK_DEADLINE: Duration = Duration::from_mins(10);

/// `cp` of one file into a folder, whatever comes of it.
#[track_caller]
pub fn copy(file: &Path, target: &Path) -> Finished {
    Finished::of(Command::new("cp").arg(file).arg(target), BULK_DEADLINE)
}

/// One `cp` for all of `files` into a folder.
#[track_caller]
pub fn copy_all(files: &[SourceFile], folder: &Path) {
    let mut command = Command::new("cp");
    command.args(files.iter().map(|file| &file.path)).arg(folder);
    Finished::of(&mut command, BULK_DEADLINE).expect_success();
}

/// Copies a big file and a tree of files into the mount of a cluster; returns both as they were made.
#[track_caller]
pub fn copy_big_file_and_tree(cluster: &DevCluster, scale: Scale) -> (SourceFile, Vec<SourceFile>) {
    let big = workload::random_file(&cluster.folder("source"), "big.bin", scale.big_file_bytes, 1);
    let tree = workload::tree(&cluster.folder("tree"), scale.tree_files, 2);
    copy(&big.path, &cluster.mount_path()).expect_success();
    copy_all(&tree, &cluster.mount_path());
    (big, tree)
}

/// Checks that `cat` in `folder` reads every file as it was written.
///
/// # Panics
/// When one is missing or differs.
#[track_caller]
pub fn assert_read_back<'files>(folder: &Path, files: impl IntoIterator<Item = &'files SourceFile>) {
    let files: Vec<&SourceFile> = files.into_iter().collect();
    let script = "set -o pipefail; for name; do cat -- \"$name\" | sha256sum || exit; done";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).args(files.iter().map(|file| &file.name)).current_dir(folder);
    let finished = Finished::of(&mut command, BULK_DEADLINE).expect_success();
    let text = finished.text();
    let sums: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(sums.len(), files.len(), "one sum for each file");
    for (file, sum) in files.iter().zip(sums) {
        assert_eq!(sum, hexadecimal(&file.sum), "{} read from {}", file.name, folder.display());
    }
}

/// Checks that `cairn get` gives the file as it was written.
///
/// # Panics
/// When it fails or differs.
#[track_caller]
pub fn assert_got(cluster: &DevCluster, file: &SourceFile) {
    let script = "set -o pipefail; \"$1\" get \"$2\" - | sha256sum";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(cairn_program()).arg(&file.name).env("CAIRN_MASTERS", cluster.masters());
    let text = Finished::of(&mut command, BULK_DEADLINE).expect_success().text();
    assert_eq!(text.split(' ').next(), Some(hexadecimal(&file.sum).as_str()), "{} by cairn get", file.name);
}

/// Runs a shell script in a folder, whatever comes of it.
#[track_caller]
pub fn shell(script: &str, folder: &Path, deadline: Duration) -> Finished {
    Finished::of(Command::new("bash").args(["-c", script]).current_dir(folder), deadline)
}

/// Whether a program of this name is installed.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let script = "command -v -- \"$1\" > /dev/null";
    Finished::of(Command::new("bash").args(["-c", script, "bash", program]), BULK_DEADLINE).succeeded()
}

/// Checks that a program that a test is about is there: without it the test shows nothing.
///
/// # Panics
/// When it is not installed.
#[track_caller]
pub fn assert_installed(program: &str) {
    assert!(is_installed(program), "{program} is not installed; `make setup` installs what the tests run");
}

#[cfg(test)]
mod tests {
    use super::{assert_installed, assert_read_back, copy_all, is_installed};
    use crate::workload::tree;
    use std::fs;

    #[test]
    fn copies_made_by_cp_have_the_sum_that_cat_reads() {
        let folder = tempfile::tempdir().unwrap();
        let files = tree(&folder.path().join("source"), 14, 3);
        copy_all(&files, folder.path());
        assert_read_back(folder.path(), &files);
    }

    #[test]
    #[should_panic(expected = "tree-00003.bin")]
    fn a_changed_copy_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let files = tree(folder.path(), 4, 3);
        fs::write(&files[3].path, "changed").unwrap();
        assert_read_back(folder.path(), &files);
    }

    #[test]
    fn only_programs_that_exist_are_installed() {
        assert!(is_installed("cp"));
        assert!(!is_installed("no-such-program-anywhere"));
    }

    #[test]
    #[should_panic(expected = "make setup")]
    fn a_missing_program_fails_the_test_that_is_about_it() {
        assert_installed("no-such-program-anywhere");
    }
}
