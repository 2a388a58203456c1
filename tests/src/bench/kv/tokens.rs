//! Values that show whether each change was applied once: tokens, each telling its writer and its number.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a token: who wrote it, and which of its changes it is.
pub(super) const TOKEN_BYTES: usize = 16;

/// What became of changes that were confirmed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Confirmed, and not there.
    pub(super) lost: u64,
    /// There more than once.
    pub(super) doubled: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

/// The token of a change, filled up to `length` bytes.
pub(super) fn token(writer: u64, number: u64, length: usize) -> Bytes {
    let mut value = BytesMut::with_capacity(length.max(TOKEN_BYTES));
    value.put_u64(writer);
    value.put_u64(number);
    value.resize(length.max(TOKEN_BYTES), b'.');
    value.freeze()
}

/// Writer and number of the token that a value starts with.
pub(super) fn parse(value: &[u8]) -> Option<(u64, u64)> {
    let (writer, rest) = value.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*writer), u64::from_be_bytes(*number)))
}

/// Compares the tokens that `writer` appended to a key with its value. `None`: other bytes are there, or another order.
pub(super) fn tally(writer: u64, appended: std::ops::Range<u64>, value: &[u8]) -> Option<Tally> {
    if !value.len().is_multiple_of(TOKEN_BYTES) {
        return None;
    }
    let mut tally = Tally::default();
    let mut next = appended.start;
    for token in value.chunks(TOKEN_BYTES) {
        let (found, number) = parse(token)?;
        if found != writer || !appended.contains(&number) {
            return None;
        }
        if number < next {
            tally.doubled += 1;
        } else {
            tally.lost += number - next;
            next = number + 1;
        }
    }
    tally.lost += appended.end - next;
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::{TOKEN_BYTES, Tally, parse, tally, token};

    fn value(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| token(7, *number, TOKEN_BYTES)).collect()
    }

    #[test]
    fn lost_and_doubled_changes_are_counted() {
        assert_eq!(tally(7, 3..6, &value(&[3, 4, 5])), Some(Tally::default()));
        assert_eq!(tally(7, 3..6, &value(&[3, 5, 5])), Some(Tally { lost: 1, doubled: 1 }));
        assert_eq!(tally(7, 3..6, &value(&[3, 4, 5, 4])), Some(Tally { lost: 0, doubled: 1 }));
        assert_eq!(tally(7, 3..6, &[]), Some(Tally { lost: 3, doubled: 0 }));
    }

    #[test]
    fn what_the_writer_did_not_append_is_no_tally() {
        assert_eq!(tally(8, 3..6, &value(&[3])), None);
        assert_eq!(tally(7, 3..6, &value(&[6])), None);
        assert_eq!(tally(7, 3..6, &value(&[3])[1..]), None);
    }

    #[test]
    fn a_token_survives_being_filled_up() {
        let filled = token(7, 9, 100);
        assert_eq!((filled.len(), parse(&filled)), (100, Some((7, 9))));
    }
}
