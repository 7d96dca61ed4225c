use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::config::EVENT_BYTES;
use crate::error::ErrorKind;

mod laws;
mod scenarios;
mod tree;

fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

fn pattern(text: &str) -> PathPattern {
    PathPattern::new(text).unwrap()
}

fn tree(texts: &[&str]) -> PathTree {
    texts.iter().map(|text| path(text)).collect()
}

/// What the pattern finds in the tree. The paths of the tree, asked one by one, have to say the same.
fn found<'a>(tree: &'a PathTree, text: &str) -> Vec<&'a str> {
    let pattern = pattern(text);
    let found: Vec<&Path> = tree.matches(&pattern).collect();
    assert!(tree.iter().filter(|path| pattern.matches(path)).eq(found.iter().copied()), "{text}");
    found.into_iter().map(Path::as_str).collect()
}

#[test]
fn what_is_written_carelessly_is_one_path() {
    let _bound = crate::bound::bound();
    for (text, formatted) in [
        ("add", "/add"),
        ("/add", "/add"),
        ("/add/", "/add"),
        ("//add//", "/add"),
        ("math///mul", "/math/mul"),
        ("/a/a", "/a/a"),
        ("constructor", "/constructor"),
        ("/A/a", "/A/a"),
        ("..", "/.."),
        ("./a", "/./a"),
        ("-/_/0", "/-/_/0"),
    ] {
        assert_eq!(PathPattern::format(text), formatted);
        assert_eq!(path(text), formatted);
        assert_eq!(pattern(text), formatted);
        assert_eq!(PathPattern::validate(text), text == formatted, "{text:?}");
    }
    for root in ["", "/", "//", "///"] {
        assert_eq!(PathPattern::format(root), "/");
        assert_eq!(pattern(root), "/");
        assert_eq!(pattern(root).segments().count(), 0);
    }
}

#[test]
fn what_is_no_path_is_refused_and_the_error_says_where_and_what_to_do() {
    let _bound = crate::bound::bound();
    let only = "use only ASCII letters, digits, '-', '_' and '.'";
    let alone = "it stands for a whole segment, so write it alone";
    for (text, why) in [
        (
            "user:get",
            format!(r#""/user:get" is not a service path: segment 1, "user:get", has ':': {only}"#),
        ),
        (
            "/a/b c/",
            format!(r#""/a/b c" is not a service path: segment 2, "b c", has ' ': {only}"#),
        ),
        ("/é", format!(r#""/é" is not a service path: segment 1, "é", has 'é': {only}"#)),
        ("a\n", format!(r#""/a\n" is not a service path: segment 1, "a\n", has '\n': {only}"#)),
        (
            "/a/**",
            format!(
                r#""/a/**" is not a service path: segment 2, "**", has '*' beside other characters: {alone}"#
            ),
        ),
        (
            "/ma*/x",
            format!(
                r#""/ma*/x" is not a service path: segment 1, "ma*", has '*' beside other characters: {alone}"#
            ),
        ),
        (
            "*a",
            format!(
                r#""/*a" is not a service path: segment 1, "*a", has '*' beside other characters: {alone}"#
            ),
        ),
    ] {
        let error = PathPattern::new(text).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidPath, &*why));
        let error = Path::new(text).unwrap_err();
        let why = why.replace("not a service path", "not the path of a service");
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidPath, &*why));
        assert!(!PathPattern::validate(text) && !PathPattern::validate(&PathPattern::format(text)));
    }
    for text in ["\\a", "a%20b", "a\0b", "a?b", "/a/#", "а"] {
        assert!(PathPattern::new(text).is_err() && Path::new(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_root_and_wildcards_are_for_calls_and_not_for_services() {
    let _bound = crate::bound::bound();
    for (text, why) in [
        (
            "",
            r#""/" is not the path of a service: it has no segment: name at least one, as in "/add""#,
        ),
        (
            "//",
            r#""/" is not the path of a service: it has no segment: name at least one, as in "/add""#,
        ),
        (
            "*",
            r#""/*" is not the path of a service: segment 1 is '*': register every path by its name, and keep '*' for calls"#,
        ),
        (
            "a/*/*",
            r#""/a/*/*" is not the path of a service: segment 2 is '*': register every path by its name, and keep '*' for calls"#,
        ),
    ] {
        let asked = PathPattern::new(text).unwrap();
        for error in [Path::new(text).unwrap_err(), Path::try_from(asked).unwrap_err()] {
            assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidPath, why));
        }
    }
    assert_eq!(Path::try_from(pattern("a/b")).unwrap(), "/a/b");
}

#[test]
fn a_path_has_at_most_1024_bytes() {
    let _bound = crate::bound::bound();
    for (len, fits) in [(EVENT_BYTES - 1, true), (EVENT_BYTES, true), (EVENT_BYTES + 1, false)] {
        let flat = format!("/{}", "a".repeat(len - 1));
        let deep = "/a".repeat(len / 2) + &"a".repeat(len % 2);
        for text in [flat, deep] {
            assert_eq!((text.len(), PathPattern::validate(&text)), (len, fits));
            assert_eq!(PathPattern::new(&text).is_ok(), fits);
            assert_eq!(Path::new(&text).is_ok(), fits);
            // What a careless hand adds does not count.
            assert_eq!(Path::new(format!("/{}///", text.replace('/', "//"))).is_ok(), fits);
        }
    }
    let error = Path::new("a".repeat(2_000)).unwrap_err();
    let why = "a text of 2001 bytes is not the path of a service: use at most 1024";
    assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidPath, why));
}

#[test]
fn a_pattern_matches_segment_by_segment() {
    let _bound = crate::bound::bound();
    for (asked, registered, expected) in [
        ("/a/a", "/a/a", true),
        ("/a/a", "/a", false),
        ("/a", "/a/a", false),
        ("/a/*", "/a/a", true),
        ("/*/a", "/a/a", true),
        ("/*/*", "/a/a", true),
        ("/*", "/a/a", false),
        ("/*/*/*", "/a/a", false),
        ("/a/*/a", "/a/b/a", true),
        ("/a/*/a", "/a/a", false),
        ("/a/*/a", "/a/a/a", true),
        ("/a/*/a", "/a/b/c", false),
        ("/a/*/a", "/a/b/a/a", false),
        ("/Add", "/add", false),
        ("/add", "/ADD", false),
        ("/ad", "/add", false),
        ("/add", "/ad", false),
        ("/*", "/constructor", true),
        ("/constructor", "/constructor", true),
        ("/", "/a", false),
        ("/a/..", "/a", false),
        ("/a-b", "/a/b", false),
        ("//a//*//", "a/b/", true),
    ] {
        assert_eq!(pattern(asked).matches(&path(registered)), expected, "{asked} {registered}");
    }
}

#[test]
fn paths_are_text_wherever_text_is_asked_for() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    let _bound = crate::bound::bound();
    crosses::<Path>();
    crosses::<PathPattern>();
    crosses::<PathTree>();
    assert_eq!(size_of::<Path>(), 2 * size_of::<usize>());
    let add = path("add");
    assert!(Arc::ptr_eq(&add.0, &PathPattern::from(&add).0), "a copy is cheap");
    for other in [
        "add/".parse().unwrap(),
        Path::try_from("/add/").unwrap(),
        Path::try_from("//add".to_owned()).unwrap(),
        Path::try_from(&"add".to_owned()).unwrap(),
    ] {
        assert_eq!(add, other);
    }
    assert_eq!(
        format!("{add} {add:?} {:?} {add:>6}", pattern("*")),
        r#"/add Path("/add") PathPattern("/*")   /add"#
    );
    assert_eq!((add.as_ref(), add == *"/add"), ("/add", true));
    assert!(HashSet::from([add.clone()]).contains("/add"));
    assert_eq!(BTreeMap::from([(add, 1)]).get("/add"), Some(&1));
    let mut sorted = ["/b", "/a/b", "/a", "/B", "/a.b"].map(path);
    sorted.sort();
    assert_eq!(sorted, ["/B", "/a", "/a.b", "/a/b", "/b"]);
    assert!(path("/a/b/c").segments().rev().eq(["c", "b", "a"]));
}

#[test]
fn paths_are_texts_to_serde_and_what_is_none_is_refused() {
    let _bound = crate::bound::bound();
    let bytes = |text: &str| {
        let mut out = Vec::new();
        ciborium::into_writer(text, &mut out).unwrap();
        out
    };
    let mut encoded = Vec::new();
    ciborium::into_writer(&path("/a/b"), &mut encoded).unwrap();
    assert_eq!(encoded, bytes("/a/b"));
    assert_eq!(ciborium::from_reader::<Path, _>(&bytes("a//b/")[..]).unwrap(), "/a/b");
    assert_eq!(ciborium::from_reader::<PathPattern, _>(&bytes("*")[..]).unwrap(), "/*");
    let error = ciborium::from_reader::<Path, _>(&bytes("/*")[..]).unwrap_err();
    assert!(error.to_string().contains("segment 1 is '*'"), "{error}");
    assert!(ciborium::from_reader::<PathPattern, _>(&bytes("a b")[..]).is_err());
    assert!(ciborium::from_reader::<Path, _>(&[1][..]).is_err());
}
