use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::config::{FILTERS_KEPT, SMALL_FILTER_BYTES};
use crate::error::ErrorKind;
use crate::id::{LinkId, PeerKey};
use crate::node_event::Direction;
use crate::options;
use crate::routing::filter::sample::Draw;
use crate::routing::{First, Gauge, LinkFace, Pace, Random, Services, Share, strategy_fn};
use crate::value::{Map, Value};

fn id(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn entry(key: u64, name: &str, options: Options, services: &[&str]) -> Arc<PeerEntry> {
    let now = Instant::now();
    let share = Share::new(usize::MAX.into());
    let face = LinkFace {
        link: LinkId(key),
        remote: "127.0.0.1:1".parse().unwrap(),
        gauge: Arc::new(Gauge::new(usize::MAX, share, u32::MAX, u64::MAX)),
    };
    Arc::new(PeerEntry {
        key: PeerKey(key),
        id: id(name),
        options,
        services: Services::new(services.iter().map(|&name| name.to_owned()).collect()),
        address: None,
        host: "here".into(),
        up: None,
        down: Some(face),
        older: Direction::Down,
        is_local: true,
        pace: Arc::new(Pace::new(now)),
    })
}

/// Peers n1, n2 and so on, all alike.
fn crowd(peers: usize, options: &Options, services: &[&str]) -> Directory {
    let mut directory = Directory::default();
    for key in 1..=peers as u64 {
        directory.insert(entry(key, &format!("n{key}"), options.clone(), services));
    }
    directory
}

fn anybody() -> Search {
    Search { id: None, filter: None, pattern: None, origin: id("asker") }
}

fn by_filter(filter: Filter) -> Search {
    Search { filter: Some(filter), ..anybody() }
}

fn by_pattern(pattern: &str) -> Search {
    Search { pattern: Some(pattern.parse().unwrap()), ..anybody() }
}

fn steps(search: &Search, directory: &Directory, strategy: &dyn Strategy) -> Vec<Step> {
    let rng = fastrand::Rng::with_seed(7);
    search.steps(directory, strategy, rng, Instant::now()).unwrap()
}

fn keys(steps: &[Step]) -> Vec<u64> {
    steps.iter().map(|step| step.peer.0).collect()
}

/// All pages, one after the other.
fn walk(search: &Search, directory: &Directory, limit: usize) -> Vec<Vec<NodeId>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after: after.clone(), limit };
        let (peers, more) = search.page(directory, &page).unwrap();
        let ids: Vec<NodeId> = peers.into_iter().map(|(id, _)| id).collect();
        after = ids.last().cloned().or(after);
        assert!(!more || !ids.is_empty(), "there would be no way on");
        pages.push(ids);
        if !more {
            return pages;
        }
    }
}

#[test]
fn a_search_finds_whom_a_call_of_the_router_itself_would_find() {
    let _bound = crate::bound::bound();
    let (mut found, mut wrong) = (0, 0);
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; 600];
        rng.fill(&mut bytes);
        let mut draw = Draw::new(&bytes);
        let mut directory = Directory::default();
        for key in 1..=12 {
            let options = draw.options().with_id(&id(&format!("n{key}")));
            directory.insert(entry(key, &format!("n{key}"), options, &[]));
        }
        directory.index("a");
        let filter = Filter::from(draw.filter(2));
        let search = by_filter(filter.clone());
        let now = Instant::now();
        let strategies: [&dyn Strategy; 2] = [&First, &Random];
        for strategy in strategies {
            let placed = search.steps(&directory, strategy, rng.clone(), now);
            let Ok(compiled) = filter.compiled() else {
                assert_eq!(placed.unwrap_err().kind(), ErrorKind::InvalidFilter);
                assert!(search.page(&directory, &Page { after: None, limit: 256 }).is_err());
                wrong += 1;
                continue;
            };
            let question = Question {
                id: None,
                filter: Some(compiled),
                predicate: None,
                directions: Directions::BOTH,
                own: None,
                pattern: None,
                except: &[],
                left_out: &[],
                no_routers: false,
                is_copy: false,
                number: &|| 0,
            };
            let mut candidates = Candidates::new(&directory, &question, rng.clone(), now);
            let all: BTreeSet<NodeId> =
                candidates.iter().map(|candidate| candidate.id().clone()).collect();
            let own: Vec<u64> =
                make_plan(strategy, &mut candidates).iter().map(|peer| peer.key.0).collect();
            assert_eq!(keys(&placed.unwrap()), own, "{filter}");
            assert!(walk(&search, &directory, 5).concat().into_iter().eq(all), "{filter}");
            found += own.len();
        }
    }
    assert!(found > 1_000 && wrong > 20, "{found} found, {wrong} wrong");
}

#[test]
fn neither_routers_nor_whoever_asked_are_found() {
    let _bound = crate::bound::bound();
    let mut directory = crowd(2, &options! { "role": "api" }, &["/a"]);
    let router = Options::new().with("role", "api").with_router();
    directory.insert(entry(3, "switch", router, &["/a"]));
    directory.insert(entry(4, "asker", options! { "role": "api" }, &["/a"]));
    let role = by_filter(Filter::any().eq("role", "api"));
    for search in [anybody(), role, by_filter(Filter::any()), by_pattern("/a"), by_pattern("/*")] {
        assert_eq!(keys(&steps(&search, &directory, &First)), [1, 2], "{search:?}");
        assert_eq!(walk(&search, &directory, 256), [[id("n1"), id("n2")]], "{search:?}");
    }
    for (name, found) in [("n2", &[2][..]), ("switch", &[]), ("asker", &[]), ("nobody", &[])] {
        let search = Search { id: Some(id(name)), ..anybody() };
        let placed = steps(&search, &directory, &Random);
        assert_eq!(keys(&placed), found, "{name}");
        assert!(placed.iter().all(|step| step.event.is_none()));
        assert_eq!(walk(&search, &directory, 256).concat().len(), found.len());
    }
}

#[test]
fn a_step_of_a_pattern_says_which_path_it_is_there() {
    let _bound = crate::bound::bound();
    let mut directory = Directory::default();
    let served: [&[&str]; 4] =
        [&["/b/x", "/a/x"], &["/a/x", "x"], &["/a", "a/x"], &["/c/x", "/b/x"]];
    for (key, services) in (1..).zip(served) {
        directory.insert(entry(key, &format!("n{key}"), Options::new(), services));
    }
    let placed = |pattern: &str| -> Vec<(u64, String)> {
        let event = |step: &Step| step.event.as_ref().unwrap().as_str().to_owned();
        let placed = steps(&by_pattern(pattern), &directory, &First);
        placed.iter().map(|step| (step.peer.0, event(step))).collect()
    };
    let expected = |pairs: &[(u64, &str)]| -> Vec<(u64, String)> {
        pairs.iter().map(|(key, path)| (*key, (*path).to_owned())).collect()
    };
    assert_eq!(placed("/*/x"), expected(&[(1, "/b/x"), (2, "/a/x"), (4, "/c/x")]));
    assert_eq!(placed("/b/*"), expected(&[(1, "/b/x"), (4, "/b/x")]));
    assert_eq!(placed("/a/x"), expected(&[(1, "/a/x"), (2, "/a/x")]));
    assert_eq!(placed("/"), expected(&[]));
    // Whoever came by a destination gets there likewise.
    let mut filters = FilterCache::default();
    let event = |name: &str| EventName::new(name).unwrap();
    let new = |to: &Destination, name: &str, filters: &mut FilterCache| {
        Search::new(to, filters, &event(name), id("asker"))
    };
    let path = new(&Destination::Path, "/b/*", &mut filters).unwrap();
    assert_eq!(path.pattern.unwrap(), "/b/*".parse::<PathPattern>().unwrap());
    let bad = new(&Destination::Path, "user:get", &mut filters).unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::InvalidPath);
    let by_id = new(&Destination::Id(id("n1")), "user:get", &mut filters).unwrap();
    assert!(by_id.id.unwrap() == "n1" && by_id.filter.is_none() && by_id.pattern.is_none());
    let all: Arc<[u8]> = [0xa0].into();
    let any = new(&Destination::Filter(all), "user:get", &mut filters).unwrap();
    assert!(any.filter.unwrap() == Filter::any() && any.pattern.is_none());
}

#[test]
fn a_loop_looks_at_4096_clauses_and_at_small_filters_without_expressions() {
    let _bound = crate::bound::bound();
    let light = |filter: Filter, directory: &Directory| by_filter(filter).is_light(directory);
    let few = crowd(1, &Options::new(), &[]);
    // Every clause of every peer counts.
    let two = || Filter::any().gt("a", 1).lt("a", 9);
    for (peers, is_light) in [(2_047, true), (2_048, true), (2_049, false)] {
        let many = crowd(peers, &options! { "a": 5, "k": peers % 2 }, &[]);
        assert_eq!(light(two(), &many), is_light, "{peers}");
        assert!(light(Filter::any(), &many));
        assert!(Search { id: Some(id("n1")), ..anybody() }.is_light(&many));
    }
    for (peers, is_light) in [(4_095, true), (4_096, true), (4_097, false)] {
        let mut many = crowd(peers, &options! { "a": 5 }, &[]);
        assert_eq!(anybody().is_light(&many), is_light, "{peers}");
        assert_eq!(light(Filter::any(), &many), is_light, "{peers}");
        // Whom an index leaves are asked, and nobody else.
        many.insert(entry(9_999, "rare", options! { "b": 1 }, &[]));
        let rare = || Filter::any().eq("b", 1).gt("c", 1);
        assert!(!light(rare(), &many));
        many.index("b");
        assert!(light(rare(), &many));
    }
    // To look through texts costs more than one look.
    for (peers, is_light) in [(409, true), (410, false)] {
        let many = crowd(peers, &options! { "a": "text" }, &[]);
        assert_eq!(light(Filter::any().contains("a", "x"), &many), is_light, "{peers}");
    }
    let many = crowd(205, &options! { "a": "text" }, &[]);
    assert!(!light(Filter::any().contains_any("a", ["x", "y"]), &many));
    // The head of the map, the key and the head of the text take 1 + 2 + 3 bytes.
    for (bytes, is_light) in [(511, true), (512, true), (513, false)] {
        let filter = Filter::any().eq("a", "x".repeat(bytes - 6));
        let mut encoded = Vec::new();
        filter.put(&mut encoded);
        assert_eq!(encoded.len(), bytes);
        assert_eq!(light(filter, &few), is_light, "{bytes}");
    }
    for filter in [
        crate::filter! { "a": { "$regex": "x" } },
        crate::filter! { "b": 1, "$or": [{ "c": 1 }, { "$not": { "$and": [{ "a": { "$ne": 1, "$regex": "x" } }] } }] },
    ] {
        assert!(!light(filter, &few));
    }
    // What is wrong is said at once, and an option may be called like an operator in a map that is only compared.
    assert!(light(crate::filter! { "a": { "$foo": 1 } }, &few));
    assert!(light(crate::filter! { "a": { "b": { "$regex": "x" } } }, &few));
    assert_eq!(SMALL_FILTER_BYTES, 512);
}

#[test]
fn what_is_not_light_is_not_compiled_to_know_it() {
    let _bound = crate::bound::bound();
    let few = crowd(1, &Options::new(), &[]);
    let compiled = |filter: &Filter| filter.is_compiled();
    let heavy = Filter::any().eq("a", "x".repeat(600));
    let expression = crate::filter! { "a": { "$regex": "x" } };
    for filter in [heavy, expression] {
        assert!(!by_filter(filter.clone()).is_light(&few));
        assert!(!compiled(&filter));
    }
    let small = Filter::any().eq("a", 1);
    assert!(by_filter(small.clone()).is_light(&few) && compiled(&small));
}

#[test]
fn a_loop_looks_at_few_names_of_services() {
    let _bound = crate::bound::bound();
    let names: Vec<String> = (0..1_023).map(|at| format!("/s/{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // The peer itself and its names.
    let mut directory = crowd(3, &Options::new(), &names);
    directory.insert(entry(4, "last", Options::new(), &names[1..]));
    for pattern in ["/s/7", "/*/7", "/s/*"] {
        assert!(by_pattern(pattern).is_light(&directory), "{pattern}");
    }
    directory.insert(entry(4, "last", Options::new(), &names));
    assert!(by_pattern("/s/7").is_light(&directory));
    directory.insert(entry(5, "one more", Options::new(), &[]));
    for pattern in ["/s/7", "/*/7", "/s/*"] {
        assert!(!by_pattern(pattern).is_light(&directory), "{pattern}");
    }
    // When their trees are there, a path is only searched for.
    assert_eq!(keys(&steps(&by_pattern("/s/7"), &directory, &First)), [1, 2, 3, 4]);
    assert!(by_pattern("/s/7").is_light(&directory));
    assert!(!by_pattern("/*/7").is_light(&directory));
}

#[test]
fn pages_name_each_match_once_and_have_at_most_256_peers_and_20480_bytes() {
    let _bound = crate::bound::bound();
    assert_eq!((DIRECTORY_PAGE, DIRECTORY_PAGE_BYTES), (256, 20_480));
    for peers in [0, 1, 255, 256, 257, 600] {
        let directory = crowd(peers, &options! { "a": 1 }, &[]);
        let mut expected: Vec<NodeId> = directory.iter().map(|peer| peer.id.clone()).collect();
        expected.sort();
        for limit in [1, 7, 255, 256, 257, usize::MAX] {
            let pages = walk(&by_filter(Filter::any().eq("a", 1)), &directory, limit);
            assert_eq!(pages.concat(), expected, "{peers} by {limit}");
            let (_, full) = pages.split_last().unwrap();
            assert!(full.iter().all(|page| page.len() == limit.min(256)));
        }
    }
    // A peer takes the two heads, its id and its options: 4 + 2, and 4,090 or one more or less.
    for (bytes, on_first) in [(4_089, 5), (4_090, 5), (4_091, 4)] {
        let text = "x".repeat(bytes - 6);
        let directory = crowd(9, &options! { "a": text }, &[]);
        let pages = walk(&anybody(), &directory, 256);
        assert_eq!((pages.concat().len(), pages[0].len()), (9, on_first), "{bytes}");
    }
    // Bytes that are more than a page has are no peer's; the order is that of bytes.
    let mut directory = Directory::default();
    for (key, name) in (1..).zip(["b", "a", "é", "ab", "B", "z"]) {
        directory.insert(entry(key, name, Options::new(), &[]));
    }
    assert_eq!(walk(&anybody(), &directory, 2).concat(), ["B", "a", "ab", "b", "z", "é"]);
    let search = anybody();
    let (none, more) = search.page(&directory, &Page { after: None, limit: 0 }).unwrap();
    assert!(none.is_empty() && more);
    let behind = |after: &str| Page { after: Some(id(after)), limit: 9 };
    let (rest, more) = search.page(&directory, &behind("aa")).unwrap();
    assert_eq!((rest.len(), more), (4, false), "whoever was named last may have left since");
}

#[test]
fn alternates_follow_the_first_choice_and_nobody_comes_twice() {
    let _bound = crate::bound::bound();
    let directory = crowd(40, &options! { "a": 1 }, &["/a"]);
    for search in [anybody(), by_filter(Filter::any().eq("a", 1)), by_pattern("/a")] {
        let placed = keys(&steps(&search, &directory, &Random));
        assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 4, "{placed:?}");
    }
    let picky = strategy_fn(|among| if among.is_alternate() { None } else { among.get("n7") });
    assert_eq!(keys(&steps(&anybody(), &directory, &picky)), [7]);
}

fn encoded(filter: &Filter) -> Vec<u8> {
    let mut bytes = Vec::new();
    filter.put(&mut bytes);
    bytes
}

#[test]
fn a_filter_is_compiled_once_for_all_who_bring_the_same_bytes() {
    let _bound = crate::bound::bound();
    let mut filters = FilterCache::default();
    let bytes = encoded(&crate::filter! { "a": { "$regex": "^x" } });
    let first = filters.get(&bytes).unwrap();
    let job = first.clone();
    assert!(!first.is_compiled());
    let _ = job.check();
    assert!(first.is_compiled() && filters.get(&bytes).unwrap().is_compiled());
    // One that makes no sense is kept like others, with what is wrong.
    let bytes = encoded(&crate::filter! { "a": { "$foo": 1 } });
    let wrong = filters.get(&bytes).unwrap();
    assert!(wrong.check().is_err() && filters.get(&bytes).unwrap().is_compiled());
    let mut trailing = encoded(&Filter::any());
    trailing.push(0xa0);
    let long = encoded(&Filter::any().eq("a", "x".repeat(4_096)));
    let deep = (0..8).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
    let deep = encoded(&Filter::from(Map::from_iter([("a".to_owned(), deep)])));
    for bytes in [&[][..], &[0x01], &[0xbf, 0xff], &[0xb8, 0x00], &trailing, &long, &deep] {
        let error = filters.get(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFilter, "{bytes:?}");
    }
}

#[test]
fn a_cache_keeps_256_filters_and_forgets_whichever_was_not_asked_for_longest() {
    let _bound = crate::bound::bound();
    let mut filters = FilterCache::default();
    let bytes = |n: usize| encoded(&Filter::any().eq("n", n as u64));
    let ask = |filters: &mut FilterCache, n: usize| {
        let filter = filters.get(&bytes(n)).unwrap();
        let was_there = filter.is_compiled();
        filter.check().unwrap();
        was_there
    };
    assert!((0..FILTERS_KEPT).all(|n| !ask(&mut filters, n)));
    assert!((0..FILTERS_KEPT).all(|n| ask(&mut filters, n)));
    assert!(ask(&mut filters, 0));
    assert!(!ask(&mut filters, FILTERS_KEPT), "one more");
    assert!(ask(&mut filters, 0) && !ask(&mut filters, 1), "0 was used since");
    assert!(ask(&mut filters, FILTERS_KEPT));
    // 64 expressions take the places of 64 filters, and so do bytes beyond the first 512 of them.
    let heavy = (0..64).fold(Filter::any(), |all, n| all.regex(format!("k{n}"), "x"));
    let large = Filter::any().eq("a", "x".repeat(3_000));
    for (filter, places) in [(heavy, 64), (large, 6)] {
        let mut filters = FilterCache::default();
        assert!((0..FILTERS_KEPT).all(|n| !ask(&mut filters, n)));
        filters.get(&encoded(&filter)).unwrap();
        assert!((places..FILTERS_KEPT).all(|n| ask(&mut filters, n)), "{places}");
        assert!(!ask(&mut filters, places - 1));
    }
}
