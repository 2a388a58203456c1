use std::time::{Duration, UNIX_EPOCH};

use cairn_proto::ids::NodeId;
use cairn_proto::wire::NodeEvent;
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::node_choice::NodeChoice;
use super::table::plain_table;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// `cairn node events`: what happened to a node.
#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    #[command(flatten)]
    node: NodeChoice,

    /// Print one JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// One event as `node events --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Event {
    /// Milliseconds since 1970 on the clock of the master that was elected then.
    at_ms: u64,
    what: String,
    detail: String,
}

impl EventsArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node events {}", self.node.text())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let ask = async |client: &Client| {
            // A removed node is not listed any more, and its events are kept.
            let id = match self.node.text().parse::<NodeId>() {
                Ok(id) => id,
                Err(_) => self.node.find(client).await?.id,
            };
            Ok::<_, Failure>(client.node_events(id).await?)
        };
        let events = self.cluster.with_client("node events", ask).await?;
        let events: Vec<Event> = events.into_iter().map(Event::from).collect();
        console::answer(self.json, &events, || text(&events))
    }
}

impl From<NodeEvent> for Event {
    fn from(event: NodeEvent) -> Self {
        Self { at_ms: event.at_ms, what: word(&event), detail: event.detail }
    }
}

/// The kind of an event for people and programs; one that a newer master knows is `unspecified`.
fn word(event: &NodeEvent) -> String {
    let name = event.kind().as_str_name();
    name.trim_start_matches("NODE_EVENT_KIND_").to_lowercase().replace('_', "-")
}

fn text(events: &[Event]) -> String {
    let mut table = plain_table(&["WHEN", "WHAT", "DETAIL"]);
    for event in events {
        let at = UNIX_EPOCH + Duration::from_millis(event.at_ms);
        table.add_row([humantime::format_rfc3339_seconds(at).to_string(), event.what.clone(), event.detail.clone()]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::{Event, text};
    use cairn_proto::wire::{NodeEvent, NodeEventKind};

    fn event(at_ms: u64, kind: NodeEventKind, detail: &str) -> Event {
        NodeEvent { at_ms, kind: kind.into(), detail: detail.to_owned() }.into()
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let event = event(5, NodeEventKind::NewData, "without the data it had");
        let expected = r#"{"at_ms":5,"what":"new-data","detail":"without the data it had"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }

    #[test]
    fn people_read_the_oldest_first_with_the_time_of_each() {
        let shown = text(&[event(0, NodeEventKind::Joined, "at a:1"), event(60_000, NodeEventKind::Missed, "")]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].contains("WHEN") && lines[1].contains("1970-01-01T00:00:00Z"), "{shown}");
        assert!(lines[1].contains("joined") && lines[1].contains("at a:1") && lines[2].contains("missed"), "{shown}");
    }
}
