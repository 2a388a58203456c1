use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this master sends nobody entries while it writes them: it follows, or is all of its group. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoFollowers(Arc<AtomicBool>);

impl NoFollowers {
    /// What follows from this master's part in a group of these members, learners included.
    pub(super) fn update(&self, me: u64, leads: bool, members: impl IntoIterator<Item = u64>) {
        self.set(!leads || members.into_iter().eq([me]));
    }

    /// From now on. Writes are as durable either way, so it may be told late.
    pub(super) fn set(&self, has_none: bool) {
        self.0.store(has_none, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::NoFollowers;

    #[test]
    fn only_who_leads_others_has_followers() {
        let told = NoFollowers::default();
        assert!(!told.get(), "before anything is known entries may have to be sent");
        for (leads, members, has_none) in [
            (true, vec![1, 2, 3], false),
            (false, vec![1, 2, 3], true),
            (true, vec![1], true),
            (true, vec![2, 3], false),
        ] {
            told.update(1, leads, members.clone());
            assert_eq!(told.get(), has_none, "leads: {leads}, members: {members:?}");
        }
    }
}
