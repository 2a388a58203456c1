use std::fs;

use tempfile::TempDir;

use crate::binary::profile_directory;

/// A new folder on the same disk as the clusters of the tests.
pub(super) fn scratch_folder() -> TempDir {
    let parent = profile_directory().join("clusters");
    fs::create_dir_all(&parent).expect("the target directory can be written");
    tempfile::Builder::new().prefix("bench-").tempdir_in(parent).expect("a folder can be made")
}
