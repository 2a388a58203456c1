//! What the loss of one node among very many costs the elected master: to see what is missing, to choose where each chunk is
//! made, to order it and to put it on record. Nodes are simulated and make chunks in no time.

mod records;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::heartbeats::{CountedConnector, HeartbeatsError, MeasuredMaster, NodeProcess};
use super::processor_time;
use crate::process::Process;
use crate::resident::current_bytes;
use crate::wait::within;
pub use records::RecordsError;
use records::Writer;
pub use report::LossesReport;

/// Chunks of each segment on record: layout 4+2.
const CHUNKS_PER_SEGMENT: u32 = 6;
/// Over which a master is measured that has all records, and no loss.
const QUIET: Duration = Duration::from_secs(4);
/// From the loss until all is made elsewhere.
const HEAL_DEADLINE: Duration = Duration::from_mins(5);

/// What is measured.
#[derive(Debug, Clone)]
pub struct LossesOptions {
    /// Numbers of nodes; a new master for each.
    pub nodes: Vec<u32>,
    /// Chunks on record for each node.
    pub chunks: u32,
    /// Where masters have their data meanwhile.
    pub folder: PathBuf,
}

/// Figures of one loss.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LossesFigures {
    /// So many nodes, one of which is lost.
    pub nodes: u32,
    /// Segments on record.
    pub segments: u32,
    /// Chunks of the lost node.
    pub lost_chunks: u64,
    /// From the loss to the first order: mostly the time after which a silent node counts as dead.
    pub begun_s: f64,
    /// From the first order to the last.
    pub ordered_s: f64,
    /// Processor time of the master from the loss to the last order, without what the same time takes without a loss.
    pub processor_ms: f64,
    /// The same for each lost chunk.
    pub processor_us_a_chunk: f64,
    /// Orders to nodes for each lost chunk.
    pub orders_a_chunk: f64,
    /// Memory of the master for each node, with the records of its chunks.
    pub kib_a_node: f64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum LossesError {
    /// The simulation does not run.
    #[error(transparent)]
    Simulation(#[from] HeartbeatsError),
    /// A record was not made.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Not all chunks were made elsewhere.
    #[error("of {lost} lost chunks {made} were made elsewhere within {} s", HEAL_DEADLINE.as_secs())]
    NotHealed {
        /// Chunks of the lost node.
        lost: u64,
        /// Those that were.
        made: u64,
    },
}

/// Measures a new master, alone in its group, with each number of nodes.
pub fn measure_losses(
    options: &LossesOptions,
    tell: &mut dyn FnMut(&LossesFigures),
) -> Result<LossesReport, LossesError> {
    let mut figures = Vec::new();
    for nodes in &options.nodes {
        let measured = measure(*nodes, options)?;
        tell(&measured);
        figures.push(measured);
    }
    Ok(LossesReport::new(figures))
}

fn measure(nodes: u32, options: &LossesOptions) -> Result<LossesFigures, LossesError> {
    let master = MeasuredMaster::start(&CountedConnector::default(), &options.folder)?;
    let me = Process::new(std::process::id());
    let memory_before = current_bytes(me);
    let mut others = NodeProcess::start(nodes, master.address(), true)?;
    others.wait_heard(nodes)?;
    let segments = nodes * options.chunks / CHUNKS_PER_SEGMENT;
    let writer = Writer::open(master.address(), nodes)?;
    let lost_chunks = writer.write(segments)?;
    let quiet_share = processor_share(QUIET)?;
    let memory = current_bytes(me).saturating_sub(memory_before);
    let heal = heal(&mut others, lost_chunks, quiet_share)?;
    drop(others);
    drop(writer);
    master.stop()?;
    let lost = number(lost_chunks).max(1.0);
    Ok(LossesFigures {
        nodes,
        segments,
        lost_chunks,
        begun_s: heal.begun.as_secs_f64(),
        ordered_s: heal.ordered.as_secs_f64(),
        processor_ms: heal.processor_s * 1e3,
        processor_us_a_chunk: heal.processor_s * 1e6 / lost,
        orders_a_chunk: number(heal.orders) / lost,
        kib_a_node: number(memory >> 10) / f64::from(nodes),
    })
}

/// What a loss took.
struct Heal {
    begun: Duration,
    ordered: Duration,
    processor_s: f64,
    orders: u64,
}

fn heal(nodes: &mut NodeProcess, lost: u64, quiet_share: f64) -> Result<Heal, LossesError> {
    let (lost_at, processor_before) = (Instant::now(), processor_time::own());
    let before = nodes.lose_first()?;
    let mut made_until = |count: u64| {
        let made = within(HEAL_DEADLINE, || {
            let done = nodes.done();
            done.map(|done| (done.rebuilt - before.rebuilt >= count).then_some(done)).transpose()
        });
        match made {
            Some(done) => Ok((Instant::now(), done?)),
            None => Err(LossesError::NotHealed { lost, made: nodes.done()?.rebuilt - before.rebuilt }),
        }
    };
    let (first_at, _) = made_until(1.min(lost))?;
    let (all_at, done) = made_until(lost)?;
    let used_s = processor_time::own().saturating_sub(processor_before).as_secs_f64();
    Ok(Heal {
        begun: first_at - lost_at,
        ordered: all_at - first_at,
        processor_s: (used_s - quiet_share * lost_at.elapsed().as_secs_f64()).max(0.0),
        orders: done.orders - before.orders,
    })
}

/// How much of a processor this program takes while nothing is asked of it.
fn processor_share(time: Duration) -> Result<f64, LossesError> {
    let (begun, before) = (Instant::now(), processor_time::own());
    super::heartbeats::pass(time)?;
    Ok(processor_time::own().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a few minutes")]
fn number(count: u64) -> f64 {
    count as f64
}
