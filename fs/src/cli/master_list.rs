use cairn_proto::ids::MasterId;
use cairn_proto::wire::{MasterState, MasterStatus};
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};

/// `cairn master list`: the masters as the one that leads Raft sees the group, or another if none leads.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print one JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// One master as `master list --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MasterLine {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) address: String,
    state: &'static str,
    pub(crate) role: &'static str,
    elected: bool,
    raft_leader: bool,
    applied_index: Option<u64>,
    disk: String,
}

impl ListArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let masters = self.cluster.with_client("master list", async |client| client.masters().await).await?;
        let lines: Vec<MasterLine> = masters.into_iter().map(MasterLine::from).collect();
        console::answer(self.json, &lines, || text(&lines))
    }
}

impl From<MasterStatus> for MasterLine {
    fn from(master: MasterStatus) -> Self {
        Self {
            state: master_state(master.state()),
            id: master.id,
            name: master.name,
            address: master.address,
            role: if master.voter { "voter" } else { "learner" },
            elected: master.elected,
            raft_leader: master.raft_leader,
            applied_index: master.applied_index,
            disk: MasterId::from_wire(&master.disk).map_or_else(|error| error.to_string(), |disk| disk.to_string()),
        }
    }
}

/// A state of a master as people and programs read it.
pub(crate) fn master_state(state: MasterState) -> &'static str {
    match state {
        MasterState::Active => "active",
        MasterState::Unreachable => "unreachable",
        MasterState::Unknown => "unknown",
    }
}

fn text(lines: &[MasterLine]) -> String {
    let mut rows = plain_table(&["ID", "NAME", "ADDRESS", "STATE", "ROLE", ""]);
    for line in lines {
        let marks = match (line.elected, line.raft_leader) {
            (true, true) => "elected",
            (true, false) => "elected, does not lead Raft",
            (false, true) => "leads Raft",
            (false, false) => "",
        };
        let words = [&line.name, &line.address, line.state, line.role, marks];
        rows.add_row(std::iter::once(number(line.id)).chain(words.map(Cell::new)));
    }
    rows.to_string()
}

#[cfg(test)]
mod tests {
    use super::{MasterLine, text};
    use cairn_proto::wire::{MasterState, MasterStatus};

    fn line() -> MasterLine {
        MasterLine::from(MasterStatus {
            id: 4,
            name: "master-4".to_owned(),
            address: "a:4".to_owned(),
            state: MasterState::Active.into(),
            elected: true,
            raft_leader: true,
            applied_index: Some(9),
            voter: false,
            disk: vec![0; 16].into(),
        })
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        assert_eq!(
            serde_json::to_string(&line()).unwrap(),
            r#"{"id":4,"name":"master-4","address":"a:4","state":"active","role":"learner","elected":true,"raft_leader":true,"applied_index":9,"disk":"00000000-0000-0000-0000-000000000000"}"#
        );
    }

    #[test]
    fn what_no_master_knows_is_not_guessed() {
        let unheard =
            MasterStatus { state: MasterState::Unknown.into(), applied_index: None, ..MasterStatus::default() };
        let shown = serde_json::to_string(&MasterLine::from(unheard)).unwrap();
        assert!(shown.contains(r#""state":"unknown""#) && shown.contains(r#""applied_index":null"#), "{shown}");
    }

    #[test]
    fn people_see_who_is_elected() {
        let shown = text(&[line()]);
        assert!(shown.contains("master-4") && shown.contains("learner") && shown.contains("elected"), "{shown}");
    }
}
