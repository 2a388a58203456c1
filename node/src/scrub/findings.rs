use std::collections::BTreeMap;

use cairn_proto::ids::SegmentId;
use cairn_proto::wire;

/// Damaged chunks that are remembered. With more, the pass that finds the rest comes after these are repaired.
const FINDINGS_LIMIT: usize = 65_536;
/// Those that one answer to the master names.
pub(super) const REPORTED_LIMIT: usize = 256;

/// The chunks of which cells are known to be missing or corrupt.
#[derive(Debug, Default)]
pub(super) struct Findings {
    chunks: BTreeMap<SegmentId, u8>,
    found: u64,
    repaired: u64,
    overflowed: bool,
}

impl Findings {
    /// Remembers a chunk. `true`: it was not known.
    pub(super) fn add(&mut self, segment: SegmentId, chunk_index: u8) -> bool {
        if self.chunks.contains_key(&segment) {
            return false;
        }
        if self.chunks.len() >= FINDINGS_LIMIT {
            self.overflowed = true;
            return false;
        }
        self.chunks.insert(segment, chunk_index);
        self.found += 1;
        true
    }

    /// A chunk is whole again.
    pub(super) fn repaired(&mut self, segment: SegmentId) {
        if self.chunks.remove(&segment).is_some() {
            self.repaired += 1;
        }
    }

    /// Forgets what is not kept here any more.
    pub(super) fn retain(&mut self, is_here: impl Fn(SegmentId) -> bool) {
        self.chunks.retain(|segment, _| is_here(*segment));
    }

    /// Whether some could not be remembered; once all others are repaired, this is answered once.
    pub(super) fn wants_another_pass(&mut self) -> bool {
        self.overflowed && self.chunks.is_empty() && std::mem::take(&mut self.overflowed)
    }

    /// Found, repaired, and not repaired yet.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.found, self.repaired, self.chunks.len() as u64)
    }

    /// Some of them, for the master.
    pub(super) fn report(&self) -> Vec<wire::DamagedChunk> {
        let chunk = |(segment, chunk_index): (&SegmentId, &u8)| wire::DamagedChunk {
            segment: segment.to_wire(),
            chunk_index: u32::from(*chunk_index),
        };
        self.chunks.iter().take(REPORTED_LIMIT).map(chunk).collect()
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;

    use super::{FINDINGS_LIMIT, Findings, REPORTED_LIMIT};

    #[test]
    fn a_chunk_counts_once_until_it_is_repaired() {
        let mut findings = Findings::default();
        let [one, other] = [1, 2].map(|byte| SegmentId::from_bytes([byte; 16]));
        assert!(findings.add(one, 3) && !findings.add(one, 3) && findings.add(other, 0));
        assert_eq!((findings.counts(), findings.report().len()), ((2, 0, 2), 2));
        findings.repaired(one);
        findings.repaired(one);
        assert_eq!(findings.counts(), (2, 1, 1));
        findings.retain(|segment| segment != other);
        assert_eq!(findings.counts(), (2, 1, 0), "what was deleted is not repaired");
        assert!(findings.add(one, 3), "it can be damaged again");
    }

    #[test]
    fn with_too_many_another_pass_is_wanted_after_those_that_are_known() {
        let mut findings = Findings::default();
        for _ in 0..=FINDINGS_LIMIT {
            findings.add(SegmentId::generate(), 0);
        }
        assert_eq!(findings.counts().2, FINDINGS_LIMIT as u64);
        assert_eq!(findings.report().len(), REPORTED_LIMIT);
        assert!(!findings.wants_another_pass());
        findings.retain(|_| false);
        assert!(findings.wants_another_pass() && !findings.wants_another_pass());
    }
}
