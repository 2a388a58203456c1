//! What the heartbeats of very many nodes cost the elected master.

mod counted_connector;
mod measured_master;
mod node_process;
mod report;
mod simulated_node;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::processor_time;
use crate::process::Process;
use crate::resident::current_bytes;
pub(super) use counted_connector::CountedConnector;
pub(super) use measured_master::MeasuredMaster;
use node_process::JOIN_DEADLINE;
pub(super) use node_process::NodeProcess;
pub use report::HeartbeatsReport;
pub use simulated_node::{SimulationError, simulate_nodes};

/// Over which a master without nodes is measured.
const IDLE: Duration = Duration::from_secs(3);
/// From the first heartbeats of all nodes to the measured ones: joins and changes of state are over then.
const SETTLING: Duration = Duration::from_secs(6);

/// What is measured.
#[derive(Debug, Clone)]
pub struct HeartbeatsOptions {
    /// Numbers of nodes; a new master for each.
    pub nodes: Vec<u32>,
    /// For so long each.
    pub measured: Duration,
    /// Where masters have their data meanwhile.
    pub folder: PathBuf,
}

/// Figures of one master with so many nodes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct HeartbeatsFigures {
    /// So many nodes.
    pub nodes: u32,
    /// From the start of the nodes until each had joined and answered some heartbeats.
    pub joined_s: f64,
    /// Heartbeats in a second, of all nodes.
    pub beats_a_second: f64,
    /// Processor time of the master for each, without what it takes when there is no node.
    pub processor_us_a_beat: f64,
    /// The same as a share of one processor.
    pub processor_percent: f64,
    /// Bytes sent and received for each.
    pub bytes_a_beat: f64,
    /// Memory of the master for each node.
    pub kib_a_node: f64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatsError {
    /// A process, a thread or a file could not be made.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The process that stands for the nodes ended, or said something else than a number.
    #[error("the simulated nodes said {0:?}")]
    Nodes(String),
    /// They did not all join.
    #[error("the nodes have not all been heard within {} s", JOIN_DEADLINE.as_secs())]
    NotHeard,
    /// The master did not run.
    #[error("the master: {0}")]
    Master(String),
}

/// Measures a new master, alone in its group, with each number of nodes.
pub fn measure_heartbeats(
    options: &HeartbeatsOptions,
    tell: &mut dyn FnMut(&HeartbeatsFigures),
) -> Result<HeartbeatsReport, HeartbeatsError> {
    let mut figures = Vec::new();
    for nodes in &options.nodes {
        let measured = measure(*nodes, options)?;
        tell(&measured);
        figures.push(measured);
    }
    Ok(HeartbeatsReport::new(figures))
}

/// What had been used, sent and counted at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    processor: Duration,
    bytes: u64,
}

impl Moment {
    fn now(connector: &CountedConnector) -> Self {
        Self { at: Instant::now(), processor: processor_time::own(), bytes: connector.bytes() }
    }

    fn processor_s_since(self, earlier: Self) -> f64 {
        self.processor.as_secs_f64() - earlier.processor.as_secs_f64()
    }
}

fn measure(nodes: u32, options: &HeartbeatsOptions) -> Result<HeartbeatsFigures, HeartbeatsError> {
    let connector = CountedConnector::default();
    let master = MeasuredMaster::start(&connector, &options.folder)?;
    let me = Process::new(std::process::id());
    let idle_from = Moment::now(&connector);
    pass(IDLE)?;
    let idle = Moment::now(&connector);
    let memory_before = current_bytes(me);
    let mut others = NodeProcess::start(nodes, master.address(), false)?;
    others.wait_heard(nodes)?;
    let joined = idle.at.elapsed();
    pass(SETTLING)?;
    let (beats_before, before) = (others.beats()?, Moment::now(&connector));
    pass(options.measured)?;
    let (beats_after, after) = (others.beats()?, Moment::now(&connector));
    let memory = current_bytes(me).saturating_sub(memory_before);
    drop(others);
    master.stop()?;
    let seconds = (after.at - before.at).as_secs_f64();
    let idle_share = idle.processor_s_since(idle_from) / (idle.at - idle_from.at).as_secs_f64();
    let used_s = (after.processor_s_since(before) - idle_share * seconds).max(0.0);
    let beats = number(beats_after - beats_before);
    Ok(HeartbeatsFigures {
        nodes,
        joined_s: joined.as_secs_f64(),
        beats_a_second: beats / seconds,
        processor_us_a_beat: used_s * 1e6 / beats,
        processor_percent: 100.0 * used_s / seconds,
        bytes_a_beat: number(after.bytes - before.bytes) / beats,
        kib_a_node: number(memory >> 10) / f64::from(nodes),
    })
}

/// Lets the time pass and does nothing: it is the program's own processor time that is measured.
pub(super) fn pass(time: Duration) -> Result<(), HeartbeatsError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async { tokio::time::sleep(time).await });
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a few minutes")]
fn number(count: u64) -> f64 {
    count as f64
}
