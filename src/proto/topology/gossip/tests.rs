use std::time::Duration;

use super::*;

const LINK: LinkId = LinkId(1);

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn joined() -> (Env<()>, Gossip) {
    let mut gossip = Gossip::default();
    gossip.joined(LINK, node("peer"), None);
    (Env::of_node("here"), gossip)
}

#[test]
fn announcements_are_paced() {
    let (mut env, mut gossip) = joined();
    for n in 0..=MEMBERS_TOLD {
        gossip.announce(&mut env, &node(&format!("m{n}")), |to| to.link == LINK);
    }
    assert!(gossip.is_pending(LINK));
    assert_eq!(gossip.next_members(env.now, LINK).len(), MEMBERS_TOLD);
    assert!(gossip.settle(LINK), "one is left");
    assert_eq!(gossip.next_at(LINK), Some(env.now + TELL_PAUSE));
    assert!(gossip.next_members(env.now, LINK).is_empty());
    env.now += TELL_PAUSE;
    assert_eq!(gossip.next_members(env.now, LINK).len(), 1);
    assert!(!gossip.settle(LINK));
    assert_eq!((gossip.is_pending(LINK), gossip.next_at(LINK)), (false, None));
}

#[test]
fn forgotten_member_is_not_announced() {
    let (mut env, mut gossip) = joined();
    gossip.announce(&mut env, &node("gone"), |_| true);
    gossip.forget(&node("gone"));
    assert!(gossip.is_done(LINK));
    assert!(gossip.next_members(env.now, LINK).is_empty());
}

#[test]
fn query_is_replied_to_page_by_page() {
    let (env, mut gossip) = joined();
    assert_eq!(gossip.add_query(env.now, LINK, CallId(7)), Some(true));
    for (after, last) in [(None, Some("m")), (Some("m"), Some("t")), (Some("t"), None)] {
        let next = gossip.next_page(LINK).unwrap();
        assert_eq!(
            (next.call, next.after, next.requester),
            (CallId(7), after.map(node), node("peer"))
        );
        gossip.page_sent(LINK, last.map(node));
    }
    assert!(gossip.next_page(LINK).is_none());
    assert_eq!(gossip.add_query(env.now, LINK, CallId(8)), Some(false), "it is not the first");
}

#[test]
fn query_beyond_the_limit_is_refused() {
    let (env, mut gossip) = joined();
    for n in 0..MEMBERS_ASKED {
        assert!(gossip.add_query(env.now, LINK, CallId(n as u64)).is_some());
    }
    assert_eq!(gossip.add_query(env.now, LINK, CallId(99)), None);
}

#[test]
fn link_is_fresh_for_a_while_after_a_query_of_either_side() {
    let (mut env, mut gossip) = joined();
    let before = env.now;
    env.now += Duration::from_secs(1);
    assert!(!gossip.is_fresh(LINK, before));
    gossip.note_query(env.now, LINK);
    assert!(gossip.is_fresh(LINK, before) && !gossip.is_fresh(LINK, env.now));
}

#[test]
fn nothing_is_left_of_a_link_that_has_left() {
    let (mut env, mut gossip) = joined();
    gossip.announce(&mut env, &node("m"), |_| true);
    gossip.left(LINK);
    assert!(!gossip.is_pending(LINK) && gossip.is_done(LINK) && gossip.links().is_empty());
    assert_eq!(gossip.next_page(LINK).map(|next| next.call), None);
}
