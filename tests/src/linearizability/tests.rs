//! Histories of which the verdict is known.

use bytes::Bytes;

use super::{NotLinearizable, check};
use crate::history::{Action, Answer, Operation};

const STEPS: u64 = 100_000;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn operation(client: u64, action: Action, invoked_at: u64, answer: Option<(u64, &str)>) -> Operation {
    let answer = answer.map(|(returned_at, value)| Answer { returned_at, value: bytes(value) });
    Operation { client, key: "k".to_owned(), action, invoked_at, answer }
}

fn get(client: u64, invoked_at: u64, returned_at: u64, value: &str) -> Operation {
    operation(client, Action::Get, invoked_at, Some((returned_at, value)))
}

fn put(client: u64, invoked_at: u64, returned_at: u64, value: &str) -> Operation {
    operation(client, Action::Put(bytes(value)), invoked_at, Some((returned_at, "")))
}

fn append(client: u64, invoked_at: u64, returned_at: u64, value: &str) -> Operation {
    operation(client, Action::Append(bytes(value)), invoked_at, Some((returned_at, "")))
}

fn lost_append(client: u64, invoked_at: u64, value: &str) -> Operation {
    operation(client, Action::Append(bytes(value)), invoked_at, None)
}

fn assert_violation(operations: &[Operation]) {
    let verdict = check(operations, STEPS);
    assert!(matches!(verdict, Err(NotLinearizable::Violation { .. })), "{verdict:?}");
}

#[test]
fn one_client_after_the_other_is_linearizable() {
    let operations = [get(1, 1, 2, ""), put(1, 3, 4, "a"), append(2, 5, 6, "b"), get(3, 7, 8, "ab")];
    check(&operations, STEPS).unwrap();
}

#[test]
fn operations_that_overlap_may_happen_in_either_order() {
    check(&[append(1, 1, 10, "a"), append(2, 2, 9, "b"), get(3, 11, 12, "ba")], STEPS).unwrap();
    check(&[append(1, 1, 10, "a"), append(2, 2, 9, "b"), get(3, 11, 12, "ab")], STEPS).unwrap();
    check(&[put(1, 1, 10, "a"), get(2, 2, 3, "a"), get(3, 4, 5, "a")], STEPS).unwrap();
}

#[test]
fn a_stale_read_is_caught() {
    assert_violation(&[put(1, 1, 2, "old"), put(1, 3, 4, "new"), get(2, 5, 6, "old")]);
    // The write is under way, but somebody has seen it already.
    assert_violation(&[put(1, 1, 2, "old"), put(1, 3, 10, "new"), get(2, 4, 5, "new"), get(3, 6, 7, "old")]);
}

#[test]
fn a_stale_read_is_caught_in_the_middle_of_a_long_history() {
    let mut operations = Vec::new();
    let mut value = String::new();
    for number in 0..200 {
        let moment = 10 * number;
        let token = format!("<{number}>");
        operations.push(append(number % 7, moment, moment + 15, &token));
        let before = value.clone();
        value.push_str(&token);
        operations.push(get(10 + number % 3, moment + 16, moment + 17, &value));
        if number == 100 {
            operations.push(get(20, moment + 18, moment + 19, &before));
        }
    }
    assert_violation(&operations);
    operations.retain(|operation| operation.client != 20);
    // Appends overlap their successors, but each was seen before the next was sent off.
    check(&operations, STEPS).unwrap();
}

#[test]
fn an_append_that_happened_twice_is_caught() {
    assert_violation(&[append(1, 1, 2, "a"), get(2, 3, 4, "aa")]);
    assert_violation(&[lost_append(1, 1, "a"), append(2, 2, 3, "b"), get(2, 4, 5, "aba")]);
}

#[test]
fn an_append_that_was_acknowledged_and_lost_is_caught() {
    assert_violation(&[append(1, 1, 2, "a"), append(1, 3, 4, "b"), get(2, 5, 6, "b")]);
    assert_violation(&[append(1, 1, 2, "a"), append(1, 3, 4, "b"), get(2, 5, 6, "ba")]);
}

#[test]
fn a_value_that_nobody_wrote_is_caught() {
    assert_violation(&[put(1, 1, 2, "a"), get(2, 3, 4, "c")]);
}

#[test]
fn what_was_not_answered_may_happen_late_or_never_but_once_and_for_good() {
    let late = |value: &str| [lost_append(1, 1, "a"), append(2, 2, 3, "b"), get(2, 100, 101, value)];
    for value in ["b", "ab", "ba"] {
        check(&late(value), STEPS).unwrap();
    }
    assert_violation(&[lost_append(1, 1, "a"), get(2, 2, 3, "a"), get(2, 4, 5, "")]);
    // It cannot have happened before it was sent off.
    assert_violation(&[get(2, 1, 2, "a"), lost_append(1, 3, "a")]);
}

#[test]
fn many_appends_at_once_are_put_in_the_order_that_a_later_get_saw() {
    let order = [3, 0, 7, 1, 9, 4, 8, 2, 6, 5];
    let mut operations: Vec<Operation> =
        (0..10).map(|client| append(client, client, 1000, &format!("<{client}>"))).collect();
    let value = order.map(|client| format!("<{client}>")).concat();
    operations.push(get(20, 1001, 1002, &value));
    check(&operations, STEPS).unwrap();
}

#[test]
fn keys_are_searched_apart_and_the_wrong_one_is_named() {
    let mut operations = vec![put(1, 1, 2, "a"), get(1, 3, 4, "a")];
    operations.push(Operation { key: "other".to_owned(), ..get(1, 5, 6, "a") });
    let verdict = check(&operations, STEPS).unwrap_err();
    assert!(matches!(&verdict, NotLinearizable::Violation { key, .. } if key == "other"), "{verdict}");
    assert!(verdict.to_string().contains("client 1, \"other\": Get sent at 5, answered at 6: \"a\""), "{verdict}");
}

#[test]
fn a_search_that_runs_out_of_steps_has_failed() {
    let mut operations: Vec<Operation> =
        (0..20).map(|client| append(client, client, 1000, &format!("<{client}>"))).collect();
    operations.push(get(30, 1001, 1002, "nothing of this"));
    let verdict = check(&operations, 10);
    assert_eq!(verdict, Err(NotLinearizable::OutOfSteps { key: "k".to_owned(), total: 21, steps: 10 }));
    assert_violation(&operations);
}
