use std::collections::HashMap;

use cairn_proto::records::{ChunkPlace, Segment};

use crate::failure::StateError;
use crate::keys;
use crate::state::{State, decode_segment};

/// Chunks with cells that records name at each place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings(HashMap<ChunkPlace, Held>);

/// What lies at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Chunks.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Holdings {
    /// Counts the chunks of every segment of a view.
    pub fn read(state: &State<'_>) -> Result<Self, StateError> {
        let mut holdings = Self::default();
        state.each(keys::SEGMENTS, |key, found| {
            holdings.add(&decode_segment(key, &found.record)?);
            Ok(())
        })?;
        Ok(holdings)
    }

    fn add(&mut self, segment: &Segment) {
        for chunk in segment.chunks.iter().filter(|chunk| chunk.cells > 0) {
            if let Some(place) = chunk.place {
                let held = self.0.entry(place).or_default();
                held.chunks += 1;
                held.bytes += chunk.length_bytes;
            }
        }
    }

    /// What lies at a place.
    pub fn at(&self, place: ChunkPlace) -> Held {
        self.0.get(&place).copied().unwrap_or_default()
    }
}
