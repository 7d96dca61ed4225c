use super::*;

/// The services of the rows about matching.
const REGISTERED: [&str; 7] = [
    "/math/add/decimal",
    "/math/add/float",
    "/math/sub/decimal",
    "/math/sub/float",
    "/foo/bar/buzz/duck/go",
    "/foo/bar1/buzz1/duck/go",
    "/foo/bar1/buzz1/duck/g1",
];

#[test]
fn t181_validate_takes_a_text_as_it_stands() {
    let _bound = crate::bound::bound();
    for (text, valid) in [
        ("a/b/", false),
        ("/a/b", true),
        ("/", true),
        ("/aaa123/123/abc/", false),
        ("/asd//asd", false),
        ("/*", true),
        ("/**", false),
        ("/asd*", false),
        ("/abc/*/adc", true),
    ] {
        assert_eq!(PathPattern::validate(text), valid, "{text}");
    }
}

#[test]
fn t182_a_path_matches_itself_and_nothing_longer_or_other() {
    let _bound = crate::bound::bound();
    let tree = tree(&REGISTERED);
    assert_eq!(found(&tree, "/math/add/float"), ["/math/add/float"]);
    assert!(found(&tree, "/math/add/wrong").is_empty());
    assert!(found(&tree, "/math/add/decimal/extra").is_empty());
    for (asked, expected) in [
        ("/math/*/float", &["/math/add/float", "/math/sub/float"][..]),
        ("/math/add/*", &["/math/add/decimal", "/math/add/float"]),
        ("/*/*/decimal", &["/math/add/decimal", "/math/sub/decimal"]),
        ("/foo/*/*/duck/go", &["/foo/bar/buzz/duck/go", "/foo/bar1/buzz1/duck/go"]),
        ("/foo/bar1/buzz1/duck/*", &["/foo/bar1/buzz1/duck/go", "/foo/bar1/buzz1/duck/g1"]),
        ("/foo/*/buzz/*/go", &["/foo/bar/buzz/duck/go"]),
        ("/*/*/*", &REGISTERED[..4]),
        ("/*/*/*/*/*", &REGISTERED[4..]),
    ] {
        assert_eq!(found(&tree, asked), expected, "{asked}");
    }
}

#[test]
fn t184_a_prefix_that_nobody_registered_does_not_match() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&REGISTERED);
    for prefix in ["/math", "/math/*", "/*", "/*/*", "/foo/bar", "/foo/*/*/duck", "/*/*/*/*", "/"] {
        assert!(found(&tree, prefix).is_empty(), "{prefix}");
    }
    // Until somebody does.
    tree.insert(path("/math"));
    assert_eq!(found(&tree, "/math"), ["/math"]);
    assert_eq!(found(&tree, "/*"), ["/math"]);
    assert!(found(&tree, "/math/*").is_empty());
}

#[test]
fn t185_a_path_and_a_wildcard_find_what_the_walk_through_says() {
    let _bound = crate::bound::bound();
    let tree = tree(&["add", "math/mul"]);
    assert_eq!(found(&tree, "/add"), ["/add"]);
    assert_eq!(found(&tree, "/math/*"), ["/math/mul"]);
    assert_eq!(found(&tree, "add"), ["/add"]);
    assert_eq!(found(&tree, "/*"), ["/add"]);
    assert_eq!(tree.to_string(), "/\n├── add\n└── math/mul");
}

#[test]
fn t187_repeated_segments_and_names_of_other_languages_have_no_ghosts() {
    let _bound = crate::bound::bound();
    let names = ["/constructor", "/__proto__", "/toString", "/a/a", "/a/b/a", "/a/a/a"];
    let nothing = PathTree::new();
    for asked in names.into_iter().chain(["/a/*/a", "/*", "/a"]) {
        assert!(found(&nothing, asked).is_empty(), "{asked}");
        assert!(found(&tree(&["/b"]), asked).iter().all(|path| *path == "/b"), "{asked}");
    }
    let mut tree = tree(&names);
    for asked in names {
        assert_eq!(found(&tree, asked), [asked]);
    }
    assert_eq!(found(&tree, "/a/*/a"), ["/a/b/a", "/a/a/a"]);
    assert_eq!(found(&tree, "/*"), ["/constructor", "/__proto__", "/toString"]);
    assert_eq!(found(&tree, "/*/a"), ["/a/a"]);
    assert!(tree.remove(&path("/a/a")) && tree.remove(&path("/constructor")));
    assert!(found(&tree, "/a/a").is_empty() && found(&tree, "/constructor").is_empty());
    assert_eq!(found(&tree, "/a/*/a"), ["/a/b/a", "/a/a/a"]);
}

#[test]
fn t188_digits_dashes_and_underscores_are_valid() {
    let _bound = crate::bound::bound();
    for text in ["/v10/x", "/my-svc/get_x", "/v1.2/index.html", "/0", "/-", "/_", "/."] {
        assert!(PathPattern::validate(text), "{text}");
        assert_eq!(path(text), text);
    }
}
