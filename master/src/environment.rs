use std::sync::Arc;

use cairn_proto::transport::{Connector, TcpConnector};

use crate::clock::{Clock, SystemClock};
use crate::store::LogWriting;

/// What a master finds around it. A daemon takes the machine as it is; what tests put in its place no configuration can.
#[derive(Debug, Clone)]
pub struct Environment {
    /// How other masters and nodes are connected to.
    pub connector: Arc<dyn Connector>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who writes the log.
    pub log_writing: LogWriting,
}

impl Default for Environment {
    fn default() -> Self {
        Self { connector: Arc::new(TcpConnector), clock: Arc::new(SystemClock), log_writing: LogWriting::Thread }
    }
}
