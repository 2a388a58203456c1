use std::fs;
use std::process::Command;

use serde::Serialize;

use super::peer::PeerScript;
use super::subject::SubjectError;
use super::system::System;
use crate::binary::cairn_program;

/// Where and with what was measured: for people, since figures of another machine say little of these.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// The day.
    pub date: String,
    /// Processors.
    pub processors: String,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// The kernel.
    pub kernel: String,
    /// What each system calls itself.
    pub versions: Vec<String>,
}

impl Machine {
    /// This one, with nothing but Cairn.
    pub(in crate::bench) fn look_at_cairn() -> Result<Self, SubjectError> {
        Self::look(&[])
    }

    /// This one. The systems have to be installed.
    pub(super) fn look(scripts: &[PeerScript]) -> Result<Self, SubjectError> {
        let mut versions = vec![said(Command::new(cairn_program()).arg("--version"))];
        for script in scripts {
            versions.push(script.run("version")?.trim().to_owned());
        }
        let processor_file = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Self {
            date: said(Command::new("date").args(["--utc", "+%Y-%m-%d"])),
            processors: processors(&processor_file),
            memory_gib: memory_gib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            kernel: said(Command::new("uname").arg("-r")),
            versions,
        })
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let Self { date, processors, memory_gib, kernel, versions } = self;
        format!("{date}; {processors}, {memory_gib} GiB, Linux {kernel}; {}", versions.join(", "))
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_else(|error| error.to_string())
}

fn processors(file: &str) -> String {
    let names: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    format!("{} processors ({})", names.len(), names.first().unwrap_or(&"of no name"))
}

fn memory_gib(file: &str) -> u64 {
    let line = file.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 20
}

/// The systems that are compared beside Cairn and the disk, by their scripts.
pub(super) fn scripts(systems: &[System], scene: &std::path::Path) -> Vec<PeerScript> {
    systems.iter().filter(|system| system.is_peer()).map(|system| PeerScript::new(*system, scene)).collect()
}

#[cfg(test)]
mod tests {
    use super::{memory_gib, processors};

    #[test]
    fn processors_are_counted_and_named() {
        let file = "processor\t: 0\nmodel name\t: A fine one\nprocessor\t: 1\nmodel name\t: A fine one\n";
        assert_eq!(processors(file), "2 processors (A fine one)");
        assert_eq!(processors(""), "0 processors (of no name)");
    }

    #[test]
    fn memory_is_told_in_gib() {
        assert_eq!(memory_gib("MemTotal:       24621312 kB\nMemFree: 1 kB\n"), 23);
        assert_eq!(memory_gib(""), 0);
    }
}
