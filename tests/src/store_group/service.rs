use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cairn_master::store::ReplicatedStore;
use cairn_proto::wire::key_value_server::KeyValueServer;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;

use super::planted::PlantedValues;

/// The key-value service that masters serve: the real one, or one with a fault that tests must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// As it ships.
    #[default]
    Right,
    /// Every master answers gets from what it has applied.
    StaleReads,
    /// Writes are applied as often as they arrive.
    Repeats,
}

impl Service {
    /// Whether calls at this path have the fault.
    fn is_planted_at(self, path: &str) -> bool {
        match self {
            Self::Right => false,
            Self::StaleReads => path == "/cairn.v1.KeyValue/Get",
            Self::Repeats => matches!(path, "/cairn.v1.KeyValue/Put" | "/cairn.v1.KeyValue/Append"),
        }
    }
}

/// All services of one master, the key-value service with its fault if it has one.
#[derive(Clone)]
pub(super) struct Services {
    service: Service,
    real: Routes,
    planted: KeyValueServer<PlantedValues>,
}

impl Services {
    pub(super) fn new(service: Service, real: Routes, store: Arc<ReplicatedStore>) -> Self {
        Self { service, real: real.prepare(), planted: KeyValueServer::new(PlantedValues::new(store)) }
    }
}

impl tonic::codegen::Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tonic::codegen::Service::<Request<Body>>::poll_ready(&mut self.real, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.service.is_planted_at(request.uri().path()) {
            return self.planted.call(request);
        }
        Box::pin(self.real.call(request))
    }
}
