//! How much of its disk a node gives to work that nobody waits for: rebuilding and moving chunks, reads for it by other
//! nodes, and verifying. All of it pays into one account, so that it leaves the rest to clients whatever comes together.

mod token_bucket;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use token_bucket::TokenBucket;

/// The account of one node.
#[derive(Debug)]
pub(crate) struct Background(Mutex<TokenBucket>);

impl Background {
    /// With so many bytes in a second, which is not 0.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self(Mutex::new(TokenBucket::new(bytes_per_second, Instant::now())))
    }

    /// So much was just read or written: returns when it may go on.
    pub(crate) async fn spend(&self, bytes: u64) {
        let now = Instant::now();
        let until = self.0.lock().take(bytes, now);
        if until > now {
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::Background;

    #[tokio::test(start_paused = true)]
    async fn all_who_work_at_once_share_the_rate() {
        let background = Arc::new(Background::new(1_000_000));
        let start = Instant::now();
        let workers = (0..4).map(|_| {
            let background = Arc::clone(&background);
            async move {
                for _ in 0..10 {
                    background.spend(100_000).await;
                }
            }
        });
        futures_util::future::join_all(workers).await;
        // Four million bytes, a quarter of a million at once.
        assert_eq!(start.elapsed().as_millis(), 3750);
    }
}
