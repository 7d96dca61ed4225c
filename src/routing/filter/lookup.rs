//! What a key names in options: an entry, or an entry of a map in them.

use crate::options::Options;
use crate::value::Value;

/// The value that `key` names. At every level the exact key counts first; else the part before the first dot names a map in
/// which the rest is looked up.
pub(crate) fn lookup<'a>(options: &'a Options, key: &str) -> Option<&'a Value> {
    if let Some(exact) = options.get(key) {
        return Some(exact);
    }
    let (mut head, mut rest) = key.split_once('.')?;
    let mut outer = options.get(head)?;
    loop {
        let map = outer.as_map()?;
        if let Some(exact) = map.get(rest) {
            return Some(exact);
        }
        (head, rest) = rest.split_once('.')?;
        outer = map.get(head)?;
    }
}
