//! Several rounds on several subjects, in turn.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::cold::ColdError;
use super::figures::{Figure, Figures};
use super::gluster::Gluster;
use super::report::Report;
use super::subject::Subject;
use super::work::{Amount, WorkError, work};
use crate::binary::profile_directory;

/// What to compare.
#[derive(Debug, Clone)]
pub struct ComparisonOptions {
    /// Compare with `GlusterFS` too.
    pub gluster: bool,
    /// Rounds of each subject.
    pub rounds: usize,
    /// Work of a round.
    pub amount: Amount,
}

/// Runs all rounds. The order of the subjects rotates from round to round, so that none always runs on the
/// machine that another left behind. `report` sees each figure with the subject's name and the round.
pub fn compare(options: &ComparisonOptions, report: &mut dyn FnMut(&str, usize, &Figure)) -> Result<Report, WorkError> {
    let parent = scratch_folder();
    let mut subjects = start_subjects(options, &parent)?;
    let mut figures = Figures::default();
    for round in 0..options.rounds {
        for turn in 0..subjects.len() {
            let position = (round + turn) % subjects.len();
            let subject = &mut subjects[position];
            let (name, folder) = (subject.name(), subject.folder());
            let measured = work(&folder, options.amount, subject, &mut |figure| report(name, round + 1, figure))?;
            figures.add(name, measured);
        }
    }
    let names = subjects.iter().map(Subject::name).collect();
    Ok(Report::new(figures, names, options.amount, options.rounds))
}

fn start_subjects(options: &ComparisonOptions, parent: &TempDir) -> Result<Vec<Subject>, ColdError> {
    let folder = |name: &str| -> PathBuf {
        let folder = parent.path().join(name);
        fs::create_dir_all(&folder).expect("the folder for the benchmark can be written");
        folder
    };
    let mut subjects = vec![Subject::cairn(), Subject::disk(&folder("disk"))];
    if options.gluster {
        subjects.push(Subject::Gluster(Gluster::start(&folder("gluster"))?));
    }
    Ok(subjects)
}

/// On the same disk as the clusters of the tests.
pub(super) fn scratch_folder() -> TempDir {
    let parent = profile_directory().join("clusters");
    fs::create_dir_all(&parent).expect("the target directory can be written");
    tempfile::Builder::new().prefix("bench-").tempdir_in(parent).expect("a folder can be made")
}
