//! What must hold for any filter and any options, and for any paths. The fuzz targets call these bodies, and tests run them on fixed seeds.

use crate::cbor::Reader;
use crate::event::EventName;
use crate::options::Options;
use crate::routing::filter::{Filter, reference, sample};
use crate::routing::path::{Path, PathPattern, PathTree, reference as plain};
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

/// Paths, patterns and trees mean what the plainest reference says they mean, and read back as what they were.
///
/// The bytes are a script of lines: `+` registers the rest of its line, `-` removes it, `?` asks for it, `&` registers it in a second
/// tree, which is merged into the first at the end. Any other line is only judged.
pub(crate) fn path(bytes: &[u8]) {
    let script = String::from_utf8_lossy(bytes);
    let (mut tree, mut model) = (PathTree::new(), Vec::new());
    let (mut other, mut others) = (PathTree::new(), Vec::new());
    for line in script.lines() {
        let mut rest = line.chars();
        let verb = rest.next();
        let text = if matches!(verb, Some('+' | '-' | '?' | '&')) { rest.as_str() } else { line };
        let (path, pattern) = judge(text);
        match (verb, path, pattern) {
            (Some('+'), Some(path), _) => insert(&mut tree, &mut model, path),
            (Some('&'), Some(path), _) => insert(&mut other, &mut others, path),
            (Some('-'), Some(path), _) => {
                let place = model.iter().position(|known| path == known.as_str());
                assert_eq!(tree.remove(&path), place.is_some(), "{path}");
                place.map(|place| model.remove(place));
                assert!(!tree.contains(&path));
            }
            (Some('?'), _, Some(pattern)) => ask(&tree, &model, &pattern),
            _ => {}
        }
    }
    whole(&tree, &model);
    tree.merge(&other);
    others.retain(|path| !model.contains(path));
    model.extend(others);
    whole(&tree, &model);
}

/// The text as a path and as a pattern, if it is one.
fn judge(text: &str) -> (Option<Path>, Option<PathPattern>) {
    let formatted = PathPattern::format(text);
    assert_eq!(formatted, plain::format(text));
    assert_eq!(formatted, PathPattern::format(&formatted));
    assert_eq!(PathPattern::validate(text), plain::is_pattern(text), "{text:?}");
    let pattern = PathPattern::new(text).ok();
    assert_eq!(pattern.is_some(), plain::is_pattern(&formatted), "{text:?}");
    assert_eq!(pattern.is_some(), PathPattern::validate(&formatted), "{text:?}");
    if let Some(pattern) = &pattern {
        assert_eq!(pattern.as_str(), formatted);
    }
    let path = Path::new(text).ok();
    assert_eq!(path.is_some(), plain::is_path(&formatted), "{text:?}");
    if let Some(path) = &path {
        assert_eq!(path.as_str(), formatted);
        assert!(PathPattern::from(path).matches(path), "{path}");
        assert!(EventName::new(path.as_str()).is_ok(), "{path}");
    }
    (path, pattern)
}

fn insert(tree: &mut PathTree, model: &mut Vec<String>, path: Path) {
    let text = path.to_string();
    let new = !model.contains(&text);
    assert_eq!(tree.insert(path), new, "{text}");
    if new {
        model.push(text);
    }
}

fn ask(tree: &PathTree, model: &[String], pattern: &PathPattern) {
    let meant = |path: &&String| plain::matches(pattern.as_str(), path);
    let expected: Vec<&String> = model.iter().filter(meant).collect();
    let found: Vec<&str> = tree.matches(pattern).map(Path::as_str).collect();
    assert_eq!(found, expected, "{pattern} in {tree}");
    let one_by_one = tree.iter().filter(|path| pattern.matches(path));
    assert!(one_by_one.eq(found), "{pattern} in {tree}");
}

fn whole(tree: &PathTree, model: &[String]) {
    assert!(tree.iter().map(Path::as_str).eq(model.iter().map(String::as_str)), "{tree:?}");
    assert_eq!((tree.len(), tree.is_empty()), (model.len(), model.is_empty()));
    for path in tree.iter() {
        assert!(tree.contains(path), "{path}");
        assert!(tree.matches(&path.into()).eq([path]), "{path}");
    }
    // Whatever was removed has left no trace.
    let fresh: PathTree = tree.iter().cloned().collect();
    assert_eq!((tree, tree.to_string()), (&fresh, fresh.to_string()));
    let mut drawn = plain::drawn(&tree.to_string());
    drawn.sort_unstable();
    let mut sorted = model.to_vec();
    sorted.sort_unstable();
    assert_eq!(drawn, sorted, "{tree}");
    let mut encoded = Vec::new();
    ciborium::into_writer(tree, &mut encoded).expect("a list of texts");
    let again: PathTree = ciborium::from_reader(&encoded[..]).expect("a list of paths");
    assert_eq!(&again, tree);
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
