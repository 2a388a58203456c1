//! Where the `cairn` program under test is.

use std::path::{Path, PathBuf};

/// The profile folder that this test or benchmark was built into, such as `target/release`.
///
/// # Panics
/// When the running program is not in a cargo target directory.
#[must_use]
pub fn profile_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the running program has a path");
    profile_directory_of(&program).unwrap_or_else(|| panic!("{} is not in a cargo target directory", program.display()))
}

fn profile_directory_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let folder = if folder.file_name()? == "deps" { folder.parent()? } else { folder };
    Some(folder.to_path_buf())
}

/// The program that runs masters and nodes in environments that no configuration can ask for.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn subject_program() -> PathBuf {
    built("cairn-subject")
}

/// The `cairn` program, built before the tests run; it belongs to another package, so cargo does not
/// build it for them.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn cairn_program() -> PathBuf {
    built("cairn")
}

fn built(name: &str) -> PathBuf {
    let program = profile_directory().join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build --release --workspace --bins` first (`make test` does)",
        program.display()
    );
    program
}

#[cfg(test)]
mod tests {
    use super::profile_directory_of;
    use std::path::{Path, PathBuf};

    #[test]
    fn tests_and_programs_of_one_profile_share_its_folder() {
        let expected = Some(PathBuf::from("/t/release"));
        assert_eq!(profile_directory_of(Path::new("/t/release/deps/cluster-0123")), expected);
        assert_eq!(profile_directory_of(Path::new("/t/release/cairn-bench")), expected);
    }
}
