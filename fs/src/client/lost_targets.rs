//! What becomes of a segment whose targets are lost in mid-write: as many holes as it may have, and other nodes for the
//! rest, filled from the chunks that are left.

use std::sync::Arc;

use cairn_proto::ids::NodeId;
use cairn_proto::wire;
use futures_util::{StreamExt, stream};

use super::connection::Connection;
use super::masters::{Call, CallKind};
use super::outgoing::QueuedCell;
use super::row_encoder::{EncodedCell, encode_row};
use super::segment_writer::Parts;
use super::session::OpenTransaction;
use super::target::{Target, TargetFailure};
use super::target_state::TargetState;
use super::target_stream::TargetStream;
use super::transactions::PEER;
use super::{ClientError, unsealed_row, wire_layout};

/// Targets that one segment may have replaced: whoever loses more is cut off himself.
pub(super) const REPLACEMENTS_LIMIT: usize = 16;
/// Rows read back at a time to fill a replacement.
const ROWS_READ_BACK: usize = 4;

/// A chunk that has cells and no node any more.
#[derive(Debug)]
struct Loss {
    chunk: usize,
    name: String,
    failure: TargetFailure,
}

impl Parts {
    /// Puts other nodes in the place of lost ones until no more chunks are missing than may be. Where that fails, the
    /// error names the lost nodes, and why there is none in their place.
    pub(super) async fn make_good(&mut self) -> Result<(), ClientError> {
        self.cut_off();
        while let Err(lost) = self.check_losses() {
            let Some(loss) = self.losses().into_iter().next().filter(|_| self.replacements_left > 0) else {
                return Err(lost);
            };
            self.replacements_left -= 1;
            let replaced = self.replace(loss.chunk).await;
            replaced.map_err(|error| lost.without_replacement(&error))?;
            tracing::info!(segment = %self.transaction.segment, lost = loss.name, "put another node in its place");
        }
        Ok(())
    }

    /// Refuses once more chunks are missing than may be.
    pub(super) fn check_losses(&self) -> Result<(), ClientError> {
        let losses = self.losses();
        if losses.len() <= wire_layout::missing_allowed(self.coder.layout()) {
            return Ok(());
        }
        let describe = |loss: &Loss| format!("{} ({})", loss.name, loss.failure);
        let failures = losses.iter().map(describe).collect::<Vec<_>>().join(", ");
        let unplaced = losses.iter().filter(|loss| matches!(loss.failure, TargetFailure::NotPlaced)).count();
        let full = losses.iter().filter(|loss| loss.failure.is_full()).count();
        Err(if full > 0 && full + unplaced == losses.len() {
            ClientError::NoSpace { why: failures }
        } else {
            let layout = self.coder.layout().to_string();
            ClientError::TargetsLost { segment: self.transaction.segment, layout, failures }
        })
    }

    fn losses(&self) -> Vec<Loss> {
        let chunks = self.targets.iter().zip(&self.accounts).enumerate();
        let with_cells = chunks.filter(|(_, (_, account))| account.cells > 0);
        let loss = |(chunk, (state, _)): (usize, (&TargetState, _))| {
            let name = state.target().map_or_else(|| format!("chunk {chunk}"), |target| target.name.clone());
            Some(Loss { chunk, name, failure: state.failure()? })
        };
        with_cells.filter_map(loss).collect()
    }

    /// Another node for a chunk. The lost one stands until the other has all cells, so whoever stops waiting leaves
    /// nothing half done, and nothing is read back from a node that is being filled.
    async fn replace(&mut self, chunk: usize) -> Result<(), ClientError> {
        let kept = |state: &TargetState| state.target().filter(|_| state.failure().is_none()).map(|target| target.node);
        let kept: Vec<NodeId> = self.targets.iter().filter_map(kept).collect();
        let target = self.connection.replacement(&self.transaction, chunk, &kept).await?;
        let stream = TargetStream::start(target.clone(), Vec::new(), Arc::clone(&self.connection.nodes));
        self.fill(chunk, &stream).await?;
        self.targets[chunk] = TargetState::Started(target, stream);
        Ok(())
    }

    /// Sends a chunk's cell of every row, made from what the other nodes keep. Ends early if this target is lost, too.
    async fn fill(&self, chunk: usize, target: &TargetStream) -> Result<(), ClientError> {
        let layout = self.coder.layout();
        let rows = self.rows.all().filter(|(_, length)| layout.cell_length(*length, chunk) > 0);
        let mut cells = stream::iter(rows).map(|(row, length)| self.cell(row, length, chunk)).buffered(ROWS_READ_BACK);
        while let Some(cell) = cells.next().await {
            let EncodedCell { mark, frame } = cell?;
            let length = mark.length as usize;
            let Some(room) = target.room(length).await else { return Ok(()) };
            let budget = self.connection.write_budget.take(length).await;
            target.send(QueuedCell { frame, room, budget: Some(budget) });
        }
        Ok(())
    }

    async fn cell(&self, row: u64, length: usize, chunk: usize) -> Result<EncodedCell, ClientError> {
        let data = unsealed_row::read(self, row, length).await?;
        let cells = encode_row(&self.coder, self.transaction.segment, row, &data);
        let cell = cells.into_iter().find(|cell| cell.chunk() == chunk);
        Ok(cell.expect("the row's length says that the chunk has a cell of it"))
    }
}

impl Connection {
    /// A node for a chunk whose node was lost, beside `kept`, which keep the others.
    async fn replacement(
        &self,
        transaction: &OpenTransaction,
        chunk: usize,
        kept: &[NodeId],
    ) -> Result<Target, ClientError> {
        const WHAT: &str = "replace a lost node";
        let to_wire = |nodes: &[NodeId]| nodes.iter().map(|node| node.to_wire()).collect::<Vec<_>>();
        let request = wire::ReplaceTargetRequest {
            open: Some(transaction.to_wire()),
            kept_nodes: to_wire(kept),
            avoid_nodes: to_wire(&self.nodes.avoided_for_writing()),
        };
        let call = Call { what: WHAT, deadline: self.deadline(), kind: CallKind::Repeatable };
        let answer = self.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.replace_target(request).await }
        });
        let answer = answer.await.map_err(|error| error.into_client_error(WHAT))?;
        let node = answer.target.unwrap_or_default();
        let target = self.target(&node, chunk, transaction.segment, transaction.id)?;
        let mut nodes = transaction.nodes.lock();
        let target = target.filter(|target| !nodes.contains(&target.node));
        let target = target.ok_or_else(|| ClientError::protocol(PEER, "a replacement that is none"))?;
        nodes.push(target.node);
        Ok(target)
    }
}
