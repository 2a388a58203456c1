use cairn_proto::{Refusal, wire};

use crate::blobs::Pattern;

/// A request to watch keys.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    /// The keys.
    pub pattern: Pattern,
    /// Their changes behind this index; `None`: from now on.
    pub after: Option<u64>,
}

impl TryFrom<wire::WatchRequest> for WatchRequest {
    type Error = Refusal;

    fn try_from(request: wire::WatchRequest) -> Result<Self, Refusal> {
        let invalid = |error| Refusal::InvalidRequest { why: format!("pattern: {error}") };
        Ok(Self { pattern: Pattern::new(&request.pattern).map_err(invalid)?, after: request.after_index })
    }
}
