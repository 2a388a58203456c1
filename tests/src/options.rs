//! What a cluster under test is made of.

/// Masters, nodes, layout and mount of a [`DevCluster`](crate::DevCluster); the default is the one of
/// `cairn dev`, without a mount.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClusterOptions {
    pub(crate) masters: usize,
    pub(crate) nodes: usize,
    pub(crate) devices: usize,
    pub(crate) layout: String,
    pub(crate) mounted: bool,
    pub(crate) write_once: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { masters: 3, nodes: 6, devices: 1, layout: "4+2".to_owned(), mounted: false, write_once: false }
    }
}

impl ClusterOptions {
    /// One master and three nodes with layout 2+1: for tests that need a cluster, but not a large one.
    pub fn small() -> Self {
        Self { masters: 1, nodes: 3, devices: 1, layout: "2+1".to_owned(), mounted: false, write_once: false }
    }

    /// With this number of masters.
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// With this number of nodes.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// With this number of devices on each node.
    pub fn devices(mut self, devices: usize) -> Self {
        self.devices = devices;
        self
    }

    /// With this layout, such as `4+2`.
    pub fn layout(mut self, layout: &str) -> Self {
        layout.clone_into(&mut self.layout);
        self
    }

    /// With keys that are never overwritten.
    pub fn write_once(mut self) -> Self {
        self.write_once = true;
        self
    }

    /// With a mount that `cairn dev` starts.
    pub fn mounted(mut self) -> Self {
        self.mounted = true;
        self
    }
}
