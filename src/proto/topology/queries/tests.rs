use std::time::Duration;

use super::*;

const LINK: LinkId = LinkId(1);
const TEN: Duration = Duration::from_secs(10);

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn sent() -> (Env<&'static str>, Queries<&'static str>, CallId) {
    let (mut env, mut queries) = (Env::of_node("here"), Queries::default());
    let sent = Sent { link: LINK, seed: node("seed"), dial: DialId(1) };
    let (reply_by, joined_by) = (env.now + TEN, env.now + TEN * 2);
    let call = queries.send(&mut env, sent, reply_by, Some((joined_by, "join")));
    (env, queries, call)
}

#[test]
fn join_completes_when_every_named_member_is_joined_or_unreached() {
    let (mut env, mut queries, call) = sent();
    for id in ["a", "b", "c"] {
        assert!(queries.name(call, &node(id)));
        assert!(!queries.name(call, &node(id)), "it is named once");
    }
    queries.note_open(call, &node("a"));
    queries.note_open(call, &node("b"));
    assert!(queries.replied(&mut env, call).is_some());
    queries.member_joined(&mut env, &node("a"));
    assert!(env.take_completed().is_empty());
    queries.member_unreached(&mut env, &node("b"));
    let completed = env.take_completed();
    let [("join", Ok(Done::Joined { reached, unreached, .. }))] = &completed[..] else {
        panic!("{completed:?}");
    };
    assert_eq!((&reached[..], &unreached[..]), (&[node("a"), node("c")][..], &[node("b")][..]));
    assert_eq!((queries.timers(), env.timers.len()), (0, 0));
}

#[test]
fn query_without_a_reply_fails_at_its_deadline() {
    let (mut env, mut queries, call) = sent();
    let (after, expired) = env.next_timers();
    assert_eq!((after, expired), (TEN, vec![Timer::Query(call)]));
    let failed = queries.due(&mut env, call).unwrap();
    let (token, error) = failed.waiter.unwrap();
    assert_eq!((failed.dial, token, error.kind()), (DialId(1), "join", ErrorKind::RequestTimeout));
}

#[test]
fn join_reports_members_that_have_not_joined_in_time() {
    let (mut env, mut queries, call) = sent();
    queries.name(call, &node("a"));
    queries.note_open(call, &node("a"));
    queries.replied(&mut env, call);
    assert_eq!(env.next_timers().0, TEN * 2);
    assert!(queries.due(&mut env, call).is_none(), "that is no failure");
    let completed = env.take_completed();
    let [(_, Ok(Done::Joined { reached, unreached, .. }))] = &completed[..] else {
        panic!("{completed:?}");
    };
    assert_eq!((reached.len(), &unreached[..]), (0, &[node("a")][..]));
}

#[test]
fn lost_link_fails_only_the_queries_without_a_reply() {
    let (mut env, mut queries, call) = sent();
    assert!(queries.awaits(LINK, call) && !queries.awaits(LinkId(2), call));
    queries.note_open(call, &node("a"));
    queries.replied(&mut env, call);
    assert!(queries.link_lost(&mut env, LINK, &node("seed")).is_empty());
    let (mut env, mut queries, _) = sent();
    assert_eq!(queries.link_lost(&mut env, LINK, &node("seed")).len(), 1);
    assert_eq!((queries.timers(), env.timers.len()), (0, 0));
}
