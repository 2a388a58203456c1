use cairn_proto::ids::BlobId;
use cairn_proto::records::{Key, KeyEntry};
use cairn_proto::{Refusal, wire};

/// What a mutation wants of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// The key must not exist.
    Absent,
    /// The key must point at this blob.
    Blob(BlobId),
}

impl Precondition {
    /// Refuses unless the key is as wanted.
    pub fn check(self, key: &Key, entry: Option<&KeyEntry>) -> Result<(), Refusal> {
        let key = || key.to_string();
        match (self, entry) {
            (Self::Absent, Some(_)) => Err(Refusal::KeyExists { key: key() }),
            (Self::Blob(_), None) => Err(Refusal::KeyNotFound { key: key() }),
            (Self::Blob(blob), Some(entry)) if entry.blob != blob => Err(Refusal::KeyChanged { key: key() }),
            _ => Ok(()),
        }
    }
}

impl TryFrom<Option<wire::Precondition>> for Precondition {
    type Error = Refusal;

    fn try_from(precondition: Option<wire::Precondition>) -> Result<Self, Refusal> {
        match precondition.and_then(|precondition| precondition.condition) {
            None => Ok(Self::None),
            Some(wire::precondition::Condition::Absent(wire::Absent {})) => Ok(Self::Absent),
            Some(wire::precondition::Condition::Blob(id)) => Ok(Self::Blob(BlobId::from_wire(&id)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Precondition;
    use cairn_proto::Refusal;
    use cairn_proto::ids::BlobId;
    use cairn_proto::records::{Attributes, Key, KeyEntry};

    #[test]
    fn each_precondition_refuses_in_its_own_words() {
        let key = Key::try_from("a").unwrap();
        let blob = BlobId::generate();
        let entry = KeyEntry { blob, serial: 1, size_bytes: 0, attributes: Attributes::default() };
        let name = || "a".to_owned();
        assert_eq!(Precondition::Absent.check(&key, Some(&entry)), Err(Refusal::KeyExists { key: name() }));
        assert_eq!(Precondition::Blob(blob).check(&key, None), Err(Refusal::KeyNotFound { key: name() }));
        let other = Precondition::Blob(BlobId::generate());
        assert_eq!(other.check(&key, Some(&entry)), Err(Refusal::KeyChanged { key: name() }));
        assert_eq!(Precondition::Blob(blob).check(&key, Some(&entry)), Ok(()));
        assert_eq!(Precondition::Absent.check(&key, None), Ok(()));
        assert_eq!(Precondition::None.check(&key, None), Ok(()));
    }
}
