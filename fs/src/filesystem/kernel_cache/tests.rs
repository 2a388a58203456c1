use std::time::Instant;

use super::{KernelCache, LISTING_AGE, ListingRead, ListingUse, is_worth_keeping};

const LIMIT: usize = 1000;

fn followed() -> KernelCache {
    let cache = KernelCache::new(LIMIT);
    cache.set_followed(true);
    cache
}

fn ls_l(entries: u64) -> ListingRead {
    ListingRead { entries, with_attributes: entries.div_ceil(10), without_attributes: 0 }
}

fn plain(entries: u64) -> ListingRead {
    ListingRead { entries, with_attributes: 1, without_attributes: entries.div_ceil(10) }
}

fn list(cache: &KernelCache, now: Instant, read: ListingRead) -> ListingUse {
    let listing = cache.begin_listing(now, false);
    if !listing.keeps {
        cache.listing_read(listing, read);
    }
    cache.end_listing(listing);
    listing
}

#[test]
fn a_listing_is_kept_until_a_name_changes() {
    let (cache, now) = (followed(), Instant::now());
    assert!(!list(&cache, now, ls_l(5)).keeps);
    assert!(list(&cache, now, ls_l(5)).keeps);
    cache.entry_changed();
    assert!(list(&cache, now, ls_l(5)).keeps, "the same names stand for other files");
    cache.names_changed();
    let after = list(&cache, now, ls_l(5));
    assert!(after.caches && !after.keeps);
    assert!(list(&cache, now, ls_l(5)).keeps);
}

#[test]
fn nothing_is_kept_while_changes_are_not_told() {
    let (cache, now) = (KernelCache::new(LIMIT), Instant::now());
    assert!(!list(&cache, now, ls_l(5)).caches);
    cache.set_followed(true);
    list(&cache, now, ls_l(5));
    cache.set_followed(false);
    assert!(!list(&cache, now, ls_l(5)).caches);
    cache.set_followed(true);
    assert!(!list(&cache, now, ls_l(5)).keeps, "what changed meanwhile may be unknown");
}

#[test]
fn a_listing_that_was_not_read_to_its_end_is_not_kept() {
    let (cache, now) = (followed(), Instant::now());
    let listing = cache.begin_listing(now, false);
    cache.end_listing(listing);
    assert!(!cache.begin_listing(now, false).keeps);
}

#[test]
fn a_listing_that_is_under_way_while_a_name_changes_serves_nobody() {
    let (cache, now) = (followed(), Instant::now());
    let old = cache.begin_listing(now, false);
    cache.names_changed();
    let new = cache.begin_listing(now, false);
    assert!(!new.caches, "the old reader may still fill the kernel's memory");
    cache.listing_read(new, ls_l(5));
    cache.end_listing(new);
    cache.listing_read(old, ls_l(5));
    assert!(cache.has_readers());
    cache.end_listing(old);
    assert!(!cache.has_readers());
    let third = cache.begin_listing(now, false);
    assert!(third.caches && !third.keeps);
}

#[test]
fn readers_of_the_same_names_share_what_is_kept() {
    let (cache, now) = (followed(), Instant::now());
    let first = cache.begin_listing(now, false);
    cache.listing_read(first, ls_l(5));
    assert!(cache.begin_listing(now, false).keeps);
}

#[test]
fn nothing_is_kept_while_files_are_written() {
    let (cache, now) = (followed(), Instant::now());
    list(&cache, now, ls_l(5));
    assert!(!cache.begin_listing(now, true).caches);
}

#[test]
fn a_listing_goes_before_its_entries_do() {
    let (cache, now) = (followed(), Instant::now());
    list(&cache, now, ls_l(5));
    let later = now + LISTING_AGE;
    assert!(list(&cache, now + LISTING_AGE / 2, ls_l(5)).keeps);
    assert!(!list(&cache, later, ls_l(5)).keeps);
    assert!(list(&cache, later, ls_l(5)).keeps, "it was read anew");
}

#[test]
fn a_listing_is_worth_keeping_where_no_name_would_be_looked_up_for_it() {
    let limit = LIMIT as u64;
    assert!(is_worth_keeping(ls_l(limit), LIMIT));
    assert!(!is_worth_keeping(plain(limit), LIMIT), "ls -l would look up each name");
    assert!(is_worth_keeping(plain(limit + 1), LIMIT));
    assert!(!is_worth_keeping(ls_l(limit + 1), LIMIT), "the kernel was asked to forget the first ones");
    assert!(is_worth_keeping(ListingRead { entries: 5, with_attributes: 1, without_attributes: 0 }, LIMIT));
}

#[test]
fn an_answer_is_believed_for_long_only_if_nothing_happened_since_it_was_asked_for() {
    let cache = KernelCache::new(LIMIT);
    let stamp = cache.stamp();
    assert!(!cache.is_told_since(stamp));
    cache.set_followed(true);
    assert!(!cache.is_told_since(stamp), "it may be older than the first change that is told");
    let change: [fn(&KernelCache); 3] =
        [KernelCache::entry_changed, KernelCache::names_changed, |cache| cache.set_followed(true)];
    for change in change {
        let stamp = cache.stamp();
        assert!(cache.is_told_since(stamp));
        change(&cache);
        assert!(!cache.is_told_since(stamp));
    }
}
