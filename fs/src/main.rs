//! The `cairn` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cairn_fs::cli::main()
}
