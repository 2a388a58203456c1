use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until};

use crate::network::{Network, Place};
use crate::store_group::{GroupClock, GroupOptions, Service, StoreGroup};

/// How far each place runs before the next one does. A message is under way for about as long.
const TICK: Duration = Duration::from_millis(1);

/// The masters, their clients, and the time that all of them share.
///
/// Each master has a runtime of its own, so that one can be ended; all run on one thread, one after the other, a tick of
/// simulated time each. Within a tick the order is drawn anew.
pub(super) struct World {
    group: StoreGroup,
    clients: Runtime,
    now: Duration,
    /// Each runtime's own time, and ours, when it began. Clients are place 0.
    began: BTreeMap<u64, (Instant, Duration)>,
    random: StdRng,
}

/// The clients' place in the order of a tick.
const CLIENTS: u64 = 0;

impl World {
    pub(super) fn new(options: &GroupOptions, service: Service) -> Self {
        let clients = GroupClock::Simulated.runtime();
        let mut world = Self {
            group: StoreGroup::new(options, GroupClock::Simulated, service),
            began: BTreeMap::from([(CLIENTS, (own_time(&clients), Duration::ZERO))]),
            clients,
            now: Duration::ZERO,
            random: StdRng::seed_from_u64(options.seed),
        };
        for id in world.group.ids() {
            world.restart(id);
        }
        world
    }

    pub(super) fn group(&self) -> &StoreGroup {
        &self.group
    }

    pub(super) fn network(&self) -> &Network {
        self.group.network()
    }

    pub(super) fn clients(&self) -> &Runtime {
        &self.clients
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn draw_seed(&mut self) -> u64 {
        self.random.random()
    }

    pub(super) fn crash(&mut self, id: u64) {
        self.began.remove(&id);
        self.group.crash_now(id);
    }

    pub(super) fn restart(&mut self, id: u64) {
        self.group.restart_now(id);
        let runtimes = self.group.runtimes();
        let began = runtimes.filter(|(place, _)| *place == id).map(|(_, runtime)| (own_time(runtime), self.now));
        self.began.extend(began.map(|began| (id, began)).collect::<Vec<_>>());
    }

    pub(super) fn cut(&self, from: u64, to: u64) {
        self.network().cut(Place::Master(from), Place::Master(to));
    }

    /// Lets the time pass.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// Lets the time pass until `condition` holds; false if it does not within `limit`.
    pub(super) fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !condition(self) {
            if self.now >= end {
                return false;
            }
            self.tick();
        }
        true
    }

    fn tick(&mut self) {
        self.now += TICK;
        let mut places: Vec<(u64, &Runtime)> = self.group.runtimes().chain([(CLIENTS, &self.clients)]).collect();
        places.shuffle(&mut self.random);
        for (place, runtime) in places {
            let (own, ours) = self.began[&place];
            let until = own + self.now.saturating_sub(ours);
            runtime.block_on(async { sleep_until(until).await });
        }
    }
}

fn own_time(runtime: &Runtime) -> Instant {
    runtime.block_on(async { Instant::now() })
}
