//! What must hold for any filter and any options. The fuzz target calls this body, and tests run it on fixed seeds.

use crate::cbor::Reader;
use crate::options::Options;
use crate::routing::filter::{Filter, reference, sample};
use crate::value::{Map, Value};

/// A filter matches when the plain reference says so, is explained when it does not, and reads back as what it was.
///
/// If the first byte is even, the rest is options and a filter in their own encoding; else both are drawn from the rest.
pub(crate) fn filter(bytes: &[u8]) {
    let [how, rest @ ..] = bytes else { return };
    let drawn = if how % 2 == 0 { read(rest) } else { Some(draw(rest)) };
    if let Some((options, filter)) = drawn {
        agree(&filter, &options);
    }
}

fn read(bytes: &[u8]) -> Option<(Options, Map)> {
    let mut reader = Reader::new(bytes);
    let options = Options::read(&mut reader).ok()?;
    let start = reader.position();
    let filter = Filter::read(&mut reader).ok()?;
    let mut again = Vec::new();
    filter.put(&mut again);
    assert_eq!(again, bytes[start..reader.position()]);
    let mut data = Reader::new(&again);
    Some((options, Map::read(&mut data, usize::MAX).expect("just read")))
}

fn draw(bytes: &[u8]) -> (Options, Map) {
    let mut draw = sample::Draw::new(bytes);
    (draw.options(), draw.filter(3))
}

/// Whether the filter matches, if it is one.
pub(crate) fn agree(data: &Map, options: &Options) -> Option<bool> {
    let filter = Filter::from(data.clone());
    let shown = filter.to_string();
    let expected = reference::matches(data, options);
    let compiled = match filter.compiled() {
        Ok(compiled) => compiled,
        Err(error) => {
            assert_eq!(shown, data.to_string());
            // The reference knows no limits.
            let too_large = ["at most", "go from", "$regex"];
            let why = error.message();
            assert!(expected.is_none() || too_large.iter().any(|part| why.contains(part)), "{why}");
            return None;
        }
    };
    assert_eq!(expected, Some(compiled.matches(options)), "{data} on {options}");
    let matches = expected == Some(true);
    let explained = filter.explain(options).expect("it was compiled");
    assert_eq!(explained.is_none(), matches, "{data} on {options}: {explained:?}");
    let complement = !filter.clone();
    if let Ok(not) = complement.matches(options) {
        assert_eq!(not, !matches, "{complement} on {options}");
    }
    for (key, value) in compiled.equalities() {
        necessary(key, value, options, matches);
    }
    expected
}

/// What a filter says must be equal is equal wherever it matches, and has the same fingerprint.
fn necessary(key: &str, value: &Value, options: &Options, matches: bool) {
    let found = crate::routing::filter::lookup(options, key);
    let equal = found == Some(value);
    assert!(equal || !matches, "{key} = {value} on {options}");
    if equal {
        let prints = (
            found.map(crate::routing::filter::fingerprint),
            crate::routing::filter::fingerprint(value),
        );
        assert_eq!(prints.0, Some(prints.1), "{value}");
        assert!(prints.1.is_some(), "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_hold_for_fixed_seeds() {
        let _bound = crate::bound::bound();
        let mut counts = [0; 3];
        for seed in 0..20_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![0; rng.usize(8..160)];
            rng.fill(&mut bytes);
            let (options, data) = draw(&bytes);
            counts[agree(&data, &options).map_or(2, usize::from)] += 1;
            let mut encoded = vec![0];
            options.put(&mut encoded);
            data.put(&mut encoded);
            filter(&encoded);
            let at = rng.usize(..encoded.len());
            encoded[at] ^= 1 << rng.u8(..8);
            filter(&encoded);
        }
        assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
    }
}
