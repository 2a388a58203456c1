use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::{BlobId, NodeId};
use cairn_proto::wire::FsckProblemKind;
use cairn_proto::{Refusal, wire};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

use super::inventories::Inventories;
use super::keys_and_blobs::{CheckedPage, check_blobs, check_keys, forget_named};
use super::problem::Problem;
use super::reporter::{Reporter, Unheard};
use super::segments::SegmentPass;
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::garbage::garbage_places;
use crate::jobs::Reconstruction;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::GarbageRecord;
use crate::state::{State, damaged, decode};
use crate::store::{ReadError, View};

/// Inspections of one election at a time: each reads every record and every inventory.
const INSPECTIONS: usize = 1;
/// Messages that wait to be taken.
pub const MESSAGES: usize = 4;
/// Blobs that are not under the key they were committed under, and are looked for among all keys together.
const ELSEWHERE_LIMIT: usize = 1 << 18;

/// Why an inspection ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Unheard(#[from] Unheard),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

/// Lets inspections begin, one at a time.
pub struct Inspector {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    reconstruction: Arc<Reconstruction>,
    repair_grace: Duration,
    /// Told at the end: what nobody names goes now.
    sweep_wanted: Arc<Notify>,
    places: Arc<Semaphore>,
}

/// One look at everything.
pub struct Inspection {
    inspector: Arc<Inspector>,
    _place: OwnedSemaphorePermit,
}

/// Does work that reads many records apart from the threads that serve requests.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Stop::Failed(Refusal::NotReady { why: error.to_string() }.into()))
}

impl Inspector {
    /// Of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        nodes: Arc<Nodes>,
        reconstruction: Arc<Reconstruction>,
        repair_grace: Duration,
        sweep_wanted: Arc<Notify>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(INSPECTIONS));
        Self { ledger, clock, nodes, reconstruction, repair_grace, sweep_wanted, places }
    }

    /// Admits an inspection, unless another one is under way.
    pub fn begin(self: &Arc<Self>) -> Result<Inspection, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Refusal::NotReady { why: "another inspection is under way".to_owned() })?;
        Ok(Inspection { inspector: Arc::clone(self), _place: place })
    }
}

impl Inspection {
    /// Looks at everything, and tells what it finds and how far it is, until nobody listens any more.
    pub async fn run(self, messages: mpsc::Sender<Result<wire::FsckResponse, Status>>) {
        let mut reporter = Reporter::new(messages);
        match self.look(&mut reporter).await {
            Ok(()) => {
                self.inspector.sweep_wanted.notify_one();
                // Whoever is gone now has heard all but the end.
                let _ = reporter.finish().await;
            }
            Err(Stop::Unheard(_)) => tracing::debug!("nobody waits for the inspection any more"),
            Err(Stop::Failed(failure)) => reporter.fail(failure.into_status(None)).await,
        }
    }

    async fn look(&self, reporter: &mut Reporter) -> Result<(), Stop> {
        let Inspector { ledger, clock, nodes, reconstruction, repair_grace, .. } = &*self.inspector;
        nodes.first_round().await;
        let view: Arc<dyn View> = Arc::from(ledger.view()?);
        check_all(&view, keys::KEYS, check_keys, reporter, |progress, keys| progress.keys += keys).await?;
        let elsewhere =
            check_all(&view, keys::BLOBS, check_blobs, reporter, |progress, blobs| progress.blobs += blobs).await?;
        tell_unnamed(&view, elsewhere, reporter).await?;
        let standing = |place| nodes.standing(place, *repair_grace);
        let pass = SegmentPass::new(ledger, reconstruction, Arc::clone(&view), standing, Inventories::begin(nodes));
        let silent = pass.run(reporter).await?;
        count_waiting(&view, &silent, reporter).await?;
        reporter.progress.pending_repairs = reconstruction.pending() as u64;
        ledger.check_standing(clock.now()).map_err(|refusal| Stop::Failed(refusal.into()))
    }
}

/// Checks all records under a prefix; answers the blobs that are elsewhere than they say, with their keys.
async fn check_all(
    view: &Arc<dyn View>,
    prefix: &'static [u8],
    check: fn(&State<'_>, &[u8]) -> Result<CheckedPage, StateError>,
    reporter: &mut Reporter,
    count: fn(&mut wire::FsckProgress, u64),
) -> Result<HashMap<BlobId, String>, Stop> {
    let mut elsewhere = HashMap::new();
    let mut next = Some(Bytes::from_static(prefix));
    while let Some(start) = next {
        let page = {
            let view = Arc::clone(view);
            apart(move || check(&State(view.as_ref()), &start)).await??
        };
        count(&mut reporter.progress, page.records);
        reporter.tell(page.problems).await?;
        elsewhere.extend(page.elsewhere);
        if elsewhere.len() >= ELSEWHERE_LIMIT {
            tell_unnamed(view, std::mem::take(&mut elsewhere), reporter).await?;
        }
        next = page.next;
    }
    Ok(elsewhere)
}

/// Tells of the blobs among these that no key points at.
async fn tell_unnamed(
    view: &Arc<dyn View>,
    mut blobs: HashMap<BlobId, String>,
    reporter: &mut Reporter,
) -> Result<(), Stop> {
    let mut next = Some(Bytes::from_static(keys::KEYS)).filter(|_| !blobs.is_empty());
    while let Some(start) = next {
        let view = Arc::clone(view);
        let looked = apart(move || {
            let next = forget_named(&State(view.as_ref()), &start, &mut blobs);
            (blobs, next)
        });
        let outcome;
        (blobs, outcome) = looked.await?;
        next = outcome?;
        reporter.tell([]).await?;
    }
    let problem = |(blob, key): (BlobId, String)| {
        let why = format!("live, committed as {key:?}, and no key points at it");
        Problem::of_blob(FsckProblemKind::BlobWithoutKey, blob, None, why)
    };
    Ok(reporter.tell(blobs.into_iter().map(problem)).await?)
}

/// Counts what waits to be dropped and deleted, and tells of what waits for nodes that do not answer.
async fn count_waiting(
    view: &Arc<dyn View>,
    silent: &HashMap<NodeId, String>,
    reporter: &mut Reporter,
) -> Result<(), Stop> {
    let view = Arc::clone(view);
    let (deleted, garbage) = apart(move || count_garbage(&State(view.as_ref()))).await??;
    reporter.progress.deleted_blobs = deleted;
    for (node, chunks) in garbage {
        reporter.progress.garbage_chunks += chunks;
        if let Some(name) = silent.get(&node) {
            let why = format!("{chunks} chunks wait for the node, to be deleted");
            let problem = Problem { node: Some(name.clone()), ..Problem::new(FsckProblemKind::Garbage, why) };
            reporter.tell([problem]).await?;
        }
    }
    Ok(())
}

/// Blobs that wait to be dropped, and chunks to be deleted of each node.
fn count_garbage(state: &State<'_>) -> Result<(u64, HashMap<NodeId, u64>), StateError> {
    let (mut deleted, mut garbage) = (0, HashMap::new());
    state.each(keys::DELETED, |_, _| {
        deleted += 1;
        Ok(())
    })?;
    state.each(keys::GARBAGE, |key, found| {
        let record: GarbageRecord = decode(key, &found.record)?;
        for place in garbage_places(&record).map_err(|error| damaged(key, &error))? {
            *garbage.entry(place.node).or_default() += 1;
        }
        Ok(())
    })?;
    Ok((deleted, garbage))
}
