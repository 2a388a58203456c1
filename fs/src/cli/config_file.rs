use std::io;
use std::path::{Path, PathBuf};

use cairn_node::Locality;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::dev::DevSettings;

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what it should be; the text names line and key.
    #[error("{} is not valid: {}", .path.display(), .source.to_string().trim_end().replace('\n', "\n  "))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: Box<toml::de::Error>,
    },
}

/// Reads a configuration file in full.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigFileError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Parses the text of the configuration file at `path`.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigFileError> {
    toml::from_str(text).map_err(|source| ConfigFileError::Invalid { path: path.to_owned(), source: Box::new(source) })
}

/// `cairn.toml`: where a client finds its cluster.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientConfigFile {
    /// Addresses of masters, host:port.
    #[serde(default)]
    pub(crate) masters: Vec<String>,
    /// Where this machine is, widest failure domain first: nodes that share more labels are read from first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) locality: Vec<Locality>,
    /// Only in the file of a `cairn dev` cluster: how it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dev: Option<DevSettings>,
}

#[cfg(test)]
mod tests {
    use super::{ClientConfigFile, ConfigFileError, load, parse};
    use std::path::Path;

    #[test]
    fn an_unknown_key_is_named_with_the_file() {
        let error = parse::<ClientConfigFile>(Path::new("/etc/cairn.toml"), "master = [\"a:1\"]").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/etc/cairn.toml") && text.contains("unknown field `master`"), "{text}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<ClientConfigFile>(Path::new("/nowhere/cairn.toml")).unwrap_err();
        assert!(matches!(&error, ConfigFileError::Unreadable { .. }));
        assert!(error.to_string().contains("/nowhere/cairn.toml"), "{error}");
    }
}
