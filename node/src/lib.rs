//! The storage node. See `DESIGN.md`.

mod admission;
mod background;
mod config;
mod device_config;
mod devices;
mod fatal;
mod home;
mod identity;
mod node;
mod orders;
mod rebuild;
mod recent;
mod registration;
mod relay;
mod scrub;
mod server;
mod service;
pub mod store;
pub mod stores;

pub use config::{Config, InvalidConfig, Locality};
pub use device_config::{DeviceConfig, InvalidDevices};
pub use devices::{Device, DeviceError, Places};
pub use fatal::Fatal;
pub use home::Home;
pub use identity::{FORMAT_VERSION, Identity, IdentityError};
pub use registration::JoinError;
pub use server::{RunError, RunningNode, run, run_with};
