use std::time::Duration;

use super::{Config, InvalidConfig, LogOptions};

fn config(lines: &str) -> Config {
    let members = "[[members]]\nid = 1\nname = \"master-1\"\naddress = \"127.0.0.1:7001\"\n";
    let text = format!("id = 1\nname = \"master-1\"\ndir = \"d\"\n{lines}\n{members}");
    toml::from_str(&text).unwrap()
}

#[test]
fn a_short_file_has_the_defaults() {
    let config = config("listen = \"127.0.0.1:7001\"");
    let settings = config.settings().unwrap();
    assert_eq!(settings.default_layout, cairn_codec::Layout::DEFAULT);
    assert_eq!(settings.session_timeout, Duration::from_secs(30));
    assert_eq!(config.own_member().unwrap().address, "127.0.0.1:7001");
    assert!(config.listen_address().unwrap().ip().is_loopback());
}

#[test]
fn every_field_can_be_written() {
    let config = config(
        "listen = \"127.0.0.1:0\"\nlayout = \"2+1\"\ncell_size = \"128KiB\"\nstripe_size = \"32MiB\"\n\
         placement = \"best-fit\"\ntiming = { session_timeout = \"10s\", collection_grace = \"10s\" }",
    );
    let settings = config.settings().unwrap();
    assert_eq!((settings.default_layout.data(), settings.default_layout.cell_size_bytes()), (2, 128 << 10));
    assert_eq!(settings.session_timeout, Duration::from_secs(10));
}

#[test]
fn listening_outside_loopback_needs_a_word() {
    let refused = config("listen = \"0.0.0.0:7001\"").listen_address().unwrap_err();
    assert!(matches!(refused, InvalidConfig::NotLoopback { .. }));
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    assert!(config("listen = \"0.0.0.0:7001\"\ninsecure = true").listen_address().is_ok());
    assert!(matches!(config("listen = \"nonsense\"").listen_address(), Err(InvalidConfig::Listen { .. })));
}

#[test]
fn what_cannot_work_is_refused() {
    let layout = config("listen = \"127.0.0.1:0\"\nlayout = \"0+2\"").settings();
    assert!(matches!(layout, Err(InvalidConfig::Layout(_))));
    let timing = config("listen = \"127.0.0.1:0\"\ntiming = { node_dead = \"1s\" }").settings();
    assert!(matches!(timing, Err(InvalidConfig::Timing(_))));
    let mut other = config("listen = \"127.0.0.1:0\"");
    other.id = 7;
    assert!(matches!(other.own_member(), Err(InvalidConfig::Members(_))));
}

#[test]
fn the_bounds_of_the_log_can_be_set_and_are_checked() {
    let bounds = |keep: u64, every: u64| {
        let log = format!("log = {{ keep_entries = {keep}, snapshot_every_entries = {every} }}");
        config(&format!("listen = \"127.0.0.1:0\"\n{log}")).log_options()
    };
    assert_eq!(bounds(1000, 500).unwrap().keep_entries, 1000);
    assert_eq!(config("listen = \"127.0.0.1:0\"").log_options().unwrap(), LogOptions::default());
    for (keep, every) in [(1000, 0), (1000, 99), (499, 500), (u64::MAX, 500), (u64::MAX, u64::MAX)] {
        assert!(matches!(bounds(keep, every), Err(InvalidConfig::Log)), "{keep} {every}");
    }
}

#[test]
fn a_master_founds_a_group_or_joins_one() {
    let joining = |lines: &str| -> Config {
        let text = format!("id = 4\nname = \"master-4\"\ndir = \"d\"\nlisten = \"127.0.0.1:7004\"\n{lines}");
        toml::from_str(&text).unwrap()
    };
    assert_eq!(joining("join = [\"a:1\"]").own_member().unwrap().address, "127.0.0.1:7004");
    let named = joining("join = [\"a:1\"]\naddress = \"master-4.example:7004\"");
    assert_eq!(named.own_member().unwrap().address, "master-4.example:7004");
    assert!(matches!(joining("").own_member(), Err(InvalidConfig::Members(_))));
    let both = config("listen = \"127.0.0.1:0\"\njoin = [\"a:1\"]");
    assert!(matches!(both.own_member(), Err(InvalidConfig::Members(_))));
}
