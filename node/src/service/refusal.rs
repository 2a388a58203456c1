use cairn_proto::Refusal;

use crate::rebuild::RebuildError;
use crate::store::StoreError;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let why = error.to_string();
        match error {
            StoreError::Dropped { segment } | StoreError::NotFound { segment } => {
                Self::ChunkNotFound { segment: segment.to_string() }
            }
            StoreError::AlreadySealed { segment } => Self::AlreadySealed { segment: segment.to_string() },
            StoreError::AnotherChunk { .. } => Self::InvalidRequest { why },
            StoreError::SealMismatch { .. } => Self::SealMismatch { why },
            StoreError::Stale { segment } => Self::ChunkStale { segment: segment.to_string() },
            StoreError::CellCorrupt { .. } => Self::CellCorrupt { cell: why },
            StoreError::NoRoom { .. } | StoreError::WriteFailed { .. } | StoreError::Broken { .. } => {
                Self::NodeRefusesWrites { why }
            }
            StoreError::Open { .. }
            | StoreError::ForeignDatabase { .. }
            | StoreError::DamagedRecord { .. }
            | StoreError::ReadFailed { .. } => Self::NotReady { why },
        }
    }
}

impl From<RebuildError> for Refusal {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Store(error) => error.into(),
            RebuildError::TooFewSources { .. } | RebuildError::Abandoned => {
                Self::RebuildFailed { why: error.to_string() }
            }
        }
    }
}
