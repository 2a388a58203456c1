//! How figures change while something grows: the cluster, its clients, its keys, its nodes.

mod chart;
mod client;
mod client_error;
mod client_processes;
mod law;
mod metadata;
mod numbers;
mod plot;
mod report;
mod ruler;
mod series;
mod simulated;
mod stored_file;
mod throughput;

use std::io;

use super::comparison::{Machine, Scene, SubjectError};
use super::keys::KeysError;
pub use chart::{Axis, Chart, Line, Point, Scale};
pub use client::serve_scaling_client;
pub use client_error::ScalingClientError;
pub use law::PowerLaw;
pub use report::ScalingReport;
pub use series::ScalingSeries;
pub use stored_file::StoredFile;

/// Disk that is free before the first cluster, in GiB.
const FREE_GIB: u64 = 10;
const QUICK_FREE_GIB: u64 = 2;

/// What is measured.
#[derive(Debug, Clone)]
pub struct ScalingOptions {
    /// What grows.
    pub series: Vec<ScalingSeries>,
    /// Rounds of each figure.
    pub rounds: usize,
    /// Much less of everything.
    pub quick: bool,
}

impl ScalingOptions {
    /// Size of the file of each client.
    fn file_mib(&self) -> u32 {
        if self.quick { 16 } else { 512 }
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum ScalingError {
    /// A process or a file could not be made.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The folder of all clusters, or what it takes to clear it.
    #[error(transparent)]
    Scene(#[from] SubjectError),
    /// Very many keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A client ended, or said something else than that it is ready.
    #[error("a client said {0:?} and nothing more; standard error says why")]
    Client(String),
    /// A simulation ended without figures.
    #[error("the simulation failed: {0}; standard error says why")]
    Simulation(String),
}

/// Measures all series, one after the other. `tell` gets a line for each round. However it ends, nothing is left of it.
pub fn measure_scaling(options: &ScalingOptions, tell: &mut dyn FnMut(&str)) -> Result<ScalingReport, ScalingError> {
    let scene = Scene::make(if options.quick { QUICK_FREE_GIB } else { FREE_GIB })?;
    let machine = Machine::look_at_cairn()?;
    let mut charts = Vec::new();
    for series in &options.series {
        let folder = scene.folder();
        match series {
            ScalingSeries::Metadata => charts.extend(metadata::measure(options, folder, tell)?),
            ScalingSeries::Heartbeats => charts.extend(simulated::heartbeats(options, folder, tell)?),
            ScalingSeries::Losses => charts.extend(simulated::losses(options, folder, tell)?),
            series => charts.extend(throughput::measure(*series, options, folder, tell)?),
        }
    }
    Ok(ScalingReport { machine, rounds: options.rounds, charts })
}
