use std::time::Duration;

use tokio::time::Instant;

/// A master that took no connection or no time to answer is passed over for this long, even where others name it: they
/// take it for the elected one until its lease runs out.
const DISTRUST: Duration = Duration::from_secs(2);

/// Which master to ask next: the one that answered last as elected, else one after the other.
#[derive(Debug)]
pub(super) struct MasterRing {
    addresses: Vec<String>,
    next: usize,
    elected: Option<String>,
    failed: Option<(String, Instant)>,
    /// Attempts since the last answer of an elected master.
    misses: usize,
}

impl MasterRing {
    pub(super) fn new(addresses: Vec<String>) -> Self {
        Self { addresses, next: 0, elected: None, failed: None, misses: 0 }
    }

    /// Takes over a new list, as a name resolves now.
    pub(super) fn replace(&mut self, addresses: Vec<String>) {
        if !addresses.is_empty() {
            self.addresses = addresses;
            self.next %= self.addresses.len();
        }
    }

    /// The address to ask. None if there is no address at all.
    pub(super) fn target(&mut self, now: Instant) -> Option<String> {
        if let Some(elected) = &self.elected {
            return Some(elected.clone());
        }
        if self.addresses.get(self.next).is_some_and(|next| self.is_distrusted(next, now)) {
            self.next = (self.next + 1) % self.addresses.len();
        }
        self.addresses.get(self.next).cloned()
    }

    /// The master at `address` answered as the elected one.
    pub(super) fn answered(&mut self, address: &str) {
        self.misses = 0;
        self.failed = None;
        if self.elected.as_deref() != Some(address) {
            self.elected = Some(address.to_owned());
        }
    }

    /// The master at `address` is there, and its answer did not come: others are asked, and believed if they name it.
    pub(super) fn unanswered(&mut self, address: &str) {
        self.pass_over(address);
    }

    /// The master at `address` seems to be gone or to stand still.
    pub(super) fn failed(&mut self, address: &str, now: Instant) {
        self.failed = Some((address.to_owned(), now));
        self.pass_over(address);
    }

    /// The master at `address` is not the elected one and names `elected` (or nobody). True if the named one is
    /// worth asking at once.
    pub(super) fn redirected(&mut self, address: &str, elected: &str, now: Instant) -> bool {
        self.pass_over(address);
        if elected.is_empty() || elected == address || self.is_distrusted(elected, now) {
            return false;
        }
        self.elected = Some(elected.to_owned());
        // Masters that name each other in turn are asked at the pace of a round.
        self.misses <= self.addresses.len()
    }

    /// Whether every master was asked in vain since the last answer, or the last such round.
    pub(super) fn round_ended(&self) -> bool {
        self.misses > 0 && self.misses.is_multiple_of(self.addresses.len().max(1))
    }

    fn is_distrusted(&self, address: &str, now: Instant) -> bool {
        self.failed.as_ref().is_some_and(|(failed, at)| failed == address && now.duration_since(*at) < DISTRUST)
    }

    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Another caller may have moved on from `address` already; then there is nothing to change.
    fn pass_over(&mut self, address: &str) {
        self.misses += 1;
        if self.elected.as_deref() == Some(address) {
            self.elected = None;
        }
        if self.addresses.get(self.next).is_some_and(|next| next == address) {
            self.next = (self.next + 1) % self.addresses.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{DISTRUST, MasterRing};

    fn ring() -> MasterRing {
        MasterRing::new(["a", "b", "c"].map(str::to_owned).to_vec())
    }

    fn target(ring: &mut MasterRing) -> String {
        ring.target(Instant::now()).unwrap()
    }

    #[test]
    fn the_elected_master_is_remembered() {
        let mut ring = ring();
        ring.answered("c");
        assert_eq!(target(&mut ring), "c");
        ring.failed("c", Instant::now());
        assert_eq!(target(&mut ring), "a");
    }

    #[test]
    fn masters_are_asked_in_a_ring() {
        let mut ring = ring();
        for next in ["a", "b", "c", "a"] {
            assert_eq!(target(&mut ring), next);
            ring.failed(next, Instant::now());
        }
    }

    #[test]
    fn one_that_just_failed_is_passed_over_unless_it_is_the_only_one() {
        let mut ring = ring();
        let now = Instant::now();
        ring.failed("b", now);
        ring.redirected("a", "", now);
        assert_eq!(ring.target(now).as_deref(), Some("c"));
        let mut only = MasterRing::new(vec!["a".to_owned()]);
        only.failed("a", now);
        assert_eq!(only.target(now).as_deref(), Some("a"));
    }

    #[test]
    fn a_round_ends_after_every_master_was_asked() {
        let mut ring = ring();
        let now = Instant::now();
        ring.failed("a", now);
        assert!(!ring.round_ended());
        ring.redirected("b", "", now);
        ring.failed("c", now);
        assert!(ring.round_ended());
    }

    #[test]
    fn a_redirection_is_followed_unless_that_master_just_failed() {
        let mut ring = ring();
        let now = Instant::now();
        assert!(ring.redirected("a", "c", now));
        assert_eq!(target(&mut ring), "c");
        ring.failed("c", now);
        assert!(!ring.redirected("b", "c", now));
        assert_ne!(ring.elected.as_deref(), Some("c"));
        ring.redirected("a", "c", now + DISTRUST);
        assert_eq!(ring.elected.as_deref(), Some("c"));
    }

    #[test]
    fn a_master_whose_answer_got_lost_is_asked_again_as_soon_as_others_name_it() {
        let mut ring = ring();
        ring.answered("c");
        ring.unanswered("c");
        assert_eq!(target(&mut ring), "a");
        assert!(ring.redirected("a", "c", Instant::now()));
        assert_eq!(target(&mut ring), "c");
    }

    #[test]
    fn masters_that_name_each_other_in_turn_are_not_followed_at_once_for_ever() {
        let mut ring = ring();
        let now = Instant::now();
        let followed = (0..10).filter(|turn| ring.redirected(["a", "b"][turn % 2], ["b", "a"][turn % 2], now)).count();
        assert_eq!(followed, 3);
    }
}
