use super::*;
use crate::config::MEMBER_GIVE_UP;
use crate::proto::env::Timer;

struct Node {
    env: Env<&'static str>,
    peers: Peers,
    topology: Topology<&'static str>,
}

impl Node {
    fn new() -> Self {
        let topology = Topology::default();
        Self { env: Env::of_node("here"), peers: Peers::default(), topology }
    }

    fn learn(&mut self, id: &str, address: &str, source: Source) -> bool {
        let origin = Origin { source, link: LinkId(9) };
        self.topology.learn(&mut self.env, &self.peers, &node(id), address, origin)
    }

    fn opened(&mut self) -> Option<DialId> {
        self.topology.dial_waiting(&mut self.env);
        match self.env.next_effect() {
            Some(Effect::OpenLink { dial, .. }) => Some(dial),
            _ => None,
        }
    }

    fn counts(&self) -> ((usize, usize), usize) {
        assert_eq!(self.topology.broken_invariant(&self.peers), None);
        assert_eq!(self.topology.timers(), self.env.timers.len());
        (self.topology.members(), self.topology.dialled())
    }
}

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

#[test]
fn member_that_is_forgotten_takes_its_dial_with_it() {
    let mut here = Node::new();
    assert!(here.learn("far", "10.0.0.1:1", Source::Answer));
    assert!(here.opened().is_some());
    assert_eq!(here.counts(), ((1, 1), 1));
    here.topology.member_left(&mut here.env, &here.peers, LinkId(9), &node("far"));
    assert!(matches!(here.env.next_effect(), Some(Effect::CloseLink { .. })));
    assert_eq!(here.counts(), ((0, 0), 0));
}

#[test]
fn dial_that_is_given_up_takes_its_member_with_it() {
    let mut here = Node::new();
    here.learn("far", "10.0.0.1:1", Source::Answer);
    let dial = here.opened().unwrap();
    let (after, expired) = here.env.next_timers();
    assert_eq!((after, expired), (MEMBER_GIVE_UP, vec![Timer::Waiters(dial)]));
    here.topology.waiters_due(&mut here.env, &here.peers, dial, false);
    assert_eq!(here.counts(), ((0, 0), 0));
}

#[test]
fn member_at_the_address_of_another_displaces_it() {
    let mut here = Node::new();
    here.learn("old", "10.0.0.1:1", Source::Answer);
    here.learn("new", "10.0.0.1:1", Source::Answer);
    assert_eq!(here.counts(), ((1, 1), 1));
    assert!(here.topology.address_of(&node("new")).is_some());
}

#[test]
fn member_that_moves_is_dialled_at_its_new_address() {
    let mut here = Node::new();
    here.learn("far", "10.0.0.1:1", Source::Answer);
    let old = here.opened().unwrap();
    assert!(here.learn("far", "10.0.0.2:1", Source::Gossip));
    assert!(matches!(here.env.next_effect(), Some(Effect::CloseLink { .. })));
    assert_ne!(here.opened().unwrap(), old);
    assert_eq!(here.counts(), ((1, 1), 1));
}

#[test]
fn node_that_listens_waits_for_an_announced_member_before_it_dials() {
    let mut here = Node::new();
    here.topology.bind(&mut here.env, "127.0.0.1:7".parse().unwrap(), "bind");
    here.topology.listening(&mut here.env, Ok("127.0.0.1:7".parse().unwrap()));
    assert!(here.learn("far", "10.0.0.1:1", Source::Gossip));
    assert!(here.opened().is_none());
    let (_, expired) = here.env.next_timers();
    let [Timer::Member(number)] = expired[..] else { panic!("{expired:?}") };
    here.topology.member_due(&mut here.env, &here.peers, number);
    assert!(here.opened().is_some());
    assert!(!here.learn("here", "10.0.0.2:1", Source::Gossip), "it is this node");
    assert!(!here.learn("liar", "127.0.0.1:7", Source::Gossip), "this node is there");
    assert!(!here.learn("odd", "no address", Source::Gossip));
    assert_eq!((here.counts(), here.env.counters.addresses), (((1, 1), 1), 1));
}

#[test]
fn stopped_topology_leaves_nothing_behind_and_learns_nothing() {
    let mut here = Node::new();
    here.learn("far", "10.0.0.1:1", Source::Answer);
    let until = (here.env.now + MEMBER_GIVE_UP, here.env.now + MEMBER_GIVE_UP);
    let seed = "seed.example:1".parse().unwrap();
    here.topology.join(&mut here.env, &here.peers, seed, until, "join");
    let error = Error::new(ErrorKind::Closed, "stopped");
    here.topology.stop(&mut here.env, &error);
    let completed = here.env.take_completed();
    assert!(matches!(&completed[..], [("join", Err(error))] if error.kind() == ErrorKind::Closed));
    assert!(!here.learn("late", "10.0.0.2:1", Source::Answer));
    assert_eq!(here.counts(), ((0, 0), 0));
}
