use std::hash::{BuildHasher, Hasher, RandomState};

use prost::Message;

use crate::wire::GetStatsResponse;

/// Names what one process says of itself, so that it need not say the same to the same asker twice. The names are drawn
/// with the process: what another life of it, or another node, has said is known by none of them.
#[derive(Debug, Clone, Default)]
pub struct StatsVersions(RandomState);

impl StatsVersions {
    /// The answer under its version, without what an asker that knows this version knows.
    pub fn answer(&self, known_version: u64, full: GetStatsResponse) -> GetStatsResponse {
        let version = self.version_of(&full);
        if version != known_version {
            return GetStatsResponse { version, ..full };
        }
        let GetStatsResponse { sealed_chunks, open_segments, scrub, .. } = full;
        GetStatsResponse {
            sealed_chunks,
            open_segments,
            scrub,
            version,
            unchanged: true,
            ..GetStatsResponse::default()
        }
    }

    fn version_of(&self, answer: &GetStatsResponse) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(&answer.node.as_ref().map(Message::encode_to_vec).unwrap_or_default());
        hasher.write(answer.refusing_writes.as_bytes());
        hasher.write_usize(answer.refusing_writes.len());
        for damaged in &answer.damaged {
            hasher.write(&damaged.segment);
            hasher.write_u32(damaged.chunk_index);
        }
        hasher.finish().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::StatsVersions;
    use crate::wire::{DamagedChunk, GetStatsResponse, NodeInfo, ScrubStatus};

    fn full() -> GetStatsResponse {
        let node = NodeInfo { name: "node-1".to_owned(), ..NodeInfo::default() };
        GetStatsResponse { node: Some(node), sealed_chunks: 3, ..GetStatsResponse::default() }
    }

    #[test]
    fn what_is_known_is_left_out_and_what_moves_all_the_time_is_told() {
        let versions = StatsVersions::default();
        let first = versions.answer(0, full());
        assert!(!first.unchanged && first.node.is_some() && first.version != 0);
        let scrub = Some(ScrubStatus { verified_bytes: 7, ..ScrubStatus::default() });
        let next =
            versions.answer(first.version, GetStatsResponse { sealed_chunks: 4, scrub: scrub.clone(), ..full() });
        assert_eq!((next.unchanged, next.node, next.version), (true, None, first.version));
        assert_eq!((next.sealed_chunks, next.scrub), (4, scrub));
    }

    #[test]
    fn whatever_else_changes_is_told() {
        let versions = StatsVersions::default();
        let known = versions.answer(0, full()).version;
        let moved = NodeInfo { address: "127.0.0.1:1".to_owned(), ..full().node.unwrap() };
        for changed in [
            GetStatsResponse { refusing_writes: "full".to_owned(), ..full() },
            GetStatsResponse { damaged: vec![DamagedChunk::default()], ..full() },
            GetStatsResponse { node: Some(moved), ..full() },
        ] {
            let answer = versions.answer(known, changed.clone());
            assert_eq!(answer, GetStatsResponse { version: answer.version, ..changed });
            assert_ne!(answer.version, known);
        }
    }

    #[test]
    fn another_process_knows_nothing_of_the_versions_of_this_one() {
        let known = StatsVersions::default().answer(0, full()).version;
        assert!(!StatsVersions::default().answer(known, full()).unchanged);
    }
}
