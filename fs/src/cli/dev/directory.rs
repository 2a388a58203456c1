use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::{DevFailure, DevSettings};
use crate::cli::Failure;
use crate::cli::config_file::{self, ClientConfigFile};

/// First line of the `cairn.toml` that is written here.
const HEADER: &str =
    "# Written by `cairn dev`. Any `cairn` command run beside this folder finds the cluster by it.\n\n";

/// The directory of a dev cluster: `cairn.toml`, `config/`, `data/`, `log/`, `run/`.
#[derive(Debug, Clone)]
pub(crate) struct ClusterDirectory {
    root: PathBuf,
}

/// Held by the one `cairn dev` process that starts, stops or watches over the cluster.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl ClusterDirectory {
    /// The directory at `path`, which need not exist yet.
    pub(crate) fn at(path: &Path) -> Result<Self, DevFailure> {
        let root = std::path::absolute(path).map_err(DevFailure::file("find", path))?;
        match root.to_str() {
            Some(_) => Ok(Self { root }),
            // Its path goes into configuration files, which are UTF-8.
            None => Err(DevFailure::file("use", root)(io::ErrorKind::InvalidFilename.into())),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn client_config(&self) -> PathBuf {
        self.root.join("cairn.toml")
    }

    pub(crate) fn daemon_config(&self, name: &str) -> PathBuf {
        self.root.join("config").join(format!("{name}.toml"))
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.root.join("data").join(name)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.pid"))
    }

    /// Where the boot id is kept under which a node was last seen ready.
    pub(crate) fn boot_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.boot"))
    }

    /// The settings of the cluster that lives here, if one does.
    pub(crate) fn settings(&self) -> Result<Option<DevSettings>, Failure> {
        if self.client_config().exists() {
            let file: ClientConfigFile = config_file::load(&self.client_config())?;
            return match file.dev {
                Some(settings) => Ok(Some(settings)),
                None => Err(DevFailure::Foreign(self.root.clone()).into()),
            };
        }
        if self.holds_something_else()? {
            return Err(DevFailure::Foreign(self.root.clone()).into());
        }
        Ok(None)
    }

    /// The settings of the cluster that must live here.
    pub(crate) fn existing_settings(&self) -> Result<DevSettings, Failure> {
        self.settings()?.ok_or_else(|| DevFailure::NoCluster(self.root.clone()).into())
    }

    fn holds_something_else(&self) -> Result<bool, DevFailure> {
        match std::fs::read_dir(&self.root) {
            Ok(mut entries) => Ok(entries.any(|entry| entry.map_or(true, |entry| entry.file_name() != "run"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(DevFailure::File { action: "read", path: self.root.clone(), source }),
        }
    }

    /// Writes `cairn.toml`; it is whole on stable storage before a daemon with data starts.
    pub(crate) fn save(&self, settings: &DevSettings) -> Result<(), Failure> {
        let file = ClientConfigFile {
            masters: settings.master_addresses(),
            dev: Some(settings.clone()),
            ..ClientConfigFile::default()
        };
        let text = toml::to_string(&file).expect("the settings are plain values");
        Ok(write_durably(&self.client_config(), &format!("{HEADER}{text}"))?)
    }

    /// Creates the folders.
    pub(crate) fn create(&self) -> Result<(), DevFailure> {
        for folder in ["config", "data", "log", "run"] {
            let path = self.root.join(folder);
            std::fs::create_dir_all(&path).map_err(DevFailure::file("create", path))?;
        }
        Ok(())
    }

    /// Takes the directory for this process; refused while another `cairn dev` has it.
    pub(crate) fn lock(&self) -> Result<DirectoryLock, DevFailure> {
        let (mut file, path) = self.open_lock_file()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_number(&mut file).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                return Err(DevFailure::Busy { directory: self.root.clone(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(DevFailure::File { action: "lock", path, source }),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(DevFailure::file("write", path))?;
        Ok(DirectoryLock { _file: file })
    }

    /// The process that has the directory now, if one has.
    pub(crate) fn lock_holder(&self) -> Result<Option<u32>, DevFailure> {
        let (mut file, path) = self.open_lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(read_number(&mut file)),
            Err(TryLockError::Error(source)) => Err(DevFailure::File { action: "lock", path, source }),
        }
    }

    fn open_lock_file(&self) -> Result<(File, PathBuf), DevFailure> {
        let path = self.root.join("run").join("dev.lock");
        let folder = self.root.join("run");
        std::fs::create_dir_all(&folder).map_err(DevFailure::file("create", folder))?;
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        Ok((open.map_err(DevFailure::file("open", path.clone()))?, path))
    }

    /// Bytes of all files under `data/`.
    pub(crate) fn data_bytes(&self) -> Result<u64, DevFailure> {
        let data = self.root.join("data");
        tree_bytes(&data).map_err(DevFailure::file("measure", data))
    }
}

/// Replaces a file that is made anew at every start: readers see the old text or the new one. After a
/// power cut it may be empty.
pub(crate) fn replace_file(path: &Path, text: &str) -> Result<(), DevFailure> {
    let new = path.with_added_extension("new");
    let replace = || {
        std::fs::write(&new, text)?;
        std::fs::rename(&new, path)
    };
    replace().map_err(DevFailure::file("write", path))
}

/// Replaces a file; when it returns, the new text is on stable storage under that name.
fn write_durably(path: &Path, text: &str) -> Result<(), DevFailure> {
    let new = path.with_added_extension("new");
    let replace = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        let folder = path.parent().expect("a file of the cluster is in its directory");
        File::open(folder)?.sync_all()
    };
    replace().map_err(DevFailure::file("write", path))
}

/// The number in a pid file; `None` where there is none, or the file is not whole.
pub(crate) fn read_pid_file(path: &Path) -> Result<Option<u32>, DevFailure> {
    match File::open(path) {
        Ok(mut file) => Ok(read_number(&mut file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DevFailure::File { action: "read", path: path.to_owned(), source }),
    }
}

fn read_number(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn tree_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A store that runs deletes files while they are counted.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += tree_bytes(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{ClusterDirectory, read_pid_file, replace_file};
    use crate::cli::dev::DevFailure;
    use crate::cli::dev::settings::RequestedSettings;
    use crate::cli::{ExitStatus, Failure};

    fn directory() -> (tempfile::TempDir, ClusterDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = ClusterDirectory::at(&folder.path().join("cluster")).unwrap();
        (folder, directory)
    }

    #[test]
    fn settings_are_kept_and_name_the_masters_for_clients() {
        let (_folder, directory) = directory();
        assert!(directory.settings().unwrap().is_none());
        directory.create().unwrap();
        let settings = RequestedSettings::default().create(7000).unwrap();
        directory.save(&settings).unwrap();
        assert_eq!(directory.settings().unwrap(), Some(settings));
        let text = std::fs::read_to_string(directory.client_config()).unwrap();
        assert!(text.contains("masters = [\"127.0.0.1:7001\""), "{text}");
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let (_folder, directory) = directory();
        std::fs::create_dir_all(directory.root()).unwrap();
        std::fs::write(directory.root().join("thesis.tex"), "").unwrap();
        let failure = directory.settings().unwrap_err();
        assert!(matches!(failure, Failure::Dev(DevFailure::Foreign(_))), "{failure}");
    }

    #[test]
    fn a_client_configuration_alone_is_no_dev_cluster() {
        let (_folder, directory) = directory();
        std::fs::create_dir_all(directory.root()).unwrap();
        std::fs::write(directory.client_config(), "masters = [\"a:1\"]").unwrap();
        assert!(matches!(directory.settings().unwrap_err(), Failure::Dev(DevFailure::Foreign(_))));
    }

    #[test]
    fn no_cluster_is_not_found() {
        let (_folder, directory) = directory();
        assert_eq!(directory.existing_settings().unwrap_err().exit_status(), ExitStatus::NotFound);
    }

    #[test]
    fn the_directory_has_one_holder_who_can_be_found() {
        let (_folder, directory) = directory();
        assert_eq!(directory.lock_holder().unwrap(), None);
        let lock = directory.lock().unwrap();
        assert_eq!(directory.lock_holder().unwrap(), Some(std::process::id()));
        assert!(matches!(directory.lock(), Err(DevFailure::Busy { .. })));
        drop(lock);
        assert_eq!(directory.lock_holder().unwrap(), None);
        directory.lock().unwrap();
    }

    #[test]
    fn a_torn_pid_file_names_nobody() {
        let (folder, _) = directory();
        let path = folder.path().join("node-1.pid");
        assert_eq!(read_pid_file(&path).unwrap(), None);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read_pid_file(&path).unwrap(), None);
        replace_file(&path, "4711\n").unwrap();
        assert_eq!(read_pid_file(&path).unwrap(), Some(4711));
    }

    #[test]
    fn data_is_measured_through_all_folders() {
        let (_folder, directory) = directory();
        directory.create().unwrap();
        std::fs::create_dir_all(directory.data("node-1")).unwrap();
        std::fs::write(directory.data("node-1").join("a"), [0; 1000]).unwrap();
        std::fs::write(directory.data("b"), [0; 24]).unwrap();
        assert_eq!(directory.data_bytes().unwrap(), 1024);
    }
}
