use std::path::{Path, PathBuf};

use cairn_proto::ids::{DeviceId, NodeId};

use super::SOLE_DEVICE;
use super::error::DeviceError;
use super::examination::Found;

/// A device that the node's identity names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) device: DeviceId,
    pub(crate) name: String,
}

/// What the node knows of itself before it looks at its devices.
#[derive(Debug)]
pub(crate) struct Roster<'a> {
    /// The node; `None` before its first start.
    pub(crate) node: Option<NodeId>,
    /// Its own directory.
    pub(crate) home: PathBuf,
    /// Whether that keeps chunks although no device is known.
    pub(crate) is_undivided: bool,
    /// Its devices at the last start.
    pub(crate) known: &'a [Known],
    /// Names that it is to go on without.
    pub(crate) without: &'a [String],
}

/// A device that the node starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mustered {
    /// Its place in the configuration.
    pub(crate) index: usize,
    /// `None`: it is new, and yet to be formed.
    pub(crate) device: Option<DeviceId>,
    pub(crate) has_database: bool,
}

/// Decides which devices the node starts with, from the names, directories and findings of those that are configured. Refused
/// as soon as one is not what it should be: whatever is taken for empty is filled, and whatever is missing is missed.
pub(crate) fn muster(
    roster: &Roster<'_>,
    configured: &[(String, PathBuf, Found)],
) -> Result<Vec<Mustered>, DeviceError> {
    let is_without = |name: &str| roster.without.iter().any(|without| without == name);
    let is_configured = |known: &&Known| configured.iter().any(|(name, ..)| *name == known.name);
    let missed = roster.known.iter().filter(|known| !is_without(&known.name)).find(|known| !is_configured(known));
    if let Some(known) = missed {
        return Err(DeviceError::NotConfigured { name: known.name.clone() });
    }
    let names_home = configured.iter().any(|(_, dir, _)| *dir == roster.home);
    if roster.is_undivided && !names_home && !is_without(SOLE_DEVICE) {
        return Err(DeviceError::Undivided { dir: roster.home.clone(), name: SOLE_DEVICE });
    }
    let mut mustered = Vec::with_capacity(configured.len());
    for (index, (name, dir, found)) in configured.iter().enumerate().filter(|(_, (name, ..))| !is_without(name)) {
        let (device, has_database) = roster.judge(name, dir, found)?;
        mustered.push(Mustered { index, device, has_database });
    }
    if mustered.is_empty() { Err(DeviceError::NoneLeft) } else { Ok(mustered) }
}

impl Roster<'_> {
    /// The device that a directory is, and whether it keeps anything.
    fn judge(&self, name: &str, dir: &Path, found: &Found) -> Result<(Option<DeviceId>, bool), DeviceError> {
        let (name, dir) = (name.to_owned(), dir.to_owned());
        let known = self.known.iter().find(|known| known.name == name);
        let was_undivided = self.is_undivided && dir == self.home;
        match found {
            Found::Nothing if known.is_some() => Err(DeviceError::Missing { name, dir }),
            Found::Nothing => Ok((None, false)),
            Found::Undivided if was_undivided => Ok((None, true)),
            Found::Undivided => Err(DeviceError::Occupied { name, dir, what: "a database".to_owned() }),
            Found::Else(what) => Err(DeviceError::Occupied { name, dir, what: what.clone() }),
            Found::Device { file, .. } if Some(file.node) != self.node => {
                Err(DeviceError::OtherNode { dir, theirs: format!("node {} ({})", file.node_name, file.node) })
            }
            Found::Device { file, .. } if file.name != name => {
                Err(DeviceError::OtherDevice { dir, found: file.name.clone(), name })
            }
            Found::Device { file, has_database } => match known {
                Some(known) if known.device == file.device => Ok((Some(file.device), *has_database)),
                // Its forming broke off before the identity named it.
                None if !has_database || was_undivided => Ok((Some(file.device), *has_database)),
                Some(_) | None => Err(DeviceError::GivenUp { name, dir }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use cairn_proto::ids::{DeviceId, NodeId};

    use super::{Known, Mustered, Roster, muster};
    use crate::devices::DeviceError;
    use crate::devices::device_file::DeviceFile;
    use crate::devices::examination::Found;

    const NODE: NodeId = NodeId::from_bytes([1; 16]);
    const FAST: DeviceId = DeviceId::from_bytes([2; 16]);
    const SLOW: DeviceId = DeviceId::from_bytes([3; 16]);

    fn known() -> Vec<Known> {
        [(FAST, "fast"), (SLOW, "slow")].map(|(device, name)| Known { device, name: name.to_owned() }).into()
    }

    fn roster<'a>(known: &'a [Known], without: &'a [String]) -> Roster<'a> {
        Roster { node: Some(NODE), home: PathBuf::from("/home"), is_undivided: false, known, without }
    }

    fn device(device: DeviceId, name: &str) -> Found {
        let file = DeviceFile { device, name: name.to_owned(), node: NODE, node_name: "node-1".to_owned() };
        Found::Device { file, has_database: true }
    }

    fn emptied(found: Found) -> Found {
        match found {
            Found::Device { file, .. } => Found::Device { file, has_database: false },
            other => other,
        }
    }

    fn at(name: &str, found: Found) -> (String, PathBuf, Found) {
        (name.to_owned(), PathBuf::from(format!("/{name}")), found)
    }

    fn kept(index: usize, device: DeviceId) -> Mustered {
        Mustered { index, device: Some(device), has_database: true }
    }

    #[test]
    fn devices_are_known_again_and_new_ones_are_formed() {
        let (known, fast, slow) = (known(), at("fast", device(FAST, "fast")), at("slow", device(SLOW, "slow")));
        let found = [fast, at("new", Found::Nothing), slow];
        let formed = Mustered { index: 1, device: None, has_database: false };
        assert_eq!(muster(&roster(&known, &[]), &found).unwrap(), [kept(0, FAST), formed, kept(2, SLOW)]);
    }

    #[test]
    fn a_device_that_is_missing_is_never_taken_for_a_new_one() {
        let known = known();
        let fast = || at("fast", device(FAST, "fast"));
        let unmounted = muster(&roster(&known, &[]), &[fast(), at("slow", Found::Nothing)]);
        assert!(matches!(unmounted, Err(DeviceError::Missing { name, .. }) if name == "slow"));
        let unnamed = muster(&roster(&known, &[]), &[fast()]);
        assert!(matches!(unnamed, Err(DeviceError::NotConfigured { name }) if name == "slow"));
    }

    #[test]
    fn a_device_is_given_up_by_name_and_stays_so() {
        let (all, slow) = (known(), ["slow".to_owned()]);
        let found = [at("fast", device(FAST, "fast")), at("slow", Found::Nothing)];
        assert_eq!(muster(&roster(&all, &slow), &found).unwrap(), [kept(0, FAST)]);
        let back = [at("fast", device(FAST, "fast")), at("slow", device(SLOW, "slow"))];
        assert!(matches!(muster(&roster(&all[..1], &[]), &back), Err(DeviceError::GivenUp { .. })));
        assert_eq!(
            muster(&roster(&all[..1], &slow), &back).unwrap(),
            [kept(0, FAST)],
            "the option may be left in place"
        );
        let both = [slow[0].clone(), "fast".to_owned()];
        assert!(matches!(muster(&roster(&all, &both), &found), Err(DeviceError::NoneLeft)));
    }

    #[test]
    fn a_device_whose_forming_broke_off_is_formed_to_its_end() {
        let found = [at("fast", emptied(device(FAST, "fast")))];
        let formed = Mustered { index: 0, device: Some(FAST), has_database: false };
        assert_eq!(muster(&roster(&[], &[]), &found).unwrap(), [formed]);
    }

    #[test]
    fn disks_of_others_and_exchanged_ones_are_refused() {
        let all = known();
        let slow = || at("slow", device(SLOW, "slow"));
        let refused = |found: Found| muster(&roster(&all, &[]), &[at("fast", found), slow()]).unwrap_err();
        assert!(matches!(refused(device(SLOW, "slow")), DeviceError::OtherDevice { .. }));
        assert!(matches!(refused(device(DeviceId::generate(), "fast")), DeviceError::GivenUp { .. }));
        assert!(matches!(refused(Found::Else("thesis.tex".to_owned())), DeviceError::Occupied { .. }));
        assert!(matches!(refused(Found::Undivided), DeviceError::Occupied { .. }));
        let first_start = Roster { node: None, ..roster(&[], &[]) };
        let foreign = muster(&first_start, &[at("fast", device(FAST, "fast"))]);
        assert!(matches!(foreign, Err(DeviceError::OtherNode { .. })));
    }

    #[test]
    fn a_node_that_had_no_devices_keeps_what_is_in_its_own_directory() {
        let undivided = |without| Roster { is_undivided: true, ..roster(&[], without) };
        let home = |found| ("main".to_owned(), PathBuf::from("/home"), found);
        let adopted = Mustered { index: 0, device: None, has_database: true };
        assert_eq!(muster(&undivided(&[]), &[home(Found::Undivided)]).unwrap(), [adopted]);
        assert_eq!(muster(&undivided(&[]), &[home(device(FAST, "main"))]).unwrap(), [kept(0, FAST)]);
        let new = [at("new", Found::Nothing)];
        assert!(matches!(muster(&undivided(&[]), &new), Err(DeviceError::Undivided { .. })));
        assert_eq!(muster(&undivided(&["data".to_owned()]), &new).unwrap().len(), 1);
    }
}
