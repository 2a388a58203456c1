use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cairn_master::Master;
use cairn_proto::transport;
use cairn_proto::wire;
use cairn_proto::wire::node_admin_client::NodeAdminClient;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{CountedConnector, HeartbeatsError};

/// As a master's.
const STREAMS_PER_CONNECTION: u32 = 1024;
const DRAIN_DEADLINE: Duration = Duration::from_millis(300);
/// How soon it is asked again whether it serves.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A master of its own group in this process, on one thread.
#[derive(Debug)]
pub(in crate::bench) struct MeasuredMaster {
    address: String,
    stop: CancellationToken,
    thread: JoinHandle<Result<(), HeartbeatsError>>,
    _folder: TempDir,
}

impl MeasuredMaster {
    /// Returns when it is elected and serves. Its data is in a new folder in `parent`, and goes with it.
    pub(in crate::bench) fn start(connector: &CountedConnector, parent: &Path) -> Result<Self, HeartbeatsError> {
        std::fs::create_dir_all(parent)?;
        let folder = tempfile::Builder::new().prefix("master-").tempdir_in(parent)?;
        let stop = CancellationToken::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?.to_string();
        let config = config(&folder, &address)?;
        let (connector, until) = (Arc::new(connector.clone()), stop.clone().cancelled_owned());
        let running = async move {
            let master = Master::open(&config, connector).await.map_err(failed)?;
            let serve = |routes, stop| {
                let incoming = transport::tcp_incoming(listener);
                transport::serve(routes, STREAMS_PER_CONNECTION, incoming, stop, DRAIN_DEADLINE)
            };
            master.run(serve, until).await.map_err(failed)
        };
        let thread = std::thread::Builder::new().name("master".to_owned()).spawn(move || runtime.block_on(running))?;
        let master = Self { address, stop, thread, _folder: folder };
        master.wait_until_it_serves()?;
        Ok(master)
    }

    pub(in crate::bench) fn address(&self) -> &str {
        &self.address
    }

    pub(in crate::bench) fn stop(self) -> Result<(), HeartbeatsError> {
        self.stop.cancel();
        self.thread.join().map_err(|_| HeartbeatsError::Master("it panicked".to_owned()))?
    }

    fn wait_until_it_serves(&self) -> Result<(), HeartbeatsError> {
        asking()?.block_on(async {
            loop {
                if let Ok(mut admin) = NodeAdminClient::connect(format!("http://{}", self.address)).await
                    && admin.list_nodes(wire::ListNodesRequest {}).await.is_ok()
                {
                    return Ok(());
                }
                if self.thread.is_finished() {
                    return Err(HeartbeatsError::Master("it ended early".to_owned()));
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        })
    }
}

fn asking() -> Result<Runtime, HeartbeatsError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn config(folder: &TempDir, address: &str) -> Result<cairn_master::Config, HeartbeatsError> {
    let text = format!(
        "id = 1\nname = \"master-1\"\nlisten = \"{address}\"\ndir = \"{}\"\n\
         [[members]]\nid = 1\nname = \"master-1\"\naddress = \"{address}\"\n",
        folder.path().join("master").display()
    );
    toml::from_str(&text).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> HeartbeatsError {
    HeartbeatsError::Master(error.to_string())
}
