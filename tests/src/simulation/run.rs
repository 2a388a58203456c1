use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_fs::client::ClientOptions;
use cairn_master::store::{LogLimits, ReadError, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::plan::{Fault, Plan};
use super::worker::Worker;
use super::world::World;
use crate::history::History;
use crate::linearizability::{NotLinearizable, STEPS_LIMIT, check};
use crate::network::Rates;
use crate::store_group::{GroupOptions, Service};

/// From the start of a fresh group to its first answer, at most.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
/// From the end of all faults until every client has its answer and all masters have the same state, at most.
const RECOVERY: Duration = Duration::from_secs(30);
/// Patience of a client that waits for an answer to each operation: longer than any run.
const PATIENT: Duration = Duration::from_mins(10);
/// Patience of a client that gives operations up, whose outcome is then unknown if they may have got through.
const IMPATIENT: Duration = Duration::from_secs(1);
/// With fewer operations answered a run shows nothing.
const LEAST_OPERATIONS: usize = 50;

const SHORT_LOG: LogLimits = LogLimits { snapshot_every: 50, kept_log: 20, replication_lag: 60, purge_batch: 7 };
const LONG_LOG: LogLimits =
    LogLimits { snapshot_every: 20_000, kept_log: 50_000, replication_lag: 50_000, purge_batch: 4096 };

/// What a run that found nothing wrong went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Operations answered.
    pub operations: usize,
    /// Operations of unknown outcome.
    pub unknown: usize,
    /// Simulated time.
    pub time: Duration,
}

/// What a run found.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Clients were told what cannot be.
    #[error(transparent)]
    History(#[from] NotLinearizable),
    /// The group did not begin to serve.
    #[error("no answer within {} s of the start", FIRST_ANSWER.as_secs())]
    NeverServed,
    /// The group did not recover.
    #[error("within {} s of the last fault {what}", RECOVERY.as_secs())]
    NotRecovered {
        /// What did not happen.
        what: &'static str,
    },
    /// Masters that applied the same commands have different states.
    #[error("masters {one} and {other} applied the same commands and differ")]
    Diverged {
        /// One master.
        one: u64,
        /// The other one.
        other: u64,
    },
    /// A state cannot be read.
    #[error("cannot read the state of a master: {0}")]
    Read(#[from] ReadError),
    /// Too little happened for the run to show anything.
    #[error("void: only {operations} operations were answered")]
    Void {
        /// How many.
        operations: usize,
    },
}

/// Plays a plan against a group of masters under clients that use `service`.
pub fn run(plan: &Plan, service: Service) -> Result<Passed, Failure> {
    let limits = if plan.short_log { SHORT_LOG } else { LONG_LOG };
    let mut world = World::new(&GroupOptions { size: plan.masters, limits, seed: plan.seed }, service);
    let history = History::default();
    let (stop, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for id in 1..=plan.clients {
        let deadline = if id <= plan.impatient_clients { IMPATIENT } else { PATIENT };
        let options = ClientOptions { deadline, ..world.group().client_options(id) };
        let random = StdRng::seed_from_u64(world.draw_seed());
        let worker = Worker { id, options, keys: plan.keys, random, history: history.clone(), stop: Arc::clone(&stop) };
        let ended = Arc::clone(&ended);
        world.clients().spawn(async move {
            worker.run().await;
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    if !world.run_until(FIRST_ANSWER, |_| history.answered_count() > 0) {
        return Err(Failure::NeverServed);
    }
    for (pause, fault) in &plan.faults {
        world.run_for(*pause);
        strike(&mut world, fault);
    }
    recover(&mut world, plan.masters);
    world.run_for(Duration::from_secs(1));
    // Where faults left room for little, clients go on until there is something to check.
    if !world.run_until(RECOVERY, |_| history.answered_count() >= LEAST_OPERATIONS) {
        return Err(Failure::Void { operations: history.answered_count() });
    }
    stop.store(1, Ordering::Relaxed);
    if !world.run_until(RECOVERY, |_| ended.load(Ordering::Relaxed) == plan.clients) {
        return Err(Failure::NotRecovered { what: "not every client had its answer" });
    }
    check(&history.operations(), STEPS_LIMIT)?;
    converge(&mut world)?;
    let operations = history.answered_count();
    Ok(Passed { operations, unknown: history.open_count(), time: world.now() })
}

fn strike(world: &mut World, fault: &Fault) {
    match fault {
        Fault::Crash(id) => world.crash(*id),
        Fault::Restart(id) => world.restart(*id),
        Fault::Partition(one, other) => world.network().partition(&[one, other]),
        Fault::OneWay(from, to) => world.cut(*from, *to),
        Fault::Heal => world.network().heal(),
        Fault::Rates(rates) => world.network().set_rates(*rates),
    }
}

/// Ends all faults.
fn recover(world: &mut World, masters: u64) {
    world.network().heal();
    world.network().set_rates(Rates::RELIABLE);
    for id in (1..=masters).filter(|id| world.group().store(*id).is_none()).collect::<Vec<_>>() {
        world.restart(id);
    }
}

/// Waits until all masters have applied the same commands, and compares what they have then.
fn converge(world: &mut World) -> Result<(), Failure> {
    let positions = |world: &World| -> Result<Vec<(u64, u64)>, ReadError> {
        let stores = world.group().ids().into_iter().filter_map(|id| world.group().store(id).map(|store| (id, store)));
        stores.map(|(id, store)| Ok((id, store.view()?.applied_index()))).collect()
    };
    let failed: Rc<Cell<Option<ReadError>>> = Rc::default();
    let same = world.run_until(RECOVERY, |world| match positions(world) {
        Ok(positions) => positions.windows(2).all(|pair| pair[0].1 == pair[1].1),
        Err(error) => {
            failed.set(Some(error));
            true
        }
    });
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    if !same {
        return Err(Failure::NotRecovered { what: "the masters had not applied the same commands" });
    }
    let mut first: Option<(u64, Vec<(Bytes, Bytes)>)> = None;
    for id in world.group().ids() {
        let Some(store) = world.group().store(id) else { continue };
        let state = store.view()?.scan(b"", &[u8::MAX], usize::MAX)?;
        let state: Vec<(Bytes, Bytes)> = state.into_iter().map(|(key, stored)| (key, stored.value)).collect();
        match &first {
            None => first = Some((id, state)),
            Some((one, expected)) if *expected != state => return Err(Failure::Diverged { one: *one, other: id }),
            Some(_) => {}
        }
    }
    Ok(())
}
