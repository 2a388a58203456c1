use cairn_proto::ids::{BlobId, NodeId};
use cairn_proto::records::{Blob, Key, KeyEntry, Segment};
use cairn_proto::{Refusal, wire};

use crate::failure::Failure;
use crate::keys;
use crate::state::{State, damaged};

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUpTarget {
    /// The blob that a key points at.
    Key(Key),
    /// A blob that a client knows already; deleted ones are found until they are collected.
    Blob(BlobId),
}

impl TryFrom<Option<wire::look_up_request::Target>> for LookUpTarget {
    type Error = Refusal;

    fn try_from(target: Option<wire::look_up_request::Target>) -> Result<Self, Refusal> {
        match target {
            Some(wire::look_up_request::Target::Key(key)) => Ok(Self::Key(key.try_into()?)),
            Some(wire::look_up_request::Target::Blob(id)) => Ok(Self::Blob(BlobId::from_wire(&id)?)),
            None => Err(Refusal::InvalidRequest { why: "nothing to look up".to_owned() }),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The entry, if a key was looked up.
    pub entry: Option<KeyEntry>,
    /// The blob, unless only the entry was wanted.
    pub blob: Option<Blob>,
    /// Every segment that the blob's extents name, once each.
    pub segments: Vec<Segment>,
}

impl Found {
    /// Every node that the segments name, once each.
    pub fn nodes(&self) -> Vec<NodeId> {
        let chunks = self.segments.iter().flat_map(|segment| &segment.chunks);
        let mut nodes: Vec<NodeId> = chunks.filter_map(|chunk| chunk.place.map(|place| place.node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// Looks up a key or a blob, all in one view.
pub fn look_up(state: &State<'_>, target: &LookUpTarget, entry_only: bool) -> Result<Found, Failure> {
    let (entry, id) = match target {
        LookUpTarget::Key(key) => {
            let entry = state.entry(key)?.ok_or_else(|| Refusal::KeyNotFound { key: key.to_string() })?.record;
            (Some(entry), entry.blob)
        }
        LookUpTarget::Blob(id) => (None, *id),
    };
    if entry_only && entry.is_some() {
        return Ok(Found { entry, blob: None, segments: Vec::new() });
    }
    let blob = state.blob(id)?.ok_or_else(|| Refusal::BlobNotFound { blob: id.to_string() })?.record;
    let mut segments: Vec<Segment> = Vec::new();
    for extent in &blob.extents {
        if segments.iter().any(|segment| segment.id == extent.segment) {
            continue;
        }
        let why = || damaged(&keys::blob(id), &format!("segment {} has no record", extent.segment));
        let segment = state.segment(extent.segment)?.ok_or_else(|| Failure::State(why().into()))?;
        segments.push(segment.record);
    }
    Ok(Found { entry, blob: Some(blob), segments })
}
