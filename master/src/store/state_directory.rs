use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cairn_proto::storage::sync_dir;
use uuid::Uuid;

use super::durable_files::{create_dir, rename_dir};

/// The numbered generations of the state. Giving a directory its number is what makes it the state.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory {
    root: PathBuf,
}

impl StateDirectory {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory of the newest generation, and whether it is yet to be made.
    pub(crate) fn newest(&self) -> io::Result<(PathBuf, bool)> {
        let newest = self.newest_number()?;
        Ok((self.generation(newest.unwrap_or(1)), newest.is_none()))
    }

    /// Removes all but the newest generation, which must be open: one that is refused may yet be put right by hand.
    pub(crate) fn remove_others(&self) -> io::Result<()> {
        let newest = self.newest_number()?;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if newest.is_none() || number(&entry.path()) != newest {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// An empty directory to build the next generation in.
    pub(crate) fn staging(&self) -> io::Result<PathBuf> {
        let dir = self.root.join(format!("staging-{}", Uuid::now_v7()));
        create_dir(&dir)?;
        Ok(dir)
    }

    /// Makes a complete, synced staging directory the newest generation. A crash leaves the old one or the new one.
    pub(crate) fn install(&self, staging: &Path) -> io::Result<PathBuf> {
        sync_dir(staging)?;
        let generation = self.generation(self.newest_number()?.unwrap_or(0) + 1);
        rename_dir(staging, &generation)?;
        Ok(generation)
    }

    fn newest_number(&self) -> io::Result<Option<u64>> {
        let mut newest = None;
        for entry in fs::read_dir(&self.root)? {
            newest = newest.max(number(&entry?.path()));
        }
        Ok(newest)
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.root.join(format!("{number:010}"))
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::StateDirectory;

    #[test]
    fn a_crash_before_or_after_the_install_leaves_one_whole_generation() {
        let dir = tempfile::tempdir().unwrap();
        let states = StateDirectory::new(dir.path().to_owned());
        let (first, missing) = states.newest().unwrap();
        assert!(missing);
        std::fs::create_dir(&first).unwrap();

        let abandoned = states.staging().unwrap();
        states.remove_others().unwrap();
        assert_eq!(states.newest().unwrap(), (first.clone(), false));
        assert!(!abandoned.exists());

        let staging = states.staging().unwrap();
        let second = states.install(&staging).unwrap();
        assert_eq!(states.newest().unwrap(), (second, false));
        states.remove_others().unwrap();
        assert!(!first.exists());
    }
}
