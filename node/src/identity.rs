use std::path::{Path, PathBuf};
use std::{fs, io};

use cairn_proto::ids::{ClusterId, IncarnationId, NodeId};
use cairn_proto::storage::replace_file;
use serde::{Deserialize, Serialize};

use crate::devices::{DeviceError, Known};

/// Version of everything below the node's directory. Raised when an older program could misread it.
pub const FORMAT_VERSION: u32 = 2;

/// The version of a node that names no devices: older programs can read it.
const FORMAT_WITHOUT_DEVICES: u32 = 1;

pub(crate) const IDENTITY_FILE: &str = "identity.toml";
/// Where a crash leaves one that was not named yet.
pub(crate) const IDENTITY_DRAFT: &str = "identity.toml.new";

/// Who this directory is: which node, of which cluster, in which life of its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// The life of its data.
    pub incarnation: IncarnationId,
    /// The cluster it belongs to; none before its first join.
    pub cluster: Option<ClusterId>,
    /// Name of the node it was made for.
    pub name: String,
    /// Its devices; none where it keeps everything in the directory itself.
    pub(crate) devices: Vec<Known>,
}

/// Why a directory is refused. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another node process; stop that one first")]
    Locked(PathBuf),
    /// Something else lives there.
    #[error("{0} is not empty and holds no node; name an empty directory, or the node's own")]
    NotANode(PathBuf),
    /// Written by a newer program.
    #[error("{dir} has format {found}, this program knows up to {FORMAT_VERSION}; start the newer version again")]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The identity file cannot be read.
    #[error("{path} is damaged ({why}); restore that file, or empty the directory to start over as a new node")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Made for another node.
    #[error("{dir} belongs to {theirs}, this is {ours}; two nodes' directories may have been swapped or copied")]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Name it was made for.
        theirs: String,
        /// Name of this node.
        ours: String,
    },
    /// A device, or the place of chunks, is not what it should be.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The cluster's id is settled and another was named.
    #[error(
        "this node belongs to cluster {ours} and the masters to cluster {theirs}; \
             correct the list of masters, or give the node an empty directory"
    )]
    OtherCluster {
        /// Cluster in the directory.
        ours: ClusterId,
        /// Cluster of the masters.
        theirs: ClusterId,
    },
}

#[derive(Serialize, Deserialize)]
struct IdentityText {
    format: u32,
    name: String,
    /// Name and id of each. In front of what must not be missing, so that a file which is cut off is damaged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    devices: Vec<(String, String)>,
    node: String,
    incarnation: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    cluster: Option<String>,
}

#[derive(Deserialize)]
struct FormatText {
    format: u32,
}

impl Identity {
    /// A node that never was, in no cluster.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            node: NodeId::generate(),
            incarnation: IncarnationId::generate(),
            cluster: None,
            name: name.to_owned(),
            devices: Vec::new(),
        }
    }

    /// The identity in `dir`, if it is the one of node `name`.
    pub(crate) fn read(dir: &Path, name: &str) -> Result<Self, IdentityError> {
        let path = dir.join(IDENTITY_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(IdentityError::NotANode(dir.into())),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let damaged = |why: String| IdentityError::Damaged { path: path.clone(), why };
        let format = toml::from_str::<FormatText>(&text).map_err(|error| damaged(error.message().to_owned()))?.format;
        if format > FORMAT_VERSION {
            return Err(IdentityError::Newer { dir: dir.into(), found: format });
        }
        let text = toml::from_str::<IdentityText>(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let id = |error: uuid::Error| damaged(error.to_string());
        let known = |(name, device): (String, String)| Ok::<_, uuid::Error>(Known { device: device.parse()?, name });
        let identity = Self {
            devices: text.devices.into_iter().map(known).collect::<Result<_, _>>().map_err(id)?,
            node: text.node.parse().map_err(id)?,
            incarnation: text.incarnation.parse().map_err(id)?,
            cluster: text.cluster.map(|cluster| cluster.parse()).transpose().map_err(id)?,
            name: text.name,
        };
        if identity.name != name {
            return Err(IdentityError::OtherNode { dir: dir.into(), theirs: identity.name, ours: name.to_owned() });
        }
        Ok(identity)
    }

    /// Replaces the identity file. File, name and folder are synced before it returns, so that no
    /// chunk is ever acknowledged under an identity that a power cut takes back.
    pub(crate) fn written(self, dir: &Path) -> Result<Self, IdentityError> {
        let text = IdentityText {
            format: if self.devices.is_empty() { FORMAT_WITHOUT_DEVICES } else { FORMAT_VERSION },
            name: self.name.clone(),
            devices: self.devices.iter().map(|known| (known.name.clone(), known.device.to_string())).collect(),
            node: self.node.to_string(),
            incarnation: self.incarnation.to_string(),
            cluster: self.cluster.map(|cluster| cluster.to_string()),
        };
        let text = toml::to_string(&text).expect("plain fields are valid TOML");
        let path = dir.join(IDENTITY_FILE);
        replace_file(&path, text.as_bytes()).map_err(io_error(&path))?;
        Ok(self)
    }
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { path, source }
}
