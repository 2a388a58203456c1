//! The rules of the lease: what to do, given what was seen and what the clock says.

use std::time::Duration;

use tokio::time::Instant;

use super::{Life, SeenLease};
use crate::store::{Epoch, LeaseOptions, Standing};

/// What one life of a master knows of the lease.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    me: Life,
    options: LeaseOptions,
    seen: Option<SeenLease>,
    /// The lease this life holds, or has held and not yet seen in other hands.
    held: Option<Held>,
    /// An acquisition of unknown outcome: its epoch, and when it was first proposed.
    attempt: Option<(Epoch, Instant)>,
    /// No proposal before this time: the last one failed, or an extension is not due.
    quiet_until: Instant,
    stopping: bool,
    /// The lease is being given up: nothing is served on it any more.
    giving_up: bool,
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
    pub(crate) fn new(me: Life, options: LeaseOptions, seen: Option<SeenLease>, now: Instant) -> Self {
        let seen = seen.map(|seen| SeenLease { seen_at: now, ..seen });
        Self { me, options, seen, held: None, attempt: None, quiet_until: now, stopping: false, giving_up: false }
    }

    /// The lease in the applied state has changed.
    pub(crate) fn saw(&mut self, seen: Option<SeenLease>) {
        let mine = seen.as_ref().filter(|seen| seen.record.is_of(self.me) && !seen.record.is_released());
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
                    seen.record.is_of(self.me) && seen.record.epoch == proposal.epoch && !seen.record.is_released()
                });
                if ours {
                    self.hold(proposal.epoch, proposal.proposed_at);
                }
                self.quiet_until = proposal.proposed_at + self.options.extension;
            }
            (Purpose::Release, _) => {
                self.giving_up = false;
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

    /// What to do at `now`, while no proposal is under way. Whoever holds the lease extends it, wherever Raft is led;
    /// only the master that leads Raft takes one that is free.
    pub(crate) fn step(&self, now: Instant, raft_leader: bool) -> Step {
        let standing = self.standing(now);
        let due = self.proposal_due().filter(|(_, proposal)| raft_leader || proposal.purpose == Purpose::Extend);
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

    /// The release to propose at `now`, if this life holds the lease. It serves no more from here on.
    pub(crate) fn release(&mut self, now: Instant) -> Option<LeaseProposal> {
        let held = self.held?;
        self.giving_up = true;
        let replaces = self.seen.as_ref().map(|seen| seen.version);
        Some(LeaseProposal { purpose: Purpose::Release, epoch: held.epoch, replaces, proposed_at: now })
    }

    /// What this master is at `now`.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.held {
            Some(held) if !self.stopping && !self.giving_up && now < held.until => {
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
        let other = seen.record.leader != self.me.master && !seen.record.is_released();
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
        } else if seen.record.leader == self.me.master {
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
mod model;
#[cfg(test)]
mod tests;
