use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::network::Rates;

/// Faults of one run: how many, and how long from one to the next.
const FAULTS: std::ops::Range<usize> = 4..9;
const PAUSES_MS: std::ops::Range<u64> = 200..2000;
/// Masters that may be down at the same time, as a share of all: also a majority, which stops the service.
const DOWN_LIMIT: u64 = 2;

/// What happens to the group.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// A master ends without farewell.
    Crash(u64),
    /// One that was down starts on the disk it left.
    Restart(u64),
    /// Masters of the two groups do not reach one another.
    Partition(Vec<u64>, Vec<u64>),
    /// What one master sends another gets lost.
    OneWay(u64, u64),
    /// All links are whole again.
    Heal,
    /// Requests are delayed and lost like this from now on.
    Rates(Rates),
}

/// All that a seed draws before a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Masters.
    pub masters: u64,
    /// Clients.
    pub clients: u64,
    /// Those of them that give an operation up when no answer comes, and go on with the next.
    pub impatient_clients: u64,
    /// Keys that they share.
    pub keys: u64,
    /// Whether logs are kept so short that masters need snapshots after an absence.
    pub short_log: bool,
    /// Each fault, and how long after the one before it happens.
    pub faults: Vec<(Duration, Fault)>,
}

impl Plan {
    /// What this seed draws.
    pub fn draw(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let masters = if random.random_bool(0.7) { 3 } else { 5 };
        let mut down = Vec::new();
        let count = random.random_range(FAULTS);
        let mut draw_fault = |random: &mut StdRng| {
            let pause = Duration::from_millis(random.random_range(PAUSES_MS));
            (pause, draw_fault(masters, &mut down, random))
        };
        let (clients, keys, short_log) =
            (random.random_range(2..6), random.random_range(1..4), random.random_bool(0.5));
        let faults = (0..count).map(|_| draw_fault(&mut random)).collect();
        let impatient_clients = random.random_range(0..clients);
        Self { seed, masters, clients, impatient_clients, keys, short_log, faults }
    }
}

fn draw_fault(masters: u64, down: &mut Vec<u64>, random: &mut StdRng) -> Fault {
    let master = random.random_range(1..=masters);
    match random.random_range(0..10) {
        0..=3 if down.contains(&master) => {
            down.retain(|id| *id != master);
            Fault::Restart(master)
        }
        0..=3 if (down.len() as u64) < DOWN_LIMIT => {
            down.push(master);
            Fault::Crash(master)
        }
        4..=6 => {
            let mut ids: Vec<u64> = (1..=masters).collect();
            ids.shuffle(random);
            let other = ids.split_off(random.random_range(1..ids.len()));
            Fault::Partition(ids, other)
        }
        7 => Fault::OneWay(master, master % masters + 1),
        8 => Fault::Rates(if random.random_bool(0.7) { Rates::UNRELIABLE } else { Rates::RELIABLE }),
        _ => Fault::Heal,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, masters, clients, impatient_clients, keys, short_log, faults } = self;
        writeln!(
            f,
            "seed {seed}: {masters} masters, {clients} clients ({impatient_clients} impatient), {keys} keys, short log: {short_log}"
        )?;
        faults.iter().try_for_each(|(pause, fault)| writeln!(f, "  {pause:?} later {fault:?}"))
    }
}
