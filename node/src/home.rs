use std::fs::{self, File};
use std::path::{Path, PathBuf};

use cairn_proto::ids::{ClusterId, DeviceId, IncarnationId};

use crate::device_config::DeviceConfig;
use crate::devices::{
    DATABASE_FOLDER, Device, DeviceError, Known, Mustered, Places, Roster, database_is_gone, lock, muster, names_in,
};
use crate::identity::{IDENTITY_DRAFT, IDENTITY_FILE, Identity, IdentityError, io_error};

const LOCK_FILE: &str = "LOCK";

/// A node's directory and its devices, locked for this process.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    identity: Identity,
    devices: Vec<Device>,
    _lock: File,
}

impl Home {
    /// Opens the directory of node `name` and its devices, or makes them where there is nothing.
    ///
    /// Databases that are gone altogether make a new incarnation: whoever counted on the old one's
    /// chunks must learn that they are lost. The identity is on stable storage before this returns.
    pub fn open(dir: &Path, name: &str, places: &Places<'_>) -> Result<Self, IdentityError> {
        let empty = is_empty(dir, &places.folders_in(dir))?;
        let stored = if empty { None } else { Some(Identity::read(dir, name)?) };
        if places.is_sole() && stored.as_ref().is_none_or(|identity| identity.devices.is_empty()) {
            return Self::open_sole(dir, name, stored, places.limit_bytes);
        }
        let settled = places.settled(dir)?;
        let found = places.examine(dir, &settled, &[LOCK_FILE, IDENTITY_FILE, IDENTITY_DRAFT])?;
        let mustered = muster(&roster(dir, stored.as_ref(), places)?, &found)?;
        let lock = lock_home(dir)?;
        let identity = match stored {
            Some(identity) => identity,
            None => Identity::new(name).written(dir)?,
        };
        let (identity, devices) = with_devices(identity, dir, &settled, &mustered)?;
        Ok(Self { dir: dir.to_owned(), identity, devices, _lock: lock })
    }

    /// The directory is all that the node has.
    fn open_sole(
        dir: &Path,
        name: &str,
        stored: Option<Identity>,
        limit_bytes: Option<u64>,
    ) -> Result<Self, IdentityError> {
        let wiped = database_is_gone(&dir.join(DATABASE_FOLDER))?;
        let lock = lock_home(dir)?;
        let identity = match stored {
            Some(identity) if !wiped => identity,
            Some(identity) => Identity { incarnation: IncarnationId::generate(), ..identity }.written(dir)?,
            None => Identity::new(name).written(dir)?,
        };
        Ok(Self { dir: dir.to_owned(), identity, devices: vec![Device::sole(dir, limit_bytes)], _lock: lock })
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its chunks are.
    pub fn devices(&self) -> &[Device] {
        &self.devices
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
}

fn roster<'a>(dir: &Path, stored: Option<&'a Identity>, places: &Places<'a>) -> Result<Roster<'a>, DeviceError> {
    let known = stored.map_or(&[][..], |identity| &identity.devices);
    let is_undivided = known.is_empty() && !database_is_gone(&dir.join(DATABASE_FOLDER))?;
    let node = stored.map(|identity| identity.node);
    Ok(Roster { node, home: dir.to_owned(), is_undivided, known, without: places.without })
}

/// The identity that names the devices which the node starts with, and these. New ones are formed before it does, so that a
/// crash between leaves a device that nothing counts on, and the next start goes on with it.
fn with_devices(
    identity: Identity,
    dir: &Path,
    settled: &[DeviceConfig],
    mustered: &[Mustered],
) -> Result<(Identity, Vec<Device>), IdentityError> {
    let (known, devices): (Vec<Known>, Vec<Device>) = open_devices(&identity, settled, mustered)?.into_iter().unzip();
    for given_up in identity.devices.iter().filter(|before| !known.contains(before)) {
        tracing::warn!(device = given_up.name, "the node goes on without a device, for ever");
    }
    let is_wiped = mustered.iter().all(|mustered| !mustered.has_database);
    let incarnation = if is_wiped { IncarnationId::generate() } else { identity.incarnation };
    let changed = Identity { incarnation, devices: known, ..identity.clone() };
    let identity = if changed == identity { identity } else { changed.written(dir)? };
    Ok((identity, devices))
}

/// Locks the devices that are there, and only then forms those that are not.
fn open_devices(
    identity: &Identity,
    settled: &[DeviceConfig],
    mustered: &[Mustered],
) -> Result<Vec<(Known, Device)>, DeviceError> {
    let open = |mustered: &Mustered| {
        let opened = mustered.device.map(|device| Ok((device, Device::open(&settled[mustered.index])?)));
        opened.transpose()
    };
    let there: Vec<Option<(DeviceId, Device)>> = mustered.iter().map(open).collect::<Result<_, _>>()?;
    let all = mustered.iter().zip(there).map(|(mustered, there)| {
        let config = &settled[mustered.index];
        let (device, opened) = there.map_or_else(|| Device::form(config, identity), Ok)?;
        Ok((Known { device, name: config.name.clone() }, opened))
    });
    all.collect()
}

fn lock_home(dir: &Path) -> Result<File, IdentityError> {
    fs::create_dir_all(dir).map_err(io_error(dir))?;
    let path = dir.join(LOCK_FILE);
    lock(&path).map_err(io_error(&path))?.ok_or_else(|| IdentityError::Locked(dir.to_owned()))
}

/// Whether nothing of a node (and nothing else) is in the directory. What a first start leaves behind
/// when it is cut off before the identity is named counts as nothing, and so do folders of devices.
fn is_empty(dir: &Path, folders: &[String]) -> Result<bool, IdentityError> {
    let nothing = [LOCK_FILE, IDENTITY_DRAFT, "lost+found"];
    let is_nothing = |name: &String| nothing.contains(&name.as_str()) || folders.contains(name);
    Ok(names_in(dir)?.iter().all(is_nothing))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use cairn_proto::ids::ClusterId;

    use super::Home;
    use crate::devices::{DeviceError, Places};
    use crate::identity::{FORMAT_VERSION, IDENTITY_FILE, IdentityError};

    fn open(dir: &Path, name: &str) -> Result<Home, IdentityError> {
        Home::open(dir, name, &Places::default())
    }

    fn database_file(dir: &Path, name: &str) {
        fs::create_dir_all(dir.join("db")).unwrap();
        fs::write(dir.join("db").join(name), b"x").unwrap();
    }

    fn whole_database(dir: &Path) {
        database_file(dir, "CURRENT");
        database_file(dir, "MANIFEST-000005");
    }

    #[test]
    fn an_identity_outlives_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut home = open(dir.path(), "node-1").unwrap();
        let cluster = ClusterId::generate();
        home.adopt(cluster).unwrap();
        let before = home.identity().clone();
        whole_database(dir.path());
        drop(home);
        assert_eq!(open(dir.path(), "node-1").unwrap().identity(), &before);
        assert_eq!(before.cluster, Some(cluster));
    }

    #[test]
    fn a_wiped_database_is_a_new_incarnation_of_the_same_node() {
        let dir = tempfile::tempdir().unwrap();
        let before = open(dir.path(), "node-1").unwrap().identity().clone();
        let after = open(dir.path(), "node-1").unwrap().identity().clone();
        assert_eq!(after.node, before.node);
        assert_ne!(after.incarnation, before.incarnation);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _home = open(dir.path(), "node-1").unwrap();
        assert!(matches!(open(dir.path(), "node-1"), Err(IdentityError::Locked(_))));
    }

    #[test]
    fn a_directory_of_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), b"words").unwrap();
        assert!(matches!(open(dir.path(), "node-1"), Err(IdentityError::NotANode(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(IDENTITY_FILE), format!("format = {}\nsoul = 7\n", FORMAT_VERSION + 1)).unwrap();
        assert!(
            matches!(open(dir.path(), "node-1"), Err(IdentityError::Newer { found, .. }) if found == FORMAT_VERSION + 1)
        );
    }

    #[test]
    fn a_cut_off_identity_file_is_refused_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "node-1").unwrap());
        let path = dir.path().join(IDENTITY_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for length in 0..whole.trim_end().len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(open(dir.path(), "node-1"), Err(IdentityError::Damaged { .. })), "{length}");
        }
    }

    #[test]
    fn swapped_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "node-1").unwrap());
        assert!(matches!(open(dir.path(), "node-2"), Err(IdentityError::OtherNode { .. })));
    }

    #[test]
    fn a_database_without_its_head_is_refused_not_wiped() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "node-1").unwrap());
        database_file(dir.path(), "000012.sst");
        assert!(matches!(
            open(dir.path(), "node-1"),
            Err(IdentityError::Device(DeviceError::Truncated { missing: "CURRENT", .. }))
        ));
        database_file(dir.path(), "CURRENT");
        assert!(matches!(open(dir.path(), "node-1"), Err(IdentityError::Device(DeviceError::Truncated { .. }))));
        assert!(dir.path().join("db/000012.sst").exists());
    }

    #[test]
    fn the_cluster_is_settled_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut home = open(dir.path(), "node-1").unwrap();
        let ours = ClusterId::generate();
        home.adopt(ours).unwrap();
        home.adopt(ours).unwrap();
        assert!(matches!(home.adopt(ClusterId::generate()), Err(IdentityError::OtherCluster { .. })));
    }
}
