use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Key, KeyChange, KeyEntry, KeyEvent};

use super::{CHANGED_LIMIT, ENTRY_BYTES, KNOWN_LIMIT_BYTES, KnownKeys};

fn key(name: &str) -> Key {
    Key::try_from(name).unwrap()
}

fn entry() -> KeyEntry {
    KeyEntry { blob: BlobId::generate(), serial: 1, size_bytes: 1, attributes: Attributes::default() }
}

fn change(index: u64, name: &str, event: KeyEvent) -> [KeyChange; 1] {
    [KeyChange { index, key: key(name), event }]
}

/// Of a watch that began at index 10.
fn told() -> KnownKeys {
    let known = KnownKeys::new();
    known.begin(10);
    known
}

#[test]
fn a_key_is_known_until_something_else_is_told_of_it() {
    let (known, first, second) = (told(), entry(), entry());
    known.learn(&key("a"), 11, first);
    known.tell(&change(12, "b", KeyEvent::Created(second)));
    assert_eq!(known.get(&key("a")), Some(first));
    assert_eq!(known.get(&key("b")), None, "nobody here asked for it");
    known.tell(&change(13, "a", KeyEvent::Replaced(second)));
    assert_eq!(known.get(&key("a")), None);
    known.learn(&key("a"), 14, second);
    assert_eq!(known.get(&key("a")), Some(second));
    known.tell(&change(15, "a", KeyEvent::Removed));
    assert_eq!(known.get(&key("a")), None);
}

#[test]
fn nothing_is_known_while_nobody_tells_of_changes() {
    let (known, first) = (KnownKeys::new(), entry());
    known.learn(&key("a"), 11, first);
    known.begin(10);
    assert_eq!(known.get(&key("a")), None);
    known.learn(&key("a"), 11, first);
    known.lose_track();
    assert_eq!(known.get(&key("a")), None);
    known.learn(&key("a"), 12, first);
    known.tell(&[]);
    assert_eq!(known.get(&key("a")), None, "what was known before the silence is not known after it");
    known.learn(&key("a"), 13, first);
    assert_eq!(known.get(&key("a")), Some(first));
}

#[test]
fn an_answer_from_before_the_watch_or_before_a_change_is_not_taken() {
    let (known, old, new) = (told(), entry(), entry());
    known.learn(&key("a"), 10, old);
    assert_eq!(known.get(&key("a")), None);
    known.tell(&change(20, "a", KeyEvent::Replaced(new)));
    known.learn(&key("a"), 19, old);
    assert_eq!(known.get(&key("a")), None);
    known.learn(&key("a"), 21, new);
    known.learn(&key("a"), 19, old);
    assert_eq!(known.get(&key("a")), Some(new));
    known.tell(&change(20, "a", KeyEvent::Removed));
    assert_eq!(known.get(&key("a")), Some(new), "the answer is as of a later index");
    known.lose_track();
    known.begin(15);
    known.learn(&key("a"), 21, old);
    assert_eq!(known.get(&key("a")), None, "more was told by then, and is forgotten");
}

#[test]
fn an_own_change_is_known_whether_its_answer_or_its_telling_comes_first() {
    let (known, first, second) = (told(), entry(), entry());
    known.learn(&key("a"), 11, first);
    known.tell(&change(11, "a", KeyEvent::Created(first)));
    assert_eq!(known.get(&key("a")), Some(first));
    known.tell(&change(12, "a", KeyEvent::Replaced(second)));
    known.learn(&key("a"), 12, second);
    assert_eq!(known.get(&key("a")), Some(second));
    known.tell(&change(13, "a", KeyEvent::Replaced(first)));
    known.learn(&key("a"), 13, second);
    assert_eq!(known.get(&key("a")), None, "of the command at 13 another blob was told");
}

#[test]
fn an_own_removal_holds_against_answers_and_changes_from_before() {
    let (known, first) = (told(), entry());
    known.learn(&key("a"), 11, first);
    known.change(&key("a"), 12);
    known.tell(&change(11, "a", KeyEvent::Created(first)));
    known.learn(&key("a"), 11, first);
    assert_eq!(known.get(&key("a")), None);
}

#[test]
fn what_an_answer_contradicts_is_not_known() {
    let (known, first) = (told(), entry());
    known.learn(&key("a"), 11, first);
    known.doubt(&key("a"));
    known.doubt(&key("b"));
    assert_eq!(known.get(&key("a")), None);
    known.learn(&key("a"), 11, first);
    known.learn(&key("b"), 11, first);
    assert_eq!((known.get(&key("a")), known.get(&key("b"))), (None, Some(first)));
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_makes_no_old_answer_true() {
    let (known, first) = (told(), entry());
    let fitting = (KNOWN_LIMIT_BYTES / (ENTRY_BYTES + 8)) as u64;
    for number in 0..=fitting {
        known.learn(&key(&format!("{number:08}")), 11 + number, first);
    }
    assert_eq!(known.get(&key("00000000")), None);
    assert_eq!(known.get(&key("00000001")), Some(first));
    known.learn(&key("other"), 11, first);
    assert_eq!(known.get(&key("other")), None);
    let limit = CHANGED_LIMIT as u64;
    for number in 0..=limit {
        known.change(&key(&format!("changed {number}")), 1_000_000 + number);
    }
    known.learn(&key("changed 0"), 1_000_000, first);
    assert_eq!(known.get(&key("changed 0")), None);
    known.learn(&key("changed 0"), 1_000_001 + limit, first);
    assert_eq!(known.get(&key("changed 0")), Some(first));
}
