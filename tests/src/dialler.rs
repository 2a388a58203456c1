use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use cairn_proto::transport::{ByteStream, Connector};
use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// Has a channel of tonic connect as a connector dials.
#[derive(Debug, Clone)]
pub(crate) struct Dialler<C>(pub(crate) C);

impl<C: Connector> Service<Uri> for Dialler<C> {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialled = uri.authority().map(|address| self.0.dial(address.as_str()));
        Box::pin(async move {
            let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} names no address"));
            Ok(TokioIo::new(dialled.ok_or_else(unnamed)?.await?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use cairn_proto::transport::TcpConnector;
    use tonic::codegen::Service;
    use tonic::transport::Uri;

    use super::Dialler;

    #[tokio::test]
    async fn what_names_no_address_is_not_dialled() {
        let Err(error) = Dialler(TcpConnector).call(Uri::from_static("/service")).await else { panic!("dialled") };
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "/service names no address");
    }
}
