//! The same work on any mounted directory, and comparisons of what each took.

mod comparison;
mod heartbeats;
mod keys;
mod kv;
mod latencies;
mod losses;
mod memory_mount;
mod output;
mod processor_time;
mod repair;
mod scaling;
mod scratch;
mod spread;
mod svg;
mod tables;

pub use comparison::{Amount, ComparisonOptions, Costs, Figure, Figures, Machine, Report, Row, Unit};
pub use comparison::{ProfileOptions, ProfileReport, profile};
pub use comparison::{SubjectError, SyncProof, SyncProofs, System, Verdict, WorkError};
pub use comparison::{clear_at_end_of_input, compare, work};
pub use heartbeats::{HeartbeatsError, HeartbeatsFigures, HeartbeatsOptions, HeartbeatsReport};
pub use heartbeats::{SimulationError, measure_heartbeats, simulate_nodes};
pub use keys::{KeysError, KeysFigures, KeysOptions, KeysReport, RequestFigures, make_keys, measure_keys};
pub use kv::{KvError, KvOptions, KvReport, Measurement, compare_kv};
pub use losses::{LossesError, LossesFigures, LossesOptions, LossesReport, RecordsError, measure_losses};
pub use memory_mount::serve_memory_mount;
pub use repair::{RepairError, RepairFigures, RepairOptions, RepairReport, measure_repairs};
pub use scaling::{Axis, Chart, Line, Point, PowerLaw, Scale};
pub use scaling::{ScalingClientError, StoredFile, serve_scaling_client};
pub use scaling::{ScalingError, ScalingOptions, ScalingReport, ScalingSeries, measure_scaling};
pub use spread::Spread;
pub use tables::{TablesError, TablesFigures, TablesOptions, measure_tables};
