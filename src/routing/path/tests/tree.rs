use super::*;

fn all(tree: &PathTree) -> Vec<&str> {
    tree.iter().map(Path::as_str).collect()
}

#[test]
fn results_come_in_the_order_of_registration_and_who_comes_back_is_last() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&["/z/1", "/a/2", "/z/0", "/m"]);
    assert_eq!(found(&tree, "/*/*"), ["/z/1", "/a/2", "/z/0"]);
    assert!(!tree.insert(path("/z/1")), "it stays where it was");
    assert_eq!(found(&tree, "/*/*"), ["/z/1", "/a/2", "/z/0"]);
    assert!(tree.remove(&path("/z/1")));
    assert_eq!(found(&tree, "/*/*"), ["/a/2", "/z/0"]);
    assert!(tree.insert(path("/z/1")));
    assert_eq!(found(&tree, "/*/*"), ["/a/2", "/z/0", "/z/1"]);
    assert_eq!(all(&tree), ["/a/2", "/z/0", "/m", "/z/1"]);
    assert!(tree.iter().rev().eq(["/z/1", "/m", "/z/0", "/a/2"]));
    assert_eq!((tree.len(), tree.iter().len(), tree.matches(&pattern("/z/*")).len()), (4, 4, 2));
}

#[test]
fn removing_takes_one_path_and_leaves_its_neighbours() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&["/a", "/a/b", "/a/b/c", "/a/b/d"]);
    assert!(tree.remove(&path("/a/b")) && !tree.remove(&path("/a/b")));
    assert!(!tree.remove(&path("/a/b/x")) && !tree.remove(&path("/x")));
    assert_eq!(all(&tree), ["/a", "/a/b/c", "/a/b/d"]);
    assert!(tree.remove(&path("/a")) && tree.remove(&path("/a/b/d")));
    assert_eq!(tree.to_string(), "/\n└── a/b/c");
    assert!(tree.remove(&path("/a/b/c")) && tree.is_empty());
    assert_eq!((tree.to_string().as_str(), &tree), ("/", &PathTree::new()));
}

#[test]
fn a_wildcard_goes_over_what_cannot_match() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&[
        "/a", "/a-b", "/a-b/x", "/a.b/x", "/a/-", "/a/x", "/a/x/y", "/b", "/b/w", "/b/y", "/c/x/x",
    ]);
    tree.extend((0..100).map(|i| path(&format!("/b/w/{i}"))));
    assert_eq!(found(&tree, "/*/x"), ["/a-b/x", "/a.b/x", "/a/x"]);
    assert_eq!(found(&tree, "/*/y"), ["/b/y"]);
    assert_eq!(found(&tree, "/a/*"), ["/a/-", "/a/x"]);
    assert_eq!(found(&tree, "/*"), ["/a", "/a-b", "/b"]);
    assert_eq!(found(&tree, "/*/*/7"), ["/b/w/7"]);
    assert_eq!(found(&tree, "/*/x/*"), ["/a/x/y", "/c/x/x"]);
    assert!(found(&tree, "/*/0").is_empty() && found(&tree, "/*/zz/*").is_empty());
    assert_eq!(found(&tree, "/b/w/*").len(), 100);
}

#[test]
fn merging_puts_what_is_new_behind_what_is_there() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&["/b", "/c/d"]);
    tree.merge(&super::tree(&["/c", "/b", "/a", "/c/d"]));
    assert_eq!(all(&tree), ["/b", "/c/d", "/c", "/a"]);
    tree.merge(&tree.clone());
    tree.merge(&PathTree::new());
    assert_eq!(tree.len(), 4);
    tree.extend([path("/e"), path("/b")]);
    assert_eq!(all(&tree), ["/b", "/c/d", "/c", "/a", "/e"]);
}

#[test]
fn an_iterator_that_panics_leaves_the_tree_as_it_was() {
    let _bound = crate::bound::bound();
    let mut tree = tree(&["/b", "/c"]);
    let before = tree.clone();
    let paths = ["/a", "/b", "?"].into_iter().map(path);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tree.extend(paths)));
    assert!(caught.is_err());
    assert_eq!(tree, before);
    assert!(tree.contains(&path("/b")) && !tree.contains(&path("/a")));
}

#[test]
fn trees_are_equal_by_paths_and_order() {
    let _bound = crate::bound::bound();
    let mut one = tree(&["/x", "/a", "/b"]);
    one.remove(&path("/x"));
    assert_eq!(one, tree(&["/a", "/b", "/a"]));
    assert_ne!(one, tree(&["/b", "/a"]));
    assert_ne!(one, tree(&["/a"]));
    assert_eq!(format!("{one:?}"), r#"{Path("/a"), Path("/b")}"#);
    let copy = one.clone();
    one.insert(path("/c"));
    assert_eq!(all(&copy), ["/a", "/b"]);
}

#[test]
fn a_tree_is_the_list_of_its_paths_to_serde() {
    let _bound = crate::bound::bound();
    let encode = |value: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        value(&mut out);
        out
    };
    let tree = tree(&["/math/mul", "/add", "/math", "/math/add"]);
    let texts = ["/math/mul", "/add", "/math", "/math/add"];
    let encoded = encode(&|out| ciborium::into_writer(&tree, out).unwrap());
    assert_eq!(encoded, encode(&|out| ciborium::into_writer(&texts, out).unwrap()));
    assert_eq!(ciborium::from_reader::<PathTree, _>(&encoded[..]).unwrap(), tree);
    let careless = encode(&|out| ciborium::into_writer(&["b/", "/a", "//b"], out).unwrap());
    assert_eq!(all(&ciborium::from_reader(&careless[..]).unwrap()), ["/b", "/a"]);
    let wrong = encode(&|out| ciborium::into_writer(&["/a", "/*"], out).unwrap());
    let error = ciborium::from_reader::<PathTree, _>(&wrong[..]).unwrap_err();
    assert!(error.to_string().contains("keep '*' for calls"), "{error}");
}

#[test]
fn the_picture_shows_what_is_a_path_and_what_only_leads_there() {
    let _bound = crate::bound::bound();
    assert_eq!(PathTree::new().to_string(), "/");
    let tree = tree(&[
        "/m/sub",
        "/m/add/float",
        "/m/add",
        "/docs/v2/index.html",
        "/m/sub/x/y",
        "/M",
        "/m/z/1",
        "/m/z/2",
    ]);
    let picture = "\
/
├── M
├── docs/v2/index.html
└── m/
    ├── add
    │   └── float
    ├── sub
    │   └── x/y
    └── z/
        ├── 1
        └── 2";
    assert_eq!(tree.to_string(), picture);
}

#[test]
fn the_deepest_paths_are_as_good_as_any_and_the_picture_stays_small() {
    let _bound = crate::bound::bound();
    let deepest: Vec<Path> = (1..=EVENT_BYTES / 2).map(|depth| path(&"/a".repeat(depth))).collect();
    let mut tree: PathTree = deepest.iter().rev().cloned().collect();
    tree.extend(
        deepest.iter().step_by(2).map(|path| Path::new(path.as_str().to_owned() + "b").unwrap()),
    );
    let bytes: usize = tree.iter().map(|path| path.as_str().len()).sum();
    assert!(tree.to_string().len() < 4 * bytes, "{} {bytes}", tree.to_string().len());
    let all = pattern(&"/*".repeat(EVENT_BYTES / 2));
    assert!(tree.matches(&all).eq(deepest.last()));
    assert!(deepest.iter().all(|path| tree.contains(path) && tree.remove(path)));
    assert_eq!(tree.len(), EVENT_BYTES / 4);
}
