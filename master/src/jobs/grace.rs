use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Moments remembered for one period.
const MARKS_PER_PERIOD: u32 = 32;

/// Knows which index was applied a grace period ago, by the monotonic clock of this master alone. An election starts
/// the period anew for everything.
#[derive(Debug)]
pub struct Grace {
    period: Duration,
    marks: VecDeque<(Instant, u64)>,
    past: u64,
}

impl Grace {
    /// With nothing past yet.
    pub fn new(period: Duration) -> Self {
        Self { period, marks: VecDeque::new(), past: 0 }
    }

    /// Notes the index applied at `now`, and answers up to which index the period is over.
    pub fn note(&mut self, now: Instant, applied_index: u64) -> u64 {
        while let Some(&(at, index)) = self.marks.front() {
            if now.saturating_duration_since(at) < self.period {
                break;
            }
            self.past = index;
            self.marks.pop_front();
        }
        let spacing = self.period / MARKS_PER_PERIOD;
        if self.marks.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= spacing) {
            self.marks.push_back((now, applied_index));
        }
        self.past
    }
}

#[cfg(test)]
mod tests {
    use super::Grace;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn an_index_is_past_when_it_was_applied_a_period_ago() {
        let start = Instant::now();
        let mut grace = Grace::new(Duration::from_secs(10));
        let mut at = |seconds, applied| grace.note(start + Duration::from_secs(seconds), applied);
        assert_eq!(at(0, 5), 0);
        assert_eq!(at(1, 9), 0);
        assert_eq!(at(9, 20), 0);
        assert_eq!(at(10, 21), 5);
        assert_eq!(at(11, 30), 9);
        assert_eq!(at(100, 40), 30);
    }

    #[test]
    fn marks_are_bounded() {
        let start = Instant::now();
        let mut grace = Grace::new(Duration::from_secs(10));
        for millisecond in 0..60_000 {
            grace.note(start + Duration::from_millis(millisecond), millisecond);
            assert!(grace.marks.len() <= 34);
        }
    }
}
