use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::SegmentId;
use cairn_proto::wire;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Scrub;
use super::findings::REPORTED_LIMIT;
use crate::background::Background;
use crate::stores::{DeviceStore, Stores};

/// The scrubbers of a node, one for each device. They keep one period and share one account of background work.
pub(crate) struct Scrubs {
    devices: Vec<(String, Arc<Scrub>)>,
    background: Arc<Background>,
}

impl Scrubs {
    pub(crate) fn new(
        stores: &Stores,
        period: Duration,
        background: Arc<Background>,
        stop: &CancellationToken,
    ) -> Self {
        let scrub = |DeviceStore { device, store }: &DeviceStore| {
            let scrub = Scrub::new(Arc::clone(store), period, Arc::clone(&background), stop.clone());
            (device.clone(), Arc::new(scrub))
        };
        Self { devices: stores.devices().iter().map(scrub).collect(), background }
    }

    /// What they share with all other background work of the node.
    pub(crate) fn background(&self) -> &Arc<Background> {
        &self.background
    }

    /// Has every device verified at once; each reads its part of what may be read in a second. 0: no limit but the account's.
    pub(crate) fn order(&self, bytes_per_second: u64) {
        let part = bytes_per_second.div_ceil(self.devices.len().max(1) as u64);
        self.scrubs().for_each(|scrub| scrub.order(part));
    }

    /// Remembers a damaged chunk, whoever met it.
    pub(crate) fn note(&self, segment: SegmentId, chunk_index: u8, why: &str) {
        if let Some(scrub) = self.scrubs().find(|scrub| scrub.keeps(segment)) {
            scrub.note(segment, chunk_index, why);
        }
    }

    /// A chunk was put right.
    pub(crate) fn repaired(&self, segment: SegmentId) {
        self.scrubs().for_each(|scrub| scrub.repaired(segment));
    }

    /// Some of the damaged chunks, for the master.
    pub(crate) fn damaged(&self) -> Vec<wire::DamagedChunk> {
        self.scrubs().flat_map(|scrub| scrub.damaged()).take(REPORTED_LIMIT).collect()
    }

    /// How it goes.
    pub(crate) fn status(&self) -> wire::ScrubStatus {
        let named = |(device, scrub): &(String, Arc<Scrub>)| (device.clone(), scrub.status());
        whole(self.devices.iter().map(named).collect())
    }

    /// Work until told to stop.
    pub(crate) async fn run(self: Arc<Self>) {
        join_all(self.scrubs().map(|scrub| Arc::clone(scrub).run())).await;
    }

    fn scrubs(&self) -> impl Iterator<Item = &Arc<Scrub>> {
        self.devices.iter().map(|(_, scrub)| scrub)
    }
}

/// What is said of a node, from what is said of its devices: a full pass of it is one of the device that has fewest.
fn whole(devices: Vec<(String, wire::ScrubStatus)>) -> wire::ScrubStatus {
    let several = devices.len() > 1;
    let mut whole = wire::ScrubStatus { full_passes: u64::MAX, since_full_pass_s: Some(0), ..Default::default() };
    let mut damaged_records = Vec::new();
    for (device, status) in devices {
        whole.running |= status.running;
        whole.ordered |= status.ordered;
        whole.verified_chunks += status.verified_chunks;
        whole.verified_bytes += status.verified_bytes;
        whole.rate_bytes_per_s += status.rate_bytes_per_s;
        whole.full_passes = whole.full_passes.min(status.full_passes);
        whole.since_full_pass_s =
            whole.since_full_pass_s.zip(status.since_full_pass_s).map(|(one, other)| one.max(other));
        whole.found_chunks += status.found_chunks;
        whole.repaired_chunks += status.repaired_chunks;
        whole.unrepaired_chunks += status.unrepaired_chunks;
        if !status.damaged_records.is_empty() {
            let device = if several { format!("device {device}: ") } else { String::new() };
            damaged_records.push(format!("{device}{}", status.damaged_records));
        }
    }
    whole.damaged_records = damaged_records.join("; ");
    whole
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire::ScrubStatus;

    use super::whole;

    #[test]
    fn a_node_is_verified_when_each_of_its_devices_is() {
        let one = ScrubStatus {
            running: true,
            verified_bytes: 5,
            full_passes: 3,
            since_full_pass_s: Some(7),
            unrepaired_chunks: 1,
            ..ScrubStatus::default()
        };
        let other =
            ScrubStatus { verified_bytes: 2, full_passes: 1, since_full_pass_s: Some(90), ..ScrubStatus::default() };
        let both = whole(vec![("a".to_owned(), one.clone()), ("b".to_owned(), other.clone())]);
        assert!(both.running && !both.ordered);
        assert_eq!((both.verified_bytes, both.unrepaired_chunks), (7, 1));
        assert_eq!((both.full_passes, both.since_full_pass_s), (1, Some(90)));
        let never = ScrubStatus { full_passes: 0, since_full_pass_s: None, ..other };
        let status = whole(vec![("a".to_owned(), one.clone()), ("b".to_owned(), never)]);
        assert_eq!((status.full_passes, status.since_full_pass_s), (0, None));
        assert_eq!(whole(vec![("a".to_owned(), one.clone())]), one);
    }

    #[test]
    fn damaged_records_are_told_with_their_device() {
        let damaged = ScrubStatus { damaged_records: "empty it".to_owned(), ..ScrubStatus::default() };
        assert_eq!(whole(vec![("a".to_owned(), damaged.clone())]).damaged_records, "empty it");
        let both = whole(vec![("a".to_owned(), ScrubStatus::default()), ("b".to_owned(), damaged)]);
        assert_eq!(both.damaged_records, "device b: empty it");
    }
}
