use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;
use cairn_codec::Layout;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Masters where the command line says nothing.
const DEFAULT_MASTERS: u16 = 3;
/// Storage nodes where the command line says nothing.
const DEFAULT_NODES: u16 = 6;
/// Most masters of a dev cluster; the ports of the nodes begin behind them.
pub(crate) const MOST_MASTERS: u16 = 9;
/// Most devices of a node: what the usual memory of one is enough for.
const MOST_DEVICES: u16 = 7;
/// Most storage nodes of a dev cluster; a base port stands for a hundred ports.
pub(crate) const MOST_NODES: u16 = 80;

/// How a dev cluster is built: the section `[dev]` of its `cairn.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevSettings {
    /// Masters listen from this port + 1 on, storage nodes from this port + 11 on.
    pub(crate) base_port: u16,
    /// Number of masters.
    pub(crate) masters: u16,
    /// Number of storage nodes.
    pub(crate) nodes: u16,
    /// Devices of each storage node: folders with a store each.
    #[serde(default = "one")]
    pub(crate) devices: u16,
    /// Data and code chunks, `4+2`.
    pub(crate) layout: String,
    /// Size of a cell in bytes.
    pub(crate) cell_size_bytes: u32,
    /// What becomes of a key that exists when a file is written under it.
    #[serde(default)]
    pub(crate) overwrite: OverwritePolicy,
    /// Where the cluster is mounted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount: Option<PathBuf>,
}

/// What becomes of a key that exists when a file is written under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverwritePolicy {
    /// It leads to the new file.
    #[default]
    Replace,
    /// Refused: write once, read many.
    Worm,
}

impl fmt::Display for OverwritePolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Replace => "replace",
            Self::Worm => "worm",
        })
    }
}

/// What the command line asks for; what it leaves out stays as it is, or takes its default.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestedSettings {
    pub(crate) base_port: Option<u16>,
    pub(crate) masters: Option<u16>,
    pub(crate) nodes: Option<u16>,
    pub(crate) devices: Option<u16>,
    pub(crate) layout: Option<Layout>,
    pub(crate) cell_size: Option<ByteSize>,
    pub(crate) overwrite: Option<OverwritePolicy>,
    pub(crate) mount: Option<PathBuf>,
}

/// Why a dev cluster cannot be built as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// Outside the ports that are set aside.
    #[error("{asked} {what} are not between 1 and {most}")]
    Count {
        /// Masters or nodes.
        what: &'static str,
        /// How many were asked for.
        asked: u16,
        /// How many there may be.
        most: u16,
    },
    /// The layout is not valid with that cell size.
    #[error(transparent)]
    Layout(#[from] cairn_codec::InvalidLayout),
    /// A cell size that does not even fit its field.
    #[error("a cell of {0} is too large")]
    CellSize(ByteSize),
    /// Fewer nodes than a write needs.
    #[error("layout {layout} needs {needed} nodes, {nodes} are asked for")]
    TooFewNodes {
        /// The layout.
        layout: String,
        /// Its chunks.
        needed: usize,
        /// Nodes asked for.
        nodes: u16,
    },
    /// The cluster exists and differs.
    #[error("this cluster was built with {what} {existing}; {asked} is only possible in a new directory")]
    Fixed {
        /// The setting.
        what: &'static str,
        /// What it is.
        existing: String,
        /// What was asked for.
        asked: String,
    },
    /// Nodes hold data.
    #[error("this cluster has {existing} nodes and can grow, not shrink to {asked}")]
    Shrinks {
        /// Nodes there are.
        existing: u16,
        /// Nodes asked for.
        asked: u16,
    },
    /// The last port would be past the end.
    #[error("base port {0} leaves no room for the ports of a cluster below 65536")]
    BasePort(u16),
}

impl RequestedSettings {
    /// The settings of a new cluster. `base_port` is used where the command line names none.
    pub(crate) fn create(self, base_port: u16) -> Result<DevSettings, SettingsError> {
        let layout = self.full_layout()?;
        let settings = DevSettings {
            base_port: self.base_port.unwrap_or(base_port),
            masters: self.masters.unwrap_or(DEFAULT_MASTERS),
            nodes: self.nodes.unwrap_or_else(|| smallest_default(&layout)),
            devices: self.devices.unwrap_or(one()),
            layout: shape(&layout),
            cell_size_bytes: u32::try_from(layout.cell_size_bytes()).expect("a valid cell fits 32 bits"),
            overwrite: self.overwrite.unwrap_or_default(),
            mount: self.mount,
        };
        settings.check(&layout)?;
        Ok(settings)
    }

    /// The settings of a cluster that exists: the mount may change and nodes may be added, nothing else.
    pub(crate) fn apply(self, existing: &DevSettings) -> Result<DevSettings, SettingsError> {
        fixed("base port", &existing.base_port, self.base_port.as_ref())?;
        fixed("masters:", &existing.masters, self.masters.as_ref())?;
        fixed("devices per node:", &existing.devices, self.devices.as_ref())?;
        fixed("layout", &existing.layout, self.layout.as_ref().map(shape).as_ref())?;
        let cell_size = ByteSize::b(u64::from(existing.cell_size_bytes));
        fixed("cells of", &cell_size, self.cell_size.as_ref())?;
        fixed("overwriting:", &existing.overwrite, self.overwrite.as_ref())?;
        let nodes = self.nodes.unwrap_or(existing.nodes);
        if nodes < existing.nodes {
            return Err(SettingsError::Shrinks { existing: existing.nodes, asked: nodes });
        }
        check_count("nodes", nodes, MOST_NODES)?;
        Ok(DevSettings { nodes, mount: self.mount.or_else(|| existing.mount.clone()), ..existing.clone() })
    }

    fn full_layout(&self) -> Result<Layout, SettingsError> {
        let layout = self.layout.unwrap_or(Layout::DEFAULT);
        match self.cell_size {
            None => Ok(layout),
            Some(size) => {
                let bytes = u32::try_from(size.as_u64()).map_err(|_| SettingsError::CellSize(size))?;
                Ok(layout.with_cell_size(bytes)?)
            }
        }
    }
}

impl DevSettings {
    fn check(&self, layout: &Layout) -> Result<(), SettingsError> {
        check_count("masters", self.masters, MOST_MASTERS)?;
        check_count("nodes", self.nodes, MOST_NODES)?;
        check_count("devices", self.devices, MOST_DEVICES)?;
        if usize::from(self.nodes) < layout.chunks() {
            return Err(SettingsError::TooFewNodes {
                layout: self.layout.clone(),
                needed: layout.chunks(),
                nodes: self.nodes,
            });
        }
        match self.base_port.checked_add(super::ports::PORTS_PER_CLUSTER) {
            Some(_) => Ok(()),
            None => Err(SettingsError::BasePort(self.base_port)),
        }
    }

    /// Port of the `number`-th master, from 1.
    pub(crate) fn master_port(&self, number: u16) -> u16 {
        self.base_port + number
    }

    /// Port of the `number`-th storage node, from 1.
    pub(crate) fn node_port(&self, number: u16) -> u16 {
        self.base_port + MOST_MASTERS + 1 + number
    }

    /// Addresses of all masters.
    pub(crate) fn master_addresses(&self) -> Vec<String> {
        (1..=self.masters).map(|number| format!("127.0.0.1:{}", self.master_port(number))).collect()
    }
}

/// What a cluster that was built before nodes had devices has.
fn one() -> u16 {
    1
}

/// Enough nodes for a write in the layout, and the usual number where that is enough.
fn smallest_default(layout: &Layout) -> u16 {
    u16::try_from(layout.chunks()).map_or(u16::MAX, |chunks| chunks.max(DEFAULT_NODES))
}

fn shape(layout: &Layout) -> String {
    format!("{}+{}", layout.data(), layout.code())
}

fn check_count(what: &'static str, asked: u16, most: u16) -> Result<(), SettingsError> {
    if (1..=most).contains(&asked) { Ok(()) } else { Err(SettingsError::Count { what, asked, most }) }
}

fn fixed<T: PartialEq + ToString>(what: &'static str, existing: &T, asked: Option<&T>) -> Result<(), SettingsError> {
    match asked {
        Some(asked) if asked != existing => {
            Err(SettingsError::Fixed { what, existing: existing.to_string(), asked: asked.to_string() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{DevSettings, OverwritePolicy, RequestedSettings, SettingsError};
    use bytesize::ByteSize;

    fn existing() -> DevSettings {
        RequestedSettings::default().create(7000).unwrap()
    }

    #[test]
    fn a_cluster_asked_for_without_words_has_the_documented_size() {
        let settings = existing();
        assert_eq!((settings.masters, settings.nodes, settings.layout.as_str()), (3, 6, "4+2"));
        assert_eq!(settings.master_addresses(), ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]);
        assert_eq!((settings.node_port(1), settings.node_port(80)), (7011, 7090));
    }

    #[test]
    fn a_wide_layout_brings_its_nodes_with_it() {
        let request = RequestedSettings { layout: Some("6+3".parse().unwrap()), ..RequestedSettings::default() };
        assert_eq!(request.create(7000).unwrap().nodes, 9);
    }

    #[test]
    fn too_few_nodes_for_the_layout_are_refused() {
        let request = RequestedSettings { nodes: Some(5), ..RequestedSettings::default() };
        let error = request.create(7000).unwrap_err();
        assert_eq!(error.to_string(), "layout 4+2 needs 6 nodes, 5 are asked for");
    }

    #[test]
    fn impossible_counts_ports_and_cells_are_refused() {
        let create = |request: RequestedSettings| request.create(7000).unwrap_err();
        let none = RequestedSettings { masters: Some(0), ..RequestedSettings::default() };
        assert_eq!(create(none), SettingsError::Count { what: "masters", asked: 0, most: 9 });
        let high = RequestedSettings { base_port: Some(65_500), ..RequestedSettings::default() };
        assert_eq!(create(high), SettingsError::BasePort(65_500));
        let odd = RequestedSettings { cell_size: Some(ByteSize::b(100)), ..RequestedSettings::default() };
        assert!(matches!(create(odd), SettingsError::Layout(_)));
        let huge = RequestedSettings { cell_size: Some(ByteSize::gib(8)), ..RequestedSettings::default() };
        assert!(matches!(create(huge), SettingsError::CellSize(_)));
    }

    #[test]
    fn an_existing_cluster_comes_back_as_it_was() {
        assert_eq!(RequestedSettings::default().apply(&existing()).unwrap(), existing());
        let same = RequestedSettings { nodes: Some(6), masters: Some(3), ..RequestedSettings::default() };
        assert_eq!(same.apply(&existing()).unwrap(), existing());
    }

    #[test]
    fn nodes_grow_and_do_not_shrink() {
        let ask = |nodes| RequestedSettings { nodes: Some(nodes), ..RequestedSettings::default() }.apply(&existing());
        assert_eq!(ask(8).unwrap().nodes, 8);
        assert_eq!(ask(5).unwrap_err(), SettingsError::Shrinks { existing: 6, asked: 5 });
        assert!(matches!(ask(81).unwrap_err(), SettingsError::Count { .. }));
    }

    #[test]
    fn what_is_fixed_cannot_be_changed_later() {
        let refused = |request: RequestedSettings| request.apply(&existing()).unwrap_err().to_string();
        let masters = RequestedSettings { masters: Some(1), ..RequestedSettings::default() };
        assert!(refused(masters).contains("masters: 3"));
        let devices = RequestedSettings { devices: Some(2), ..RequestedSettings::default() };
        assert!(refused(devices).contains("devices per node: 1; 2"));
        let layout = RequestedSettings { layout: Some("6+3".parse().unwrap()), ..RequestedSettings::default() };
        assert!(refused(layout).contains("layout 4+2; 6+3"));
        let cells = RequestedSettings { cell_size: Some(ByteSize::kib(128)), ..RequestedSettings::default() };
        assert!(refused(cells).contains("cells of 64.0 KiB"));
        let worm = RequestedSettings { overwrite: Some(OverwritePolicy::Worm), ..RequestedSettings::default() };
        assert!(refused(worm).contains("overwriting: replace; worm"));
        let port = RequestedSettings { base_port: Some(8000), ..RequestedSettings::default() };
        assert!(refused(port).contains("base port 7000"));
    }

    #[test]
    fn settings_survive_the_file() {
        let settings = DevSettings { mount: Some("/mnt/blobs".into()), ..existing() };
        assert_eq!(toml::from_str::<DevSettings>(&toml::to_string(&settings).unwrap()).unwrap(), settings);
    }
}
