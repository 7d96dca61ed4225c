//! Candidates with the node itself and with a path, asked in every way there is.

use super::*;
use crate::routing::{Candidates, Filter, Question};

/// What is asked of the node itself and 40 peers, of which every second serves `/x`.
fn ask<R>(question: Question<'_>, look: impl FnOnce(&mut Candidates<'_>) -> R) -> R {
    let paths = |key: u64| if key % 2 == 0 { ["/x"] } else { ["/y"] };
    let peers = directory((1..=40).map(|key| peer(key, &format!("n{key}"), &paths(key))));
    look(&mut Candidates::new(&peers, &question, fastrand::Rng::with_seed(3), Instant::now()))
}

fn question<'a>(own: &'a Arc<PeerEntry>, pattern: Option<&'a PathPattern>) -> Question<'a> {
    Question {
        id: None,
        filter: None,
        predicate: None,
        directions: Directions::BOTH,
        own: Some(own),
        pattern,
        except: &[],
        left_out: &[],
        no_routers: false,
        is_copy: false,
        number: &|| 7,
    }
}

#[test]
fn the_node_itself_comes_before_all_others_and_its_turn_after_the_last() {
    let _bound = crate::bound::bound();
    let (own, x) = (Arc::new(own(&["/x"])), PathPattern::new("/x").unwrap());
    for walked in [false, true] {
        ask(question(&own, Some(&x)), |among| {
            // Collected once, or walked each time.
            if walked {
                among.sample_other(among.get("self").unwrap());
            }
            let ids: Vec<_> = among.iter().map(|node| node.id().to_string()).collect();
            assert_eq!((ids.len(), &*ids[0], &*ids[1], &*ids[20]), (21, "self", "n2", "n40"));
            let mut rank = None;
            for id in ids.iter().chain(&ids) {
                let next = among.after(rank).unwrap();
                assert_eq!(*next.id(), **id);
                rank = Some(next.rank());
            }
            among.take(PeerKey::OWN);
            assert_eq!(*among.after(None).unwrap().id(), "n2");
            assert!(among.get("self").is_none() && among.iter().all(|node| *node.id() != "self"));
        });
    }
}

#[test]
fn who_is_not_meant_is_not_found_be_it_the_node_itself() {
    let _bound = crate::bound::bound();
    let (own, y) = (Arc::new(own(&["/x"])), PathPattern::new("/y").unwrap());
    let found =
        |question| ask(question, |among| (among.iter().count(), among.get("self").is_some()));
    assert_eq!(found(question(&own, None)), (41, true));
    assert_eq!(found(question(&own, Some(&y))), (20, false));
    assert_eq!(found(Question { own: None, ..question(&own, None) }), (40, false));
    let except = [NodeId::new("self").unwrap()];
    assert_eq!(found(Question { except: &except, ..question(&own, None) }), (40, false));
    assert_eq!(found(Question { id: Some("self"), ..question(&own, None) }), (1, true));
    assert_eq!(found(Question { id: Some("n3"), ..question(&own, None) }), (1, false));
    let filter = Filter::any().eq("role", "worker");
    let filter = Some(filter.compiled().unwrap());
    assert_eq!(found(Question { filter, ..question(&own, None) }), (0, false));
}

#[test]
fn another_than_the_node_itself_is_another() {
    let _bound = crate::bound::bound();
    let own = Arc::new(own(&["/x"]));
    ask(question(&own, None), |among| {
        let own = among.get("self").unwrap();
        assert!((0..500).all(|_| among.sample_other(own).is_some_and(|other| other != own)));
        assert!(own.is_local() && own.directions() == Directions::NONE);
    });
}
