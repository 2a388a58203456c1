use cairn_proto::ids::SegmentId;

use super::Reconstruction;
use super::planning::plan_move;
use crate::failure::Failure;
use crate::jobs::rebalancing::Move;
use crate::store::StoreSession;

impl Reconstruction {
    /// Whether nothing waits to be rebuilt or moved, and nobody works on anything.
    pub fn is_idle(&self) -> bool {
        self.queue.lock().is_idle()
    }

    /// Moves a chunk of a whole segment to another node. `false`: it was changed meanwhile, or the move failed.
    pub(in crate::jobs) async fn move_chunk(&self, id: SegmentId, wanted: Move) -> Result<bool, Failure> {
        if !self.queue.lock().claim(id) {
            return Ok(false);
        }
        let moved = self.move_claimed(id, wanted).await;
        self.queue.lock().done(id);
        moved
    }

    async fn move_claimed(&self, id: SegmentId, wanted: Move) -> Result<bool, Failure> {
        let now_ms = self.clock.unix_ms();
        let plan = |session: &mut StoreSession| plan_move(session, id, &wanted, |place| self.standing(place), now_ms);
        let planned = self.ledger.transact(plan).await?;
        match planned.result {
            Some(moving) => self.carry_out(&moving, planned.index).await,
            None => Ok(false),
        }
    }
}
