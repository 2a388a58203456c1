use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::wire::{self, FsckProblemKind};

use crate::failure::DamagedRecord;

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: FsckProblemKind,
    pub(super) key: Option<String>,
    pub(super) blob: Option<BlobId>,
    pub(super) segment: Option<SegmentId>,
    pub(super) chunk: Option<usize>,
    /// Name of the node.
    pub(super) node: Option<String>,
    /// For people.
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(kind: FsckProblemKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, key: None, blob: None, segment: None, chunk: None, node: None, detail }
    }

    pub(super) fn of_blob(kind: FsckProblemKind, blob: BlobId, key: Option<String>, detail: impl Into<String>) -> Self {
        Self { blob: Some(blob), key, ..Self::new(kind, detail) }
    }

    pub(super) fn of_segment(kind: FsckProblemKind, segment: SegmentId, detail: impl Into<String>) -> Self {
        Self { segment: Some(segment), ..Self::new(kind, detail) }
    }
}

impl From<DamagedRecord> for Problem {
    fn from(damaged: DamagedRecord) -> Self {
        Self::new(FsckProblemKind::DamagedRecord, damaged.to_string())
    }
}

impl From<Problem> for wire::FsckProblem {
    fn from(problem: Problem) -> Self {
        Self {
            kind: problem.kind.into(),
            key: problem.key.unwrap_or_default(),
            blob: problem.blob.map(BlobId::to_wire).unwrap_or_default(),
            segment: problem.segment.map(SegmentId::to_wire).unwrap_or_default(),
            chunk_index: problem.chunk.map(|chunk| u32::try_from(chunk).expect("a layout has at most 255 chunks")),
            node: problem.node.unwrap_or_default(),
            detail: problem.detail,
        }
    }
}
