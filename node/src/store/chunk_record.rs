use bytes::Bytes;
use cairn_codec::Digest;
use cairn_proto::ids::{SessionId, TransactionId};
use prost::Message;

use super::error::StoreError;
use super::key::Position;
use super::placement::{BulkPlace, Placement};
use super::tally::Tally;

/// Written before the message; another number is a format this program does not know.
const FORMAT: u8 = 1;

/// What a sealed chunk is: who wrote it, what it holds, and where its cells lie. Its presence is the seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkRecord {
    pub(crate) transaction: TransactionId,
    pub(crate) chunk_index: u8,
    pub(crate) tally: Tally,
    pub(crate) placement: Placement,
}

/// The stored form.
#[derive(Clone, PartialEq, Message)]
struct ChunkText {
    #[prost(uint64, tag = "1")]
    session: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(uint32, tag = "3")]
    chunk_index: u32,
    #[prost(uint64, tag = "4")]
    cells: u64,
    #[prost(uint64, tag = "5")]
    length_bytes: u64,
    #[prost(bytes = "bytes", tag = "6")]
    digest: Bytes,
    #[prost(uint64, tag = "7")]
    logged_cells: u64,
    #[prost(uint64, tag = "8")]
    logged_bytes: u64,
    #[prost(bool, tag = "9")]
    shadowed: bool,
    #[prost(message, optional, tag = "10")]
    bulk: Option<BulkText>,
    #[prost(uint32, tag = "11")]
    generation: u32,
}

#[derive(Clone, PartialEq, Message)]
struct BulkText {
    #[prost(uint32, tag = "1")]
    family: u32,
    #[prost(uint32, tag = "2")]
    first_stripe: u32,
    #[prost(uint32, tag = "3")]
    first_row: u32,
}

impl ChunkRecord {
    pub(crate) fn encode(&self) -> Bytes {
        let text = ChunkText {
            session: self.transaction.session.0,
            sequence: self.transaction.sequence,
            chunk_index: u32::from(self.chunk_index),
            cells: self.tally.cells,
            length_bytes: self.tally.length_bytes,
            digest: Bytes::copy_from_slice(self.tally.digest.as_bytes()),
            logged_cells: self.placement.logged_cells,
            logged_bytes: self.placement.logged_bytes,
            shadowed: self.placement.shadowed,
            generation: self.placement.generation,
            bulk: self.placement.bulk.map(|bulk| BulkText {
                family: bulk.family,
                first_stripe: bulk.first.stripe,
                first_row: bulk.first.row,
            }),
        };
        [&[FORMAT], text.encode_to_vec().as_slice()].concat().into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |why: &str| StoreError::DamagedRecord { why: why.to_owned() };
        let (&format, message) = bytes.split_first().ok_or_else(|| damaged("empty"))?;
        if format != FORMAT {
            return Err(damaged(&format!("format {format}, this program knows {FORMAT}")));
        }
        let text = ChunkText::decode(message).map_err(|error| damaged(&error.to_string()))?;
        let digest: [u8; 32] = text.digest.as_ref().try_into().map_err(|_| damaged("digest is not 32 bytes"))?;
        Ok(Self {
            transaction: TransactionId { session: SessionId(text.session), sequence: text.sequence },
            chunk_index: u8::try_from(text.chunk_index).map_err(|_| damaged("chunk index is over 255"))?,
            tally: Tally { cells: text.cells, length_bytes: text.length_bytes, digest: Digest::from_bytes(digest) },
            placement: Placement {
                logged_cells: text.logged_cells,
                logged_bytes: text.logged_bytes,
                generation: text.generation,
                shadowed: text.shadowed,
                bulk: text.bulk.map(|bulk| BulkPlace {
                    family: bulk.family,
                    first: Position { stripe: bulk.first_stripe, row: bulk.first_row },
                }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use cairn_codec::Digest;
    use cairn_proto::ids::{SessionId, TransactionId};

    use super::ChunkRecord;
    use crate::store::key::Position;
    use crate::store::placement::{BulkPlace, Placement};
    use crate::store::tally::Tally;

    fn record() -> ChunkRecord {
        ChunkRecord {
            transaction: TransactionId { session: SessionId(9), sequence: 4 },
            chunk_index: 200,
            tally: Tally { cells: 3, length_bytes: 777, digest: Digest::from_bytes([5; 32]) },
            placement: Placement {
                logged_cells: 2,
                logged_bytes: 700,
                generation: 2,
                shadowed: true,
                bulk: Some(BulkPlace { family: 3, first: Position { stripe: 0, row: 2 } }),
            },
        }
    }

    #[test]
    fn a_record_survives_storing() {
        assert_eq!(ChunkRecord::decode(&record().encode()).unwrap(), record());
    }

    #[test]
    fn another_format_or_a_cut_record_is_refused() {
        let bytes = record().encode();
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert!(ChunkRecord::decode(&newer).is_err());
        assert!(ChunkRecord::decode(&[]).is_err());
        assert!(ChunkRecord::decode(&bytes[..bytes.len() - 3]).is_err());
    }
}
