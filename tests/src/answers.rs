//! When the requests of a load were answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// With fewer answers a second before the fault, a run shows nothing.
const LEAST_RATE: f64 = 50.0;

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
struct Answered {
    invoked_at: Instant,
    answered_at: Instant,
}

/// The answers so far, of all clients.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    all: Arc<Mutex<Vec<Answered>>>,
}

impl Answers {
    /// A request sent at `invoked_at` was answered now.
    pub fn note(&self, invoked_at: Instant) {
        let mut all = self.all.lock();
        // Under the lock, so that they are in order.
        all.push(Answered { invoked_at, answered_at: Instant::now() });
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// From a moment to the first answer of a request that was sent after it, if one was.
    pub fn service_after(&self, moment: Instant) -> Option<Duration> {
        let all = self.all.lock();
        let first = all.iter().find(|answered| answered.invoked_at >= moment)?;
        Some(first.answered_at - moment)
    }

    /// The longest time without an answer between the first and the last one.
    pub fn longest_gap(&self) -> Duration {
        let all = self.all.lock();
        all.windows(2).map(|pair| pair[1].answered_at - pair[0].answered_at).max().unwrap_or_default()
    }

    /// Answers in a second, over the last `period`.
    pub fn rate(&self, period: Duration) -> f64 {
        let now = Instant::now();
        let all = self.all.lock();
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let recent = all
            .iter()
            .rev()
            .take_while(|answered| now.saturating_duration_since(answered.answered_at) <= period)
            .count() as f64;
        recent / period.as_secs_f64()
    }

    /// The run is void if too little happened in the last `period`.
    ///
    /// # Panics
    /// When it is.
    #[track_caller]
    pub fn require_load(&self, period: Duration) {
        let rate = self.rate(period);
        assert!(rate >= LEAST_RATE, "void: {rate:.0} answers a second before the fault, {LEAST_RATE} needed");
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, Duration, Instant};

    #[test]
    fn service_is_back_with_a_request_that_was_sent_after_the_fault() {
        let answers = Answers::default();
        let before = Instant::now();
        let fault = before + Duration::from_micros(1);
        answers.note(before);
        assert_eq!(answers.service_after(fault), None);
        answers.note(fault);
        assert!(answers.service_after(fault).is_some());
        assert_eq!(answers.count(), 2);
    }

    #[test]
    #[should_panic(expected = "void: 1 answers a second")]
    fn a_run_without_load_is_void() {
        let answers = Answers::default();
        answers.note(Instant::now());
        answers.require_load(Duration::from_secs(1));
    }
}
