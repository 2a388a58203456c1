use std::ops::Range;

use cairn_fs::client::{Client, ClientError, Precondition};
use cairn_proto::records::{Attributes, Key};

use super::at_once::for_each;

/// Makes empty keys of these numbers, `key-00000017` for 17.
///
/// # Panics
/// When this machine starts no threads.
pub fn make_keys(masters: &[String], numbers: Range<u32>) -> Result<(), ClientError> {
    for_each(masters, numbers, |client, number| make(client, number, &[])).map(drop)
}

/// Makes one key with these bytes.
pub(super) async fn make(client: Client, number: u32, bytes: &[u8]) -> Result<(), ClientError> {
    let attributes = Attributes { mode: 0o644, ..Attributes::default() };
    let mut writer = client.writer(key(number), Precondition::Absent, None);
    writer.write(bytes).await?;
    writer.commit(attributes).await.map(drop)
}

pub(super) fn key(number: u32) -> Key {
    Key::try_from(format!("key-{number:08}")).expect("letters and digits")
}
