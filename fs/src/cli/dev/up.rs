use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use cairn_codec::Layout;
use clap::Args;
use nix::sys::statvfs::statvfs;

use super::board::Board;
use super::daemon::{Daemon, DaemonKind, daemons};
use super::directory::ClusterDirectory;
use super::ports::{FIRST_BASE_PORT, PortReservation};
use super::readiness::wait_ready;
use super::settings::{OverwritePolicy, RequestedSettings};
use super::supervision::Supervision;
use super::{DevFailure, DevSettings, daemon_config, stop};
use crate::cli::mount::is_dead;
use crate::cli::shutdown::StopSignals;
use crate::cli::{ExitStatus, Failure, console};

/// How long a start may take before it counts as failed.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// Options of `cairn dev` itself.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Number of masters [default: 3]
    #[arg(long, value_name = "COUNT")]
    masters: Option<u16>,

    /// Number of storage nodes; may be raised later [default: 6, or what the layout needs]
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u16>,

    /// Devices of each node: folders that it keeps chunks in; fixed by the first start [default: 1]
    #[arg(long, value_name = "COUNT")]
    devices: Option<u16>,

    /// Data and code chunks of a blob [default: 4+2]
    #[arg(long, value_name = "N+M")]
    layout: Option<Layout>,

    /// Size of a cell, the unit of encoding and checksums [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    cell_size: Option<ByteSize>,

    /// What becomes of a key that exists when a file is written under it; fixed by the first start [default: replace]
    #[arg(long, value_enum, value_name = "POLICY")]
    overwrite: Option<OverwritePolicy>,

    /// Masters listen from P+1 on, nodes from P+11 on [default: 7000, or the next hundred that is free]
    #[arg(long, value_name = "P")]
    base_port: Option<u16>,

    /// Mount the cluster there
    #[arg(long, value_name = "PATH")]
    mount: Option<PathBuf>,

    /// Return when all is ready and leave the daemons running
    #[arg(long)]
    daemon: bool,
}

impl UpArguments {
    fn requested(self) -> Result<RequestedSettings, Failure> {
        let absolute = |path: PathBuf| std::path::absolute(&path).map_err(Failure::file("find", path));
        Ok(RequestedSettings {
            base_port: self.base_port,
            masters: self.masters,
            nodes: self.nodes,
            devices: self.devices,
            layout: self.layout,
            cell_size: self.cell_size,
            overwrite: self.overwrite,
            mount: self.mount.map(absolute).transpose()?,
        })
    }
}

/// Starts what does not run, waits until all is ready, and then stays (or not) until it is told to stop.
pub(crate) async fn run(directory: &ClusterDirectory, arguments: UpArguments) -> Result<ExitStatus, Failure> {
    let stays = !arguments.daemon;
    let mut signals = StopSignals::listen()?;
    directory.settings()?;
    let _lock = directory.lock()?;
    let (settings, ports) = settle(directory, arguments.requested()?)?;
    let daemons = daemons(directory, &settings);
    let mut supervision = Supervision::new();
    let started = async {
        configure(directory, &settings, &daemons)?;
        start_missing(directory, &daemons, &mut supervision)?;
        let mut board = Board::new(&daemons);
        let ready = wait_ready(directory, &settings, &daemons, &mut supervision, &mut board, START_PATIENCE).await;
        board.close();
        ready
    };
    tokio::select! {
        ready = started => {
            if let Err(failure) = ready {
                stop::stop_all(directory, &daemons).await?;
                return Err(failure.into());
            }
        }
        () = signals.next() => {
            signals.exit_at_next();
            return stop::stop_all(directory, &daemons).await;
        }
    }
    drop(ports);
    console::line(what_next(directory, &settings, stays, std::env::current_dir().ok().as_deref()))?;
    if !stays {
        return Ok(ExitStatus::Done);
    }
    watch_over(&mut supervision, &mut signals, directory).await?;
    signals.exit_at_next();
    stop::stop_all(directory, &daemons).await
}

/// Decides how the cluster is built, holds the ports of what is to start, and writes the decision down.
fn settle(
    directory: &ClusterDirectory,
    requested: RequestedSettings,
) -> Result<(DevSettings, PortReservation), Failure> {
    let (settings, ports) = match directory.settings()? {
        Some(existing) => {
            let settings = requested.apply(&existing).map_err(DevFailure::from)?;
            refuse_to_move_mount(directory, &existing, &settings)?;
            let idle = idle_ports(directory, &settings)?;
            (settings, PortReservation::hold_again(idle).map_err(DevFailure::from)?)
        }
        None => hold_new_ports(&requested)?,
    };
    directory.create()?;
    if let Some(mount) = &settings.mount {
        make_folder(mount)?;
    }
    directory.save(&settings)?;
    Ok((settings, ports))
}

/// A mount that runs is known by its path; at another path it would be nobody's.
fn refuse_to_move_mount(
    directory: &ClusterDirectory,
    existing: &DevSettings,
    settings: &DevSettings,
) -> Result<(), DevFailure> {
    let (Some(now), Some(then)) = (&settings.mount, &existing.mount) else { return Ok(()) };
    let mount = daemons(directory, existing).into_iter().find(|daemon| daemon.kind == DaemonKind::Mount);
    let runs = mount.map(|mount| mount.process(directory)).transpose()?.flatten().is_some();
    if now != then && runs { Err(DevFailure::MountRuns(then.clone())) } else { Ok(()) }
}

/// Makes the folder to mount at. One that a dead mount hides is there.
fn make_folder(path: &Path) -> Result<(), DevFailure> {
    match std::fs::create_dir_all(path) {
        Err(_) if is_dead(path) => Ok(()),
        made => made.map_err(DevFailure::file("create", path)),
    }
}

fn hold_new_ports(requested: &RequestedSettings) -> Result<(DevSettings, PortReservation), DevFailure> {
    let draft = requested.clone().create(FIRST_BASE_PORT)?;
    let at = |base_port| all_ports(&DevSettings { base_port, ..draft.clone() });
    let (base_port, ports) = match requested.base_port {
        Some(base_port) => (base_port, PortReservation::hold(at(base_port))?),
        None => PortReservation::find(at)?,
    };
    Ok((DevSettings { base_port, ..draft }, ports))
}

fn all_ports(settings: &DevSettings) -> Vec<u16> {
    let masters = (1..=settings.masters).map(|number| settings.master_port(number));
    masters.chain((1..=settings.nodes).map(|number| settings.node_port(number))).collect()
}

/// Ports of the daemons that do not run.
fn idle_ports(directory: &ClusterDirectory, settings: &DevSettings) -> Result<Vec<u16>, DevFailure> {
    let mut idle = Vec::new();
    for (daemon, port) in daemons(directory, settings).iter().zip(all_ports(settings)) {
        if daemon.process(directory)?.is_none() {
            idle.push(port);
        }
    }
    Ok(idle)
}

fn configure(directory: &ClusterDirectory, settings: &DevSettings, daemons: &[Daemon]) -> Result<(), DevFailure> {
    let root = directory.root();
    let disk = statvfs(root).map_err(|errno| DevFailure::file("measure", root)(errno.into()))?;
    let free_bytes = disk.blocks_available() * disk.fragment_size();
    let limit_bytes = daemon_config::node_limit_bytes(free_bytes, directory.data_bytes()?, settings.nodes);
    daemon_config::write(directory, settings, daemons, limit_bytes)
}

fn start_missing(
    directory: &ClusterDirectory,
    daemons: &[Daemon],
    supervision: &mut Supervision,
) -> Result<(), DevFailure> {
    for daemon in daemons {
        match daemon.process(directory)? {
            Some(process) => {
                daemon.forget_life(directory)?;
                supervision.watch_other(daemon, process);
            }
            None => supervision.watch_child(daemon, daemon.spawn(directory)?),
        }
    }
    Ok(())
}

/// Tells of every daemon that ends, until a signal asks to stop all.
async fn watch_over(
    supervision: &mut Supervision,
    signals: &mut StopSignals,
    directory: &ClusterDirectory,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            end = supervision.next_end() => {
                let end = end?;
                console::message(format_args!(
                    " {:10} ended ({}); start it again: cairn dev start {}{}",
                    end.name, end.how(), dir_option(directory, std::env::current_dir().ok().as_deref()), end.name,
                ));
            }
        }
    }
}

/// `--dir DIR `, where commands run in `here` would not find the cluster without.
fn dir_option(directory: &ClusterDirectory, here: Option<&Path>) -> String {
    match here {
        Some(here) if directory.root() == here.join("cairn-dev") => String::new(),
        _ => format!("--dir {} ", directory.root().display()),
    }
}

/// The lines under the board: what can be tried now.
fn what_next(directory: &ClusterDirectory, settings: &DevSettings, stays: bool, here: Option<&Path>) -> String {
    let dir = dir_option(directory, here);
    let masters = settings.master_addresses().join(",");
    let mut lines = vec![String::new()];
    if let Some(mount) = &settings.mount {
        lines.push(format!(" Mounted    {}", mount.display()));
    }
    lines.push(format!(" Masters    {masters}"));
    if !dir.is_empty() {
        lines.push(format!(" Tell it    export CAIRN_MASTERS={masters}"));
    }
    lines.push(match &settings.mount {
        Some(mount) => format!(" Try        cp photo.jpg {}/ && cairn stat photo.jpg", mount.display()),
        None => " Try        cairn put photo.jpg && cairn stat photo.jpg".to_owned(),
    });
    lines.push(format!("            cairn dev kill {dir}node-3      # reads keep working; look at `cairn status`"));
    lines.push(format!("            cairn dev start {dir}node-3"));
    let stop =
        if stays { "Ctrl-C stops everything".to_owned() } else { format!("cairn dev stop {dir}stops everything") };
    lines.push(format!(" {stop}; data stays in {}", directory.root().display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{all_ports, dir_option, what_next};
    use crate::cli::dev::daemon::daemons;
    use crate::cli::dev::directory::ClusterDirectory;
    use crate::cli::dev::settings::RequestedSettings;
    use std::path::Path;

    #[test]
    fn every_port_stands_at_its_daemon() {
        let settings = RequestedSettings::default().create(7100).unwrap();
        let daemons = daemons(&ClusterDirectory::at(Path::new("/d")).unwrap(), &settings);
        let ports = all_ports(&settings);
        assert_eq!(ports.len(), daemons.len());
        for (daemon, port) in daemons.iter().zip(ports) {
            assert_eq!(daemon.address, format!("127.0.0.1:{port}"));
        }
    }

    #[test]
    fn commands_name_the_directory_only_where_it_is_needed() {
        let directory = ClusterDirectory::at(Path::new("/srv/cairn-dev")).unwrap();
        assert_eq!(dir_option(&directory, Some(Path::new("/srv"))), "");
        assert_eq!(dir_option(&directory, Some(Path::new("/h"))), "--dir /srv/cairn-dev ");
        assert_eq!(dir_option(&directory, None), "--dir /srv/cairn-dev ");
    }

    #[test]
    fn the_lines_to_try_name_the_mount_where_there_is_one() {
        let directory = ClusterDirectory::at(Path::new("/srv/cairn-dev")).unwrap();
        let mut settings = RequestedSettings::default().create(7000).unwrap();
        let here = Some(Path::new("/srv"));
        assert!(what_next(&directory, &settings, true, here).contains("cairn put photo.jpg && cairn stat photo.jpg"));
        settings.mount = Some("/mnt/blobs".into());
        let text = what_next(&directory, &settings, false, here);
        assert!(text.contains(" Mounted    /mnt/blobs\n") && text.contains("cp photo.jpg /mnt/blobs/"), "{text}");
        assert!(text.contains("cairn dev stop stops everything; data stays in /srv/cairn-dev"), "{text}");
    }
}
