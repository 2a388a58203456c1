use cairn_codec::Layout;
use cairn_master::layouts::checked_layout;
use cairn_proto::wire;

use super::ClientError;

pub(super) use cairn_master::layouts::wire_layout as to_wire;
pub(super) use cairn_master::scheduler::most_holes as missing_allowed;

/// A layout that a peer named, checked.
pub(super) fn from_wire(peer: &str, layout: Option<&wire::Layout>) -> Result<Layout, ClientError> {
    let layout = layout.ok_or_else(|| ClientError::protocol(peer, "an answer without a layout"))?;
    checked_layout(layout).map_err(|refusal| ClientError::protocol(peer, refusal))
}
