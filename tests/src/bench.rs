//! The same work on any mounted directory, and comparisons of what each took.

mod cold;
mod comparison;
mod figures;
mod files;
mod gluster;
mod heartbeats;
mod keys;
mod kv;
mod latencies;
mod output;
mod repair;
mod report;
mod subject;
mod tables;
mod work;

pub use cold::{ColdError, DropPageCache, MakeCold};
pub use comparison::{ComparisonOptions, compare};
pub use figures::{Figure, Figures, ROWS};
pub use heartbeats::{HeartbeatsError, HeartbeatsFigures, HeartbeatsOptions, HeartbeatsReport};
pub use heartbeats::{SimulationError, measure_heartbeats, simulate_nodes};
pub use keys::{KeysError, KeysFigures, KeysOptions, KeysReport, make_keys, measure_keys};
pub use kv::{KvError, KvOptions, KvReport, Measurement, compare_kv};
pub use repair::{RepairError, RepairFigures, RepairOptions, RepairReport, measure_repairs};
pub use report::Report;
pub use tables::{TablesError, TablesFigures, TablesOptions, measure_tables};
pub use work::{Amount, WorkError, work};
