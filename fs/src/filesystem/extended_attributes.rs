//! What a blob is and where, as extended attributes that can only be read.

use super::blob_store::{OpenBlob, Placement};

/// Names of all attributes.
pub const NAMES: [&str; 4] = [UUID, LAYOUT, NODES, HEALTH];

const UUID: &str = "user.cairn.uuid";
const LAYOUT: &str = "user.cairn.layout";
const NODES: &str = "user.cairn.nodes";
const HEALTH: &str = "user.cairn.health";

/// The value of an attribute; `None`: a blob has no such one.
pub(super) fn value(name: &str, blob: &impl OpenBlob) -> Option<String> {
    match name {
        UUID => Some(blob.entry().blob.to_string()),
        LAYOUT => blob.layout().map(|layout| format!("{}+{}", layout.data(), layout.code())),
        NODES => Some(blob.placement().nodes.join(",")),
        HEALTH => Some(health(&blob.placement())),
        _ => None,
    }
}

fn health(placement: &Placement) -> String {
    match placement {
        Placement { chunks: 0, .. } => "kept by the masters".to_owned(),
        Placement { unreadable: 0, chunks, .. } => format!("all of {chunks} chunks can be read"),
        Placement { unreadable, chunks, .. } => format!("{unreadable} of {chunks} chunks cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Placement, health};

    #[test]
    fn health_tells_how_many_chunks_are_out_of_reach() {
        let placement = |chunks, unreadable| Placement { nodes: Vec::new(), chunks, unreadable };
        assert_eq!(health(&placement(6, 0)), "all of 6 chunks can be read");
        assert_eq!(health(&placement(6, 2)), "2 of 6 chunks cannot be read");
        assert_eq!(health(&placement(0, 0)), "kept by the masters");
    }
}
