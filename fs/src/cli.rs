//! The command line. One file for each command; see `DESIGN.md`.

mod cat;
mod cluster;
mod completions;
mod config_file;
mod console;
mod daemon;
mod dev;
mod exit_status;
mod failure;
mod fsck;
mod get;
mod get_target;
mod heal;
mod heal_start;
mod heal_status;
mod kv;
mod log_tail;
mod logging;
mod ls;
mod master;
mod master_add;
mod master_leader;
mod master_list;
mod master_remove;
mod master_transfer_leader;
mod mount;
mod mv;
mod node;
mod node_change;
mod node_choice;
mod node_drain;
mod node_events;
mod node_list;
mod node_maintenance;
mod node_rebalance;
mod node_remove;
mod node_undrain;
mod progress;
mod put;
mod put_source;
mod ready;
mod rm;
mod scrub;
mod scrub_start;
mod scrub_status;
mod shutdown;
mod stat;
mod status;
mod table;
mod umount;
mod watch;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use exit_status::ExitStatus;
use failure::Failure;

/// Stores immutable blobs on many machines; any few of them may fail.
///
/// Data goes to standard output, messages to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 not
/// found, 4 exists, 5 degraded or not ready, 6 cannot reach the cluster.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole cluster on this machine, to try it out
    Dev(dev::DevArguments),
    /// Run a master, or ask about masters
    Master(master::MasterArguments),
    /// Run a storage node, or say what is to become of nodes
    Node(node::NodeArguments),
    /// Show the keys as files of one folder
    Mount(mount::MountArguments),
    /// End a mount once everything written to it is stored
    Umount(umount::UmountArguments),
    /// Store a file, all or nothing
    Put(put::PutArguments),
    /// Copy a blob into a file, checking its digest
    Get(get::GetArguments),
    /// Write blobs, or a part of each, to standard output
    Cat(cat::CatArguments),
    /// List keys in key order
    Ls(ls::LsArguments),
    /// Show what a key points at and where its chunks lie
    Stat(stat::StatArguments),
    /// Delete keys
    Rm(rm::RmArguments),
    /// Rename a key
    Mv(mv::MvArguments),
    /// Print each change of a key, until interrupted
    Watch(watch::WatchArguments),
    /// Show what is missing of blobs, and its rebuilding
    Heal(heal::HealArguments),
    /// Compare the masters' records with what nodes keep
    Fsck(fsck::FsckArguments),
    /// Verify what nodes keep, and show what was found
    Scrub(scrub::ScrubArguments),
    /// Show the cluster as the elected master sees it
    Status(status::StatusArguments),
    /// Say whether the cluster takes writes
    Ready(ready::ReadyArguments),
    /// Read and change small values that all masters agree on
    Kv(kv::KvArguments),
    /// Write the completions of a shell
    Completions(completions::CompletionsArguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are no errors: they go to standard output and end with 0.
        Err(error) => error.exit(),
    };
    run(arguments.command).into()
}

fn run(command: Command) -> ExitStatus {
    let subject = command.subject();
    let result = match runtime(command.threads()) {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(source) => Err(Failure::System { action: "start threads", source }),
    };
    match result {
        Ok(status) => status,
        // Who closed the pipe has read all it wanted.
        Err(failure) if failure.is_closed_pipe() => ExitStatus::Done,
        Err(failure) => {
            console::message(failure.report(&subject));
            failure.exit_status()
        }
    }
}

/// With one thread, tasks hand over to one another without waking a thread.
fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    match threads {
        None => Builder::new_multi_thread().enable_all().build(),
        Some(NonZeroUsize::MIN) => Builder::new_current_thread().enable_all().build(),
        Some(threads) => Builder::new_multi_thread().worker_threads(threads.get()).enable_all().build(),
    }
}

impl Command {
    /// Threads to run on, where told; otherwise one for each processor.
    fn threads(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Master(arguments) => arguments.threads(),
            _ => None,
        }
    }

    /// What the message of a failure begins with.
    fn subject(&self) -> String {
        match self {
            Self::Dev(arguments) => arguments.subject(),
            Self::Master(arguments) => arguments.subject(),
            Self::Node(arguments) => arguments.subject(),
            Self::Mount(arguments) => arguments.subject(),
            Self::Umount(arguments) => arguments.subject(),
            Self::Put(arguments) => arguments.subject(),
            Self::Get(arguments) => arguments.subject(),
            Self::Cat(arguments) => arguments.subject(),
            Self::Ls(arguments) => arguments.subject(),
            Self::Stat(arguments) => arguments.subject(),
            Self::Rm(_) => "rm".to_owned(),
            Self::Mv(arguments) => arguments.subject(),
            Self::Kv(arguments) => arguments.subject(),
            Self::Watch(arguments) => arguments.subject(),
            Self::Heal(arguments) => arguments.subject(),
            Self::Fsck(_) => "fsck".to_owned(),
            Self::Scrub(arguments) => arguments.subject(),
            Self::Status(_) => "status".to_owned(),
            Self::Ready(_) => "ready".to_owned(),
            Self::Completions(arguments) => arguments.subject(),
        }
    }

    /// Whether it sets up its log by itself.
    fn is_daemon(&self) -> bool {
        match self {
            Self::Mount(_) => true,
            Self::Master(arguments) => arguments.is_daemon(),
            Self::Node(arguments) => arguments.is_daemon(),
            _ => false,
        }
    }

    async fn run(self) -> Result<ExitStatus, Failure> {
        if !self.is_daemon() {
            logging::install_if_asked()?;
        }
        match self {
            Self::Dev(arguments) => arguments.run().await,
            Self::Master(arguments) => arguments.run().await,
            Self::Node(arguments) => arguments.run().await,
            Self::Mount(arguments) => arguments.run().await,
            Self::Umount(arguments) => arguments.run().await,
            Self::Put(arguments) => arguments.run().await,
            Self::Get(arguments) => arguments.run().await,
            Self::Cat(arguments) => arguments.run().await,
            Self::Ls(arguments) => arguments.run().await,
            Self::Stat(arguments) => arguments.run().await,
            Self::Rm(arguments) => arguments.run().await,
            Self::Mv(arguments) => arguments.run().await,
            Self::Kv(arguments) => arguments.run().await,
            Self::Watch(arguments) => arguments.run().await,
            Self::Heal(arguments) => arguments.run().await,
            Self::Fsck(arguments) => arguments.run().await,
            Self::Scrub(arguments) => arguments.run().await,
            Self::Status(arguments) => arguments.run().await,
            Self::Ready(arguments) => arguments.run().await,
            Self::Completions(arguments) => arguments.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{CommandFactory, Parser};

    fn parses(line: &str) -> bool {
        Arguments::try_parse_from(line.split(' ')).is_ok()
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_documented_form_is_understood() {
        for line in [
            "cairn dev",
            "cairn dev --dir /d --masters 3 --nodes 6 --layout 4+2 --base-port 7000 --mount /m --daemon --cell-size 64KiB --overwrite worm",
            "cairn dev stop --dir /d",
            "cairn dev --dir /d stop",
            "cairn dev status --dir /d --json",
            "cairn heal status --json",
            "cairn scrub status --json",
            "cairn scrub start",
            "cairn scrub start node-1 node-2 --rate 10MiB --json",
            "cairn dev kill --dir /d node-3",
            "cairn dev start node-3",
            "cairn master --config /f",
            "cairn master --config /f --insecure --log debug --log-format json",
            "cairn master leader",
            "cairn master leader --json --masters a:1",
            "cairn master list --json",
            "cairn master add a:4 --timeout 5s",
            "cairn master add a:4 --no-wait --json",
            "cairn master remove 3",
            "cairn master transfer-leader 2 --json",
            "cairn node --config /f --insecure",
            "cairn node list --json",
            "cairn node drain node-3",
            "cairn node drain node-3 --yes --json",
            "cairn node undrain node-3",
            "cairn node maintenance node-3 --for 10m",
            "cairn node rebalance",
            "cairn node rebalance stop --json",
            "cairn node remove node-3 --yes --force --json",
            "cairn mount /m -o allow_other,layout=6+3 --masters a:1,b:2 --daemon",
            "cairn umount /m",
            "cairn put f",
            "cairn put - key --json",
            "cairn get key",
            "cairn get key -",
            "cairn cat key other --offset 5 --length 64KiB",
            "cairn ls",
            "cairn ls photo* -l -h --json",
            "cairn stat key --json",
            "cairn rm a b -f",
            "cairn mv a b -n",
            "cairn watch",
            "cairn watch photo* --json",
            "cairn fsck",
            "cairn fsck --deep --json",
            "cairn status --json",
            "cairn ready",
            "cairn ready --wait --timeout 5s",
            "cairn completions bash",
        ] {
            assert!(parses(line), "{line}: {}", Arguments::try_parse_from(line.split(' ')).unwrap_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "cairn",
            "cairn master",
            "cairn master add",
            "cairn master remove three",
            "cairn node",
            "cairn node drain",
            "cairn node maintenance node-3",
            "cairn node maintenance node-3 --for ever",
            "cairn node rebalance perhaps",
            "cairn put",
            "cairn cat",
            "cairn rm",
            "cairn mv a",
            "cairn watch a b",
            "cairn dev --layout 4",
            "cairn dev --nodes many",
            "cairn dev kill",
            "cairn mount /m -o sync_never",
            "cairn cat k --offset minus",
            "cairn ready --timeout 5s",
            "cairn ready --wait --timeout soon",
            "cairn completions tea",
            "cairn fly",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
