use std::io;
use std::path::PathBuf;

use super::device_file::DEVICE_FORMAT;

/// Why the devices of a node are refused. Nothing in them was changed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// Another process has it.
    #[error("device {name}: {dir} is in use by another process; stop that one first")]
    Locked {
        /// The device.
        name: String,
        /// Its directory.
        dir: PathBuf,
    },
    /// Its file cannot be read.
    #[error("{path} is damaged ({why}); restore that file, or give the device up: {}", giving_up("its name"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer program.
    #[error("{dir} has format {found}, this program knows up to {DEVICE_FORMAT}; start the newer version again")]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The database lost files.
    #[error(
        "{dir} is incomplete: {missing} is missing. Restore it, or remove {dir} to have the node go on without the \
             chunks in it (they are repaired from other nodes)"
    )]
    Truncated {
        /// The database's folder.
        dir: PathBuf,
        /// What is not there.
        missing: &'static str,
    },
    /// A device of this node is not where it was.
    #[error("device {name} is missing: nothing is in {dir}. Mount its disk there; if it is lost, {}", giving_up(name))]
    Missing {
        /// The device.
        name: String,
        /// Where it should be.
        dir: PathBuf,
    },
    /// A device of this node is not in its configuration.
    #[error("device {name} is not in the configuration any more; name it again, or {}", giving_up(name))]
    NotConfigured {
        /// The device.
        name: String,
    },
    /// The node's directory keeps chunks, and is not among its devices.
    #[error("{dir} keeps chunks of this node; name it among its devices: {{ name = \"{name}\", dir = \"{dir}\" }}")]
    Undivided {
        /// The node's directory.
        dir: PathBuf,
        /// A name for it.
        name: &'static str,
    },
    /// Something else lives there.
    #[error("{dir} holds something else ({what}) and no device; name an empty directory for device {name}")]
    Occupied {
        /// The device.
        name: String,
        /// Its directory.
        dir: PathBuf,
        /// Some of what is there.
        what: String,
    },
    /// Made for another node.
    #[error("{dir} is a device of {theirs}, not of this node; the disks of two nodes may have been exchanged")]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// The node that it belongs to.
        theirs: String,
    },
    /// Made under another name.
    #[error("{dir} is device {found}, the configuration names it {name}; two disks may have been exchanged")]
    OtherDevice {
        /// The directory.
        dir: PathBuf,
        /// Its name.
        found: String,
        /// The name that was expected.
        name: String,
    },
    /// The node went on without it, and what it keeps was made again elsewhere.
    #[error("device {name} was given up, and its chunks were made again; empty {dir} to use the disk anew")]
    GivenUp {
        /// The device.
        name: String,
        /// Its directory.
        dir: PathBuf,
    },
    /// Two names lead to one directory.
    #[error("devices {one} and {other} are the same directory {dir}; give each one of its own")]
    SameDirectory {
        /// A device.
        one: String,
        /// Another.
        other: String,
        /// Where both lead.
        dir: PathBuf,
    },
    /// Nothing to keep chunks on.
    #[error("no device is left; name an empty directory for a new one")]
    NoneLeft,
}

fn giving_up(name: &str) -> String {
    format!(
        "start the node with --without-device {name}: it goes on without it, and its chunks are made again elsewhere"
    )
}
