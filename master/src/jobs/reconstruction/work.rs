use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::{Chunk, ChunkPlace, Segment};
use cairn_proto::wire;
use fail::fail_point;
use rand::seq::SliceRandom;

use super::planning::{Need, Rebuilding, plan_giving_up, plan_rebuilding, plan_repointing};
use super::{Damage, Reconstruction, RepairItem};
use crate::failure::Failure;
use crate::nodes::{Member, PlaceStanding};
use crate::scheduler::place_beside;
use crate::store::StoreSession;

/// How long a segment whose repair failed, or that waits for a node to be cleared, is left alone.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long one is left alone that no node can be found for: a change of nodes has it looked at anyway, room that comes
/// back on one has not. There may be as many as the queue holds.
const RETRY_WITHOUT_NODES_AFTER: Duration = Duration::from_mins(1);

/// When a segment is to be looked at again.
pub(super) enum Next {
    Nothing,
    Soon(Damage),
    Later(Damage, Duration),
}

impl Reconstruction {
    /// Rebuilds one missing chunk of a segment that was taken from the queue. What is left to do for it is queued again.
    pub(super) async fn repair(self: Arc<Self>, id: SegmentId) -> Result<(), Failure> {
        let next = self.repair_taken(id).await;
        let (mut queue, now) = (self.queue.lock(), self.clock.now());
        queue.done(id);
        match &next {
            Ok(Next::Nothing) => {}
            Ok(Next::Soon(damage)) => queue.push(id, damage, now),
            Ok(Next::Later(damage, after)) => queue.put_off(id, damage, now + *after),
            // What is missing was not seen, or not all that was done about it is on record.
            Err(_) => queue.put_off(id, &Damage::default(), now + RETRY_AFTER),
        }
        next.map(drop)
    }

    async fn repair_taken(&self, id: SegmentId) -> Result<Next, Failure> {
        let now_ms = self.clock.unix_ms();
        let plan = |session: &mut StoreSession| {
            let choose = |segment: &Segment, chunk: usize, barred: &[ChunkPlace]| self.choose(segment, chunk, barred);
            plan_rebuilding(session, id, |place| self.standing(place), choose, now_ms)
        };
        let planned = self.ledger.transact(plan).await?;
        match planned.result {
            Need::Nothing => Ok(self.mend_damaged(id).await?.unwrap_or(Next::Nothing)),
            Need::Nodes(damage) => {
                let mended = self.mend_damaged(id).await?;
                Ok(mended.unwrap_or(Next::Later(damage, RETRY_WITHOUT_NODES_AFTER)))
            }
            Need::Clearing(damage) => Ok(self.mend_damaged(id).await?.unwrap_or(Next::Later(damage, RETRY_AFTER))),
            // Looked at once more: further chunks may be missing.
            Need::Rebuild(rebuilding) if self.carry_out(&rebuilding, planned.index).await? => {
                Ok(Next::Soon(rebuilding.left()))
            }
            Need::Rebuild(rebuilding) => Ok(Next::Later(rebuilding.damage, RETRY_AFTER)),
        }
    }

    /// Has the chunk made and points its segment there. `false`: it could not be made.
    pub(super) async fn carry_out(&self, rebuilding: &Rebuilding, planned_at: u64) -> Result<bool, Failure> {
        fail_point!("rebuilding-planned");
        match self.order(rebuilding, planned_at, false).await {
            Ok(read_bytes) => {
                fail_point!("chunk-rebuilt");
                let plan =
                    |session: &mut StoreSession| plan_repointing(session, rebuilding, |place| self.standing(place));
                let length_bytes = rebuilding.segment.chunks[rebuilding.chunk].length_bytes;
                if self.ledger.transact(plan).await?.result {
                    fail_point!("chunk-repointed");
                    if rebuilding.is_move() {
                        self.status.moved_one();
                    } else {
                        self.status.rebuilt_one(length_bytes, read_bytes);
                    }
                }
                Ok(true)
            }
            Err(why) => {
                let node = rebuilding.target.node;
                let id = rebuilding.segment.id;
                tracing::warn!(segment = %id, chunk = rebuilding.chunk, %node, why, "a chunk was not rebuilt");
                self.ledger.transact(|session| plan_giving_up(session, rebuilding)).await?;
                Ok(false)
            }
        }
    }

    /// Has the target make the chunk, or what of it is damaged there; answers how much was read for it.
    pub(super) async fn order(&self, rebuilding: &Rebuilding, planned_at: u64, in_place: bool) -> Result<u64, String> {
        let member = self.nodes.table().get(rebuilding.target.node).ok_or("the node is gone")?;
        let expected = &rebuilding.segment.chunks[rebuilding.chunk];
        let under_way = self.status.begin(RepairItem {
            segment: rebuilding.segment.id,
            chunk: rebuilding.chunk,
            node: member.node.name.clone(),
            cells: 0,
            total_cells: expected.cells,
            length_bytes: expected.length_bytes,
            spare: rebuilding.damage.spare,
            is_move: rebuilding.is_move(),
            corrupt: in_place && !self.absent.lock().has(rebuilding.segment.id, rebuilding.target),
        });
        let read = AtomicU64::new(0);
        let progress = |answer: wire::RebuildChunkResponse| {
            under_way.advance(answer.cells, self.clock.now());
            read.store(answer.read_bytes, Ordering::Relaxed);
        };
        let request = self.request(rebuilding, in_place);
        let made = self.nodes.orders().rebuild(&member.node, request, planned_at, &progress).await;
        let made = made.map_err(|error| error.to_string())?;
        under_way.advance(expected.cells, self.clock.now());
        let made = Chunk::try_from(made).map_err(|error| error.to_string())?;
        if made == (Chunk { place: Some(rebuilding.target), ..expected.clone() }) {
            Ok(read.load(Ordering::Relaxed))
        } else {
            Err("the node made another chunk".to_owned())
        }
    }

    fn request(&self, rebuilding: &Rebuilding, in_place: bool) -> wire::RebuildChunkRequest {
        let narrow = |chunk: usize| u32::try_from(chunk).expect("a layout has at most 255 chunks");
        let sources = self
            .sources(rebuilding)
            .into_iter()
            .filter(|(chunk, _)| !in_place || *chunk != rebuilding.chunk)
            .map(|(chunk, address)| wire::RebuildSource { chunk_index: narrow(chunk), address });
        wire::RebuildChunkRequest {
            order: None,
            segment: Some(wire::Segment::from(&rebuilding.segment)),
            chunk_index: narrow(rebuilding.chunk),
            sources: sources.collect(),
            bytes_per_second: self.share_bytes_per_second(),
            in_place,
        }
    }

    /// What one repair may read in a second: an equal part for each that is under way or could be. The last ones are
    /// not held to what was left for them while there were many.
    fn share_bytes_per_second(&self) -> u64 {
        let limit = self.settings.bytes_per_second;
        if limit == 0 {
            return 0;
        }
        let busy = self.queue.lock().busy(self.clock.now(), self.hands());
        (limit / busy as u64).max(1)
    }

    /// Where the chunk itself is, if it is to be moved, and the others: at nodes near the target first, in random order
    /// among equals, so that no node is read from by all.
    fn sources(&self, rebuilding: &Rebuilding) -> Vec<(usize, String)> {
        let target = self.nodes.table().get(rebuilding.target.node).map(|member| member.locality()).unwrap_or_default();
        let mut sources: Vec<(usize, Member)> = (rebuilding.segment.chunks.iter().enumerate())
            .filter(|(_, chunk)| chunk.cells > 0)
            .filter_map(|(index, chunk)| chunk.place.map(|place| (index, place)))
            .filter(|(_, place)| self.standing(*place).is_readable())
            .filter(|(_, place)| !self.absent.lock().has(rebuilding.segment.id, *place))
            .filter_map(|(index, place)| Some((index, self.nodes.table().get(place.node)?)))
            .collect();
        sources.shuffle(&mut rand::rng());
        let shared = |member: &Member| {
            let pairs = member.locality();
            pairs.iter().zip(&target).take_while(|(own, wanted)| own == wanted).count()
        };
        sources.sort_by_key(|(chunk, member)| (*chunk != rebuilding.chunk, std::cmp::Reverse(shared(member))));
        sources.into_iter().map(|(index, member)| (index, member.node.address)).collect()
    }

    pub(super) fn standing(&self, place: ChunkPlace) -> PlaceStanding {
        self.nodes.standing(place, self.settings.grace)
    }

    /// A node for a chunk, spread beside those that keep the others.
    fn choose(&self, segment: &Segment, chunk: usize, barred: &[ChunkPlace]) -> Option<ChunkPlace> {
        // A node that lost that life of its data has nothing of the segment any more.
        let is_current =
            |place: &&ChunkPlace| self.nodes.table().get(place.node).is_some_and(|member| member.place() == **place);
        let barred: HashSet<NodeId> = barred.iter().filter(is_current).map(|place| place.node).collect();
        let (mut candidates, missing) = self.nodes.candidates();
        candidates.retain(|candidate| !barred.contains(&candidate.node));
        let places = segment.chunks.iter().filter_map(|chunk| chunk.place);
        let present = places.filter(|place| self.standing(*place) == PlaceStanding::Present);
        let kept = self.nodes.keepers(present.map(|place| place.node));
        let room = segment.chunks[chunk].length_bytes;
        let node = place_beside(&kept, &candidates, &missing, room, self.settings.score, &mut rand::rng()).ok()?;
        self.nodes.table().get(node).map(|member| member.place())
    }
}
