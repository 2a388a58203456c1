use std::collections::HashMap;
use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::{Blob, Chunk, Key, KeyEntry, Node, Segment};
use cairn_proto::wire;

use super::open_segments::OpenSegments;
use super::{ChunkState, ClientError, wire_layout};

const PEER: &str = "master";

/// A blob with all that reading it takes, checked. Its segments count as open while it lives.
#[derive(Debug)]
pub struct FoundBlob {
    entry: KeyEntry,
    blob: Blob,
    layout: Option<Layout>,
    segments: Vec<Segment>,
    nodes: HashMap<NodeId, Node>,
    /// For each extent, its first row in the blob and its segment's index.
    starts: Vec<(u64, usize)>,
    _open: Opened,
}

/// Where a row of a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// Index of the segment.
    pub(super) segment: usize,
    /// Row in the segment.
    pub(super) row: u64,
    /// User bytes of that row in the segment, of which the blob's last row may use a part.
    pub(super) length: usize,
}

/// Keeps segments open until it is dropped.
#[derive(Debug)]
struct Opened {
    registry: Arc<OpenSegments>,
    segments: Vec<SegmentId>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.registry.remove(&self.segments);
    }
}

impl FoundBlob {
    /// What the key pointed at when it was looked up.
    pub fn entry(&self) -> &KeyEntry {
        &self.entry
    }

    /// The blob.
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Of all its extents; `None` for an empty blob.
    pub fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Segments in the order of their first use.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// A node that keeps chunks of it, if it is still registered.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// What became of a chunk of it, as far as the masters knew when it was looked up.
    pub fn chunk_state(&self, chunk: &Chunk) -> ChunkState {
        let node = chunk.place.and_then(|place| {
            let node = self.node(place.node)?;
            (node.incarnation == place.incarnation).then_some(node.state)
        });
        ChunkState::of(chunk, node)
    }

    /// `known` is the entry of a blob that is looked up again by its id.
    pub(super) fn from_wire(
        answer: wire::LookUpResponse,
        known: Option<KeyEntry>,
        registry: &Arc<OpenSegments>,
    ) -> Result<Self, ClientError> {
        let broken = |error: cairn_proto::Refusal| ClientError::protocol(PEER, error);
        let entry = answer.entry.map(KeyEntry::try_from).transpose().map_err(broken)?.or(known);
        let entry = entry.ok_or_else(|| ClientError::protocol(PEER, "a key looked up without its entry"))?;
        let blob = answer.blob.ok_or_else(|| ClientError::protocol(PEER, "an answer without the blob"))?;
        let blob = Blob::try_from(blob).map_err(broken)?;
        let nodes = answer.nodes.into_iter().map(Node::try_from).collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let records =
            answer.segments.into_iter().map(Segment::try_from).collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let (layout, segments, starts) = map(&blob, records)?;
        if entry.blob != blob.id || entry.size_bytes != blob.size_bytes {
            return Err(ClientError::protocol(PEER, "an entry that is not of the blob it came with"));
        }
        let ids: Vec<SegmentId> = segments.iter().map(|segment| segment.id).collect();
        registry.add(&ids);
        let open = Opened { registry: Arc::clone(registry), segments: ids };
        let nodes = nodes.into_iter().map(|node| (node.id, node)).collect();
        Ok(Self { entry, blob, layout, segments, nodes, starts, _open: open })
    }

    /// Where row `row` of the blob lies. The row is one of the blob's.
    pub(super) fn place(&self, layout: &Layout, row: u64) -> RowPlace {
        let extent = self.starts.partition_point(|(first, _)| *first <= row) - 1;
        let (first, segment) = self.starts[extent];
        let row = self.blob.extents[extent].first_row + (row - first);
        RowPlace { segment, row, length: layout.row_length(self.segments[segment].length_bytes, row) }
    }

    /// The node that keeps a chunk, if one does.
    pub(super) fn keeper(&self, segment: usize, chunk: usize) -> Option<&Node> {
        let place = self.segments[segment].chunks[chunk].place?;
        self.node(place.node)
    }

    /// For people: who keeps a chunk.
    pub(super) fn keeper_name(&self, segment: usize, chunk: usize) -> String {
        match (self.segments[segment].chunks[chunk].place, self.keeper(segment, chunk)) {
            (_, Some(node)) => node.name.clone(),
            (Some(place), None) => format!("unregistered node {}", place.node),
            (None, _) => "no node".to_owned(),
        }
    }
}

type Map = (Option<Layout>, Vec<Segment>, Vec<(u64, usize)>);

/// Checks that the extents are whole rows of the segments that came along, of one layout, and sum up to the blob.
fn map(blob: &Blob, records: Vec<Segment>) -> Result<Map, ClientError> {
    let mut records: HashMap<SegmentId, Segment> = records.into_iter().map(|segment| (segment.id, segment)).collect();
    let (mut layout, mut segments, mut starts) = (None, Vec::<Segment>::new(), Vec::new());
    let mut indexes = HashMap::new();
    let (mut rows, mut length) = (0_u64, 0_u64);
    for (number, extent) in blob.extents.iter().enumerate() {
        let broken = |why: &str| ClientError::protocol(PEER, format!("blob {}, extent {number}: {why}", blob.id));
        if let Some(record) = records.remove(&extent.segment) {
            indexes.insert(extent.segment, segments.len());
            segments.push(record);
        }
        let index = *indexes.get(&extent.segment).ok_or_else(|| broken("its segment is missing"))?;
        let segment = &segments[index];
        let own = wire_layout::from_wire(PEER, Some(&segment.layout))?;
        if *layout.get_or_insert(own) != own {
            return Err(broken("another layout than the first"));
        }
        if segment.length_bytes > own.largest_length_bytes() || segment.chunks.len() != own.chunks() {
            return Err(broken("a segment that does not fit its layout"));
        }
        let row_size = own.row_size_bytes() as u64;
        let start = extent.first_row.checked_mul(row_size).ok_or_else(|| broken("rows out of range"))?;
        let end = start.checked_add(extent.length_bytes).ok_or_else(|| broken("bytes out of range"))?;
        let is_last = number + 1 == blob.extents.len();
        if end > segment.length_bytes || own.row_count(extent.length_bytes) != extent.rows {
            return Err(broken("rows and bytes that its segment does not have"));
        }
        if !is_last && !extent.length_bytes.is_multiple_of(row_size) {
            return Err(broken("a short row in mid-blob"));
        }
        starts.push((rows, index));
        rows += extent.rows;
        length += extent.length_bytes;
        if length > own.largest_length_bytes() {
            return Err(broken("longer than the layout allows"));
        }
    }
    if length != blob.size_bytes {
        let why = format!("blob {} of {} bytes with extents of {length}", blob.id, blob.size_bytes);
        return Err(ClientError::protocol(PEER, why));
    }
    Ok((layout, segments, starts))
}

/// What a listing or look-up says of a key.
pub(super) fn checked_entry(key: &str, entry: Option<wire::KeyEntry>) -> Result<(Key, KeyEntry), ClientError> {
    let key = Key::try_from(key).map_err(|error| ClientError::protocol(PEER, error))?;
    let entry = entry.ok_or_else(|| ClientError::protocol(PEER, "a key without an entry"))?;
    Ok((key, KeyEntry::try_from(entry).map_err(|error| ClientError::protocol(PEER, error))?))
}
