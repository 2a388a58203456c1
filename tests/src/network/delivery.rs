use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use super::exchange::Exchange;
use super::{Network, Place};

/// What one place serves.
pub trait Services:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Services for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// The services of one place, as the network lets them be reached.
#[derive(Debug, Clone)]
pub(super) struct Delivery<S> {
    network: Network,
    here: Place,
    services: S,
}

impl<S: Services> Delivery<S> {
    pub(super) fn new(network: Network, here: Place, services: S) -> Self {
        Self { network, here, services }
    }

    async fn deliver(mut self, caller: Place, request: Request<Body>) -> Response<Body> {
        if let Some(exchange) = Exchange::of(&request, &self.network, caller, self.here) {
            let request = request.map(|messages| exchange.requests(messages));
            return match self.services.call(request).await {
                Ok(response) => response.map(|messages| exchange.answers(messages)),
            };
        }
        match self.network.clone().carry(caller, self.here, self.services.call(request)).await {
            Ok(Ok(response)) => response,
            // What a caller sees of a request that got lost: nothing that tells whether it was executed.
            Err(lost) => Status::unavailable(lost.to_string()).into_http(),
        }
    }
}

impl<S: Services> Service<Request<Body>> for Delivery<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let delivery = self.clone();
        let caller = request.extensions().get::<Place>().copied();
        Box::pin(async move {
            let caller = caller.expect("every connection of the network says whose it is");
            Ok(delivery.deliver(caller, request).await)
        })
    }
}
