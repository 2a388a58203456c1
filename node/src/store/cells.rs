use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{CellId, Frame};
use cairn_proto::ids::SegmentId;

use super::change::LoggedFamily;
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
        let frame = Frame::parse(bytes).map_err(|error| self.corrupt(position, &error))?;
        frame.check_id(&self.cell_id(position)).map_err(|error| self.corrupt(position, &error))?;
        Ok(Some(frame))
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

    fn logged(&self, position: Position) -> Result<Option<Bytes>, rocksdb::Error> {
        let family = self.database.logged(LoggedFamily::Cells);
        let key = position.key(self.segment);
        Ok(self.database.rocks().get_cf_opt(&family, key, &settings::cell_reads())?.map(Bytes::from))
    }

    fn bulk(&self, family: u32, position: Position) -> Result<Option<Bytes>, rocksdb::Error> {
        let Some(family) = self.database.bulk(family) else { return Ok(None) };
        let key = position.key(self.segment);
        Ok(self.database.rocks().get_cf_opt(&family, key, &settings::cell_reads())?.map(Bytes::from))
    }

    fn corrupt(&self, position: Position, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::CellCorrupt { segment: self.segment, position, chunk: self.chunk, why: why.to_string() }
    }
}
