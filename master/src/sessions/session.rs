use std::collections::HashSet;
use std::time::Duration;

use cairn_proto::ids::{SegmentId, SessionId};
use tokio::time::Instant;

/// What a heartbeat says of the segments a client may still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The report is complete up to this index.
    pub as_of_index: u64,
    /// Segments that open handles may still read.
    pub open_segments: HashSet<SegmentId>,
}

/// A live session, as the elected master remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// When it was last heard, or the election if that was later.
    last_heard: Instant,
    /// A command that ends it is under way; nothing revives it any more.
    ending: bool,
    report: Report,
}

impl Session {
    /// A session that counts as heard at `now`. A client cannot have seen a blob that was deleted before the client
    /// registered, so it counts as having reported, with nothing open, up to its own index.
    pub fn new(id: SessionId, now: Instant) -> Self {
        Self { last_heard: now, ending: false, report: Report { as_of_index: id.0, open_segments: HashSet::new() } }
    }

    /// Takes a heartbeat. `false`: it is too late. Reports that were overtaken by a newer one are not taken back.
    pub fn hear(&mut self, now: Instant, report: Report) -> bool {
        if self.ending {
            return false;
        }
        self.last_heard = now;
        if report.as_of_index >= self.report.as_of_index {
            self.report = report;
        }
        true
    }

    /// Whether it has been silent for the whole timeout.
    pub fn is_overdue(&self, now: Instant, timeout: Duration) -> bool {
        now.saturating_duration_since(self.last_heard) >= timeout
    }

    /// Whether a command that ends it is under way.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// Marks that a command which ends it is under way, or has failed and is not.
    pub fn set_ending(&mut self, ending: bool) {
        self.ending = ending;
    }

    /// Whether a blob deleted at `index` may lose these segments as far as this client is concerned.
    pub fn is_past(&self, index: u64, segments: &[SegmentId]) -> bool {
        self.report.as_of_index >= index && !segments.iter().any(|segment| self.report.open_segments.contains(segment))
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Session};
    use cairn_proto::ids::{SegmentId, SessionId};
    use std::time::Duration;
    use tokio::time::Instant;

    fn report(as_of_index: u64, open: &[SegmentId]) -> Report {
        Report { as_of_index, open_segments: open.iter().copied().collect() }
    }

    #[test]
    fn silence_for_the_timeout_is_overdue() {
        let start = Instant::now();
        let mut session = Session::new(SessionId(5), start);
        let timeout = Duration::from_secs(30);
        assert!(!session.is_overdue(start + Duration::from_secs(29), timeout));
        assert!(session.is_overdue(start + timeout, timeout));
        assert!(session.hear(start + Duration::from_secs(29), report(9, &[])));
        assert!(!session.is_overdue(start + Duration::from_secs(58), timeout));
    }

    #[test]
    fn a_heartbeat_does_not_revive_an_ending_session() {
        let now = Instant::now();
        let mut session = Session::new(SessionId(5), now);
        session.set_ending(true);
        assert!(!session.hear(now, report(9, &[])));
    }

    #[test]
    fn a_deletion_waits_for_a_report_past_it_that_names_no_segment_of_it() {
        let now = Instant::now();
        let segment = SegmentId::generate();
        let mut session = Session::new(SessionId(5), now);
        assert!(session.is_past(5, &[segment]), "deleted before the client registered");
        assert!(!session.is_past(6, &[segment]));
        session.hear(now, report(6, &[segment]));
        assert!(!session.is_past(6, &[segment]));
        session.hear(now, report(7, &[]));
        assert!(session.is_past(6, &[segment]));
        session.hear(now, report(6, &[segment]));
        assert!(session.is_past(6, &[segment]), "an overtaken report is not taken back");
    }
}
