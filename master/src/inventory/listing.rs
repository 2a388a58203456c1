use cairn_proto::Refusal;
use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::records::Node;

use super::ListedChunk;
use crate::nodes::{OrderError, Orders};

/// A session that no client has: asks for the chunks of all.
const EVERY_SESSION: SessionId = SessionId(0);

/// Why a node's inventory is not known.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The node did not answer.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// It answered what no node answers.
    #[error("the node lists what is no chunk: {0}")]
    Answer(#[from] Refusal),
    /// The list does not go on.
    #[error("the node lists chunks out of order")]
    OutOfOrder,
}

/// Part of a node's inventory, in order of segment ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPage {
    /// The chunks.
    pub chunks: Vec<ListedChunk>,
    /// Where the next page starts; `None` at the end of the inventory.
    pub continue_after: Option<SegmentId>,
}

/// Lists at most `limit` of the chunks that a node keeps of segments after `start_after`.
pub async fn list_page(
    orders: &Orders,
    node: &Node,
    start_after: Option<SegmentId>,
    limit: u32,
) -> Result<ListedPage, ListError> {
    let page = orders.list(node, EVERY_SESSION, start_after, limit).await?;
    let chunks = page.chunks.into_iter().map(ListedChunk::try_from).collect::<Result<Vec<_>, _>>()?;
    let ids = || chunks.iter().map(|chunk| Some(chunk.segment));
    let rises = std::iter::once(start_after).chain(ids()).is_sorted_by(|one, next| one < next);
    let last = ids().next_back().flatten();
    if !rises || (page.more && last.is_none()) {
        return Err(ListError::OutOfOrder);
    }
    Ok(ListedPage { continue_after: last.filter(|_| page.more), chunks })
}

/// Lists all that a node keeps of segments after `start_after`, up to `through` if that is named, in pages of `limit`.
pub async fn list_range(
    orders: &Orders,
    node: &Node,
    start_after: Option<SegmentId>,
    through: Option<SegmentId>,
    limit: u32,
) -> Result<Vec<ListedChunk>, ListError> {
    let is_wanted = |chunk: &ListedChunk| through.is_none_or(|last| chunk.segment <= last);
    let (mut listed, mut after) = (Vec::new(), start_after);
    loop {
        let page = list_page(orders, node, after, limit).await?;
        let wanted = page.chunks.iter().filter(|chunk| is_wanted(chunk)).count();
        listed.extend_from_slice(&page.chunks[..wanted]);
        after = page.continue_after;
        if wanted < page.chunks.len() || after.is_none() || (after >= through && through.is_some()) {
            return Ok(listed);
        }
    }
}
