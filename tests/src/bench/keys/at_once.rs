use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cairn_fs::client::{Client, ClientError, ClientOptions};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Clients, each with a session of its own.
const CLIENTS: usize = 4;
/// Requests that one client makes at a time: as many as a session may have without an answer.
const AT_ONCE: usize = 64;

/// Has clients do something for each number, many at a time; answers how long all of it took, without connecting.
///
/// # Panics
/// When this machine starts no threads.
pub(super) fn for_each<F, Doing>(masters: &[String], numbers: Range<u32>, work: F) -> Result<Duration, ClientError>
where
    F: Fn(Client, u32) -> Doing + Clone + Send + 'static,
    Doing: Future<Output = Result<(), ClientError>> + Send,
{
    let runtime = Builder::new_current_thread().enable_all().build().expect("this machine starts threads");
    runtime.block_on(async {
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            clients.push(Client::connect(ClientOptions::new(masters.to_vec(), "bench keys")).await?);
        }
        let (next, begun) = (Arc::new(AtomicU32::new(numbers.start)), Instant::now());
        let mut workers: JoinSet<Result<(), ClientError>> = JoinSet::new();
        for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, AT_ONCE)) {
            let (client, next, work, end) = (client.clone(), Arc::clone(&next), work.clone(), numbers.end);
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok(());
                    }
                    work(client.clone(), number).await?;
                }
            });
        }
        while let Some(done) = workers.join_next().await {
            done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        }
        let took = begun.elapsed();
        for client in clients {
            client.close().await;
        }
        Ok(took)
    })
}
