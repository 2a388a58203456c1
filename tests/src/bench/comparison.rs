//! Several rounds of the same work on several systems, in turn.

mod amount;
mod big_file;
mod cairn_cluster;
mod cold_cache;
mod costs;
mod deadline;
mod figures;
mod machine;
mod memory_folder;
mod observer;
mod peer;
mod pieces;
mod plan;
mod plot;
mod profile;
mod report;
mod round;
mod row;
mod scene;
mod small_files;
mod subject;
mod sync_limit;
mod sync_proof;
mod sync_trace;
mod system;
mod table_text;
mod targets;
mod verdicts;
mod work_error;

use std::path::Path;
use std::time::{Duration, Instant};

pub use amount::Amount;
use cairn_cluster::CairnCluster;
pub use costs::Costs;
pub use figures::{Figure, Figures};
pub use machine::Machine;
use memory_folder::MemoryFolder;
use peer::{Peer, PeerScript};
pub(super) use pieces::{PIECE_BYTES, Pieces};
pub use profile::{ProfileOptions, ProfileReport, profile};
pub use report::Report;
use round::Round;
pub use row::{Row, Unit};
pub(super) use scene::Scene;
pub use scene::clear_at_end_of_input;
pub use subject::SubjectError;
use subject::{DiskFolder, Subject};
use sync_limit::sync_limit;
pub use sync_proof::{SyncProof, SyncProofs};
use sync_trace::trace_syncs;
pub use system::System;
pub use targets::Verdict;
pub use work_error::WorkError;

/// What to compare.
#[derive(Debug, Clone)]
pub struct ComparisonOptions {
    /// What to compare Cairn and the disk with.
    pub peers: Vec<System>,
    /// Rounds of each.
    pub rounds: usize,
    /// What to measure.
    pub rows: Vec<Row>,
    /// Work of a row.
    pub amount: Amount,
    /// No round is begun that can be expected to end later.
    pub time_limit: Duration,
}

impl ComparisonOptions {
    fn systems(&self) -> Vec<System> {
        [System::Disk, System::Memory, System::Cairn].into_iter().chain(self.peers.iter().copied()).collect()
    }
}

/// Runs all rounds, and further ones of rows that differ too much. Each round of a system begins with nothing in it, and no
/// other one runs beside it. `tell` gets each figure at once.
pub fn compare(options: &ComparisonOptions, tell: &mut dyn FnMut(&Figure)) -> Result<Report, WorkError> {
    let mut comparison = Comparison::start(options)?;
    comparison.trace()?;
    for round in 0..options.rounds {
        comparison.round(round, &options.rows, tell)?;
    }
    for further in 0..plan::FURTHER_ROUNDS_LIMIT {
        let unsteady = plan::unsteady(&options.rows, &comparison.systems, &comparison.figures);
        if unsteady.is_empty() {
            break;
        }
        comparison.round(options.rounds + further, &unsteady, tell)?;
    }
    let Comparison { systems, figures, proofs, sync_limit, machine, .. } = comparison;
    let (rows, amount) = (options.rows.clone(), options.amount);
    Ok(Report { figures, systems, rows, amount, proofs, sync_limit, machine })
}

/// One round on a folder that exists, which keeps nothing of it. Cold is there what the page cache does not have.
pub fn work(folder: &Path, amount: Amount, tell: &mut dyn FnMut(&Figure)) -> Result<Vec<Figure>, WorkError> {
    let (mut subject, pieces, mut figures) = (DiskFolder::new(folder), Pieces::new(), Vec::new());
    let mut round = Round::new(&mut subject, 0, amount, &pieces);
    let done = round.run(Row::all(), &mut |figure| {
        tell(&figure);
        figures.push(figure);
    });
    round.clear()?;
    done.map(|()| figures)
}

struct Comparison<'options> {
    options: &'options ComparisonOptions,
    systems: Vec<System>,
    begun: Instant,
    longest_round: Duration,
    pieces: Pieces,
    figures: Figures,
    proofs: SyncProofs,
    /// Changes a second, where a row makes them one by one.
    sync_limit: Option<f64>,
    machine: Machine,
    scene: Scene,
}

impl<'options> Comparison<'options> {
    fn start(options: &'options ComparisonOptions) -> Result<Self, WorkError> {
        let (begun, systems, scene) = (Instant::now(), options.systems(), Scene::make(options.amount.free_gib)?);
        let scripts = machine::scripts(&systems, scene.folder());
        for script in &scripts {
            script.run("install")?;
        }
        let machine = Machine::look(&scripts)?;
        let (figures, proofs) = (Figures::default(), SyncProofs::default());
        let (longest_round, pieces) = (Duration::ZERO, Pieces::new());
        let one_by_one = options.rows.iter().any(|row| row.commits_one_by_one());
        let sync_limit = one_by_one.then(|| sync_limit(scene.folder())).transpose()?;
        Ok(Self { options, systems, begun, longest_round, pieces, figures, proofs, sync_limit, machine, scene })
    }

    /// Who syncs before an answer, if any row depends on it.
    fn trace(&mut self) -> Result<(), WorkError> {
        if self.options.rows.iter().all(|row| row.synced_file_bytes().is_none()) {
            return Ok(());
        }
        for system in self.systems.clone().into_iter().filter(|system| *system != System::Memory) {
            let subject = self.start_system(system)?;
            for proof in trace_syncs(subject.as_ref(), self.scene.folder())? {
                self.proofs.add(proof);
            }
        }
        Ok(())
    }

    /// One round of the rows on every system, unless it is not the first and would end too late.
    fn round(&mut self, round: usize, rows: &[Row], tell: &mut dyn FnMut(&Figure)) -> Result<(), WorkError> {
        let rows: Vec<Row> = rows.iter().copied().filter(|row| round == 0 || !row.is_once()).collect();
        let (steps, begun) = (plan::steps(&rows), Instant::now());
        let left = self.options.time_limit.saturating_sub(self.begun.elapsed());
        if round > 0 && !plan::fits(steps.len(), self.longest_round, left) {
            return Ok(());
        }
        for system in plan::order(&self.systems, round) {
            let mut subject = self.start_system(system)?;
            let figures = &mut self.figures;
            Round::new(subject.as_mut(), round, self.options.amount, &self.pieces).run(&steps, &mut |figure| {
                tell(&figure);
                figures.add(figure);
            })?;
        }
        self.longest_round = self.longest_round.max(begun.elapsed());
        Ok(())
    }

    fn start_system(&self, system: System) -> Result<Box<dyn Subject>, SubjectError> {
        let scene = self.scene.folder();
        Ok(match system {
            System::Disk => Box::new(DiskFolder::new_in(scene)?),
            System::Memory => Box::new(MemoryFolder::mount(scene)?),
            System::Cairn => Box::new(CairnCluster::start(scene)),
            System::Gluster | System::MooseFs => Box::new(Peer::start(PeerScript::new(system, scene))?),
        })
    }
}
