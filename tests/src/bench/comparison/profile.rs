//! Where processors spend their time while a row of the comparison is measured, as `perf` samples it.

mod kind;
mod memory_copy;
mod profiler;
mod recording;
mod report;
mod stacks;

use super::amount::Amount;
use super::cairn_cluster::CairnCluster;
use super::figures::Figure;
use super::pieces::Pieces;
use super::plan;
use super::round::Round;
use super::row::Row;
use super::scene::Scene;
use super::work_error::WorkError;
use memory_copy::copy_s_a_gib;
use profiler::Profiler;
pub use report::ProfileReport;

/// What to look into.
#[derive(Debug, Clone)]
pub struct ProfileOptions {
    /// Rows of a round.
    pub rows: Vec<Row>,
    /// Work of a row.
    pub amount: Amount,
}

/// One round of the rows, and of those that they need, on a new dev cluster. `tell` gets each figure at once; what it says is
/// a little less than without anybody who looks on.
pub fn profile(options: &ProfileOptions, tell: &mut dyn FnMut(&Figure)) -> Result<ProfileReport, WorkError> {
    let scene = Scene::make(options.amount.free_gib)?;
    let pieces = Pieces::new();
    let copy_s_a_gib = copy_s_a_gib();
    let mut profiler = Profiler::new(scene.folder());
    let mut cluster = CairnCluster::start(scene.folder());
    let mut figures = Vec::new();
    let mut round = Round::new(&mut cluster, 0, options.amount, &pieces).observed_by(&mut profiler);
    round.run(&plan::steps(&options.rows), &mut |figure| {
        tell(&figure);
        figures.push(figure);
    })?;
    drop(cluster);
    let rows = options.rows.iter().filter_map(|row| {
        let figure = figures.iter().find(|figure| figure.row == *row)?;
        Some((figure.clone(), profiler.take(*row)?))
    });
    Ok(ProfileReport { rows: rows.collect(), copy_s_a_gib })
}
