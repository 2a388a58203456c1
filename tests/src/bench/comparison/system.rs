use std::fmt;

use serde::Serialize;

use super::row::Row;

/// One of the things that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// A folder of the disk that all the others have their data on.
    Disk,
    /// A FUSE mount that keeps everything in its memory: what the kernel's way to a mount allows.
    Memory,
    /// Three masters and six nodes, layout 4+2.
    Cairn,
    /// `GlusterFS`: six bricks, disperse 4+2.
    Gluster,
    /// `MooseFS`: a master and three chunk servers, three copies, with its syncs on.
    MooseFs,
}

impl System {
    /// Whether Cairn is measured against it as one of its kind.
    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Gluster | Self::MooseFs)
    }

    /// Whether it can do what a row asks.
    pub(super) fn has(self, row: Row) -> bool {
        self != Self::Memory || !matches!(row, Row::MediumStored | Row::WriteHuge | Row::ReadTwoLost)
    }

    /// How many nodes keep what an answer to the writer of so many bytes promises. Cairn's masters keep the smallest files
    /// themselves.
    pub(super) fn counted_nodes(self, bytes: u64) -> usize {
        const KEPT_BY_MASTERS_BYTES: u64 = 4096;
        match self {
            Self::Disk | Self::Memory => 0,
            Self::Cairn if bytes <= KEPT_BY_MASTERS_BYTES => 0,
            Self::Cairn | Self::Gluster => 6,
            Self::MooseFs => 3,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Cairn => "cairn",
            Self::Gluster => "gluster",
            Self::MooseFs => "moosefs",
        })
    }
}
