use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_proto::wire;
use serde::{Deserialize, Serialize};

use crate::device_config::{self, DeviceConfig, InvalidDevices, least_memory};

/// Resident memory that a node is laid out for when its configuration names none.
const DEFAULT_MEMORY: ByteSize = ByteSize::mib(256);

/// What background work may read and write in a second where the configuration names nothing: no disk's whole rate, and
/// more than a node needs to make 100 MiB of chunks.
const DEFAULT_BACKGROUND_BANDWIDTH: ByteSize = ByteSize::mib(200);

/// Below this, a node that is read from would be given up as one that sends nothing.
const MIN_BACKGROUND_BANDWIDTH: ByteSize = ByteSize::mib(16);

/// Damage that nobody reads must not wait for a second one for longer.
const DEFAULT_SCRUB_PERIOD: Duration = Duration::from_hours(30 * 24);

/// What `node.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For people; kept in the directory too, so that two nodes cannot swap theirs unnoticed.
    pub name: String,
    /// Where the node's identity lies, and all that it keeps unless `devices` are named.
    pub dir: PathBuf,
    /// Where chunks are kept: a store on each device. Without any, there is one in `dir`.
    #[serde(default)]
    pub devices: Vec<DeviceConfig>,
    /// Names of devices that are lost: the node goes on without them, for ever. Said at the start, and in no file.
    #[serde(skip)]
    pub without_devices: Vec<String>,
    /// Address to serve at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that others reach this node at, where it is not `listen`.
    #[serde(default)]
    pub advertise: Option<String>,
    /// Allows `listen` outside loopback. There is no TLS yet.
    #[serde(default)]
    pub insecure: bool,
    /// host:port of every master.
    pub masters: Vec<String>,
    /// Bytes this node may store; all of the device but its floor where none is named.
    #[serde(default)]
    pub limit: Option<ByteSize>,
    /// Labels `key=value`, widest failure domain first.
    #[serde(default)]
    pub locality: Vec<Locality>,
    /// A clean stop is announced as planned, for so long: the node is not missed meanwhile, and in service again as soon as
    /// it is back.
    #[serde(default, with = "humantime_serde")]
    pub planned_stop: Option<Duration>,
    /// Bounds write buffers, caches and stream windows together.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// What rebuilding and moving chunks, reads for it by other nodes, and verifying may read and write here in a second,
    /// all together.
    #[serde(default = "default_background_bandwidth")]
    pub background_bandwidth: ByteSize,
    /// Time in which all that is kept is read and verified once.
    #[serde(default = "default_scrub_period", with = "humantime_serde")]
    pub scrub_period: Duration,
}

/// One label of a place, written `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locality {
    key: String,
    value: String,
}

/// A configuration that cannot work, with what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Traffic is not encrypted, so a public address must be asked for.
    #[error(
        "listen = {0} is reachable from other machines and traffic is not encrypted; \
             listen on 127.0.0.1, or allow it with --insecure (insecure = true)"
    )]
    NotLoopback(SocketAddr),
    /// No name.
    #[error("name is empty; give the node a name")]
    NoName,
    /// No masters to join.
    #[error("masters is empty; name the host:port of at least one master")]
    NoMasters,
    /// `listen` is a wildcard, which nobody can connect to.
    #[error("listen = {0} names no address that others can reach; set advertise = \"host:port\"")]
    NoAdvertisedAddress(SocketAddr),
    /// Not a label.
    #[error("locality {0:?} is not of the form key=value")]
    Locality(String),
    /// Too little memory.
    #[error("memory = {0} is too little; give the node at least {least}", least = least_memory(1))]
    Memory(ByteSize),
    /// Devices that cannot work.
    #[error(transparent)]
    Devices(#[from] InvalidDevices),
    /// Too little for background work.
    #[error("background_bandwidth = {0} is too little; give it at least {MIN_BACKGROUND_BANDWIDTH} a second")]
    BackgroundBandwidth(ByteSize),
}

fn default_memory() -> ByteSize {
    DEFAULT_MEMORY
}

fn default_background_bandwidth() -> ByteSize {
    DEFAULT_BACKGROUND_BANDWIDTH
}

fn default_scrub_period() -> Duration {
    DEFAULT_SCRUB_PERIOD
}

impl Config {
    /// Refuses what cannot work, before anything is opened.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.name.is_empty() {
            return Err(InvalidConfig::NoName);
        }
        if self.masters.is_empty() {
            return Err(InvalidConfig::NoMasters);
        }
        if !self.listen.ip().is_loopback() && !self.insecure {
            return Err(InvalidConfig::NotLoopback(self.listen));
        }
        if self.listen.ip().is_unspecified() && self.advertise.is_none() {
            return Err(InvalidConfig::NoAdvertisedAddress(self.listen));
        }
        if self.memory < least_memory(1) {
            return Err(InvalidConfig::Memory(self.memory));
        }
        device_config::check(&self.devices, self.memory)?;
        if self.limit.is_some() && !self.devices.is_empty() {
            return Err(InvalidDevices::LimitOfNode.into());
        }
        if self.background_bandwidth < MIN_BACKGROUND_BANDWIDTH {
            return Err(InvalidConfig::BackgroundBandwidth(self.background_bandwidth));
        }
        Ok(())
    }

    /// The locality as it travels.
    pub fn labels(&self) -> Vec<wire::Label> {
        self.locality.iter().map(wire::Label::from).collect()
    }
}

impl FromStr for Locality {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(InvalidConfig::Locality(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Locality {
    type Error = InvalidConfig;

    fn try_from(text: String) -> Result<Self, InvalidConfig> {
        text.parse()
    }
}

impl From<Locality> for String {
    fn from(label: Locality) -> Self {
        format!("{}={}", label.key, label.value)
    }
}

impl From<&Locality> for wire::Label {
    fn from(label: &Locality) -> Self {
        Self { key: label.key.clone(), value: label.value.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, InvalidConfig};
    use crate::device_config::InvalidDevices;

    const MINIMAL: &str = r#"
        name = "node-1"
        dir = "/nowhere"
        listen = "127.0.0.1:0"
        masters = ["127.0.0.1:7001"]
    "#;

    fn with(extra: &str) -> Config {
        toml::from_str(&format!("{MINIMAL}\n{extra}")).unwrap()
    }

    #[test]
    fn a_minimal_file_has_the_documented_defaults() {
        let config = with("");
        assert_eq!(config.memory.as_u64(), 256 << 20);
        assert_eq!(config.background_bandwidth.as_u64(), 200 << 20);
        assert_eq!(config.scrub_period.as_secs(), 30 * 24 * 3600);
        assert_eq!((config.limit, config.planned_stop), (None, None));
        assert!(!config.insecure);
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn labels_keep_their_order() {
        let labels = with(r#"locality = ["region=a", "rack=r1"]"#).labels();
        assert_eq!(labels[0].key, "region");
        assert_eq!(labels[1].value, "r1");
    }

    #[test]
    fn a_label_without_a_value_is_refused() {
        let text = format!("{MINIMAL}\nlocality = [\"rack\"]");
        assert!(toml::from_str::<Config>(&text).unwrap_err().to_string().contains("key=value"));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(toml::from_str::<Config>(&format!("{MINIMAL}\nlimits = \"1G\"")).is_err());
    }

    #[test]
    fn listening_outside_loopback_needs_the_insecure_setting() {
        let mut config = with("");
        config.listen = "192.0.2.1:7100".parse().unwrap();
        assert_eq!(config.check(), Err(InvalidConfig::NotLoopback(config.listen)));
        config.insecure = true;
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn a_wildcard_address_needs_one_to_advertise() {
        let mut config = with("insecure = true");
        config.listen = "0.0.0.0:7100".parse().unwrap();
        assert_eq!(config.check(), Err(InvalidConfig::NoAdvertisedAddress(config.listen)));
        config.advertise = Some("node-1.example:7100".to_owned());
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn devices_have_limits_of_their_own() {
        let devices = "devices = [{ name = \"a\", dir = \"/x\", limit = \"1GiB\" }, { name = \"b\", dir = \"/y\" }]";
        let config = with(devices);
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.devices[0].limit, Some(bytesize::ByteSize::gib(1)));
        let both = with(&format!("{devices}\nlimit = \"2GiB\""));
        assert_eq!(both.check(), Err(InvalidDevices::LimitOfNode.into()));
        assert!(matches!(with(&format!("{devices}\nmemory = \"64MiB\"")).check(), Err(InvalidConfig::Devices(_))));
    }

    #[test]
    fn too_little_memory_is_refused() {
        assert!(matches!(with("memory = \"8MiB\"").check(), Err(InvalidConfig::Memory(_))));
    }

    #[test]
    fn too_little_for_background_work_is_refused() {
        let config = with("background_bandwidth = \"1MiB\"");
        assert!(matches!(config.check(), Err(InvalidConfig::BackgroundBandwidth(_))));
        assert_eq!(with("background_bandwidth = \"16MiB\"").check(), Ok(()));
    }
}
