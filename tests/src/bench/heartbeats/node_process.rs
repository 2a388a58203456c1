use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::HeartbeatsError;

/// The process that stands for all nodes, so that what they take does not count as the master's. Ends when dropped.
#[derive(Debug)]
pub(super) struct NodeProcess {
    child: Child,
    /// Closed first: that ends it.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl NodeProcess {
    pub(super) fn start(nodes: u32, master: &str) -> Result<Self, HeartbeatsError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["simulated-nodes", "--nodes", &nodes.to_string(), "--master", master]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Ok(Self { child, questions, answers: BufReader::new(answers) })
    }

    /// Heartbeats that the nodes have answered so far.
    pub(super) fn beats(&mut self) -> Result<u64, HeartbeatsError> {
        writeln!(self.questions.as_mut().expect("it is closed by dropping"))?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().map_err(|_| HeartbeatsError::Nodes(line))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        drop(self.questions.take());
        // It ends by itself; an error would say that it has.
        drop(self.child.wait());
    }
}
