use std::time::Duration;

/// How long each request took.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Sorted, so that percentiles can be told.
    pub(super) fn sorted(mut self) -> SortedLatencies {
        self.0.sort_unstable();
        SortedLatencies(self.0)
    }
}

/// How long each request took, the shortest first.
#[derive(Debug)]
pub(super) struct SortedLatencies(Vec<Duration>);

impl SortedLatencies {
    /// The shortest time in which `percent` of all requests were answered; zero if there was none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Latencies;
    use std::time::Duration;

    #[test]
    fn a_percentile_is_the_time_in_which_so_many_were_answered() {
        let mut latencies = Latencies::default();
        for milliseconds in (1..=200).rev() {
            latencies.add(Duration::from_millis(milliseconds));
        }
        let sorted = latencies.sorted();
        assert_eq!(sorted.percentile(50), Duration::from_millis(100));
        assert_eq!(sorted.percentile(99), Duration::from_millis(198));
        assert_eq!(sorted.percentile(100), Duration::from_millis(200));
        assert_eq!(Latencies::default().sorted().percentile(99), Duration::ZERO);
    }
}
