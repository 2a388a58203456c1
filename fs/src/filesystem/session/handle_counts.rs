use crate::filesystem::Pages;

/// Who has a session open.
#[derive(Debug, Default)]
pub(super) struct HandleCounts {
    pub(super) writers: u64,
    pub(super) readers: u64,
    /// What was decided for the first handle, until no handle is left.
    pages: Option<Pages>,
    /// Callers that were told to look the name up again and have not come yet.
    expected: Vec<Expected>,
    last_ticket: u64,
    pub(super) was_opened: bool,
    pub(super) is_over: bool,
}

/// A caller that was told to look the name up again.
#[derive(Debug, Clone, Copy)]
struct Expected {
    ticket: u64,
    caller: u32,
}

impl HandleCounts {
    /// One that was told to look the name up again has come.
    pub(super) fn arrive(&mut self, caller: u32) {
        if let Some(at) = self.expected.iter().position(|expected| expected.caller == caller) {
            self.expected.swap_remove(at);
        }
    }

    /// Expects a caller; returns its ticket.
    pub(super) fn expect(&mut self, caller: u32) -> u64 {
        self.last_ticket += 1;
        self.expected.push(Expected { ticket: self.last_ticket, caller });
        self.last_ticket
    }

    /// The caller with this ticket has come or will not.
    pub(super) fn stop_expecting(&mut self, ticket: u64) {
        self.expected.retain(|expected| expected.ticket != ticket);
    }

    /// A handle was counted less.
    pub(super) fn leave(&mut self) {
        if self.writers == 0 && self.readers == 0 {
            self.pages = None;
        }
    }

    /// A handle that only writes needs no pages, unless others that do have the file open: what it writes past them would
    /// not be seen there.
    pub(super) fn pages(&mut self, only_writes: bool) -> Pages {
        *self.pages.get_or_insert(if only_writes { Pages::Bypassed } else { Pages::Renewed })
    }

    pub(super) fn is_unused(&self) -> bool {
        self.writers == 0 && self.expected.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::HandleCounts;
    use crate::filesystem::Pages;

    #[test]
    fn all_handles_that_are_open_together_treat_pages_alike() {
        let mut counts = HandleCounts { writers: 1, ..HandleCounts::default() };
        assert_eq!(counts.pages(true), Pages::Bypassed);
        counts.readers = 1;
        assert_eq!(counts.pages(false), Pages::Bypassed);
        counts.writers = 0;
        counts.leave();
        assert_eq!(counts.pages(true), Pages::Bypassed);
        counts.readers = 0;
        counts.leave();
        counts.readers = 1;
        assert_eq!(counts.pages(false), Pages::Renewed);
        counts.writers = 1;
        assert_eq!(counts.pages(true), Pages::Renewed);
    }
}
