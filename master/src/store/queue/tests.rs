use std::collections::BTreeMap;

use futures_util::FutureExt;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use super::super::{Command, Expected};
use super::{Claims, CommandQueue, Turn};

/// What a command does to one of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Condition,
    Blind,
    Both,
}

fn claims(uses: &[(u8, Use)]) -> Claims {
    let mut command = Command::new();
    for (key, used) in uses {
        let key = vec![*key];
        match used {
            Use::Condition => command.require(key, Expected::Present),
            Use::Blind => command.put(key, "value"),
            Use::Both => command.put_if(key, "value", Expected::Absent),
        };
    }
    Claims::of(&command)
}

/// Whether its turn has come. Waiting goes on afterwards.
fn runs(turn: &mut Turn) -> bool {
    turn.come().now_or_never().is_some()
}

#[test]
fn conditions_share_a_key_and_so_do_blind_writes() {
    for used in [Use::Condition, Use::Blind] {
        let queue = CommandQueue::default();
        let (mut first, mut second) = (queue.enter(claims(&[(1, used)])), queue.enter(claims(&[(1, used)])));
        assert!(runs(&mut first) && runs(&mut second));
    }
}

#[test]
fn a_change_of_what_was_read_has_its_key_alone() {
    for other in [Use::Condition, Use::Blind, Use::Both] {
        let queue = CommandQueue::default();
        let (mut first, mut second) = (queue.enter(claims(&[(1, Use::Both)])), queue.enter(claims(&[(1, other)])));
        assert!(runs(&mut first) && !runs(&mut second));
        drop(first);
        assert!(runs(&mut second));
    }
}

#[test]
fn a_blind_write_waits_for_conditions_on_its_key() {
    let queue = CommandQueue::default();
    let (mut first, mut second) =
        (queue.enter(claims(&[(1, Use::Condition)])), queue.enter(claims(&[(1, Use::Blind)])));
    assert!(runs(&mut first) && !runs(&mut second));
}

#[test]
fn nobody_overtakes_who_waits() {
    let queue = CommandQueue::default();
    let first = queue.enter(claims(&[(1, Use::Condition)]));
    let mut writer = queue.enter(claims(&[(1, Use::Both)]));
    let mut late = queue.enter(claims(&[(1, Use::Condition)]));
    assert!(!runs(&mut writer) && !runs(&mut late), "the late one could share with the first");
    drop(first);
    assert!(runs(&mut writer) && !runs(&mut late));
    drop(writer);
    assert!(runs(&mut late));
}

#[test]
fn who_gives_up_waiting_lets_the_next_one_through() {
    let queue = CommandQueue::default();
    let first = queue.enter(claims(&[(1, Use::Condition), (2, Use::Both)]));
    let given_up = queue.enter(claims(&[(1, Use::Both), (2, Use::Both)]));
    let mut next = queue.enter(claims(&[(1, Use::Condition)]));
    assert!(!runs(&mut next));
    drop(given_up);
    assert!(runs(&mut next));
    drop((first, next));
    assert_eq!(queue.keys(), 0);
}

#[tokio::test]
async fn a_turn_says_whether_it_was_waited_for() {
    let queue = CommandQueue::default();
    let mut first = queue.enter(claims(&[(1, Use::Both)]));
    let mut second = queue.enter(claims(&[(1, Use::Both)]));
    assert!(!first.come().await);
    drop(first);
    assert!(second.come().await);
    assert!(!second.come().await, "the key is held since");
}

#[derive(Debug, Clone)]
enum Step {
    Enter(Vec<(u8, Use)>),
    /// The oldest, the second oldest, ... of those who are there.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any_use = prop_oneof![Just(Use::Condition), Just(Use::Blind), Just(Use::Both)];
    let uses = proptest::collection::btree_map(0_u8..4, any_use, 1..4);
    prop_oneof![
        3 => uses.prop_map(|uses| Step::Enter(uses.into_iter().collect())),
        2 => (0_usize..8).prop_map(Step::Leave),
    ]
}

/// A command that has not left.
struct There {
    uses: Vec<(u8, Use)>,
    turn: Turn,
    running: bool,
}

fn conflict(one: &[(u8, Use)], other: &[(u8, Use)]) -> bool {
    let other: BTreeMap<u8, Use> = other.iter().copied().collect();
    one.iter().any(|(key, used)| other.get(key).is_some_and(|there| *there != *used || *used == Use::Both))
}

proptest! {
    /// A command runs exactly when it conflicts with nobody who came before it on any key and is still there.
    #[test]
    fn who_runs_is_who_conflicts_with_nobody_before(steps in proptest::collection::vec(step(), 1..60)) {
        let queue = CommandQueue::default();
        let mut there: Vec<There> = Vec::new();
        for step in steps {
            match step {
                Step::Enter(uses) => {
                    let turn = queue.enter(claims(&uses));
                    there.push(There { uses, turn, running: false });
                }
                Step::Leave(place) if !there.is_empty() => drop(there.remove(place % there.len())),
                Step::Leave(_) => {}
            }
            for command in &mut there {
                command.running = command.running || runs(&mut command.turn);
            }
            for (place, command) in there.iter().enumerate() {
                let blocked = there[..place].iter().any(|before| conflict(&command.uses, &before.uses));
                assert_eq!(command.running, !blocked, "{:?} at place {place}", command.uses);
            }
        }
        drop(there);
        assert_eq!(queue.keys(), 0);
    }
}
