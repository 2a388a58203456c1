//! Two masters, and an adversary that drops, delays and loses answers: never two elected at a time.

use cairn_proto::ids::BootId;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use tokio::time::Instant;

use super::tests::{OPTIONS, life, ms, seen};
use super::{Lease, LeaseProposal, Life, ProposalResult, Purpose, SeenLease, Standing};

#[derive(Debug, Clone, Copy)]
enum Event {
    Wait(u64),
    Step { master: usize, answer_lost: bool, dropped: bool },
    Catch { master: usize },
    Restart { master: usize },
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u64..900).prop_map(Event::Wait),
        6 => (0_usize..2, any::<bool>(), any::<bool>())
            .prop_map(|(master, answer_lost, dropped)| Event::Step { master, answer_lost, dropped }),
        4 => (0_usize..2).prop_map(|master| Event::Catch { master }),
        1 => (0_usize..2).prop_map(|master| Event::Restart { master }),
    ]
}

struct World {
    now: Instant,
    lives: [Life; 2],
    masters: Vec<Lease>,
    applied: Vec<u64>,
    committed: Option<SeenLease>,
    index: u64,
    highest_epoch: u64,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let lives = [life(), life()];
        let masters = lives.iter().map(|life| Lease::new(*life, OPTIONS, None, now)).collect();
        let (applied, committed) = (vec![0; 2], None);
        Self { now, lives, masters, applied, committed, index: 0, highest_epoch: 0 }
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Wait(milliseconds) => self.now += ms(milliseconds),
            Event::Step { master, answer_lost, dropped } => self.step(master, answer_lost, dropped),
            Event::Catch { master } => self.catch_up(master),
            Event::Restart { master } => {
                self.lives[master].boot = BootId::generate();
                self.masters[master] = Lease::new(self.lives[master], OPTIONS, self.committed.clone(), self.now);
            }
        }
        let elected = |lease: &Lease| matches!(lease.standing(self.now), Standing::Elected { .. });
        assert!(self.masters.iter().filter(|lease| elected(lease)).count() < 2, "two elected masters");
    }

    fn catch_up(&mut self, master: usize) {
        let seen = self.committed.clone().map(|seen| SeenLease { seen_at: self.now, ..seen });
        if self.applied[master] != self.index {
            self.applied[master] = self.index;
            self.masters[master].saw(seen);
        }
    }

    fn step(&mut self, master: usize, answer_lost: bool, dropped: bool) {
        let Some(proposal) = self.masters[master].step(self.now, true).proposal else { return };
        let current = self.committed.as_ref().map(|seen| seen.version);
        let result = if dropped {
            ProposalResult::Unknown
        } else if proposal.replaces == current {
            self.commit(master, proposal);
            if answer_lost { ProposalResult::Unknown } else { ProposalResult::Applied }
        } else {
            ProposalResult::Refused
        };
        if result == ProposalResult::Applied {
            self.catch_up(master);
        }
        self.masters[master].finished(proposal, result, self.now);
    }

    fn commit(&mut self, master: usize, proposal: LeaseProposal) {
        self.index += 1;
        let changes_hands = proposal.purpose == Purpose::Acquire;
        assert_eq!(proposal.epoch.0, self.highest_epoch + u64::from(changes_hands));
        self.highest_epoch = proposal.epoch.0;
        self.committed = Some(seen(self.lives[master], proposal.epoch.0, self.index, self.now));
    }
}

proptest! {
    #[test]
    fn never_two_elected_and_epochs_grow_with_every_change_of_hands(
        script in proptest::collection::vec(events(), 0..120),
    ) {
        let mut world = World::new();
        for event in script {
            world.run(event);
        }
    }
}
