/// A file as the model has it.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// What this mount shows; `None`: no such name.
    pub(super) here: Option<Vec<u8>>,
    /// What the store has under the name.
    pub(super) elsewhere: Option<Vec<u8>>,
    /// Its permissions.
    pub(super) mode: u32,
    /// Those that the store has under the name.
    pub(super) stored_mode: u32,
    /// Whether the store does not have it as it is here.
    pub(super) is_dirty: bool,
    /// The handle that writes, and whether it appends.
    pub(super) writer: Option<(u64, bool)>,
    pub(super) is_deliberate: bool,
}

impl File {
    /// Whether a flush of what is not committed commits it.
    pub(super) fn flush_commits(&self) -> bool {
        self.is_deliberate || self.here.as_ref().is_some_and(|bytes| !bytes.is_empty())
    }

    /// The store has it as it is here.
    pub(super) fn mark_committed(&mut self) {
        self.elsewhere = self.here.clone();
        self.stored_mode = self.mode;
        self.is_dirty = false;
    }

    /// As the next mount finds it after this one died.
    pub(super) fn after_crash(&self) -> Self {
        let (here, mode) = (self.elsewhere.clone(), self.stored_mode);
        Self { elsewhere: here.clone(), here, stored_mode: mode, mode, ..Self::default() }
    }
}
