use std::io;
use std::path::PathBuf;

use super::super::directory::IF_LOST;
use super::RecordNumber;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// What its records say cannot be done, or its directory not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// One of its files cannot be read.
    #[error("cannot read the journal file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not reach back to what is not yet done elsewhere.
    #[error(
        "record {number} of the journal in {} is missing. Put the whole directory back. {if_lost}",
        dir.display(),
        if_lost = IF_LOST
    )]
    Missing {
        /// The first one that is missing.
        number: RecordNumber,
        /// Where it was to be.
        dir: PathBuf,
    },
    /// One of its files is not what was written.
    #[error(
        "the journal file {} is damaged: {damage}. Put the whole directory back. {if_lost}",
        path.display(),
        if_lost = IF_LOST
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// It has no header, or another segment's.
    #[error("its beginning is not that of this file")]
    Header,
    /// A record that was durable is gone.
    #[error("record {broken} is broken, and record {whole} behind it is whole")]
    Record {
        /// The first that is gone.
        broken: RecordNumber,
        /// One that is there.
        whole: RecordNumber,
    },
    /// The last record is gone, and not because a crash tore it.
    #[error("its last record, {number}, is all there and broken")]
    Last {
        /// The record.
        number: RecordNumber,
    },
    /// A whole record that makes no sense.
    #[error("record {number} has parts that are longer than itself")]
    Parts {
        /// The record.
        number: RecordNumber,
    },
}
