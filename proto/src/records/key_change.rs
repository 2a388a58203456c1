use super::{Key, KeyEntry, missing};
use crate::wire::ChangeKind;
use crate::{Refusal, wire};

/// What one command did to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Log index of the command.
    pub index: u64,
    /// The key.
    pub key: Key,
    /// What happened to it.
    pub event: KeyEvent,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEvent {
    /// It was not there before.
    Created(KeyEntry),
    /// It points at another blob.
    Replaced(KeyEntry),
    /// It points at the same blob, with other attributes.
    Attributes(KeyEntry),
    /// It is gone.
    Removed,
}

impl KeyEvent {
    /// What the key points at afterwards.
    #[must_use]
    pub const fn entry(&self) -> Option<&KeyEntry> {
        match self {
            Self::Created(entry) | Self::Replaced(entry) | Self::Attributes(entry) => Some(entry),
            Self::Removed => None,
        }
    }

    /// Whether a listing of keys and blobs is another than before.
    #[must_use]
    pub const fn changes_listing(&self) -> bool {
        !matches!(self, Self::Attributes(_))
    }
}

impl TryFrom<wire::KeyChange> for KeyChange {
    type Error = Refusal;

    fn try_from(change: wire::KeyChange) -> Result<Self, Refusal> {
        let (kind, key) = (change.kind(), Key::try_from(change.key)?);
        let entry = || KeyEntry::try_from(change.entry.ok_or_else(|| missing("entry of a change"))?);
        let event = match kind {
            ChangeKind::Created => KeyEvent::Created(entry()?),
            ChangeKind::Replaced => KeyEvent::Replaced(entry()?),
            ChangeKind::Attributes => KeyEvent::Attributes(entry()?),
            ChangeKind::Removed => KeyEvent::Removed,
            ChangeKind::Unspecified => return Err(missing("kind of a change")),
        };
        Ok(Self { index: change.index, key, event })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyChange, KeyEvent};
    use crate::ids::BlobId;
    use crate::wire::{self, ChangeKind};

    fn change(kind: ChangeKind, entry: Option<wire::KeyEntry>) -> wire::KeyChange {
        wire::KeyChange { index: 7, key: "a".to_owned(), kind: kind.into(), entry }
    }

    fn entry() -> wire::KeyEntry {
        let attributes = Some(wire::Attributes::default());
        wire::KeyEntry { blob: BlobId::generate().to_wire(), serial: 3, size_bytes: 5, attributes }
    }

    #[test]
    fn a_change_is_checked() {
        for kind in [ChangeKind::Created, ChangeKind::Replaced, ChangeKind::Attributes] {
            let checked = KeyChange::try_from(change(kind, Some(entry()))).unwrap();
            assert_eq!((checked.index, checked.event.entry().unwrap().serial), (7, 3));
            assert_eq!(checked.event.changes_listing(), kind != ChangeKind::Attributes);
            assert!(KeyChange::try_from(change(kind, None)).is_err(), "{kind:?} without an entry");
        }
        let removed = KeyChange::try_from(change(ChangeKind::Removed, None)).unwrap();
        assert_eq!((removed.event, removed.event.changes_listing()), (KeyEvent::Removed, true));
        assert!(KeyChange::try_from(change(ChangeKind::Unspecified, Some(entry()))).is_err());
        let nameless = wire::KeyChange { key: String::new(), ..change(ChangeKind::Removed, None) };
        assert!(KeyChange::try_from(nameless).is_err());
    }
}
