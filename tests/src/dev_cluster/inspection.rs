//! Whether the records of a cluster and what its nodes keep agree.

use std::time::Duration;

use super::DevCluster;
use crate::status::FsckReport;
use crate::wait;

impl DevCluster {
    /// `cairn fsck`, which says by its exit code whether all agrees.
    #[must_use]
    #[track_caller]
    pub fn fsck(&self, arguments: &[&str]) -> FsckReport {
        let answer = self.run(&[&["fsck", "--json"], arguments].concat());
        let report: FsckReport = if answer.code() == Some(0) { answer.json() } else { answer.expect_code(5).json() };
        assert_eq!(report.ok, report.problems.is_empty(), "{report:?}");
        report
    }

    /// Waits until records and nodes agree, with nothing left to be dropped, deleted or rebuilt.
    #[track_caller]
    pub fn wait_clean(&self, deadline: Duration) {
        let mut last = None;
        let clean = wait::within(deadline, || {
            let report = self.fsck(&[]);
            let waiting = report.deleted_blobs + report.garbage_chunks + report.pending_repairs;
            let clean = report.ok && waiting == 0;
            last = Some(report);
            clean.then_some(())
        });
        assert!(clean.is_some(), "not clean after {deadline:?}: {last:?}");
    }
}
