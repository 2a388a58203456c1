use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// How requests are delayed and lost where no link is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Longest delay before a request arrives; delays are spread evenly below it.
    pub delay: Duration,
    /// Share of requests that are lost before they are executed.
    pub request_loss: f64,
    /// Share of answers that are lost after the request was executed.
    pub answer_loss: f64,
    /// Longest time until a caller notices that a peer cannot be reached.
    pub unreachable: Duration,
}

impl Rates {
    /// No loss, no delay.
    pub const RELIABLE: Self =
        Self { delay: Duration::ZERO, request_loss: 0.0, answer_loss: 0.0, unreachable: Duration::from_millis(99) };
    /// Each request waits up to 26 ms, one in ten is lost before it is executed, one answer in ten after it: of a
    /// hundred requests 81 succeed, and 9 are executed and look failed.
    pub const UNRELIABLE: Self =
        Self { delay: Duration::from_millis(26), request_loss: 0.1, answer_loss: 0.1, ..Self::RELIABLE };

    pub(super) fn delay(&self, random: &mut StdRng) -> Duration {
        below(self.delay, random)
    }

    pub(super) fn unreachable(&self, random: &mut StdRng) -> Duration {
        below(self.unreachable, random)
    }

    pub(super) fn loses_request(&self, random: &mut StdRng) -> bool {
        random.random_bool(self.request_loss)
    }

    pub(super) fn loses_answer(&self, random: &mut StdRng) -> bool {
        random.random_bool(self.answer_loss)
    }
}

fn below(longest: Duration, random: &mut StdRng) -> Duration {
    random.random_range(Duration::ZERO..=longest)
}
