use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{CellId, Frame, FrameHeader};
use cairn_proto::ids::SegmentId;
use rocksdb::DBPinnableSlice;

use super::database::Database;
use super::error::StoreError;
use super::key::Position;
use super::placement::{Lookup, Placement};
use super::settings;

/// The readable cells of one chunk. Its calls block on the disk.
#[derive(Clone)]
pub struct Cells {
    database: Arc<Database>,
    segment: SegmentId,
    chunk: u8,
    placement: Placement,
}

impl Cells {
    pub(crate) fn new(database: Arc<Database>, segment: SegmentId, chunk: u8, placement: Placement) -> Self {
        Self { database, segment, chunk, placement }
    }

    /// The cell at `position`, checked: a frame that does not parse or names another place is corrupt.
    ///
    /// Whatever RocksDB answers but the value counts against this one cell: a block that fails its
    /// checksum says nothing about its neighbours.
    pub fn read(&self, position: Position) -> Result<Option<Frame>, StoreError> {
        let Some(bytes) = self.stored(position).map_err(|error| self.corrupt(position, &error))? else {
            return Ok(None);
        };
        self.parsed(position, bytes).map(Some)
    }

    /// The bytes of the frame at `position`, to be handed on: checked for their place, and no further. RocksDB has just
    /// compared its block checksum, which has covered them since they were written; their own checksum is the receiver's to
    /// compare, who has to anyway.
    pub fn lend(&self, position: Position) -> Result<Option<Bytes>, StoreError> {
        let Some(bytes) = self.stored(position).map_err(|error| self.corrupt(position, &error))? else {
            return Ok(None);
        };
        let header = FrameHeader::parse(&bytes).map_err(|error| self.corrupt(position, &error))?;
        header.check_id(&self.cell_id(position)).map_err(|error| self.corrupt(position, &error))?;
        Ok(Some(bytes))
    }

    /// The frame that some bytes are, checked.
    pub(super) fn parsed(&self, position: Position, bytes: Bytes) -> Result<Frame, StoreError> {
        let frame = Frame::parse(bytes).map_err(|error| self.corrupt(position, &error))?;
        frame.check_id(&self.cell_id(position)).map_err(|error| self.corrupt(position, &error))?;
        Ok(frame)
    }

    fn cell_id(&self, position: Position) -> CellId {
        CellId { segment: *self.segment.as_bytes(), stripe: position.stripe, row: position.row, chunk: self.chunk }
    }

    fn stored(&self, position: Position) -> Result<Option<Bytes>, rocksdb::Error> {
        match self.placement.lookup(position) {
            Lookup::Logged => self.logged(position),
            Lookup::Bulk(family) => self.bulk(family, position),
            Lookup::LoggedThenBulk(family) => match self.logged(position)? {
                Some(bytes) => Ok(Some(bytes)),
                None => self.bulk(family, position),
            },
        }
    }

    pub(super) fn logged(&self, position: Position) -> Result<Option<Bytes>, rocksdb::Error> {
        // A generation goes once no record names it: this chunk was moved or deleted since its record was read.
        let Some(family) = self.database.generation(self.placement.generation) else { return Ok(None) };
        let key = position.key(self.segment);
        let stored = self.database.rocks().get_pinned_cf_opt(&family, key, &settings::cell_reads())?;
        Ok(stored.map(|value| pinned(value, &self.database)))
    }

    pub(super) fn bulk(&self, family: u32, position: Position) -> Result<Option<Bytes>, rocksdb::Error> {
        let Some(family) = self.database.bulk(family) else { return Ok(None) };
        let key = position.key(self.segment);
        let stored = self.database.rocks().get_pinned_cf_opt(&family, key, &settings::cell_reads())?;
        Ok(stored.map(|value| pinned(value, &self.database)))
    }

    pub(super) fn corrupt(&self, position: Position, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::CellCorrupt { segment: self.segment, position, chunk: self.chunk, why: why.to_string() }
    }
}

/// A value where RocksDB has it: in a block of its cache, which stays in memory for as long as the bytes live.
struct PinnedValue {
    // Dropped before `_database`, which it points into.
    value: DBPinnableSlice<'static>,
    _database: Arc<Database>,
}

impl AsRef<[u8]> for PinnedValue {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}

fn pinned(value: DBPinnableSlice<'_>, database: &Arc<Database>) -> Bytes {
    // SAFETY: the slice borrows from the RocksDB instance inside `database`. The `Arc` keeps that instance open for as
    // long as the slice lives, and the slice is the first field to be dropped.
    #[allow(unsafe_code)]
    let value = unsafe { std::mem::transmute::<DBPinnableSlice<'_>, DBPinnableSlice<'static>>(value) };
    Bytes::from_owner(PinnedValue { value, _database: Arc::clone(database) })
}
