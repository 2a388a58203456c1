use cairn_proto::wire::NodeEventKind;

use super::{EventLog, Happening};
use crate::nodes::health::Stats;

/// What a node says of itself for as long as it is so: only its beginning and its end are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nodes) struct Conditions {
    is_damaged: bool,
    refuses_writes: bool,
}

impl Conditions {
    /// As its last answer says.
    pub(in crate::nodes) fn of(stats: &Stats) -> Self {
        let is_damaged = stats.scrub.unrepaired_chunks > 0 || !stats.scrub.damaged_records.is_empty();
        Self { is_damaged, refuses_writes: !stats.refusing_writes.is_empty() }
    }

    /// What of it is not in the log yet.
    pub(super) fn untold(self, stats: &Stats, log: &EventLog) -> Vec<Happening> {
        let damage = || {
            let records = &stats.scrub.damaged_records;
            if records.is_empty() {
                format!("cells of {} chunks are missing or corrupt", stats.scrub.unrepaired_chunks)
            } else {
                records.clone()
            }
        };
        let refusal = || stats.refusing_writes.clone();
        [
            (self.is_damaged, NodeEventKind::Damaged, NodeEventKind::Repaired, &damage as &dyn Fn() -> String),
            (self.refuses_writes, NodeEventKind::WritesRefused, NodeEventKind::WritesTaken, &refusal),
        ]
        .into_iter()
        .filter(|(holds, begun, ended, _)| *holds != log.stands(*begun, *ended))
        .map(
            |(holds, begun, ended, detail)| {
                if holds { Happening::new(begun, detail()) } else { Happening::new(ended, "") }
            },
        )
        .collect()
    }
}
