use clap::ValueEnum;
use serde::Serialize;

/// What grows, in the order in which it is measured. `DESIGN.md` says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`DESIGN.md` has a table of them")]
pub enum ScalingSeries {
    Nodes,
    Clients,
    Cells,
    Stripes,
    Layouts,
    Metadata,
    Heartbeats,
    Losses,
}

impl ScalingSeries {
    /// All of them.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Clients => "clients",
            Self::Cells => "cells",
            Self::Stripes => "stripes",
            Self::Layouts => "layouts",
            Self::Metadata => "metadata",
            Self::Heartbeats => "heartbeats",
            Self::Losses => "losses",
        }
    }
}
