use std::{io, thread};

use cairn_proto::transport;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{DRAIN_DEADLINE, RunError, STREAMS_PER_CONNECTION};

/// A thread with a runtime of its own that serves the connections handed to it.
pub(super) struct ServingThread {
    end: oneshot::Receiver<Result<(), RunError>>,
}

impl ServingThread {
    /// Serves until told to stop, then lets requests under way end for a moment.
    pub(super) fn start(
        routes: Routes,
        connections: mpsc::Receiver<std::net::TcpStream>,
        stop: CancellationToken,
    ) -> Result<Self, RunError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(RunError::ServingThread)?;
        let (ended, end) = oneshot::channel();
        let work = move || {
            if ended.send(run(runtime, routes, connections, stop)).is_err() {
                tracing::debug!("nobody waits for the end of the thread that serves");
            }
        };
        thread::Builder::new().name("serving".to_owned()).spawn(work).map_err(RunError::ServingThread)?;
        Ok(Self { end })
    }

    /// Returns when it serves no longer, for whatever reason. No task of it runs then any more.
    pub(super) async fn ended(self) -> Result<(), RunError> {
        let panicked = |_| RunError::ServingThread(io::Error::other("it panicked"));
        self.end.await.map_err(panicked)?
    }
}

fn run(
    runtime: Runtime,
    routes: Routes,
    connections: mpsc::Receiver<std::net::TcpStream>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let incoming = ReceiverStream::new(connections).map(TcpStream::from_std);
    let served = runtime.block_on(transport::serve(routes, STREAMS_PER_CONNECTION, incoming, stop, DRAIN_DEADLINE));
    // Returns when work that requests handed to other threads is done: it may use the store.
    drop(runtime);
    Ok(served?)
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;

    use super::ServingThread;

    #[tokio::test]
    async fn it_ends_when_nobody_hands_it_connections_any_more() {
        let (sender, connections) = mpsc::channel(1);
        let thread = ServingThread::start(Routes::default(), connections, CancellationToken::new()).unwrap();
        drop(sender);
        thread.ended().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let (ended, end) = oneshot::channel();
        let panicking = std::thread::spawn(move || {
            let _ended = ended;
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
        ServingThread { end }.ended().await.unwrap_err();
    }
}
