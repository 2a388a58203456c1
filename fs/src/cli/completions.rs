use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, ExitStatus, Failure, console};

/// `cairn completions`: writes the completions of a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

impl CompletionsArguments {
    pub(crate) fn subject(&self) -> String {
        format!("completions {}", self.shell)
    }

    pub(crate) fn run(&self) -> Result<ExitStatus, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "cairn", &mut script);
        console::bytes(&script)?;
        console::flush()?;
        Ok(ExitStatus::Done)
    }
}
