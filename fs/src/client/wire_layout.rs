use cairn_codec::Layout;
use cairn_proto::wire;

use super::ClientError;

/// A layout that a peer named, checked.
pub(super) fn from_wire(peer: &str, layout: Option<&wire::Layout>) -> Result<Layout, ClientError> {
    let layout = layout.ok_or_else(|| ClientError::protocol(peer, "an answer without a layout"))?;
    Layout::new(layout.data, layout.code, layout.cell_size_bytes, layout.stripe_size_bytes)
        .map_err(|error| ClientError::protocol(peer, error))
}

pub(super) fn to_wire(layout: &Layout) -> wire::Layout {
    let narrow = |number: usize| u32::try_from(number).expect("a layout is made of 32-bit numbers");
    wire::Layout {
        data: narrow(layout.data()),
        code: narrow(layout.code()),
        cell_size_bytes: narrow(layout.cell_size_bytes()),
        stripe_size_bytes: layout.stripe_size_bytes(),
    }
}

/// Chunks that a segment may lack and still be committed: all spares but one, and none where there is one spare at most.
pub(super) fn missing_allowed(layout: &Layout) -> usize {
    layout.code().saturating_sub(1)
}
