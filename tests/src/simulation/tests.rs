//! That a seed is repeatable where it promises to be, and that the simulation finds what is planted.

use super::{Failure, Plan, run};
use crate::linearizability::NotLinearizable;
use crate::store_group::Service;

/// Runs in which a planted fault must show.
const TRIES: u64 = 40;

fn finds_violation(service: Service) -> bool {
    (0..TRIES).any(|seed| {
        let found = run(&Plan::draw(seed), service);
        matches!(found, Err(Failure::History(NotLinearizable::Violation { .. })))
    })
}

#[test]
fn a_seed_draws_the_same_plan_and_another_one_another() {
    assert_eq!(Plan::draw(1), Plan::draw(1));
    assert_ne!(Plan::draw(1).faults, Plan::draw(2).faults);
}

#[test]
fn reads_that_any_master_answers_from_its_own_state_are_found() {
    assert!(finds_violation(Service::StaleReads));
}

#[test]
fn appends_that_are_applied_as_often_as_they_arrive_are_found() {
    assert!(finds_violation(Service::Repeats));
}
