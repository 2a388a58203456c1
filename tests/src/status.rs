//! What the commands promise to print with `--json`. A field that is missing is a failed test.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `cairn dev status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct DevStatus {
    /// Every daemon of the cluster, running or not.
    pub daemons: Vec<DaemonStatus>,
}

/// A daemon of a dev cluster.
#[derive(Debug, Clone, Deserialize)]
pub struct DaemonStatus {
    /// `master-1`, `node-1`, `mount`.
    pub name: String,
    /// Absent while it does not run.
    pub pid: Option<u32>,
    /// `host:port`; a mount has its path here, or nothing.
    pub address: Option<String>,
    /// For people.
    pub state: String,
}

/// `cairn status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's id.
    pub cluster: String,
    /// All masters.
    pub masters: Vec<MasterStatus>,
    /// All nodes that ever joined and were not removed.
    pub nodes: Vec<NodeStatus>,
    /// Number of blobs by how many further losses they survive: `"2"`, `"1"`, `"0"`, `"lost"`.
    pub redundancy: BTreeMap<String, u64>,
    /// Keys of blobs that cannot be read.
    pub lost_keys: Vec<String>,
    /// What the loss of a whole failure domain would cost.
    pub failure_domains: Vec<DomainStatus>,
    /// Segments that wait for repair.
    pub pending_repairs: u64,
}

/// A level of failure domains.
#[derive(Debug, Clone, Deserialize)]
pub struct DomainStatus {
    /// Key of the label.
    pub level: String,
    /// How many there are.
    pub domains: u64,
    /// Blobs that could not be read without one of them.
    pub endangered_blobs: u64,
}

/// `cairn fsck --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct FsckReport {
    /// Whether there is no problem.
    pub ok: bool,
    /// What does not agree.
    pub problems: Vec<FsckProblem>,
    /// Chunks compared.
    pub chunks: u64,
    /// Blobs waiting to be dropped.
    pub deleted_blobs: u64,
    /// Chunks waiting to be deleted.
    pub garbage_chunks: u64,
    /// As in `heal status`.
    pub pending_repairs: u64,
    /// Read by `--deep`.
    pub read_blobs: u64,
}

/// One problem of it.
#[derive(Debug, Clone, Deserialize)]
pub struct FsckProblem {
    /// `missing`, `orphan`, ...
    pub kind: String,
    /// The key it is about, if one is known.
    pub key: Option<String>,
    /// The segment.
    pub segment: Option<String>,
    /// The chunk of it.
    pub chunk: Option<u32>,
    /// Name of the node.
    pub node: Option<String>,
    /// For people.
    pub detail: String,
    /// For people.
    pub next_step: String,
}

impl FsckReport {
    /// How many problems there are of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for problem in &self.problems {
            *kinds.entry(problem.kind.as_str()).or_default() += 1;
        }
        kinds
    }
}

/// A master, seen from the elected one.
#[derive(Debug, Clone, Deserialize)]
pub struct MasterStatus {
    /// `master-1`.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// For people.
    pub state: String,
    /// Whether it holds the lease.
    pub elected: bool,
    /// Whether it leads Raft.
    pub raft_leader: bool,
}

/// A storage node, seen from the elected master.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeStatus {
    /// `node-1`.
    pub name: String,
    /// UUID.
    pub id: String,
    /// `host:port`.
    pub address: String,
    /// `active`, `suspect`, `dead`, ...
    pub state: String,
    /// What an administrator wants of it.
    pub intended: String,
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes it may store.
    pub limit_bytes: u64,
    /// Labels, widest first.
    pub locality: serde_json::Value,
}

/// One of `cairn node list --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedNode {
    /// `node-1`.
    pub name: String,
    /// UUID.
    pub id: String,
    /// `active`, `drained`, `dead`, ...
    pub state: String,
    /// What an administrator wants of it.
    pub intended: String,
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes it may store.
    pub limit_bytes: u64,
    /// Chunks that records name there.
    pub chunks: u64,
    /// Their bytes.
    pub chunk_bytes: u64,
    /// Chunks that it counts itself.
    pub stored_chunks: u64,
    /// Writes under way that may be committed there.
    pub open_writes: u64,
}

/// `cairn stat KEY --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyStatus {
    /// The key.
    pub key: String,
    /// The blob.
    pub uuid: String,
    /// Its bytes.
    pub size: u64,
    /// Digest over its rows.
    pub digest: String,
    /// `4+2` and its sizes.
    pub layout: serde_json::Value,
    /// Its extents.
    pub extents: serde_json::Value,
    /// Where its chunks are.
    pub chunks: Vec<ChunkStatus>,
}

/// One chunk of a blob.
#[derive(Debug, Clone, Deserialize)]
pub struct ChunkStatus {
    /// Number of the chunk in its segment.
    pub index: u32,
    /// Name of its node; nothing for a hole.
    pub node: Option<String>,
    /// For people.
    pub state: String,
}

/// A line of `cairn ls --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedKey {
    /// The key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// Last modification.
    pub mtime: serde_json::Value,
    /// The blob.
    pub uuid: String,
}

impl ClusterStatus {
    /// The node of a name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn node(&self, name: &str) -> &NodeStatus {
        self.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The elected master, if one is.
    #[must_use]
    pub fn elected(&self) -> Option<&MasterStatus> {
        self.masters.iter().find(|master| master.elected)
    }
}
