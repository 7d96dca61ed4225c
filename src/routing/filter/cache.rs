//! Filters by their bytes, so that one which comes with every message is read and compiled once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Filter;
use super::compile::refusal;
use super::estimate::Estimate;
use crate::cbor::{Malformed, Reader};
use crate::config::{FILTER_CLAUSES, FILTERS_KEPT, SMALL_FILTER_BYTES};
use crate::error::Error;

/// The filters that were asked for lately. Their clones share what was compiled, wherever that was done.
#[derive(Default, Debug)]
pub(crate) struct FilterCache {
    kept: BTreeMap<Arc<[u8]>, Kept>,
    /// The same by their last use.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    /// The places of all of them together.
    places: usize,
}

#[derive(Debug)]
struct Kept {
    filter: Filter,
    used: u64,
    places: usize,
}

impl FilterCache {
    /// The filter that is encoded here, not compiled yet if it is new.
    ///
    /// # Errors
    /// `INVALID_FILTER` when the bytes are not exactly one map in the strict encoding, of a size that is allowed.
    pub(crate) fn get(&mut self, bytes: &[u8]) -> Result<Filter, Error> {
        let now = self.next;
        self.next += 1;
        if let Some(kept) = self.kept.get_mut(bytes) {
            let name = self.order.remove(&kept.used);
            self.order.extend(name.map(|name| (now, name)));
            kept.used = now;
            return Ok(kept.filter.clone());
        }
        let filter =
            read(bytes).map_err(|why| refusal(format!("a filter that came is none: {why}")))?;
        let places = places(&filter, bytes.len());
        while self.places + places > FILTERS_KEPT {
            self.forget_one();
        }
        let name: Arc<[u8]> = bytes.into();
        self.places += places;
        self.order.insert(now, Arc::clone(&name));
        self.kept.insert(name, Kept { filter: filter.clone(), used: now, places });
        Ok(filter)
    }

    /// Forgets the one that was not asked for longest.
    fn forget_one(&mut self) {
        let oldest = self.order.pop_first();
        let kept = oldest.and_then(|(_, name)| self.kept.remove(&name));
        self.places = kept.map_or(0, |kept| self.places - kept.places);
    }
}

fn read(bytes: &[u8]) -> Result<Filter, Malformed> {
    let mut reader = Reader::new(bytes);
    let filter = Filter::read(&mut reader)?;
    reader.finish().map(|()| filter)
}

/// How much room it takes: a large one as much as several, and each expression as much as a filter, for it may need 64 KiB. What has more
/// of them than it may is never compiled.
fn places(filter: &Filter, bytes: usize) -> usize {
    let expressions = Estimate::of(&filter.0.map).expressions;
    bytes.div_ceil(SMALL_FILTER_BYTES).max(expressions).clamp(1, FILTER_CLAUSES)
}
