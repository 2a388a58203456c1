use std::collections::BTreeMap;

use cairn_proto::records::{Blob, BlobState, Segment};

use super::{Domains, Holdings, Level};
use crate::failure::StateError;
use crate::keys;
use crate::records::RepairRecord;
use crate::state::{State, decode, decode_blob};

/// Blobs that cannot be read and are named.
const LOST_KEYS_LIMIT: usize = 100;

/// Counts over every record of one view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Keys.
    pub keys: u64,
    /// Bytes of live blobs.
    pub stored_bytes: u64,
    /// Live blobs by the number of chunks that each of their segments can still lose.
    pub redundancy: BTreeMap<u32, u64>,
    /// Live blobs that cannot be read now.
    pub lost_blobs: u64,
    /// The keys that the first of them were committed under.
    pub lost_keys: Vec<String>,
    /// For each level of failure domains, live blobs that can be read now, and could not without one whole domain.
    pub levels: Vec<(Level, u64)>,
    /// Segments queued for repair.
    pub pending_repairs: u64,
    /// What lies where.
    pub holdings: Holdings,
}

/// Counts everything in a view. An empty blob can lose as many chunks as `spare_when_empty` says.
pub fn take_census(state: &State<'_>, domains: &Domains, spare_when_empty: u32) -> Result<Census, StateError> {
    let levels = domains.levels().iter().map(|level| (level.clone(), 0)).collect();
    let mut census = Census { levels, holdings: Holdings::read(state)?, ..Census::default() };
    state.each(keys::KEYS, |_, _| {
        census.keys += 1;
        Ok(())
    })?;
    state.each(keys::REPAIRS, |key, found| {
        // One that names no missing chunk is of a chunk being moved.
        let record: RepairRecord = decode(key, &found.record)?;
        census.pending_repairs += u64::from(!record.chunks.is_empty());
        Ok(())
    })?;
    state.each(keys::BLOBS, |key, found| {
        let blob = decode_blob(key, &found.record)?;
        if blob.state == BlobState::Live {
            census.stored_bytes += blob.size_bytes;
            census.count(&blob, standing_of(state, &blob, domains)?, spare_when_empty);
        }
        Ok(())
    })?;
    Ok(census)
}

impl Census {
    fn count(&mut self, blob: &Blob, standing: Standing, spare_when_empty: u32) {
        match standing {
            Standing::Lost => {
                self.lost_blobs += 1;
                if self.lost_keys.len() < LOST_KEYS_LIMIT {
                    self.lost_keys.push(blob.key.to_string());
                }
            }
            Standing::Empty => *self.redundancy.entry(spare_when_empty).or_default() += 1,
            Standing::There { spare, endangered } => {
                *self.redundancy.entry(spare).or_default() += 1;
                for ((_, count), is_endangered) in self.levels.iter_mut().zip(endangered) {
                    *count += u64::from(is_endangered);
                }
            }
        }
    }
}

/// How a blob stands.
enum Standing {
    /// Too few chunks of a segment are left.
    Lost,
    /// It has no bytes.
    Empty,
    /// It can be read.
    There {
        /// Chunks that its weakest segment can lose.
        spare: u32,
        /// Whether the loss of one whole domain would be too much, for each level.
        endangered: Vec<bool>,
    },
}

fn standing_of(state: &State<'_>, blob: &Blob, domains: &Domains) -> Result<Standing, StateError> {
    let mut standing = Standing::Empty;
    let mut before = None;
    for extent in &blob.extents {
        if before.replace(extent.segment) == Some(extent.segment) {
            continue;
        }
        let segment = state.segment(extent.segment)?;
        let Some((spare, endangered)) = segment.and_then(|found| standing_of_segment(&found.record, domains)) else {
            return Ok(Standing::Lost);
        };
        standing = match standing {
            Standing::There { spare: least, endangered: worst } => Standing::There {
                spare: least.min(spare),
                endangered: worst.into_iter().zip(endangered).map(|(one, other)| one || other).collect(),
            },
            Standing::Empty | Standing::Lost => Standing::There { spare, endangered },
        };
    }
    Ok(standing)
}

/// Chunks that a segment can lose, and for each level whether it cannot lose a whole domain. A chunk without cells is
/// never missing.
fn standing_of_segment(segment: &Segment, domains: &Domains) -> Option<(u32, Vec<bool>)> {
    let there = segment
        .chunks
        .iter()
        .filter(|chunk| chunk.cells == 0 || chunk.place.as_ref().is_some_and(|place| domains.has(place)));
    let spare = u32::try_from(there.count()).ok()?.checked_sub(segment.layout.data)?;
    let endangered = domains.most_in_one(segment).into_iter().map(|most| most > spare as usize).collect();
    Some((spare, endangered))
}
