use std::path::{Path, PathBuf};

use serde::Serialize;

use super::daemon::{Daemon, DaemonKind};
use super::directory::{ClusterDirectory, replace_file};
use super::settings::OverwritePolicy;
use super::{DevFailure, DevSettings};

/// Times that differ from those of a production cluster, so that what comes late there is soon seen here.
const TIMING: Timing =
    Timing { session_timeout: "10s", collection_grace: "10s", repair_grace: "15s", orphan_sweep_period: "10m" };

/// In which each node reads all that it keeps once.
const SCRUB_PERIOD: &str = "1d";

#[derive(Serialize)]
struct MasterConfig<'a> {
    id: u16,
    name: &'a str,
    dir: &'a Path,
    listen: &'a str,
    layout: &'a str,
    cell_size: String,
    overwrite: OverwritePolicy,
    members: Vec<Member>,
    timing: Timing,
}

#[derive(Serialize)]
struct Member {
    id: u16,
    name: String,
    address: String,
}

#[derive(Serialize)]
struct Timing {
    session_timeout: &'static str,
    collection_grace: &'static str,
    repair_grace: &'static str,
    orphan_sweep_period: &'static str,
}

#[derive(Serialize)]
struct NodeConfig<'a> {
    name: &'a str,
    dir: &'a Path,
    listen: &'a str,
    masters: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    scrub_period: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Device>,
}

#[derive(Serialize)]
struct Device {
    name: String,
    dir: PathBuf,
    limit: String,
}

/// Bytes that each node may use: all that is free, and what the cluster has already, in equal parts with
/// one part left over for the masters and everything else on the disk.
pub(crate) fn node_limit_bytes(free_bytes: u64, data_bytes: u64, nodes: u16) -> u64 {
    (free_bytes + data_bytes) / (u64::from(nodes) + 1)
}

/// Writes the configuration file of every daemon that has one.
pub(crate) fn write(
    directory: &ClusterDirectory,
    settings: &DevSettings,
    daemons: &[Daemon],
    limit_bytes: u64,
) -> Result<(), DevFailure> {
    let masters = daemons.iter().filter(|daemon| daemon.kind == DaemonKind::Master);
    for (daemon, id) in masters.zip(1..) {
        replace_file(&directory.daemon_config(&daemon.name), &master(directory, settings, daemon, id))?;
    }
    for daemon in daemons.iter().filter(|daemon| daemon.kind == DaemonKind::Node) {
        replace_file(&directory.daemon_config(&daemon.name), &node(directory, settings, daemon, limit_bytes))?;
    }
    Ok(())
}

fn master(directory: &ClusterDirectory, settings: &DevSettings, daemon: &Daemon, id: u16) -> String {
    let members = (1..)
        .zip(settings.master_addresses())
        .map(|(id, address)| Member { id, name: format!("master-{id}"), address })
        .collect();
    text(&MasterConfig {
        id,
        name: &daemon.name,
        dir: &directory.data(&daemon.name),
        listen: &daemon.address,
        layout: &settings.layout,
        cell_size: exact_bytes(settings.cell_size_bytes.into()),
        overwrite: settings.overwrite,
        members,
        timing: TIMING,
    })
}

fn node(directory: &ClusterDirectory, settings: &DevSettings, daemon: &Daemon, limit_bytes: u64) -> String {
    let dir = directory.data(&daemon.name);
    let devices = devices(&dir, settings.devices, limit_bytes);
    text(&NodeConfig {
        name: &daemon.name,
        dir: &dir,
        listen: &daemon.address,
        masters: settings.master_addresses(),
        limit: devices.is_empty().then(|| exact_bytes(limit_bytes)),
        scrub_period: SCRUB_PERIOD,
        devices,
    })
}

/// Several devices lie below the node's folder. A single one is that folder itself.
fn devices(dir: &Path, count: u16, limit_bytes: u64) -> Vec<Device> {
    let limit = exact_bytes(limit_bytes / u64::from(count.max(1)));
    let device = |number: u16| {
        let name = format!("device-{number}");
        Device { dir: dir.join(&name), name, limit: limit.clone() }
    };
    if count > 1 { (1..=count).map(device).collect() } else { Vec::new() }
}

fn text(config: &impl Serialize) -> String {
    toml::to_string(config).expect("the paths come from the command line and the rest is plain")
}

fn exact_bytes(bytes: u64) -> String {
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::{node_limit_bytes, write};
    use crate::cli::config_file;
    use crate::cli::dev::daemon::daemons;
    use crate::cli::dev::directory::ClusterDirectory;
    use crate::cli::dev::settings::RequestedSettings;

    #[test]
    fn the_daemons_understand_what_is_written_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ClusterDirectory::at(folder.path()).unwrap();
        directory.create().unwrap();
        let settings = RequestedSettings::default().create(7000).unwrap();
        let daemons = daemons(&directory, &settings);
        write(&directory, &settings, &daemons, 123_456_789).unwrap();
        for daemon in &daemons {
            let path = directory.daemon_config(&daemon.name);
            let parsed = match daemon.name.split_once('-').unwrap().0 {
                "master" => config_file::load::<cairn_master::Config>(&path).map(drop),
                _ => config_file::load::<cairn_node::Config>(&path).map(drop),
            };
            parsed.unwrap();
        }
        let node = std::fs::read_to_string(directory.daemon_config("node-6")).unwrap();
        assert!(node.contains("limit = \"123456789B\"") && node.contains("127.0.0.1:7016"), "{node}");
    }

    #[test]
    fn a_node_of_several_devices_shares_its_limit_out_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ClusterDirectory::at(folder.path()).unwrap();
        directory.create().unwrap();
        let request = RequestedSettings { devices: Some(2), ..RequestedSettings::default() };
        let settings = request.create(7000).unwrap();
        write(&directory, &settings, &daemons(&directory, &settings), 1_000).unwrap();
        let node: cairn_node::Config = config_file::load(&directory.daemon_config("node-1")).unwrap();
        node.check().unwrap();
        let devices: Vec<_> = node.devices.iter().map(|device| (device.name.as_str(), device.dir.clone())).collect();
        let dir = directory.data("node-1");
        assert_eq!(devices, [("device-1", dir.join("device-1")), ("device-2", dir.join("device-2"))]);
        assert!(node.limit.is_none() && node.devices.iter().all(|device| device.limit.unwrap().as_u64() == 500));
    }

    #[test]
    fn nodes_share_what_is_free_with_one_part_left_over() {
        assert_eq!(node_limit_bytes(70, 0, 6), 10);
        assert_eq!(node_limit_bytes(10, 60, 6), 10);
    }
}
