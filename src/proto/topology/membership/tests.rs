use super::*;
use crate::proto::env::Timer;

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn at(n: usize) -> Address {
    format!("10.0.{}.{}:1", n / 256, n % 256).parse().unwrap()
}

fn by(source: Source, link: u64) -> Origin {
    Origin { source, link: LinkId(link) }
}

fn empty() -> (Env<()>, Membership) {
    (Env::of_node("m"), Membership::default())
}

/// Moves to the only timer there is. Returns what it brings about, and how long it took.
fn due(env: &mut Env<()>, members: &mut Membership) -> (Duration, Option<Due>) {
    let (after, expired) = env.next_timers();
    let [Timer::Member(number)] = expired[..] else { panic!("the timer of a member: {expired:?}") };
    (after, members.due(env, number))
}

#[test]
fn awaited_member_is_dialled_when_its_wait_ends() {
    // The node with the larger id waits twice as long, so that not both dial.
    for (id, turns) in [("a", 2), ("z", 1)] {
        let (mut env, mut members) = empty();
        assert_eq!(members.learn(&mut env, &node(id), at(1), by(Source::Gossip, 1)), Learned::New);
        members.await_dial(&mut env, &node(id));
        assert!(members.undialled(&node(id)).is_some());
        members.await_dial(&mut env, &node(id));
        let expected = (MEMBER_PATIENCE * turns, Some(Due::Dial(node(id))));
        assert_eq!(due(&mut env, &mut members), expected);
        members.dialled(&mut env, &node(id), DialId(1));
        assert_eq!(members.undialled(&node(id)), None);
        assert_eq!((members.timers(), env.timers.len()), (0, 0));
    }
}

#[test]
fn member_that_is_lost_is_forgotten_after_its_time() {
    let (mut env, mut members) = empty();
    members.learn(&mut env, &node("a"), at(1), by(Source::Itself, 1));
    members.is_here(&mut env, &node("a"));
    assert!(!members.lost(&mut env, &node("a"), None, &LeftReason::ConnectionLost));
    let expected = (MEMBER_GIVE_UP, Some(Due::Forget(node("a"))));
    assert_eq!(due(&mut env, &mut members), expected);
    assert!(members.forget(&mut env, &node("a")).is_some());
    assert_eq!((members.counts(), env.timers.len()), ((0, 0), 0));
}

#[test]
fn member_that_says_goodbye_is_forgotten_at_once() {
    let (mut env, mut members) = empty();
    members.learn(&mut env, &node("a"), at(1), by(Source::Itself, 1));
    members.is_here(&mut env, &node("a"));
    assert!(members.lost(&mut env, &node("a"), None, &LeftReason::PeerLeft));
    assert!(!members.lost(&mut env, &node("b"), None, &LeftReason::PeerLeft), "it is no member");
    assert_eq!(env.timers.len(), 0);
}

#[test]
fn member_that_is_dialled_again_has_no_timer_of_its_own() {
    let (mut env, mut members) = empty();
    members.learn(&mut env, &node("a"), at(1), by(Source::Itself, 1));
    members.is_here(&mut env, &node("a"));
    let redial = Some(DialId(3));
    assert!(!members.lost(&mut env, &node("a"), redial, &LeftReason::ConnectionLost));
    assert!(members.is_dialled_by(&node("a"), DialId(3)));
    assert_eq!((members.timers(), env.timers.len()), (0, 0));
}

#[test]
fn every_transition_disarms_the_timer_of_the_state_before() {
    let (mut env, mut members) = empty();
    members.learn(&mut env, &node("a"), at(1), by(Source::Gossip, 1));
    members.await_dial(&mut env, &node("a"));
    members.missing(&mut env, &node("a"));
    assert_eq!((members.timers(), env.timers.len()), (1, 1));
    members.await_dial(&mut env, &node("a"));
    assert_eq!((members.timers(), env.timers.len()), (1, 1));
    assert!(members.joined(&mut env, &node("a")).is_some());
    assert_eq!((members.timers(), env.timers.len()), (0, 0));
    members.missing(&mut env, &node("a"));
    members.close(&mut env);
    assert_eq!((members.counts(), env.timers.len()), ((0, 0), 0));
}

#[test]
fn address_of_a_joined_member_changes_only_by_its_own_word() {
    let (mut env, mut members) = empty();
    let id = node("a");
    members.learn(&mut env, &id, at(1), by(Source::Gossip, 1));
    members.dialled(&mut env, &id, DialId(1));
    let moved = members.learn(&mut env, &id, at(2), by(Source::Gossip, 1));
    assert_eq!(moved, Learned::Moved(Some(DialId(1))));
    members.is_here(&mut env, &id);
    assert_eq!(members.learn(&mut env, &id, at(3), by(Source::Gossip, 1)), Learned::Known);
    assert_eq!(members.address_of(&id), Some(at(2)));
    let moved = members.learn(&mut env, &id, at(3), by(Source::Itself, 1));
    assert_eq!(moved, Learned::Moved(None));
    assert_eq!(members.address_of(&id), Some(at(3)));
}

#[test]
fn link_that_brings_too_many_members_leaves_capacity_for_others() {
    let (mut env, mut members) = empty();
    for n in 0..MEMBERS_OF_ONE {
        let id = node(&format!("m{n}"));
        assert_eq!(members.learn(&mut env, &id, at(n), by(Source::Answer, 1)), Learned::New);
    }
    let late = node("late");
    assert_eq!(members.learn(&mut env, &late, at(1), by(Source::Answer, 1)), Learned::Refused);
    assert_eq!(env.counters.members, 1);
    assert_eq!(members.learn(&mut env, &late, at(1), by(Source::Answer, 2)), Learned::New);
    let itself = node("itself");
    assert_eq!(members.learn(&mut env, &itself, at(2), by(Source::Itself, 1)), Learned::New);
}

#[test]
fn pages_name_joined_members_but_not_the_requester() {
    let (mut env, mut members) = empty();
    for n in 0..=MEMBERS_PAGE {
        let id = node(&format!("m{n:04}"));
        members.learn(&mut env, &id, at(n), by(Source::Itself, 1));
        members.is_here(&mut env, &id);
    }
    members.learn(&mut env, &node("missing"), at(9_999), by(Source::Gossip, 1));
    let (first, more) = members.page(None, &node("m0001"));
    assert_eq!((first.len(), more), (MEMBERS_PAGE, false), "all but the requester");
    let (first, more) = members.page(None, &node("other"));
    assert_eq!((first.len(), more), (MEMBERS_PAGE, true));
    let (second, more) = members.page(Some(&first[MEMBERS_PAGE - 1].id), &node("other"));
    assert_eq!((second.len(), more), (1, false));
}

#[test]
fn node_kept_apart_is_admitted_by_a_link_or_by_the_program() {
    let (mut env, mut members) = empty();
    for id in ["a", "b"] {
        members.keep_apart(node(id));
    }
    assert!(members.joined(&mut env, &node("a")).is_none(), "it is no member");
    assert!(!members.is_apart(&node("a")) && members.is_apart(&node("b")));
    members.admit_all();
    assert!(!members.is_apart(&node("b")));
}

#[test]
fn arrival_is_news_to_members_that_are_new_since_it_was_lost() {
    let (mut env, mut members) = empty();
    for id in ["a", "old"] {
        members.learn(&mut env, &node(id), at(1), by(Source::Itself, 1));
        members.is_here(&mut env, &node(id));
    }
    env.now += Duration::from_secs(1);
    members.lost(&mut env, &node("a"), None, &LeftReason::ConnectionLost);
    env.now += Duration::from_secs(1);
    members.learn(&mut env, &node("new"), at(2), by(Source::Itself, 2));
    members.is_here(&mut env, &node("new"));
    let arrival = members.joined(&mut env, &node("a")).unwrap();
    assert!(matches!(arrival.state, MemberState::Missing(_)));
    let is_news_to = |id| arrival.is_news_to(members.get(&node(id)).unwrap());
    assert_eq!((is_news_to("old"), is_news_to("new")), (false, true));
    assert_eq!(env.timers.len(), 0);
}
