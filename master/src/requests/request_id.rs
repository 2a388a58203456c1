use cairn_proto::ids::SessionId;
use cairn_proto::{Refusal, wire};

use crate::keys::SLOTS_PER_CLIENT;

/// Names one mutation of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// The session of the client.
    pub client: SessionId,
    /// Counted up by the client.
    pub sequence: u64,
    /// Every lower sequence has been answered.
    pub lowest_unanswered: u64,
}

impl TryFrom<Option<wire::RequestId>> for RequestId {
    type Error = Refusal;

    fn try_from(id: Option<wire::RequestId>) -> Result<Self, Refusal> {
        let invalid = |why: String| Refusal::InvalidRequest { why };
        let id = id.ok_or_else(|| invalid("request id is missing".to_owned()))?;
        if id.sequence < id.lowest_unanswered {
            return Err(Refusal::OutcomeUnknown { why: format!("request {} was answered already", id.sequence) });
        }
        if id.sequence - id.lowest_unanswered >= SLOTS_PER_CLIENT {
            return Err(invalid(format!("more than {SLOTS_PER_CLIENT} requests are unanswered")));
        }
        Ok(Self { client: SessionId(id.client), sequence: id.sequence, lowest_unanswered: id.lowest_unanswered })
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;
    use cairn_proto::{Refusal, wire};

    fn check(sequence: u64, lowest_unanswered: u64) -> Result<RequestId, Refusal> {
        Some(wire::RequestId { client: 7, sequence, lowest_unanswered }).try_into()
    }

    #[test]
    fn ids_outside_the_window_are_refused() {
        assert!(check(64, 1).is_ok());
        assert!(matches!(check(65, 1), Err(Refusal::InvalidRequest { .. })));
        assert!(matches!(check(1, 2), Err(Refusal::OutcomeUnknown { .. })));
        assert!(matches!(RequestId::try_from(None), Err(Refusal::InvalidRequest { .. })));
    }
}
