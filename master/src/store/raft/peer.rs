use cairn_proto::ids::MasterId;

/// A master as the group's membership records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name, for people.
    pub(crate) name: String,
    /// `host:port` it serves at.
    pub(crate) address: String,
    /// Its disk. The id belongs to it for ever.
    pub(crate) disk: MasterId,
}

impl Default for Peer {
    /// Nobody: for the storage suite of openraft, which makes members up.
    fn default() -> Self {
        Self { name: String::new(), address: String::new(), disk: MasterId::from_bytes([0; 16]) }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}
