use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::ScalingError;
use super::client::{READY, Work};
use super::stored_file::StoredFile;

/// The line at which all begin.
const BEGIN: &str = "begin";

/// Clients, each in a process of its own with one file of its own. They end when dropped, and with this program.
#[derive(Debug)]
pub(super) struct ClientProcesses(Vec<ClientProcess>);

#[derive(Debug)]
struct ClientProcess {
    child: Child,
    /// Closed first: that ends it.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl ClientProcesses {
    /// One for each file.
    pub(super) fn start(files: &[StoredFile]) -> Result<Self, ScalingError> {
        files.iter().map(ClientProcess::start).collect::<Result<_, _>>().map(Self)
    }

    /// Has all do the same at the same time: from the word to begin until the last is done.
    pub(super) fn run(&mut self, work: Work) -> Result<Duration, ScalingError> {
        for client in &mut self.0 {
            client.say(work.word())?;
        }
        for client in &mut self.0 {
            client.wait()?;
        }
        let begun = Instant::now();
        for client in &mut self.0 {
            client.say(BEGIN)?;
        }
        for client in &mut self.0 {
            client.wait()?;
        }
        Ok(begun.elapsed())
    }
}

impl ClientProcess {
    fn start(file: &StoredFile) -> Result<Self, ScalingError> {
        let StoredFile { masters, key, mib, layout } = file;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("scaling-client").args(["--masters", &masters.join(","), "--key", key]);
        command.args(["--mib", &mib.to_string(), "--layout", &layout.to_string()]);
        command.args(["--cell-bytes", &layout.cell_size_bytes().to_string()]);
        command.args(["--stripe-bytes", &layout.stripe_size_bytes().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    fn say(&mut self, line: &str) -> Result<(), ScalingError> {
        Ok(writeln!(self.orders.as_mut().expect("it is closed by dropping"), "{line}")?)
    }

    fn wait(&mut self) -> Result<(), ScalingError> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim_end() == READY { Ok(()) } else { Err(ScalingError::Client(line)) }
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It ends by itself; an error would say that it has.
        drop(self.child.wait());
    }
}
