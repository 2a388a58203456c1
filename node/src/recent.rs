use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The latest ids of a kind, up to a limit; the oldest are forgotten first.
pub(crate) struct Recent<T> {
    ids: HashSet<T>,
    order: VecDeque<T>,
    limit: usize,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    pub(crate) fn of(limit: usize) -> Self {
        Self { ids: HashSet::new(), order: VecDeque::new(), limit }
    }

    pub(crate) fn insert(&mut self, id: T) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn remove(&mut self, id: T) {
        if self.ids.remove(&id) {
            self.order.retain(|remembered| *remembered != id);
        }
    }

    pub(crate) fn contains(&self, id: T) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_oldest_is_forgotten_beyond_the_limit() {
        let mut recent = Recent::of(2);
        for id in [1, 2, 2, 3] {
            recent.insert(id);
        }
        assert_eq!([1, 2, 3].map(|id| recent.contains(id)), [false, true, true]);
        recent.remove(2);
        recent.insert(4);
        assert_eq!([2, 3, 4].map(|id| recent.contains(id)), [false, true, true]);
    }
}
