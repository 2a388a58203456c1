//! The rules of the lease: what to do, given what was seen and what the clock says.

use std::time::Duration;

use cairn_proto::ids::MasterId;
use tokio::time::Instant;

use super::SeenLease;
use crate::store::{Epoch, LeaseOptions, Standing};

/// What one life of a master knows of the lease.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    me: MasterId,
    options: LeaseOptions,
    seen: Option<SeenLease>,
    /// The lease this life holds, or has held and not yet seen in other hands.
    held: Option<Held>,
    /// An acquisition of unknown outcome: its epoch, and when it was first proposed.
    attempt: Option<(Epoch, Instant)>,
    /// No proposal before this time: the last one failed, or an extension is not due.
    quiet_until: Instant,
    stopping: bool,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: Epoch,
    /// Counted from before the proposal that wrote it.
    until: Instant,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What this master is.
    pub(crate) standing: Standing,
    /// A write of the lease to propose.
    pub(crate) proposal: Option<LeaseProposal>,
    /// When to look again, if nothing happens before.
    pub(crate) wake_at: Option<Instant>,
}

/// A write of the lease, on condition that it is still the one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseProposal {
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// Log index of the lease it replaces; `None` if there was none.
    pub(crate) replaces: Option<u64>,
    /// When it was decided: the lease counts from here.
    pub(crate) proposed_at: Instant,
}

/// What a write of the lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Takes the lease.
    Acquire,
    /// Keeps it for another period.
    Extend,
    /// Gives it up.
    Release,
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProposalResult {
    /// It is applied here.
    Applied,
    /// It will never apply.
    Refused,
    /// It may apply.
    Unknown,
}

impl Lease {
    /// A new life that starts at `now`, with the lease it found in its state.
    pub(crate) fn new(me: MasterId, options: LeaseOptions, seen: Option<SeenLease>, now: Instant) -> Self {
        let seen = seen.map(|seen| SeenLease { seen_at: now, ..seen });
        Self { me, options, seen, held: None, attempt: None, quiet_until: now, stopping: false }
    }

    /// The lease in the applied state has changed.
    pub(crate) fn saw(&mut self, seen: Option<SeenLease>) {
        let mine = seen.as_ref().filter(|seen| seen.record.leader == self.me && !seen.record.is_released());
        let epoch = mine.map(|seen| seen.record.epoch);
        if let Some((attempted, proposed_at)) = self.attempt {
            if epoch == Some(attempted) {
                self.hold(attempted, proposed_at);
            } else if seen.as_ref().is_some_and(|seen| seen.record.epoch >= attempted) {
                self.attempt = None;
            }
        }
        if self.held.is_some_and(|held| epoch != Some(held.epoch)) {
            self.held = None;
        }
        self.seen = seen;
    }

    /// This master is shutting down: it takes no lease any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// A proposal has come to an end at `now`. `saw` must have been told of what it wrote.
    pub(crate) fn finished(&mut self, proposal: LeaseProposal, result: ProposalResult, now: Instant) {
        match (proposal.purpose, result) {
            (Purpose::Acquire | Purpose::Extend, ProposalResult::Applied) => {
                let ours = self.seen.as_ref().is_some_and(|seen| {
                    seen.record.leader == self.me && seen.record.epoch == proposal.epoch && !seen.record.is_released()
                });
                if ours {
                    self.hold(proposal.epoch, proposal.proposed_at);
                }
                self.quiet_until = proposal.proposed_at + self.options.extension;
            }
            (Purpose::Release, _) => {
                self.held = None;
                self.attempt = None;
            }
            (Purpose::Acquire, ProposalResult::Unknown) => {
                if self.attempt.is_none_or(|(epoch, _)| epoch != proposal.epoch) {
                    self.attempt = Some((proposal.epoch, proposal.proposed_at));
                }
                self.quiet_until = now + self.options.buffer;
                self.saw(self.seen.clone());
            }
            (_, ProposalResult::Refused) | (Purpose::Extend, ProposalResult::Unknown) => {
                self.quiet_until = now + self.options.buffer;
            }
        }
    }

    /// What to do at `now`, while no proposal is under way.
    pub(crate) fn step(&self, now: Instant, raft_leader: bool) -> Step {
        let standing = self.standing(now, raft_leader);
        let due = if raft_leader { self.proposal_due() } else { None };
        match due {
            Some((at, proposal)) if at <= now => {
                let proposal = LeaseProposal { proposed_at: now, ..proposal };
                Step { wake_at: self.next_change(now), standing, proposal: Some(proposal) }
            }
            Some((at, _)) => {
                let wake_at = self.next_change(now).map_or(at, |change| change.min(at));
                Step { standing, proposal: None, wake_at: Some(wake_at) }
            }
            None => Step { wake_at: self.next_change(now), standing, proposal: None },
        }
    }

    /// The release to propose at `now`, if this life holds the lease.
    pub(crate) fn release(&self, now: Instant) -> Option<LeaseProposal> {
        let held = self.held?;
        let replaces = self.seen.as_ref().map(|seen| seen.version);
        Some(LeaseProposal { purpose: Purpose::Release, epoch: held.epoch, replaces, proposed_at: now })
    }

    /// What this master is at `now`.
    pub(crate) fn standing(&self, now: Instant, raft_leader: bool) -> Standing {
        match self.held {
            Some(held) if raft_leader && !self.stopping && now < held.until => {
                Standing::Elected { epoch: held.epoch, serve_until: held.until }
            }
            _ => Standing::Following { elected: self.other_holder(now) },
        }
    }

    fn hold(&mut self, epoch: Epoch, proposed_at: Instant) {
        let until = proposed_at + self.options.period;
        let until = self.held.filter(|held| held.epoch == epoch).map_or(until, |held| held.until.max(until));
        self.held = Some(Held { epoch, until });
        self.attempt = None;
    }

    fn other_holder(&self, now: Instant) -> Option<String> {
        let seen = self.seen.as_ref()?;
        let alive = now < seen.seen_at + self.contender_wait();
        let other = seen.record.leader != self.me && !seen.record.is_released();
        (alive && other).then(|| seen.record.address.clone())
    }

    fn contender_wait(&self) -> Duration {
        self.options.period + self.options.buffer
    }

    /// The next proposal and when it is due; its time is filled in when it is made.
    fn proposal_due(&self) -> Option<(Instant, LeaseProposal)> {
        if self.stopping {
            return None;
        }
        let (at, purpose, epoch) = match (&self.held, &self.seen) {
            (Some(held), _) => (self.quiet_until, Purpose::Extend, held.epoch),
            (None, None) => (self.quiet_until, Purpose::Acquire, Epoch(1)),
            (None, Some(seen)) => {
                let free_at = self.free_at(seen).max(self.quiet_until);
                (free_at, Purpose::Acquire, Epoch(seen.record.epoch.0 + 1))
            }
        };
        let replaces = self.seen.as_ref().map(|seen| seen.version);
        Some((at, LeaseProposal { purpose, epoch, replaces, proposed_at: at }))
    }

    /// From when this life may take a lease that it does not hold.
    fn free_at(&self, seen: &SeenLease) -> Instant {
        if seen.record.is_released() {
            seen.seen_at
        } else if seen.record.leader == self.me {
            // Written by an earlier life: seen when this one started.
            seen.seen_at + self.options.period
        } else {
            seen.seen_at + self.contender_wait()
        }
    }

    /// When the standing changes by the clock alone.
    fn next_change(&self, now: Instant) -> Option<Instant> {
        let held = self.held.map(|held| held.until);
        let others = self.seen.as_ref().map(|seen| seen.seen_at + self.contender_wait());
        [held, others].into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_proto::ids::MasterId;
    use tokio::time::Instant;

    use super::{Lease, LeaseProposal, ProposalResult, Purpose};
    use crate::lease::{LeaseRecord, SeenLease};
    use crate::store::{Epoch, LeaseOptions, Standing};

    const OPTIONS: LeaseOptions = LeaseOptions {
        period: Duration::from_secs(2),
        extension: Duration::from_millis(500),
        buffer: Duration::from_millis(300),
    };

    fn seen(leader: MasterId, epoch: u64, version: u64, seen_at: Instant) -> SeenLease {
        let record = LeaseRecord {
            leader,
            epoch: Epoch(epoch),
            start_at_ms: 1,
            end_at_ms: 2,
            version,
            master: 1,
            address: "there:1".to_owned(),
        };
        SeenLease { record, version, seen_at }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn acquire(lease: &mut Lease, now: Instant) -> LeaseProposal {
        let proposal = lease.step(now, true).proposal.unwrap();
        assert_eq!(proposal.purpose, Purpose::Acquire);
        proposal
    }

    #[test]
    fn a_fresh_cluster_is_led_at_once_and_the_holder_counts_from_before_it_proposed() {
        let (me, start) = (MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        assert_eq!(lease.step(start, false).proposal, None);
        let proposal = acquire(&mut lease, start + ms(5));
        assert_eq!((proposal.epoch, proposal.replaces), (Epoch(1), None));
        lease.saw(Some(seen(me, 1, 7, start + ms(90))));
        lease.finished(proposal, ProposalResult::Applied, start + ms(95));
        let serve_until = start + ms(2005);
        assert_eq!(lease.standing(start + ms(95), true), Standing::Elected { epoch: Epoch(1), serve_until });
        assert_eq!(lease.standing(start + ms(95), false), Standing::Following { elected: None });
        assert_eq!(lease.standing(serve_until, true), Standing::Following { elected: None });
    }

    #[test]
    fn an_extension_comes_every_interval_and_keeps_the_epoch() {
        let (me, start) = (MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        let proposal = acquire(&mut lease, start);
        lease.saw(Some(seen(me, 1, 7, start)));
        lease.finished(proposal, ProposalResult::Applied, start);
        let step = lease.step(start + ms(100), true);
        assert_eq!((step.proposal, step.wake_at), (None, Some(start + ms(500))));
        let extension = lease.step(start + ms(500), true).proposal.unwrap();
        assert_eq!((extension.purpose, extension.epoch, extension.replaces), (Purpose::Extend, Epoch(1), Some(7)));
        lease.saw(Some(seen(me, 1, 9, start + ms(501))));
        lease.finished(extension, ProposalResult::Applied, start + ms(501));
        let serve_until = start + ms(2500);
        assert_eq!(lease.standing(start + ms(2400), true), Standing::Elected { epoch: Epoch(1), serve_until });
    }

    #[test]
    fn a_contender_waits_a_period_and_the_buffer_from_the_last_version_it_applied() {
        let (me, other, start) = (MasterId::generate(), MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, Some(seen(other, 4, 7, start)), start);
        lease.saw(Some(seen(other, 4, 8, start + ms(1000))));
        let step = lease.step(start + ms(3299), true);
        assert_eq!((step.proposal, step.wake_at), (None, Some(start + ms(3300))));
        assert_eq!(step.standing, Standing::Following { elected: Some("there:1".to_owned()) });
        let proposal = acquire(&mut lease, start + ms(3300));
        assert_eq!((proposal.epoch, proposal.replaces), (Epoch(5), Some(8)));
        assert_eq!(lease.standing(start + ms(3300), true), Standing::Following { elected: None });
    }

    #[test]
    fn a_restarted_master_waits_a_period_and_takes_its_own_lease_in_a_new_epoch() {
        let (me, start) = (MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, Some(seen(me, 4, 7, start)), start);
        assert_eq!(lease.step(start + ms(1999), true).proposal, None);
        assert_eq!(acquire(&mut lease, start + ms(2000)).epoch, Epoch(5));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let (me, other, start) = (MasterId::generate(), MasterId::generate(), Instant::now());
        let mut released = seen(other, 4, 7, start);
        released.record.end_at_ms = released.record.start_at_ms;
        let mut lease = Lease::new(me, OPTIONS, Some(released), start);
        assert_eq!(lease.standing(start, true), Standing::Following { elected: None });
        assert_eq!(acquire(&mut lease, start).epoch, Epoch(5));
    }

    #[test]
    fn losing_the_lease_to_another_ends_the_standing_at_once() {
        let (me, other, start) = (MasterId::generate(), MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        let proposal = acquire(&mut lease, start);
        lease.saw(Some(seen(me, 1, 7, start)));
        lease.finished(proposal, ProposalResult::Applied, start);
        lease.saw(Some(seen(other, 2, 8, start + ms(10))));
        assert_eq!(lease.standing(start + ms(10), true), Standing::Following { elected: Some("there:1".to_owned()) });
    }

    #[test]
    fn an_acquisition_of_unknown_outcome_counts_from_its_proposal_when_it_shows() {
        let (me, other, start) = (MasterId::generate(), MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        let first = acquire(&mut lease, start);
        lease.finished(first, ProposalResult::Unknown, start + ms(900));
        assert_eq!(lease.standing(start + ms(900), true), Standing::Following { elected: None });
        let second = acquire(&mut lease, start + ms(1200));
        assert_eq!(second.epoch, first.epoch);
        lease.saw(Some(seen(me, 1, 7, start + ms(1300))));
        let serve_until = start + ms(2000);
        assert_eq!(lease.standing(start + ms(1300), true), Standing::Elected { epoch: Epoch(1), serve_until });
        lease.finished(second, ProposalResult::Refused, start + ms(1310));
        assert_eq!(lease.standing(start + ms(1310), true), Standing::Elected { epoch: Epoch(1), serve_until });
        lease.saw(Some(seen(other, 2, 8, start + ms(1400))));
        assert!(matches!(lease.standing(start + ms(1400), true), Standing::Following { .. }));
    }

    #[test]
    fn a_refused_proposal_is_not_repeated_at_once() {
        let (me, start) = (MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        let proposal = acquire(&mut lease, start);
        lease.finished(proposal, ProposalResult::Refused, start);
        let step = lease.step(start, true);
        assert_eq!((step.proposal, step.wake_at), (None, Some(start + OPTIONS.buffer)));
    }

    #[test]
    fn a_stopping_master_takes_nothing_and_releases_what_it_holds() {
        let (me, start) = (MasterId::generate(), Instant::now());
        let mut lease = Lease::new(me, OPTIONS, None, start);
        assert_eq!(lease.release(start), None);
        let proposal = acquire(&mut lease, start);
        lease.saw(Some(seen(me, 1, 7, start)));
        lease.finished(proposal, ProposalResult::Applied, start);
        lease.stop();
        assert_eq!(lease.step(start + ms(600), true).proposal, None);
        assert!(matches!(lease.standing(start, true), Standing::Following { .. }));
        let release = lease.release(start).unwrap();
        assert_eq!((release.purpose, release.replaces), (Purpose::Release, Some(7)));
    }

    /// Two masters, an adversary that drops, delays and loses answers: never two elected at a time.
    mod model {
        use proptest::prelude::{Strategy, any, prop_oneof, proptest};

        use super::OPTIONS;
        use super::{Instant, Lease, LeaseProposal, MasterId, ProposalResult, Purpose, SeenLease, Standing, ms, seen};

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
            ids: [MasterId; 2],
            masters: Vec<Lease>,
            applied: Vec<u64>,
            committed: Option<SeenLease>,
            index: u64,
            highest_epoch: u64,
        }

        impl World {
            fn new() -> Self {
                let now = Instant::now();
                let ids = [MasterId::generate(), MasterId::generate()];
                let masters = ids.iter().map(|id| Lease::new(*id, OPTIONS, None, now)).collect();
                let (applied, committed) = (vec![0; 2], None);
                Self { now, ids, masters, applied, committed, index: 0, highest_epoch: 0 }
            }

            fn run(&mut self, event: Event) {
                match event {
                    Event::Wait(milliseconds) => self.now += ms(milliseconds),
                    Event::Step { master, answer_lost, dropped } => self.step(master, answer_lost, dropped),
                    Event::Catch { master } => self.catch_up(master),
                    Event::Restart { master } => {
                        self.masters[master] = Lease::new(self.ids[master], OPTIONS, self.committed.clone(), self.now);
                    }
                }
                let elected = |lease: &Lease| matches!(lease.standing(self.now, true), Standing::Elected { .. });
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
                self.committed = Some(seen(self.ids[master], proposal.epoch.0, self.index, self.now));
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
    }
}
