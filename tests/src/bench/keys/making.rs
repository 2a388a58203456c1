use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Clients, each with a session of its own.
const CLIENTS: usize = 4;
/// Keys that one client makes at a time: as many as a session may have requests without an answer.
const AT_ONCE: usize = 64;

/// Makes empty keys of these numbers, `key-00000017` for 17.
///
/// # Panics
/// When this machine starts no threads.
pub fn make_keys(masters: &[String], numbers: Range<u32>) -> Result<(), ClientError> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("this machine starts threads");
    runtime.block_on(async {
        let next = Arc::new(AtomicU32::new(numbers.start));
        let mut makers = JoinSet::new();
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            let client = Client::connect(ClientOptions::new(masters.to_vec(), "bench keys")).await?;
            for _ in 0..AT_ONCE {
                makers.spawn(make_next(client.clone(), Arc::clone(&next), numbers.end));
            }
            clients.push(client);
        }
        while let Some(made) = makers.join_next().await {
            made.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        }
        for client in clients {
            client.close().await;
        }
        Ok(())
    })
}

async fn make_next(client: Client, next: Arc<AtomicU32>, end: u32) -> Result<(), ClientError> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(());
        }
        let key = Key::try_from(format!("key-{number:08}")).expect("letters and digits");
        let attributes = Attributes { mode: 0o644, ..Attributes::default() };
        client.writer(key, Precondition::Absent, None).commit(attributes).await?;
    }
}
