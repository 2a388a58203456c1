use std::time::Duration;

use cairn_proto::{Refusal, WireRefusal, wire};
use tokio::time::timeout;
use tonic::Streaming;

use super::masters::{Call, CallKind};
use super::{Client, ClientError, transport};

/// What is done, for messages.
const WHAT: &str = "compare records with nodes";
/// A master says at least every second how far it is, unless a node keeps it waiting for ten.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// The elected master's look at every record and every node's inventory, as it goes.
#[derive(Debug)]
pub struct Inspection {
    messages: Streaming<wire::FsckResponse>,
}

impl Client {
    /// Has the elected master compare its records with one another and with what nodes keep.
    pub async fn inspect(&self) -> Result<Inspection, ClientError> {
        let call = Call { what: WHAT, deadline: self.connection.deadline(), kind: CallKind::Overview };
        let begun =
            self.connection.masters.call(call, |mut master| async move { master.fsck(wire::FsckRequest {}).await });
        Ok(Inspection { messages: begun.await.map_err(|error| error.into_client_error(WHAT))? })
    }
}

impl Inspection {
    /// What was found next, and how far it is; `None` after the message that says that it is finished.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when the master ends, or is not elected any more: what was told so far is not all.
    pub async fn next(&mut self) -> Result<Option<wire::FsckResponse>, ClientError> {
        let broken = |why: String| ClientError::Unavailable { what: WHAT, why };
        let heard = timeout(SILENCE_LIMIT, self.messages.message()).await;
        let heard = heard.map_err(|_| broken(format!("the master is silent for {} s", SILENCE_LIMIT.as_secs())))?;
        heard.map_err(|status| match WireRefusal::from(status) {
            WireRefusal::Refused(Refusal::NotElected { .. }) => broken("another master is elected by now".to_owned()),
            WireRefusal::Refused(refusal) => ClientError::from_refusal(WHAT, refusal),
            WireRefusal::Transport(status) => broken(transport::describe(&status)),
        })
    }
}
