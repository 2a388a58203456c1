//! Serials for blobs: never used twice, taken from memory above a durable high-water mark.

use std::ops::Range;

use tokio::sync::Mutex;

use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::records::NumberRecord;
use crate::state::{State, encode};
use crate::store::StoreSession;

/// Serials that one command sets aside; the rest of them is lost with the election.
const SERIALS_PER_COMMAND: u64 = 65_536;
/// The first serial: a mount keeps the inode numbers below for itself.
const FIRST_SERIAL: u64 = 1_024;

/// Gives out serials.
pub(crate) struct Serials {
    ledger: Ledger,
    set_aside: Mutex<Range<u64>>,
}

impl Serials {
    /// With none set aside yet.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, set_aside: Mutex::new(0..0) }
    }

    /// A serial that nobody else gets. The mark above it is durable before it is given out.
    pub(crate) async fn next(&self) -> Result<u64, Failure> {
        let mut set_aside = self.set_aside.lock().await;
        if set_aside.is_empty() {
            let start = self.ledger.transact(plan_set_aside).await?.result;
            *set_aside = start..start + SERIALS_PER_COMMAND;
        }
        let serial = set_aside.start;
        set_aside.start += 1;
        Ok(serial)
    }
}

/// Moves the mark; answers where it was.
fn plan_set_aside(session: &mut StoreSession) -> Result<u64, Failure> {
    let mark = State(session).number(keys::SERIAL)?;
    let start = mark.map_or(FIRST_SERIAL, |mark| mark.record);
    session.put(keys::SERIAL, encode(&NumberRecord { value: start + SERIALS_PER_COMMAND }));
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::{FIRST_SERIAL, SERIALS_PER_COMMAND, Serials};
    use crate::fakes::ledger;

    #[tokio::test]
    async fn serials_never_repeat_across_elections() {
        let ledger = ledger();
        let first = Serials::new(ledger.clone());
        assert_eq!(first.next().await.unwrap(), FIRST_SERIAL);
        assert_eq!(first.next().await.unwrap(), FIRST_SERIAL + 1);
        let second = Serials::new(ledger);
        assert_eq!(second.next().await.unwrap(), FIRST_SERIAL + SERIALS_PER_COMMAND);
        assert_eq!(first.next().await.unwrap(), FIRST_SERIAL + 2);
    }

    #[tokio::test]
    async fn serials_go_on_when_the_range_is_used_up() {
        let serials = Serials::new(ledger());
        let first = serials.next().await.unwrap();
        for _ in 1..SERIALS_PER_COMMAND {
            serials.next().await.unwrap();
        }
        assert_eq!(serials.next().await.unwrap(), first + SERIALS_PER_COMMAND);
    }
}
