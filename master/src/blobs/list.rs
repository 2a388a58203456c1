use bytes::Bytes;
use cairn_proto::records::KEY_LIMIT_BYTES;
use cairn_proto::{Refusal, wire};
use prost::Message;

use super::Pattern;
use crate::failure::StateError;
use crate::keys;
use crate::state::{State, Stored, decode_entry, key_text};

/// Keys in one answer.
const KEYS_LIMIT: usize = 10_000;
/// Bytes of one answer, well below what one message may have.
const ANSWER_LIMIT_BYTES: usize = 2 << 20;
/// Keys looked at for one answer, so that a pattern which matches little does not hold a thread for long.
const SCAN_LIMIT: usize = 200_000;
/// Keys read at a time.
const PAGE: usize = 1024;

/// A request to list keys.
#[derive(Debug, Clone)]
pub struct ListRequest {
    pattern: Pattern,
    start_after: String,
    limit: usize,
}

impl TryFrom<&wire::ListRequest> for ListRequest {
    type Error = Refusal;

    fn try_from(request: &wire::ListRequest) -> Result<Self, Refusal> {
        let invalid = |why: String| Refusal::InvalidRequest { why };
        let pattern = Pattern::new(&request.pattern).map_err(|error| invalid(format!("pattern: {error}")))?;
        if request.start_after.len() > KEY_LIMIT_BYTES {
            return Err(invalid("start_after is longer than any key".to_owned()));
        }
        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => KEYS_LIMIT,
            Ok(limit) => limit.min(KEYS_LIMIT),
        };
        Ok(Self { pattern, start_after: request.start_after.clone(), limit })
    }
}

/// One page of the keys that match, in order. The page may be short or even empty and still name a key to continue
/// after, when few of very many keys match.
pub fn list(state: &State<'_>, request: &ListRequest) -> Result<wire::ListResponse, StateError> {
    let prefix = [keys::KEYS, request.pattern.literal_prefix().as_bytes()].concat();
    let mut start = prefix.clone();
    if !request.start_after.is_empty() {
        start = start.max(keys::successor(&[keys::KEYS, request.start_after.as_bytes()].concat()).to_vec());
    }
    let mut page = Page { answer: wire::ListResponse::default(), last: String::new(), size_bytes: 0, looked_at: 0 };
    page.answer.applied_index = state.0.applied_index();
    loop {
        let found = state.page(&prefix, &start, PAGE)?;
        for (at, stored) in &found {
            if page.is_full(request.limit) {
                page.answer.continue_after = page.last;
                return Ok(page.answer);
            }
            page.add(at, stored, &request.pattern)?;
        }
        match found.last() {
            Some((last, _)) if found.len() == PAGE => start = keys::successor(last).to_vec(),
            _ => return Ok(page.answer),
        }
    }
}

struct Page {
    answer: wire::ListResponse,
    /// The key looked at last.
    last: String,
    size_bytes: usize,
    looked_at: usize,
}

impl Page {
    fn is_full(&self, limit: usize) -> bool {
        self.answer.keys.len() >= limit || self.size_bytes >= ANSWER_LIMIT_BYTES || self.looked_at >= SCAN_LIMIT
    }

    fn add(&mut self, at: &Bytes, stored: &Stored<Bytes>, pattern: &Pattern) -> Result<(), StateError> {
        let key = key_text(at)?;
        self.looked_at += 1;
        if pattern.matches(&key) {
            let listed = wire::ListedKey { key: key.clone(), entry: Some(decode_entry(at, &stored.record)?) };
            self.size_bytes += listed.encoded_len();
            self.answer.keys.push(listed);
        }
        self.last = key;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ListRequest, list};
    use crate::fakes::ledger;
    use crate::keys;
    use crate::ledger::Ledger;
    use crate::state::{State, encode};
    use crate::store::Command;
    use cairn_proto::records::{Attributes, Key, KeyEntry};
    use cairn_proto::{ids::BlobId, wire};
    use proptest::prelude::{prop_assert_eq, proptest};

    async fn with_keys(names: impl IntoIterator<Item = String>) -> Ledger {
        let ledger = ledger();
        let mut command = Command::new();
        for name in names {
            let entry =
                KeyEntry { blob: BlobId::generate(), serial: 1, size_bytes: 0, attributes: Attributes::default() };
            let key = keys::key(&Key::try_from(name).unwrap());
            command.put(key, encode(&wire::KeyEntry::from(entry)));
        }
        ledger.commit(command).await.unwrap();
        ledger
    }

    fn page(ledger: &Ledger, pattern: &str, start_after: &str, limit: u32) -> wire::ListResponse {
        let request = wire::ListRequest {
            pattern: pattern.to_owned(),
            start_after: start_after.to_owned(),
            limit,
            min_applied_index: 0,
        };
        list(&State(ledger.view().unwrap().as_ref()), &ListRequest::try_from(&request).unwrap()).unwrap()
    }

    fn all_pages(ledger: &Ledger, pattern: &str, limit: u32) -> Vec<String> {
        let (mut keys, mut after) = (Vec::new(), String::new());
        loop {
            let page = page(ledger, pattern, &after, limit);
            assert!(page.keys.len() <= limit as usize);
            keys.extend(page.keys.into_iter().map(|listed| listed.key));
            if page.continue_after.is_empty() {
                return keys;
            }
            assert!(page.continue_after > after, "a listing goes forward");
            after = page.continue_after;
        }
    }

    #[tokio::test]
    async fn pages_together_are_every_key_in_order() {
        let names: Vec<String> = (0..3000).map(|number| format!("key-{number:05}")).collect();
        let ledger = with_keys(names.iter().rev().cloned()).await;
        for limit in [1024, 1000, 1, 2999, 3000, 10_000] {
            assert_eq!(all_pages(&ledger, "", limit), names, "limit {limit}");
        }
        assert_eq!(page(&ledger, "", "key-02999", 10).keys, []);
        assert_eq!(page(&ledger, "key-0*", "a", 10).keys.len(), 10);
        assert_eq!(page(&ledger, "key-0*", "zzz", 10).keys, []);
    }

    #[tokio::test]
    async fn an_answer_stays_below_its_size() {
        let names: Vec<String> = (0..4000).map(|number| format!("{number:05}{}", "x".repeat(1000))).collect();
        let ledger = with_keys(names.clone()).await;
        let first = page(&ledger, "", "", 10_000);
        assert!(first.keys.len() < 2200 && !first.continue_after.is_empty());
        assert_eq!(all_pages(&ledger, "", 10_000), names);
    }

    #[tokio::test]
    async fn a_name_without_special_characters_is_one_key() {
        let ledger = with_keys(["a", "ab", "b"].map(str::to_owned)).await;
        assert_eq!(all_pages(&ledger, "a", 10), ["a"]);
        assert_eq!(all_pages(&ledger, "a*", 1), ["a", "ab"]);
    }

    proptest! {
        #[test]
        fn paging_equals_filtering(names in proptest::collection::btree_set("[ab/]{1,4}", 0..60), limit in 1u32..9) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let ledger = runtime.block_on(with_keys(names.iter().cloned()));
            let expected: Vec<String> =
                names.iter().filter(|name| name.starts_with("ab") && name.ends_with('b')).cloned().collect();
            let expected: Vec<String> = expected.into_iter().filter(|name| name.len() >= 3).collect();
            prop_assert_eq!(all_pages(&ledger, "ab*b", limit), expected);
        }
    }
}
