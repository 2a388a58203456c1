use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cairn_proto::ids::{ClusterId, IncarnationId};

use crate::identity::{IDENTITY_DRAFT, Identity, IdentityError, io_error};

const LOCK_FILE: &str = "LOCK";
const DATABASE_FOLDER: &str = "db";
const STAGING_FOLDER: &str = "staging";

/// A node's directory, locked for this process.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    identity: Identity,
    _lock: File,
}

impl Home {
    /// Opens the directory of node `name`, or makes one where there is nothing.
    ///
    /// A database that is gone altogether makes a new incarnation: whoever counted on the old one's
    /// chunks must learn that they are lost. The identity is on stable storage before this returns.
    pub fn open(dir: &Path, name: &str) -> Result<Self, IdentityError> {
        let empty = is_empty(dir)?;
        let stored = if empty { None } else { Some(Identity::read(dir, name)?) };
        let wiped = database_is_gone(&dir.join(DATABASE_FOLDER))?;
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let lock = lock(dir)?;
        let identity = match stored {
            Some(identity) if !wiped => identity,
            Some(identity) => Identity { incarnation: IncarnationId::generate(), ..identity }.written(dir)?,
            None => Identity::new(name).written(dir)?,
        };
        Ok(Self { dir: dir.to_owned(), identity, _lock: lock })
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Settles the cluster for ever; durable when it returns.
    pub fn adopt(&mut self, cluster: ClusterId) -> Result<(), IdentityError> {
        match self.identity.cluster {
            Some(ours) if ours == cluster => Ok(()),
            Some(ours) => Err(IdentityError::OtherCluster { ours, theirs: cluster }),
            None => {
                self.identity = Identity { cluster: Some(cluster), ..self.identity.clone() }.written(&self.dir)?;
                Ok(())
            }
        }
    }

    /// Where the database lies.
    pub fn database(&self) -> PathBuf {
        self.dir.join(DATABASE_FOLDER)
    }

    /// Where tables are written before they are ingested; on the database's file system, so that a
    /// table moves in without a copy.
    pub fn staging(&self) -> PathBuf {
        self.dir.join(STAGING_FOLDER)
    }
}

/// Takes the lock file's lock, which the kernel gives back when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, IdentityError> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(IdentityError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(IdentityError::Io { path, source }),
    }
}

/// Whether nothing of a node (and nothing else) is in the directory. What a first start leaves behind
/// when it is cut off before the identity is named counts as nothing.
fn is_empty(dir: &Path) -> Result<bool, IdentityError> {
    let names = match names_in(dir) {
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(true),
        names => names?,
    };
    Ok(names.iter().all(|name| [LOCK_FILE, IDENTITY_DRAFT, "lost+found"].contains(&name.as_str())))
}

/// Whether the whole database is gone, as opposed to some of it.
fn database_is_gone(database: &Path) -> Result<bool, IdentityError> {
    let names = match names_in(database) {
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(true),
        names => names?,
    };
    let starts = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    let keeps_data = names.iter().any(|name| {
        [".sst", ".log"].iter().any(|ending| name.ends_with(ending)) || name == "CURRENT" || name == "IDENTITY"
    });
    match (keeps_data || starts("MANIFEST-"), starts("CURRENT"), starts("MANIFEST-")) {
        (false, ..) => Ok(true),
        (true, true, true) => Ok(false),
        (true, false, _) => Err(IdentityError::Truncated { dir: database.into(), missing: "CURRENT" }),
        (true, true, false) => Err(IdentityError::Truncated { dir: database.into(), missing: "the MANIFEST file" }),
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>, IdentityError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    read().map_err(io_error(dir))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cairn_proto::ids::ClusterId;

    use super::Home;
    use crate::identity::{IDENTITY_FILE, IdentityError};

    fn database_file(dir: &std::path::Path, name: &str) {
        fs::create_dir_all(dir.join("db")).unwrap();
        fs::write(dir.join("db").join(name), b"x").unwrap();
    }

    fn whole_database(dir: &std::path::Path) {
        database_file(dir, "CURRENT");
        database_file(dir, "MANIFEST-000005");
    }

    #[test]
    fn an_identity_outlives_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut home = Home::open(dir.path(), "node-1").unwrap();
        let cluster = ClusterId::generate();
        home.adopt(cluster).unwrap();
        let before = home.identity().clone();
        whole_database(dir.path());
        drop(home);
        assert_eq!(Home::open(dir.path(), "node-1").unwrap().identity(), &before);
        assert_eq!(before.cluster, Some(cluster));
    }

    #[test]
    fn a_wiped_database_is_a_new_incarnation_of_the_same_node() {
        let dir = tempfile::tempdir().unwrap();
        let before = Home::open(dir.path(), "node-1").unwrap().identity().clone();
        let after = Home::open(dir.path(), "node-1").unwrap().identity().clone();
        assert_eq!(after.node, before.node);
        assert_ne!(after.incarnation, before.incarnation);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _home = Home::open(dir.path(), "node-1").unwrap();
        assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::Locked(_))));
    }

    #[test]
    fn a_directory_of_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), b"words").unwrap();
        assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::NotANode(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(IDENTITY_FILE), "format = 2\nsoul = 7\n").unwrap();
        assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::Newer { found: 2, .. })));
    }

    #[test]
    fn a_cut_off_identity_file_is_refused_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path(), "node-1").unwrap());
        let path = dir.path().join(IDENTITY_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for length in 0..whole.trim_end().len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::Damaged { .. })), "{length}");
        }
    }

    #[test]
    fn swapped_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path(), "node-1").unwrap());
        assert!(matches!(Home::open(dir.path(), "node-2"), Err(IdentityError::OtherNode { .. })));
    }

    #[test]
    fn a_database_without_its_head_is_refused_not_wiped() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path(), "node-1").unwrap());
        database_file(dir.path(), "000012.sst");
        assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::Truncated { missing: "CURRENT", .. })));
        database_file(dir.path(), "CURRENT");
        assert!(matches!(Home::open(dir.path(), "node-1"), Err(IdentityError::Truncated { .. })));
        assert!(dir.path().join("db/000012.sst").exists());
    }

    #[test]
    fn the_cluster_is_settled_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut home = Home::open(dir.path(), "node-1").unwrap();
        let ours = ClusterId::generate();
        home.adopt(ours).unwrap();
        home.adopt(ours).unwrap();
        assert!(matches!(home.adopt(ClusterId::generate()), Err(IdentityError::OtherCluster { .. })));
    }
}
