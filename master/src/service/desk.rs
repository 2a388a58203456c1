use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::failure::Failure;
use crate::office::Office;
use crate::tenure::Tenure;

/// Longest time that any request takes here; what it started goes on.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

/// Where requests come in: only inside the lease, never for ever.
#[derive(Clone)]
pub(super) struct Desk {
    office: Arc<Office>,
}

impl Desk {
    pub(super) fn new(office: Arc<Office>) -> Self {
        Self { office }
    }

    pub(super) fn office(&self) -> &Office {
        &self.office
    }

    /// Answers from what is there. The standing is checked again afterwards: what was read may be older than the next
    /// master's first command otherwise.
    pub(super) async fn read<T, W>(&self, work: impl FnOnce(Arc<Tenure>) -> W) -> Result<Response<T>, Status>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let tenure = self.office.tenure()?;
        let answer = match timeout(REQUEST_DEADLINE, work(Arc::clone(&tenure))).await {
            Ok(answer) => answer.map_err(|failure| self.status(failure))?,
            Err(_) => return Err(too_slow().into()),
        };
        tenure.check_standing()?;
        Ok(Response::new(answer))
    }

    /// Changes something. The work goes on to its end even if the client hangs up, so that memory and records agree.
    pub(super) async fn change<T, W>(&self, work: impl FnOnce(Arc<Tenure>) -> W) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let running = tokio::spawn(work(self.office.tenure()?));
        match timeout(REQUEST_DEADLINE, running).await {
            Ok(Ok(answer)) => Ok(Response::new(answer.map_err(|failure| self.status(failure))?)),
            Ok(Err(panic)) => Err(Status::internal(panic.to_string())),
            Err(_) => Err(too_slow().into()),
        }
    }

    /// What the client is told of a failure.
    pub(super) fn status(&self, failure: Failure) -> Status {
        failure.into_status(self.office.elected_elsewhere())
    }
}

fn too_slow() -> Refusal {
    Refusal::NotReady { why: format!("no answer within {REQUEST_DEADLINE:?}; ask again") }
}
