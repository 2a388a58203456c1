use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_tests::recording_client::RecordingClient;
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// With fewer operations in a second before the fault, a run shows nothing.
const LEAST_RATE: f64 = 50.0;
/// How long the rate is measured.
const SPAN: Duration = Duration::from_secs(1);
/// How often it is, at most.
const SECONDS: usize = 5;

/// Clients that load a group until told to stop.
pub(crate) struct Load<T> {
    stop: watch::Sender<bool>,
    working: JoinSet<T>,
    operations: Arc<AtomicU64>,
}

/// What a client's loop needs to know.
#[derive(Clone)]
pub(crate) struct Orders {
    stop: watch::Receiver<bool>,
    operations: Arc<AtomicU64>,
}

impl Orders {
    /// Counts an operation that was answered; true while there is to be another one.
    pub(crate) fn go_on(&self) -> bool {
        self.operations.fetch_add(1, Ordering::Relaxed);
        !*self.stop.borrow()
    }
}

impl<T: Send + 'static> Load<T> {
    /// Starts a loop for each client.
    pub(crate) fn start<W: Future<Output = T> + Send + 'static>(
        clients: impl IntoIterator<Item = RecordingClient>,
        work: impl Fn(RecordingClient, Orders) -> W,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let operations = Arc::new(AtomicU64::new(0));
        let mut working = JoinSet::new();
        for client in clients {
            working.spawn(work(client, Orders { stop: stop.subscribe(), operations: Arc::clone(&operations) }));
        }
        Self { stop, working, operations }
    }

    /// Returns after a second on the network as it is, before any other fault, in which enough happened. The run is void
    /// if there is no such second: the machine may stand still for one, but not for all of them.
    pub(crate) async fn under_way(&self) {
        let mut rates = Vec::new();
        while rates.len() < SECONDS && rates.iter().all(|rate| *rate < LEAST_RATE) {
            rates.push(self.rate_of_a_second().await);
        }
        println!("operations per second before the fault: {rates:.0?}");
        assert!(rates.iter().any(|rate| *rate >= LEAST_RATE), "void: {rates:.0?} a second, {LEAST_RATE} needed");
    }

    async fn rate_of_a_second(&self) -> f64 {
        let (before, started) = (self.operations.load(Ordering::Relaxed), Instant::now());
        sleep(SPAN).await;
        #[allow(clippy::cast_precision_loss, reason = "counts of a second")]
        let operations = (self.operations.load(Ordering::Relaxed) - before) as f64;
        operations / started.elapsed().as_secs_f64()
    }

    /// No operation begins any more.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What the clients come to, once their last operations are answered.
    pub(crate) async fn ended(self) -> Vec<T> {
        self.stop();
        self.working.join_all().await
    }
}

/// Whether to do what happens in `percent` of all cases.
pub(crate) fn chance(percent: u32) -> bool {
    rand::rng().random_range(0..100) < percent
}
