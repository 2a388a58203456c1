//! Whether a trace shows that what is called synced was synced before the writer had its answer.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::system::System;

/// What was seen between the first call of a writer and the answer to its `fsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SyncProof {
    /// Who was traced.
    pub system: System,
    /// Bytes of the file that was written.
    pub bytes: u64,
    /// Masters that synced, of how many.
    pub masters: (usize, usize),
    /// Nodes that synced, of how many.
    pub nodes: (usize, usize),
    /// Whether the writer's `fsync` succeeded.
    pub writer: bool,
}

impl SyncProof {
    /// A proof from the names of all daemons and of those that synced.
    pub(super) fn new(
        system: System,
        bytes: u64,
        all: &BTreeSet<String>,
        synced: &BTreeSet<String>,
        writer: bool,
    ) -> Self {
        let count = |names: &BTreeSet<String>, kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
        let of_kind = |kind| (count(synced, kind), count(all, kind));
        Self { system, bytes, masters: of_kind("master-"), nodes: of_kind("node-"), writer }
    }

    /// A majority of the masters, and every node that counts, synced.
    pub fn holds(&self) -> bool {
        let majority = self.masters.1 == 0 || self.masters.0 > self.masters.1 / 2;
        self.writer && majority && self.nodes.0 >= self.system.counted_nodes(self.bytes)
    }
}

impl fmt::Display for SyncProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (masters, all_masters) = self.masters;
        let (nodes, all_nodes) = self.nodes;
        if all_masters > 0 {
            write!(formatter, "masters {masters} of {all_masters}, ")?;
        }
        if all_nodes > 0 {
            write!(formatter, "nodes {nodes} of {all_nodes} ")?;
        } else {
            write!(formatter, "the disk's own `fsync` ")?;
        }
        formatter.write_str(if self.holds() { "(shown)" } else { "(NOT SHOWN)" })
    }
}

/// Those of all systems.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct SyncProofs(Vec<SyncProof>);

impl SyncProofs {
    pub(super) fn add(&mut self, proof: SyncProof) {
        self.0.push(proof);
    }

    pub(super) fn of(&self, system: System) -> impl Iterator<Item = &SyncProof> {
        self.0.iter().filter(move |proof| proof.system == system)
    }

    /// Whether the syncs of files of this length are shown: those that go the same way count.
    pub(super) fn hold(&self, system: System, bytes: u64) -> bool {
        let same_way = |proof: &&SyncProof| (proof.bytes <= SMALL_BYTES) == (bytes <= SMALL_BYTES);
        self.of(system).filter(same_way).any(SyncProof::holds)
    }
}

/// The length of the small files that are traced, and of those that are measured.
pub(super) const SMALL_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::{SyncProof, SyncProofs};
    use crate::bench::comparison::system::System;
    use std::collections::BTreeSet;

    fn names(masters: usize, nodes: usize) -> BTreeSet<String> {
        let masters = (1..=masters).map(|number| format!("master-{number}"));
        masters.chain((1..=nodes).map(|number| format!("node-{number}"))).chain(["mount".to_owned()]).collect()
    }

    fn cairn(bytes: u64, masters: usize, nodes: usize, writer: bool) -> SyncProof {
        SyncProof::new(System::Cairn, bytes, &names(3, 6), &names(masters, nodes), writer)
    }

    #[test]
    fn it_takes_a_majority_of_masters_and_every_node_that_counts() {
        assert!(cairn(8 << 20, 2, 6, true).holds());
        assert!(!cairn(8 << 20, 1, 6, true).holds());
        assert!(!cairn(8 << 20, 3, 5, true).holds());
        assert!(!cairn(8 << 20, 3, 6, false).holds());
        assert!(cairn(4096, 2, 0, true).holds(), "the masters keep it themselves");
        let bricks = SyncProof::new(System::Gluster, 4096, &names(0, 6), &names(0, 6), true);
        assert!(bricks.holds());
        assert_eq!(bricks.to_string(), "nodes 6 of 6 (shown)");
        assert!(SyncProof::new(System::Disk, 4096, &names(0, 0), &names(0, 0), true).holds());
    }

    #[test]
    fn a_small_file_shows_nothing_of_a_large_one() {
        let mut proofs = SyncProofs::default();
        proofs.add(cairn(4096, 3, 0, true));
        assert!(proofs.hold(System::Cairn, 100));
        assert!(!proofs.hold(System::Cairn, 1 << 20));
        assert!(!proofs.hold(System::Gluster, 100));
    }
}
