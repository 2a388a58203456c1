use cairn_proto::ids::SegmentId;
use cairn_proto::records::{ChunkPlace, Node};
use cairn_proto::wire::NodeState;
use futures_util::future::join_all;

use super::paged_list::{OfSegment, PagedList};
use crate::inventory::{ListedChunk, list_page, list_range};
use crate::nodes::{Nodes, Orders};

/// Chunks of one page of one node: as much is in memory for each node.
const CHUNKS_PER_PAGE: u32 = 512;

/// What the nodes list, as far as it is in memory.
pub(super) struct Inventories {
    orders: Orders,
    pub(super) nodes: Vec<Inventory>,
    /// Nodes that do not list what they have: all that were asked and failed, and all that do not answer anyway.
    pub(super) silent: Vec<Node>,
}

/// One node's.
pub(super) struct Inventory {
    pub(super) node: Node,
    pub(super) list: PagedList<ListedChunk>,
    continue_after: Option<SegmentId>,
}

impl OfSegment for ListedChunk {
    fn segment(&self) -> SegmentId {
        self.segment
    }
}

impl Inventory {
    pub(super) fn place(&self) -> ChunkPlace {
        ChunkPlace { node: self.node.id, incarnation: self.node.incarnation }
    }

    async fn fill(&mut self, orders: &Orders) -> bool {
        if !self.list.needs_page() {
            return true;
        }
        match list_page(orders, &self.node, self.continue_after, CHUNKS_PER_PAGE).await {
            Ok(page) => {
                self.continue_after = page.continue_after;
                self.list.add(page.chunks, page.continue_after.is_some());
                true
            }
            Err(error) => {
                tracing::warn!(node = %self.node.name, %error, "the node does not list its chunks");
                false
            }
        }
    }
}

impl Inventories {
    pub(super) fn begin(nodes: &Nodes) -> Self {
        let members = nodes.members_with_state();
        let registered = members.into_iter().filter(|(_, state)| *state != NodeState::Removed);
        let (answering, silent): (Vec<Node>, Vec<Node>) =
            registered.map(|(member, _)| member.node).partition(|node| nodes.answers(node.id));
        let inventory = |node| Inventory { node, list: PagedList::default(), continue_after: None };
        Self { orders: nodes.orders().clone(), nodes: answering.into_iter().map(inventory).collect(), silent }
    }

    /// Has the next page of each node of which nothing is in memory. One that fails is silent from then on.
    pub(super) async fn fill(&mut self) {
        let orders = &self.orders;
        let filled = join_all(self.nodes.iter_mut().map(|inventory| inventory.fill(orders))).await;
        let mut filled = filled.into_iter();
        let failed = self.nodes.extract_if(.., |_| !filled.next().unwrap_or(true));
        self.silent.extend(failed.map(|inventory| inventory.node));
    }

    /// What a node lists now of segments from `first` to `last`. `None`: it does not answer.
    pub(super) async fn list_again(&self, node: &Node, first: SegmentId, last: SegmentId) -> Option<Vec<ListedChunk>> {
        list_range(&self.orders, node, before(first), Some(last), CHUNKS_PER_PAGE).await.ok()
    }
}

/// The id in front of a segment's, where lists that begin with it continue after.
fn before(segment: SegmentId) -> Option<SegmentId> {
    let number = u128::from_be_bytes(*segment.as_bytes());
    number.checked_sub(1).map(|before| SegmentId::from_bytes(before.to_be_bytes()))
}
