use cairn_codec::Layout;
use cairn_proto::records::Segment;
use cairn_proto::{Refusal, wire};

use super::request::{chunk_index, invalid};
use crate::rebuild::{Peers, Rebuild, Source};

impl Rebuild {
    /// What is ordered, checked; its sources are reached by way of `peers`.
    pub(super) fn ordered(request: wire::RebuildChunkRequest, peers: &Peers) -> Result<Self, Refusal> {
        let segment = Segment::try_from(request.segment.ok_or_else(|| invalid("segment is missing"))?)?;
        let wire::Layout { data, code, cell_size_bytes, stripe_size_bytes } = segment.layout;
        let layout = Layout::new(data, code, cell_size_bytes, stripe_size_bytes)
            .map_err(|error| Refusal::InvalidLayout { why: error.to_string() })?;
        let rebuilt = chunk_index(request.chunk_index)?;
        let chunk = segment.chunks.get(usize::from(rebuilt)).ok_or_else(|| invalid("no such chunk in the layout"))?;
        if chunk.cells == 0 || segment.length_bytes > layout.largest_length_bytes() {
            return Err(invalid("a chunk without cells, or a segment longer than its layout can be"));
        }
        let source = |source: &wire::RebuildSource| {
            let index = chunk_index(source.chunk_index)?;
            if segment.chunks.get(usize::from(index)).is_none_or(|chunk| chunk.cells == 0) {
                return Err(invalid(format!("chunk {index} is no source")));
            }
            let client = peers.at(&source.address).map_err(|error| invalid(error.to_string()))?;
            Ok(Source::new(index, client))
        };
        let is_original = |source: &&wire::RebuildSource| source.chunk_index == request.chunk_index;
        let (original, others): (Vec<_>, Vec<_>) = request.sources.iter().partition(is_original);
        if original.len() > 1 {
            return Err(invalid("a chunk is moved from one place"));
        }
        Ok(Self {
            ordered_at: request.order.map_or(0, |order| order.record_version),
            segment: segment.id,
            layout,
            length_bytes: segment.length_bytes,
            chunk_index: rebuilt,
            original: original.into_iter().map(source).next().transpose()?,
            sources: others.into_iter().map(source).collect::<Result<_, _>>()?,
            bytes_per_second: request.bytes_per_second,
            chunks: segment.chunks,
        })
    }
}
