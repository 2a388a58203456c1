/// The masters in a ring, and one that another named as elected.
pub(crate) struct Ring {
    masters: Vec<String>,
    position: usize,
    named: Option<String>,
    /// Hints followed since the last time a wait was due.
    followed: usize,
}

impl Ring {
    pub(crate) fn new(masters: Vec<String>) -> Self {
        Self { masters, position: 0, named: None, followed: 0 }
    }

    /// The master to try now, or the last one that was tried.
    pub(crate) fn current(&self) -> &str {
        self.named.as_deref().unwrap_or_else(|| &self.masters[self.position % self.masters.len()])
    }

    /// The current one does not answer: the next in the ring.
    pub(crate) fn advance(&mut self) {
        self.followed = 0;
        if self.named.take().is_none() {
            self.position = (self.position + 1) % self.masters.len();
        }
    }

    /// Turns to the master that was named as elected. Says no, and goes on in the ring, when none was
    /// named or masters keep naming one another.
    pub(crate) fn follow(&mut self, elected: &str) -> bool {
        if elected.is_empty() || self.followed > self.masters.len() {
            self.named = None;
            self.followed = 0;
            self.position = (self.position + 1) % self.masters.len();
            return false;
        }
        self.followed += 1;
        self.named = Some(elected.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    fn ring() -> Ring {
        Ring::new(["a:1", "b:1", "c:1"].map(str::to_owned).to_vec())
    }

    #[test]
    fn every_master_is_tried_in_turn() {
        let mut ring = ring();
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.push(ring.current().to_owned());
            ring.advance();
        }
        assert_eq!(tried, ["a:1", "b:1", "c:1", "a:1"]);
    }

    #[test]
    fn the_elected_one_is_followed_even_if_unlisted() {
        let mut ring = ring();
        assert!(ring.follow("z:9"));
        assert_eq!(ring.current(), "z:9");
        ring.advance();
        assert_eq!(ring.current(), "a:1");
    }

    #[test]
    fn masters_that_name_one_another_do_not_keep_the_node_busy() {
        let mut ring = ring();
        let followed = (0..20).take_while(|turn| ring.follow(["a:1", "b:1"][turn % 2])).count();
        assert!(followed < 10);
        assert!(!ring.follow(""));
    }
}
