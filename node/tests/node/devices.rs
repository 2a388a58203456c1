//! The directories of a node with several devices.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cairn_node::{Device, DeviceConfig, DeviceError, Home, IdentityError, Places};
use tempfile::TempDir;

/// The directory of a node, and beside it those of its devices.
struct Machine {
    root: TempDir,
    devices: Vec<DeviceConfig>,
}

impl Machine {
    fn with(names: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut machine = Self { root, devices: Vec::new() };
        for name in names {
            machine.add(name, name);
        }
        machine
    }

    fn add(&mut self, name: &str, folder: &str) {
        let dir = self.root.path().join(folder);
        self.devices.push(DeviceConfig { name: name.to_owned(), dir, limit: None });
    }

    fn home(&self) -> std::path::PathBuf {
        self.root.path().join("home")
    }

    fn open_without(&self, without: &[&str]) -> Result<Home, IdentityError> {
        let without: Vec<String> = without.iter().map(|&name| name.to_owned()).collect();
        Home::open(&self.home(), "node-1", &Places { devices: &self.devices, without: &without, limit_bytes: None })
    }

    fn open(&self) -> Result<Home, IdentityError> {
        self.open_without(&[])
    }

    /// Opens it, and has every device keep something.
    fn fill(&self) -> Home {
        let home = self.open().unwrap();
        for device in home.devices() {
            fill(&device.database());
        }
        home
    }

    fn refused(&self) -> DeviceError {
        match self.open() {
            Err(IdentityError::Device(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn fill(database: &Path) {
    fs::create_dir_all(database).unwrap();
    for name in ["CURRENT", "MANIFEST-000005"] {
        fs::write(database.join(name), b"x").unwrap();
    }
}

fn names(home: &Home) -> Vec<&str> {
    home.devices().iter().map(Device::name).collect()
}

#[test]
fn devices_are_formed_once_and_known_again() {
    let mut machine = Machine::with(&["fast", "slow"]);
    let before = machine.fill().identity().clone();
    let home = machine.open().unwrap();
    assert_eq!((home.identity(), names(&home)), (&before, vec!["fast", "slow"]));
    drop(home);
    machine.add("new", "new");
    let home = machine.open().unwrap();
    assert_eq!(names(&home), ["fast", "slow", "new"]);
    assert_eq!(home.identity().incarnation, before.incarnation);
}

#[test]
fn a_disk_that_is_not_mounted_is_missing_and_not_new() {
    let machine = Machine::with(&["fast", "slow"]);
    drop(machine.fill());
    let slow = &machine.devices[1].dir;
    for empties in [|dir: &Path| fs::remove_dir_all(dir).unwrap(), |dir: &Path| fs::create_dir(dir).unwrap()] {
        empties(slow);
        let said = machine.refused().to_string();
        assert!(said.contains("device slow is missing") && said.contains("--without-device slow"), "{said}");
    }
    assert_eq!(fs::read_dir(slow).unwrap().count(), 0, "nothing was made there");
}

#[test]
fn a_device_that_is_not_configured_any_more_is_asked_for() {
    let mut machine = Machine::with(&["fast", "slow"]);
    drop(machine.fill());
    machine.devices.pop();
    assert!(matches!(machine.refused(), DeviceError::NotConfigured { name } if name == "slow"));
    machine.devices.clear();
    assert!(
        matches!(machine.refused(), DeviceError::NotConfigured { .. }),
        "not even its own directory is taken instead"
    );
}

#[test]
fn a_device_that_was_given_up_does_not_come_back_with_its_chunks() {
    let machine = Machine::with(&["fast", "slow"]);
    let before = machine.fill().identity().clone();
    let home = machine.open_without(&["slow"]).unwrap();
    assert_eq!((names(&home), home.identity().incarnation), (vec!["fast"], before.incarnation));
    drop(home);
    assert_eq!(names(&machine.open_without(&["slow"]).unwrap()), ["fast"], "the option may stay");
    assert!(matches!(machine.refused(), DeviceError::GivenUp { name, .. } if name == "slow"));
    fs::remove_dir_all(&machine.devices[1].dir).unwrap();
    assert_eq!(names(&machine.open().unwrap()), ["fast", "slow"], "an empty disk takes its place");
}

#[test]
fn a_node_without_any_device_is_refused() {
    let machine = Machine::with(&["fast"]);
    drop(machine.fill());
    let refused = machine.open_without(&["fast"]);
    assert!(matches!(refused, Err(IdentityError::Device(DeviceError::NoneLeft))));
    assert_eq!(names(&machine.open().unwrap()), ["fast"], "and keeps what it has");
}

#[test]
fn the_loss_of_every_database_is_a_new_incarnation_and_that_of_one_is_not() {
    let machine = Machine::with(&["fast", "slow"]);
    let before = machine.fill().identity().clone();
    fs::remove_dir_all(machine.devices[0].dir.join("db")).unwrap();
    assert_eq!(machine.open().unwrap().identity(), &before);
    fs::remove_dir_all(machine.devices[1].dir.join("db")).unwrap();
    let after = machine.open().unwrap().identity().clone();
    assert_eq!(after.node, before.node);
    assert_ne!(after.incarnation, before.incarnation);
}

#[test]
fn devices_of_others_and_exchanged_ones_are_refused_and_left_alone() {
    let (machine, mut other) = (Machine::with(&["fast", "slow"]), Machine::with(&["fast", "slow"]));
    drop((machine.fill(), other.fill()));
    other.devices[0].dir = machine.devices[0].dir.clone();
    assert!(matches!(other.refused(), DeviceError::OtherNode { .. }));
    let mut exchanged = Machine { devices: machine.devices.clone(), ..machine };
    let first = exchanged.devices[0].dir.clone();
    exchanged.devices[0].dir = std::mem::replace(&mut exchanged.devices[1].dir, first);
    let said = exchanged.refused().to_string();
    assert!(said.contains("is device slow, the configuration names it fast"), "{said}");
}

#[test]
fn a_directory_of_something_else_is_no_device() {
    let mut machine = Machine::with(&["fast"]);
    drop(machine.fill());
    machine.add("thesis", "thesis");
    fs::create_dir(&machine.devices[1].dir).unwrap();
    fs::write(machine.devices[1].dir.join("thesis.tex"), b"words").unwrap();
    assert!(matches!(machine.refused(), DeviceError::Occupied { what, .. } if what == "thesis.tex"));
    assert_eq!(fs::read_dir(&machine.devices[1].dir).unwrap().count(), 1);
}

#[test]
fn two_names_of_one_directory_are_refused() {
    let mut machine = Machine::with(&["fast"]);
    drop(machine.fill());
    symlink(&machine.devices[0].dir, machine.root.path().join("link")).unwrap();
    machine.add("again", "link");
    assert!(matches!(machine.refused(), DeviceError::SameDirectory { .. }));
}

#[test]
fn a_device_in_use_is_refused() {
    let (mut machine, other) = (Machine::with(&["fast"]), Machine::with(&[]));
    let _home = machine.fill();
    machine.add("new", "new");
    let places = Places { devices: &machine.devices, ..Places::default() };
    fs::create_dir(other.home()).unwrap();
    let copy = other.home().join("identity.toml");
    fs::copy(machine.home().join("identity.toml"), &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let refused = Home::open(&other.home(), "node-1", &places);
    assert!(matches!(refused, Err(IdentityError::Device(DeviceError::Locked { .. }))));
    assert!(fs::read(&copy).unwrap() == before && !machine.devices[1].dir.exists(), "nothing was changed");
}

#[test]
fn a_node_of_one_directory_takes_further_devices() {
    let mut machine = Machine::with(&[]);
    let before = machine.fill().identity().clone();
    machine.add("new", "new");
    assert!(matches!(machine.refused(), DeviceError::Undivided { .. }), "its own directory must not be forgotten");
    machine.add("data", "home");
    let home = machine.open().unwrap();
    assert_eq!(names(&home), ["new", "data"]);
    assert_eq!((home.identity().node, home.identity().incarnation), (before.node, before.incarnation));
    drop(home);
    assert_eq!(names(&machine.open().unwrap()), ["new", "data"]);
}

#[test]
fn devices_may_lie_below_the_directory_of_the_node() {
    let mut machine = Machine::with(&[]);
    machine.add("fast", "home/disks/fast");
    machine.add("slow", "home/disks/slow");
    fs::create_dir_all(machine.devices[0].dir.parent().unwrap()).unwrap();
    let before = machine.fill().identity().clone();
    assert_eq!(machine.open().unwrap().identity(), &before);
}

#[test]
fn an_identity_that_is_cut_off_names_no_fewer_devices() {
    let machine = Machine::with(&["fast", "slow"]);
    drop(machine.fill());
    let path = machine.home().join("identity.toml");
    let whole = fs::read_to_string(&path).unwrap();
    for length in 0..whole.trim_end().len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(machine.open(), Err(IdentityError::Damaged { .. })), "{length}");
    }
}
