use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::HeartbeatsError;
use super::simulated_node::LOSE;
use crate::wait::within;

/// Heartbeats of each node that come before anything is measured.
const FIRST_BEATS: u64 = 3;
/// In which they have to come.
pub(super) const JOIN_DEADLINE: Duration = Duration::from_mins(1);

/// What simulated nodes have done since their start.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct NodesDone {
    pub(in crate::bench) beats: u64,
    pub(in crate::bench) rebuilt: u64,
    /// Those to rebuild among them; no heartbeats, and no questions.
    pub(in crate::bench) orders: u64,
}

/// The process that stands for all nodes, so that what they take does not count as the master's. Ends when dropped.
#[derive(Debug)]
pub(in crate::bench) struct NodeProcess {
    child: Child,
    /// Closed first: that ends it.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl NodeProcess {
    /// Of nodes that list no chunks or, `unlisted`, refuse to list: then they may be named in records.
    pub(in crate::bench) fn start(nodes: u32, master: &str, unlisted: bool) -> Result<Self, HeartbeatsError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["simulated-nodes", "--nodes", &nodes.to_string(), "--master", master]);
        command.args(unlisted.then_some("--unlisted"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Ok(Self { child, questions, answers: BufReader::new(answers) })
    }

    /// Waits until each of so many nodes has joined and answered some heartbeats.
    pub(in crate::bench) fn wait_heard(&mut self, nodes: u32) -> Result<(), HeartbeatsError> {
        let first_beats = FIRST_BEATS * u64::from(nodes);
        let heard = || self.beats().map(|beats| (beats >= first_beats).then_some(())).transpose();
        within(JOIN_DEADLINE, heard).ok_or(HeartbeatsError::NotHeard)?
    }

    /// Heartbeats that the nodes have answered so far.
    pub(in crate::bench) fn beats(&mut self) -> Result<u64, HeartbeatsError> {
        self.ask("").map(|done| done.beats)
    }

    /// What the nodes have done so far.
    pub(in crate::bench) fn done(&mut self) -> Result<NodesDone, HeartbeatsError> {
        self.ask("")
    }

    /// From now on the first node answers nothing.
    pub(in crate::bench) fn lose_first(&mut self) -> Result<NodesDone, HeartbeatsError> {
        self.ask(LOSE)
    }

    fn ask(&mut self, line: &str) -> Result<NodesDone, HeartbeatsError> {
        writeln!(self.questions.as_mut().expect("it is closed by dropping"), "{line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let mut counts = answer.split_whitespace().map(str::parse::<u64>);
        match [counts.next(), counts.next(), counts.next()] {
            [Some(Ok(beats)), Some(Ok(rebuilt)), Some(Ok(orders))] => Ok(NodesDone { beats, rebuilt, orders }),
            _ => Err(HeartbeatsError::Nodes(answer)),
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        drop(self.questions.take());
        // It ends by itself; an error would say that it has.
        drop(self.child.wait());
    }
}
