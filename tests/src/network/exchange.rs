use http_body_util::{BodyStream, StreamBody};
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;

use super::links::Fate;
use super::{Lost, Network, Place};

/// Calls that carry one request after the other.
const STREAMS: [&str; 1] = ["/cairn.v1.Raft/StreamAppend"];

/// A call that stays open, each request and answer of which has a fate of its own. One that gets lost ends the call;
/// opening it carries nothing, and always succeeds.
pub(super) struct Exchange {
    network: Network,
    from: Place,
    to: Place,
}

impl Exchange {
    /// Of a request of `from` to `to`, if it opens one.
    pub(super) fn of(request: &Request<Body>, network: &Network, from: Place, to: Place) -> Option<Self> {
        STREAMS.contains(&request.uri().path()).then(|| Self { network: network.clone(), from, to })
    }

    pub(super) fn requests(&self, messages: Body) -> Body {
        let (network, from, to) = (self.network.clone(), self.from, self.to);
        each(messages, move || network.departure(from, to))
    }

    pub(super) fn answers(&self, messages: Body) -> Body {
        let (network, from, to) = (self.network.clone(), self.from, self.to);
        each(messages, move || network.answer(from, to))
    }
}

/// Draws the fate of each message.
fn each(messages: Body, draw: impl Fn() -> Fate + Send + 'static) -> Body {
    let carried = BodyStream::new(messages).then(move |frame| {
        let is_message = frame.as_ref().is_ok_and(|frame| frame.data_ref().is_some_and(|bytes| !bytes.is_empty()));
        let fate = is_message.then(&draw);
        async move {
            match fate {
                None => frame,
                Some(Fate::Arrives { after }) => {
                    sleep(after).await;
                    frame
                }
                Some(Fate::Lost { after } | Fate::CutOff { after }) => {
                    sleep(after).await;
                    Err(Status::unavailable(Lost.to_string()))
                }
            }
        }
    });
    Body::new(StreamBody::new(carried))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyStream, Full};
    use tokio_stream::StreamExt;
    use tonic::body::Body;

    use super::super::{Network, Place};
    use super::Exchange;

    #[tokio::test(start_paused = true)]
    async fn each_message_meets_the_link_as_it_is_then() {
        let (network, from, to) = (Network::new(1), Place::Master(1), Place::Master(2));
        let exchange = Exchange { network: network.clone(), from, to };
        let message = || Body::new(Full::new(Bytes::from_static(b"message")));
        let arrives = async |body| BodyStream::new(body).next().await.is_some_and(|frame| frame.is_ok());
        assert!(arrives(exchange.requests(message())).await);
        assert!(arrives(exchange.answers(message())).await);
        network.cut(to, from);
        assert!(arrives(exchange.requests(message())).await);
        assert!(!arrives(exchange.answers(message())).await);
        network.cut(from, to);
        assert!(!arrives(exchange.requests(message())).await);
        assert_eq!((network.troubles().passed, network.troubles().cut_off), (1, 2));
    }
}
