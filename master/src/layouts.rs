//! Layouts between the wire, where nothing is checked, and the codec, where everything is.

use cairn_codec::Layout;
use cairn_proto::{Refusal, wire};

/// The layout of a message, checked.
pub fn checked_layout(layout: &wire::Layout) -> Result<Layout, Refusal> {
    Layout::new(layout.data, layout.code, layout.cell_size_bytes, layout.stripe_size_bytes)
        .map_err(|error| Refusal::InvalidLayout { why: error.to_string() })
}

/// The message of a layout.
pub fn wire_layout(layout: &Layout) -> wire::Layout {
    let narrow = |number: usize| u32::try_from(number).expect("a layout is made of 32-bit numbers");
    wire::Layout {
        data: narrow(layout.data()),
        code: narrow(layout.code()),
        cell_size_bytes: narrow(layout.cell_size_bytes()),
        stripe_size_bytes: layout.stripe_size_bytes(),
    }
}
