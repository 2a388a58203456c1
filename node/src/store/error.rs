use cairn_proto::ids::SegmentId;

use super::key::Position;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database would not open.
    #[error(
        "{dir} cannot be opened: {why}. Restore it from the time before the damage, or remove it to have \
             the node join again without its chunks (they are repaired from other nodes)"
    )]
    Open {
        /// The database's folder.
        dir: String,
        /// What RocksDB says.
        why: String,
    },
    /// The database is of another node or another life than the identity file.
    #[error("the database belongs to {theirs}, the identity file to {ours}; put back the one that was exchanged")]
    ForeignDatabase {
        /// Owner in the database.
        theirs: String,
        /// Owner in the identity file.
        ours: String,
    },
    /// A record that this program cannot read.
    #[error("a record of the store is damaged or newer: {why}")]
    DamagedRecord {
        /// What is wrong.
        why: String,
    },
    /// A write failed and nothing of it counts.
    #[error("the disk refused a write: {why}")]
    WriteFailed {
        /// What RocksDB says.
        why: String,
    },
    /// A record could not be read.
    #[error("the disk refused a read: {why}")]
    ReadFailed {
        /// What RocksDB says.
        why: String,
    },
    /// No room for more.
    #[error("{why}")]
    NoRoom {
        /// What is used up.
        why: String,
    },
    /// The segment was deleted, or its session ended.
    #[error("segment {segment} was dropped")]
    Dropped {
        /// The segment.
        segment: SegmentId,
    },
    /// The segment takes no more cells.
    #[error("segment {segment} is sealed")]
    AlreadySealed {
        /// The segment.
        segment: SegmentId,
    },
    /// The segment is here under another transaction or with another chunk.
    #[error("segment {segment} is here as another chunk or by another transaction")]
    AnotherChunk {
        /// The segment.
        segment: SegmentId,
    },
    /// An earlier write of this segment failed half way, so what it holds is not known.
    #[error("an earlier write of segment {segment} failed: {why}")]
    Broken {
        /// The segment.
        segment: SegmentId,
        /// The failure.
        why: String,
    },
    /// The writer counts otherwise.
    #[error("{why}")]
    SealMismatch {
        /// Both counts.
        why: String,
    },
    /// No such chunk, or no such cell in it.
    #[error("segment {segment} has no such chunk or cell")]
    NotFound {
        /// The segment.
        segment: SegmentId,
    },
    /// Sealed here with another digest.
    #[error("segment {segment} has another digest here")]
    Stale {
        /// The segment.
        segment: SegmentId,
    },
    /// The cell failed its checks.
    #[error("segment {segment} stripe {} row {} chunk {chunk}: {why}", position.stripe, position.row)]
    CellCorrupt {
        /// The segment.
        segment: SegmentId,
        /// Where in the chunk.
        position: Position,
        /// The chunk's index.
        chunk: u8,
        /// Which check.
        why: String,
    },
}
