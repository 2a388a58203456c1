use tokio::time::Instant;

/// Number of times the lease has changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What this master is to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It holds the lease, has applied every command before it, and may serve until `serve_until`.
    Elected {
        /// Epoch of its lease, for every command it commits.
        epoch: Epoch,
        /// When its lease ends by its own clock. Moves on with every extension.
        serve_until: Instant,
    },
    /// It does not hold the lease.
    Following {
        /// Address of the holder, where one is known.
        elected: Option<String>,
    },
}

impl Standing {
    /// The epoch to act under at `now`: none unless elected and inside the lease.
    pub fn epoch_at(&self, now: Instant) -> Option<Epoch> {
        match self {
            Self::Elected { epoch, serve_until } if now < *serve_until => Some(*epoch),
            Self::Elected { .. } | Self::Following { .. } => None,
        }
    }
}
