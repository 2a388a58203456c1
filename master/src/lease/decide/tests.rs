use std::time::Duration;

use cairn_proto::ids::{BootId, MasterId};
use tokio::time::Instant;

use super::{Lease, LeaseProposal, ProposalResult, Purpose};
use crate::lease::{LeaseRecord, Life, SeenLease};
use crate::store::{Epoch, LeaseOptions, Standing};

pub(super) const OPTIONS: LeaseOptions = LeaseOptions {
    period: Duration::from_secs(2),
    extension: Duration::from_millis(500),
    buffer: Duration::from_millis(300),
};

pub(super) fn life() -> Life {
    Life { master: MasterId::generate(), boot: BootId::generate() }
}

pub(super) fn seen(holder: Life, epoch: u64, version: u64, seen_at: Instant) -> SeenLease {
    let record = LeaseRecord {
        leader: holder.master,
        boot: holder.boot,
        epoch: Epoch(epoch),
        start_at_ms: 1,
        end_at_ms: 2,
        version,
        master: 1,
        address: "there:1".to_owned(),
    };
    SeenLease { record, version, seen_at }
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn acquire(lease: &mut Lease, now: Instant) -> LeaseProposal {
    let proposal = lease.step(now, true).proposal.unwrap();
    assert_eq!(proposal.purpose, Purpose::Acquire);
    proposal
}

#[test]
fn a_fresh_cluster_is_led_at_once_and_the_holder_counts_from_before_it_proposed() {
    let (me, start) = (life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    assert_eq!(lease.step(start, false).proposal, None);
    let proposal = acquire(&mut lease, start + ms(5));
    assert_eq!((proposal.epoch, proposal.replaces), (Epoch(1), None));
    lease.saw(Some(seen(me, 1, 7, start + ms(90))));
    lease.finished(proposal, ProposalResult::Applied, start + ms(95));
    let serve_until = start + ms(2005);
    assert_eq!(lease.standing(start + ms(95)), Standing::Elected { epoch: Epoch(1), serve_until });
    assert_eq!(lease.standing(serve_until), Standing::Following { elected: None });
}

#[test]
fn an_extension_comes_every_interval_and_keeps_the_epoch() {
    let (me, start) = (life(), Instant::now());
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
    assert_eq!(lease.standing(start + ms(2400)), Standing::Elected { epoch: Epoch(1), serve_until });
}

#[test]
fn a_contender_waits_a_period_and_the_buffer_from_the_last_version_it_applied() {
    let (me, other, start) = (life(), life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, Some(seen(other, 4, 7, start)), start);
    lease.saw(Some(seen(other, 4, 8, start + ms(1000))));
    let step = lease.step(start + ms(3299), true);
    assert_eq!((step.proposal, step.wake_at), (None, Some(start + ms(3300))));
    assert_eq!(step.standing, Standing::Following { elected: Some("there:1".to_owned()) });
    let proposal = acquire(&mut lease, start + ms(3300));
    assert_eq!((proposal.epoch, proposal.replaces), (Epoch(5), Some(8)));
    assert_eq!(lease.standing(start + ms(3300)), Standing::Following { elected: None });
}

#[test]
fn a_restarted_master_waits_a_period_and_takes_its_own_lease_in_a_new_epoch() {
    let (me, start) = (life(), Instant::now());
    let earlier = Life { boot: BootId::generate(), ..me };
    let mut lease = Lease::new(me, OPTIONS, Some(seen(earlier, 4, 7, start)), start);
    assert_eq!(lease.step(start + ms(1999), true).proposal, None);
    assert_eq!(acquire(&mut lease, start + ms(2000)).epoch, Epoch(5));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let (me, other, start) = (life(), life(), Instant::now());
    let mut released = seen(other, 4, 7, start);
    released.record.end_at_ms = released.record.start_at_ms;
    let mut lease = Lease::new(me, OPTIONS, Some(released), start);
    assert_eq!(lease.standing(start), Standing::Following { elected: None });
    assert_eq!(acquire(&mut lease, start).epoch, Epoch(5));
}

#[test]
fn losing_the_lease_to_another_ends_the_standing_at_once() {
    let (me, other, start) = (life(), life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    let proposal = acquire(&mut lease, start);
    lease.saw(Some(seen(me, 1, 7, start)));
    lease.finished(proposal, ProposalResult::Applied, start);
    lease.saw(Some(seen(other, 2, 8, start + ms(10))));
    assert_eq!(lease.standing(start + ms(10)), Standing::Following { elected: Some("there:1".to_owned()) });
}

#[test]
fn an_acquisition_of_unknown_outcome_counts_from_its_proposal_when_it_shows() {
    let (me, other, start) = (life(), life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    let first = acquire(&mut lease, start);
    lease.finished(first, ProposalResult::Unknown, start + ms(900));
    assert_eq!(lease.standing(start + ms(900)), Standing::Following { elected: None });
    let second = acquire(&mut lease, start + ms(1200));
    assert_eq!(second.epoch, first.epoch);
    lease.saw(Some(seen(me, 1, 7, start + ms(1300))));
    let serve_until = start + ms(2000);
    assert_eq!(lease.standing(start + ms(1300)), Standing::Elected { epoch: Epoch(1), serve_until });
    lease.finished(second, ProposalResult::Refused, start + ms(1310));
    assert_eq!(lease.standing(start + ms(1310)), Standing::Elected { epoch: Epoch(1), serve_until });
    lease.saw(Some(seen(other, 2, 8, start + ms(1400))));
    assert!(matches!(lease.standing(start + ms(1400)), Standing::Following { .. }));
}

#[test]
fn a_refused_proposal_is_not_repeated_at_once() {
    let (me, start) = (life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    let proposal = acquire(&mut lease, start);
    lease.finished(proposal, ProposalResult::Refused, start);
    let step = lease.step(start, true);
    assert_eq!((step.proposal, step.wake_at), (None, Some(start + OPTIONS.buffer)));
}

#[test]
fn a_stopping_master_takes_nothing_and_releases_what_it_holds() {
    let (me, start) = (life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    assert_eq!(lease.release(start), None);
    let proposal = acquire(&mut lease, start);
    lease.saw(Some(seen(me, 1, 7, start)));
    lease.finished(proposal, ProposalResult::Applied, start);
    lease.stop();
    assert_eq!(lease.step(start + ms(600), true).proposal, None);
    assert!(matches!(lease.standing(start), Standing::Following { .. }));
    let release = lease.release(start).unwrap();
    assert_eq!((release.purpose, release.replaces), (Purpose::Release, Some(7)));
}

#[test]
fn the_holder_serves_and_extends_while_another_master_leads_raft_but_takes_no_lease_then() {
    let (me, other, start) = (life(), life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    let proposal = acquire(&mut lease, start);
    lease.saw(Some(seen(me, 1, 7, start)));
    lease.finished(proposal, ProposalResult::Applied, start);
    let step = lease.step(start + ms(500), false);
    assert!(matches!(step.standing, Standing::Elected { epoch: Epoch(1), .. }));
    assert_eq!(step.proposal.unwrap().purpose, Purpose::Extend);
    lease.saw(Some(seen(other, 2, 8, start + ms(600))));
    assert_eq!(lease.step(start + ms(60_000), false).proposal, None);
}

#[test]
fn a_lease_of_an_earlier_life_is_not_held_even_if_this_life_tried_for_the_same_epoch() {
    let (me, start) = (life(), Instant::now());
    let mut lease = Lease::new(me, OPTIONS, None, start);
    let proposal = acquire(&mut lease, start);
    lease.finished(proposal, ProposalResult::Unknown, start + ms(10));
    let earlier = Life { boot: BootId::generate(), ..me };
    lease.saw(Some(seen(earlier, 1, 7, start + ms(20))));
    assert_eq!(lease.standing(start + ms(20)), Standing::Following { elected: None });
    assert_eq!(acquire(&mut lease, start + ms(2020)).epoch, Epoch(2));
}
