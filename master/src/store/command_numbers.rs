use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::command_number::{COMMANDS_UNDER_WAY_LIMIT, CommandNumber};

/// Numbers the commands of one life of a master.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandNumbers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    numbers: Mutex<Numbers>,
    answered: Notify,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    under_way: BTreeSet<u64>,
}

/// A command under way: until this is dropped it may be sent again.
#[derive(Debug)]
pub(super) struct UnderWay {
    shared: Arc<Shared>,
    number: CommandNumber,
}

impl CommandNumbers {
    /// The number of the next command, as soon as few enough are under way.
    pub(super) async fn next(&self) -> UnderWay {
        loop {
            let answered = self.shared.answered.notified();
            if let Some(number) = self.shared.numbers.lock().next() {
                return UnderWay { shared: Arc::clone(&self.shared), number };
            }
            answered.await;
        }
    }
}

impl Numbers {
    fn next(&mut self) -> Option<CommandNumber> {
        let sequence = self.last + 1;
        let lowest_unanswered = self.under_way.first().copied().unwrap_or(sequence);
        let number = CommandNumber::new(sequence, lowest_unanswered).ok()?;
        self.last = sequence;
        self.under_way.insert(sequence);
        debug_assert!(self.under_way.len() as u64 <= COMMANDS_UNDER_WAY_LIMIT, "the window bounds what is under way");
        Some(number)
    }
}

impl UnderWay {
    pub(super) fn number(&self) -> CommandNumber {
        self.number
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.numbers.lock().under_way.remove(&self.number.sequence());
        self.shared.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::{COMMANDS_UNDER_WAY_LIMIT, CommandNumbers};

    #[tokio::test]
    async fn the_lowest_unanswered_moves_on_when_the_oldest_command_ends() {
        let numbers = CommandNumbers::default();
        let (first, second) = (numbers.next().await, numbers.next().await);
        assert_eq!((second.number().sequence(), second.number().lowest_unanswered()), (2, 1));
        drop(first);
        let third = numbers.next().await;
        assert_eq!((third.number().sequence(), third.number().lowest_unanswered()), (3, 2));
    }

    #[tokio::test]
    async fn commands_wait_while_too_many_are_under_way() {
        let numbers = CommandNumbers::default();
        let mut under_way = Vec::new();
        for _ in 0..COMMANDS_UNDER_WAY_LIMIT {
            under_way.push(numbers.next().await);
        }
        under_way.remove(5);
        assert!(numbers.next().now_or_never().is_none(), "the oldest is still under way");
        let waiting = numbers.next();
        tokio::pin!(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        under_way.remove(0);
        assert_eq!(waiting.await.number().lowest_unanswered(), 2);
    }
}
