use std::ops::Range;

/// What is read ahead at the second sequential read, and from where the window doubles.
const FIRST_WINDOW_BYTES: u64 = 256 << 10;
/// The most that is read ahead of a reader.
pub(super) const LARGEST_WINDOW_BYTES: u64 = 8 << 20;
/// Concurrent reads of one sequential reader may come in another order: so far apart they count as in order.
const DISORDER_BYTES: u64 = 1 << 20;

/// What a read means for the reads to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The read goes on where the ones before were.
    pub(super) sequential: bool,
    /// What to fetch ahead now.
    pub(super) ahead: Option<Range<u64>>,
    /// What was fetched ahead in front of this offset is no longer needed.
    pub(super) keep_from: u64,
}

/// Decides how far to read ahead of one reader: a window that doubles while reads are sequential, and closes when
/// they are not.
#[derive(Debug)]
pub(super) struct ReadAhead {
    size_bytes: u64,
    expected: u64,
    window: u64,
    fetched_to: u64,
}

impl ReadAhead {
    pub(super) fn new(size_bytes: u64) -> Self {
        Self { size_bytes, expected: 0, window: 0, fetched_to: 0 }
    }

    /// Notes a read and decides what to fetch ahead.
    pub(super) fn on_read(&mut self, read: &Range<u64>) -> Plan {
        if !self.is_sequential(read) {
            (self.expected, self.fetched_to, self.window) = (read.end, read.end, 0);
            return Plan { sequential: false, ahead: None, keep_from: u64::MAX };
        }
        self.window = (self.window * 2).clamp(FIRST_WINDOW_BYTES, LARGEST_WINDOW_BYTES);
        self.expected = self.expected.max(read.end);
        self.fetched_to = self.fetched_to.max(self.expected);
        let target = self.expected.saturating_add(self.window).min(self.size_bytes);
        let due = target.saturating_sub(self.fetched_to);
        // In portions of half a window, so that a node is asked for many cells at once.
        let ahead =
            (due > 0 && (due >= self.window / 2 || target == self.size_bytes)).then_some(self.fetched_to..target);
        if ahead.is_some() {
            self.fetched_to = target;
        }
        Plan { sequential: true, ahead, keep_from: self.expected.saturating_sub(DISORDER_BYTES) }
    }

    /// What was to be fetched ahead from `start` on was not, for lack of memory.
    pub(super) fn put_off(&mut self, start: u64) {
        self.fetched_to = self.fetched_to.min(start);
    }

    fn is_sequential(&self, read: &Range<u64>) -> bool {
        if self.window == 0 {
            return read.start == self.expected;
        }
        read.start <= self.expected + DISORDER_BYTES && read.start + DISORDER_BYTES >= self.expected
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::{DISORDER_BYTES, FIRST_WINDOW_BYTES, LARGEST_WINDOW_BYTES, ReadAhead};

    const SIZE: u64 = 1 << 30;
    const READ: u64 = 128 << 10;

    #[test]
    fn the_window_doubles_up_to_its_limit() {
        let mut ahead = ReadAhead::new(SIZE);
        assert_eq!(ahead.on_read(&(0..READ)).ahead, Some(READ..READ + FIRST_WINDOW_BYTES));
        let mut furthest = 0;
        for number in 1..400 {
            let read = number * READ..(number + 1) * READ;
            if let Some(range) = ahead.on_read(&read).ahead {
                furthest = furthest.max(range.end - read.end);
            }
        }
        assert_eq!(furthest, LARGEST_WINDOW_BYTES);
    }

    #[test]
    fn a_random_read_closes_the_window() {
        let mut ahead = ReadAhead::new(SIZE);
        ahead.on_read(&(0..READ));
        let far = 100 << 20;
        let plan = ahead.on_read(&(far..far + READ));
        assert!(!plan.sequential && plan.ahead.is_none());
        assert_eq!(ahead.on_read(&(2 * far..2 * far + READ)).ahead, None);
        let next = 2 * far + READ;
        assert!(ahead.on_read(&(next..next + READ)).ahead.is_some());
    }

    #[test]
    fn reads_in_a_slightly_other_order_are_sequential() {
        let mut ahead = ReadAhead::new(SIZE);
        ahead.on_read(&(0..READ));
        assert!(ahead.on_read(&(2 * READ..3 * READ)).sequential);
        let plan = ahead.on_read(&(READ..2 * READ));
        assert!(plan.sequential && plan.keep_from <= READ);
    }

    #[test]
    fn what_was_put_off_is_planned_again() {
        let mut ahead = ReadAhead::new(SIZE);
        let first = ahead.on_read(&(0..READ)).ahead.unwrap();
        ahead.put_off(first.start);
        assert_eq!(ahead.on_read(&(READ..2 * READ)).ahead.unwrap().start, 2 * READ);
    }

    proptest! {
        #[test]
        fn a_sequential_reader_finds_everything_fetched_once(reads in proptest::collection::vec(1..(3 * READ), 1..200)) {
            let size = reads.iter().sum::<u64>() - 1;
            let mut ahead = ReadAhead::new(size);
            let (mut position, mut fetched_to) = (0, 0);
            for length in reads {
                let read = position..(position + length).min(size);
                position = read.end;
                let plan = ahead.on_read(&read);
                prop_assert!(plan.sequential && plan.keep_from + DISORDER_BYTES <= position.max(DISORDER_BYTES));
                if let Some(range) = plan.ahead {
                    prop_assert!(range.start >= position && range.start >= fetched_to && range.end <= size);
                    prop_assert!(range.end - position <= LARGEST_WINDOW_BYTES);
                    fetched_to = range.end;
                }
            }
            prop_assert!(fetched_to == size || position == size);
        }
    }
}
