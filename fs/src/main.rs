//! The `cairn` command.

mod allocator;

use std::process::ExitCode;

use allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    cairn_fs::cli::main()
}
