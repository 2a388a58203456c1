//! Follows this master's standing: a tenure begins with each election won and ends with it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cairn_proto::Refusal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::{Epoch, Standing};
use crate::tenure::{Settings, Surroundings, Tenure};

/// How soon the state is read again after it could not be loaded.
const LOAD_RETRY: Duration = Duration::from_millis(200);

/// Who serves here now.
pub struct Office {
    around: Surroundings,
    settings: Settings,
    standing: watch::Receiver<Standing>,
    tenure: ArcSwapOption<Tenure>,
}

/// A tenure under way and its tasks.
struct Holding {
    epoch: Epoch,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Office {
    /// Nobody serves before [`Self::follow`] runs.
    pub fn new(around: Surroundings, settings: Settings) -> Self {
        let standing = around.store.standing();
        Self { around, settings, standing, tenure: ArcSwapOption::empty() }
    }

    /// The tenure that may serve now; otherwise who may, or that it is loading.
    pub fn tenure(&self) -> Result<Arc<Tenure>, Refusal> {
        let now = self.around.clock.now();
        let standing = self.standing.borrow().clone();
        let Some(epoch) = standing.epoch_at(now) else {
            return Err(Refusal::NotElected { elected: elsewhere(&standing).unwrap_or_default() });
        };
        match self.tenure.load_full() {
            Some(tenure) if tenure.epoch() == epoch => Ok(tenure),
            _ => Err(Refusal::NotReady { why: "just elected, reading the state".to_owned() }),
        }
    }

    /// Address of the elected master, if it is another one.
    pub fn elected_elsewhere(&self) -> Option<String> {
        elsewhere(&self.standing.borrow())
    }

    /// The outside world as tenures see it.
    pub fn surroundings(&self) -> &Surroundings {
        &self.around
    }

    /// Begins and ends tenures until told to stop.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut standing = self.standing.clone();
        let mut holding: Option<Holding> = None;
        loop {
            let elected = match *standing.borrow_and_update() {
                Standing::Elected { epoch, .. } => Some(epoch),
                Standing::Following { .. } => None,
            };
            if holding.as_ref().map(|holding| holding.epoch) != elected {
                self.end(holding.take()).await;
                holding = elected.and_then(|epoch| self.begin(epoch));
            }
            let loaded = elected.is_none() || holding.is_some();
            tokio::select! {
                () = stop.cancelled() => break,
                changed = standing.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOAD_RETRY), if !loaded => {}
            }
        }
        self.end(holding).await;
    }

    fn begin(&self, epoch: Epoch) -> Option<Holding> {
        match Tenure::load(&self.around, epoch, self.settings.clone()) {
            Ok(tenure) => {
                let (tenure, stop) = (Arc::new(tenure), CancellationToken::new());
                let tasks = tenure.start(&stop);
                self.tenure.store(Some(tenure));
                tracing::info!(%epoch, "elected, serving");
                Some(Holding { epoch, stop, tasks })
            }
            Err(error) => {
                tracing::error!(%epoch, %error, "elected, but cannot read the state");
                None
            }
        }
    }

    async fn end(&self, holding: Option<Holding>) {
        self.tenure.store(None);
        if let Some(mut holding) = holding {
            holding.stop.cancel();
            // Whatever a task still has under way carries the old epoch, and is refused wherever it arrives.
            holding.tasks.shutdown().await;
            tracing::info!(epoch = %holding.epoch, "not elected any more");
        }
    }
}

fn elsewhere(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Following { elected } => elected.clone(),
        Standing::Elected { .. } => None,
    }
}
