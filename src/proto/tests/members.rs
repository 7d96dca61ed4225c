//! Who is a member, who is told, who dials whom, and what is forgotten when: one rule each, over hand-driven links.

use super::*;
use crate::address::Address;
use crate::config::{MEMBER_DIALS, MEMBERS, MEMBERS_ASKED, MEMBERS_OF_ONE};
use crate::error::Error;
use crate::wire::{self, Control, Member as Named};

const TEN: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(66);

/// Listening nodes that know nobody.
fn listening(ids: &[&str]) -> Pair {
    let mut pair = Pair::new(ids);
    for node in 0..ids.len() {
        listen(&mut pair, node);
    }
    pair
}

fn listen(pair: &mut Pair, node: usize) {
    pair.command(node, Command::Bind { address: addr(node).into(), token: "bind" });
    pair.run();
}

fn join(pair: &mut Pair, node: usize, seed: usize) -> (Vec<String>, Vec<String>) {
    let result = try_join(pair, node, seed);
    let Ok(Done::Joined { reached, unreached, .. }) = result else { panic!("{result:?}") };
    let names = |ids: Vec<NodeId>| ids.iter().map(ToString::to_string).collect();
    (names(reached), names(unreached))
}

fn try_join(pair: &mut Pair, node: usize, seed: usize) -> Result<Done, Error> {
    ask(pair, node, seed);
    pair.pass(Duration::from_millis(300));
    pair.result("join")
}

fn ask(pair: &mut Pair, node: usize, seed: usize) {
    let (address, deadline) = (addr(seed).into(), pair.now + TEN);
    pair.command(node, Command::Join { address, answered_by: deadline, deadline, token: "join" });
}

fn listed(pair: &Pair, node: usize) -> Vec<String> {
    let mut ids: Vec<_> =
        pair.nodes[node].directory().iter().map(|entry| entry.id.to_string()).collect();
    ids.sort();
    ids
}

/// Three members of which the first was the seed.
fn three() -> Pair {
    let mut pair = listening(&["a", "b", "c"]);
    join(&mut pair, 1, 0);
    join(&mut pair, 2, 0);
    pair
}

fn disconnect(pair: &mut Pair, node: usize, id: &str) {
    let whom = Whom::Id(NodeId::new(id).unwrap());
    pair.command(node, Command::Disconnect { whom, token: "disconnect" });
    pair.run();
}

/// The node is gone without a word, and nobody answers at its address.
fn kill(pair: &mut Pair, node: usize) {
    pair.closed.push(node);
    let links: Vec<LinkId> =
        pair.ends.keys().filter(|(at, _)| *at == node).map(|(_, link)| *link).collect();
    for link in links {
        pair.apply(node, Output::Hang { link });
    }
    let id = pair.nodes[node].local().id.to_string();
    pair.nodes[node] = mesh(&id, 100 + node as u64, pair.now, &Config::default());
    pair.run();
}

/// Another instance of it is there.
fn revive(pair: &mut Pair, node: usize) {
    pair.closed.clear();
    listen(pair, node);
}

#[test]
fn a_newcomer_is_told_of_all_and_all_have_it() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["a", "b", "c", "d"]);
    assert_eq!(join(&mut pair, 1, 0), (vec![], vec![]));
    assert_eq!(join(&mut pair, 2, 0), (vec!["b".to_owned()], vec![]));
    // Any member is a seed.
    assert_eq!(join(&mut pair, 3, 1).0, ["a", "c"]);
    for (node, others) in [(0, ["b", "c", "d"]), (1, ["a", "c", "d"]), (3, ["a", "b", "c"])] {
        assert_eq!(listed(&pair, node), others);
        assert_eq!(pair.nodes[node].members(), (0, 3));
    }
    // Again: everything is there.
    assert_eq!(join(&mut pair, 3, 1).0, ["a", "c"]);
    assert_eq!(pair.dials.len(), 6, "{:?}", pair.dials);
}

#[test]
fn who_does_not_listen_gets_links_and_is_no_member() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["a", "b", "guest", "late"]);
    for node in [0, 1, 3] {
        listen(&mut pair, node);
    }
    join(&mut pair, 1, 0);
    assert_eq!(join(&mut pair, 2, 0).0, ["b"]);
    assert_eq!((pair.nodes[0].members(), pair.nodes[1].members()), ((0, 1), (0, 1)));
    // It hears of later ones from its seed, and dials at once, since nobody can dial it.
    join(&mut pair, 3, 0);
    assert_eq!(listed(&pair, 2), ["a", "b", "late"]);
    // It listens now, says so, and is named to whoever comes.
    listen(&mut pair, 2);
    assert_eq!(pair.nodes[0].members(), (0, 3));
    pair.command(2, Command::Unbind { token: "unbind" });
    pair.run();
    assert_eq!(pair.nodes[0].members(), (0, 2), "it is no member any more");
    assert_eq!(listed(&pair, 2), ["a", "b", "late"], "and keeps what it dialled");
}

#[test]
fn a_member_that_bound_after_the_handshake_is_known_where_it_listens_now() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["a", "b"]);
    listen(&mut pair, 0);
    pair.connect(1, 0, "connect");
    pair.run();
    let known = |pair: &Pair| pair.nodes[0].directory().get("b").unwrap().address.clone();
    assert_eq!(known(&pair), None);
    listen(&mut pair, 1);
    join(&mut pair, 1, 0);
    assert_eq!(known(&pair), Some(addr(1).into()));
}

#[test]
fn a_lost_member_is_dialled_by_who_had_dialled_it_and_forgotten_by_both_after_a_minute() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    // c had dialled b.
    kill(&mut pair, 1);
    assert_eq!((pair.nodes[0].members(), pair.nodes[2].members()), ((1, 2), (1, 2)));
    let before = pair.dials.len();
    pair.pass(TEN);
    let dials = &pair.dials[before..];
    let of = |node| dials.iter().filter(|(at, _)| *at == node).count();
    assert!(of(0) == 0 && of(2) >= 3, "{dials:?}");
    pair.pass(MINUTE);
    assert_eq!((pair.nodes[0].members(), pair.nodes[2].members()), ((0, 1), (0, 1)));
    assert_eq!((pair.nodes[0].dialled(), pair.nodes[2].dialled()), (0, 1));
    let failed = pair.events_of(2).iter().filter(|event| event.contains("ReconnectFailed")).count();
    assert_eq!(failed, 1, "the link had stood");
}

#[test]
fn a_member_that_comes_back_within_a_minute_is_one_again() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    kill(&mut pair, 1);
    pair.pass(TEN);
    revive(&mut pair, 1);
    pair.pass(TEN);
    assert_eq!(listed(&pair, 2), ["a", "b"]);
    assert_eq!(pair.nodes[2].members(), (0, 2));
}

#[test]
fn a_member_that_stops_is_forgotten_at_once() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    pair.command(1, Command::Stop { bound: TEN, token: None });
    pair.run();
    for node in [0, 2] {
        assert_eq!(pair.nodes[node].members(), (0, 1));
    }
    let before = pair.dials.len();
    pair.pass(MINUTE);
    assert_eq!(pair.dials.len(), before);
    assert_eq!((pair.nodes[1].armed_timers(), pair.stopped.len()), (0, 1));
}

#[test]
fn word_of_a_stop_ends_the_search_for_who_was_lost_before() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    // c loses b, and cannot reach it; a has not lost it.
    pair.closed.push(1);
    let link = pair.link(2, "b");
    pair.steps.push_back(Arrival::Input(2, Input::Lost { link, cause: Cause::Eof }));
    pair.run();
    assert_eq!(pair.nodes[2].members(), (1, 2));
    pair.command(1, Command::Stop { bound: TEN, token: None });
    pair.run();
    assert_eq!((pair.nodes[2].members(), pair.nodes[2].dialled()), ((0, 1), 1));
}

#[test]
fn a_member_that_is_disconnected_stays_away_until_somebody_joins_again() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    disconnect(&mut pair, 2, "b");
    assert_eq!((listed(&pair, 2), listed(&pair, 1)), (vec!["a".into()], vec!["a".to_owned()]));
    pair.pass(MINUTE);
    assert_eq!(pair.nodes[2].members(), (0, 1));
    assert_eq!(pair.nodes[1].members(), (0, 1));
    assert_eq!(join(&mut pair, 2, 0).0, ["b"]);
}

#[test]
fn who_was_told_of_a_member_waits_for_it_and_then_dials_the_smaller_id_first() {
    let _bound = crate::bound::bound();
    for (told, wait) in [("a", 2), ("z", 4)] {
        let mut pair = listening(&["seed", told, "m"]);
        join(&mut pair, 1, 0);
        let before = pair.dials.len();
        tell(&mut pair, 0, 1, "m", &addr(2).to_string());
        let began = pair.now;
        pair.pass(TEN);
        let dialled = pair.dials[before..].first().copied();
        assert_eq!(dialled, Some((1, began + Duration::from_secs(wait))));
        assert_eq!(listed(&pair, 1), ["m", "seed"]);
    }
}

#[test]
fn another_node_at_the_address_of_a_member_takes_its_place() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a", "real"]);
    join(&mut pair, 1, 0);
    tell(&mut pair, 0, 1, "ghost", &addr(2).to_string());
    pair.pass(TEN);
    assert_eq!(listed(&pair, 1), ["real", "seed"]);
    assert_eq!(pair.nodes[1].members(), (0, 1), "neither the ghost nor who says nothing of itself");
}

#[test]
fn connecting_to_a_member_by_its_address_makes_the_link_the_programs_own() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    pair.connect(2, 1, "connect");
    pair.run();
    assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
    kill(&mut pair, 1);
    pair.pass(MINUTE);
    assert_eq!(
        (pair.nodes[2].members(), pair.nodes[2].dialled()),
        ((0, 1), 2),
        "it is dialled for ever"
    );
    revive(&mut pair, 1);
    pair.pass(TEN);
    assert_eq!(listed(&pair, 2), ["a", "b"]);
}

#[test]
fn connecting_always_while_a_member_is_dialled_outlives_the_member() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    kill(&mut pair, 1);
    pair.pass(Duration::from_secs(1));
    let address = addr(1).into();
    pair.command(2, Command::ConnectAlways { address, token: "always" });
    pair.pass(MINUTE);
    assert_eq!((pair.nodes[2].members(), pair.nodes[2].dialled()), ((0, 1), 2));
    revive(&mut pair, 1);
    pair.pass(TEN);
    assert_eq!(listed(&pair, 2), ["a", "b"]);
}

#[test]
fn who_waits_for_the_address_of_a_member_may_wait_longer_than_for_the_member() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    kill(&mut pair, 1);
    let (mode, deadline) = (ConnectMode::Patient, pair.now + 2 * MINUTE);
    let address = addr(1).into();
    pair.command(2, Command::Connect { address, mode, deadline, token: "connect" });
    pair.pass(MINUTE);
    assert_eq!((pair.nodes[2].members(), pair.nodes[2].dialled()), ((0, 1), 2));
    revive(&mut pair, 1);
    pair.pass(TEN);
    assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
}

#[test]
fn a_seed_that_was_lost_is_asked_again() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a", "b"]);
    join(&mut pair, 1, 0);
    kill(&mut pair, 0);
    pair.pass(MINUTE);
    assert_eq!(pair.nodes[1].members(), (0, 0));
    revive(&mut pair, 0);
    pair.pass(TEN);
    assert_eq!(pair.nodes[1].members(), (0, 1));
    assert_eq!(pair.nodes[0].members(), (0, 1));
}

#[test]
fn a_join_that_fails_leaves_nothing_behind() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a"]);
    pair.closed.push(0);
    let error = try_join(&mut pair, 1, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectFailed);
    assert_eq!((pair.nodes[1].dialled(), pair.nodes[1].armed_timers()), (0, 0));
    // It answers the handshake, and then no more.
    pair.closed.clear();
    ask(&mut pair, 1, 0);
    while pair.nodes[1].directory().len() == 0 {
        let Some(arrival) = pair.steps.pop_front() else { panic!("it does not join") };
        match arrival {
            Arrival::Input(node, input) => pair.feed(node, input),
            Arrival::Bytes(node, link, bytes) => pair.arrive(node, link, &bytes),
        }
    }
    pair.steps.retain(|step| !matches!(step, Arrival::Bytes(0, ..)));
    pair.frozen.push(0);
    pair.pass(TEN + TEN);
    let error = pair.result("join").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::RequestTimeout | ErrorKind::ConnectionLost),
        "{error}"
    );
    pair.pass(TEN);
    assert_eq!((pair.nodes[1].dialled(), pair.nodes[1].open_links()), (0, 0));
    assert_eq!(pair.nodes[1].armed_timers(), 0);
}

/// Has one node say to another that there is a member, true or not.
fn tell(pair: &mut Pair, from: usize, to: usize, id: &str, address: &str) {
    let member = (NodeId::new(id).unwrap(), address.to_owned());
    say(pair, from, to, &[Control::MemberJoined(Named { id: member.0, address: member.1 })]);
}

fn say(pair: &mut Pair, from: usize, to: usize, controls: &[Control]) {
    let peer = pair.nodes[to].local().id.to_string();
    let (_, link) = pair.ends[&(from, pair.link(from, &peer))];
    let mut bytes = Vec::new();
    for control in controls {
        let mut message = Vec::new();
        wire::put_control(&mut message, control);
        wire::put_frame_head(&mut bytes, message.len(), false, false);
        bytes.extend(message);
    }
    pair.steps.push_back(Arrival::Bytes(to, link, bytes));
    pair.run();
}

fn strangers(count: usize) -> Vec<Control> {
    let member = |at: usize| {
        let (id, address) = (format!("m{at}"), format!("10.{}.{}.1:9", at / 250, at % 250));
        Control::MemberJoined(Named { id: NodeId::new(id).unwrap(), address })
    };
    (0..count).map(member).collect()
}

#[test]
fn ten_thousand_members_and_junk_cost_a_bounded_amount() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a"]);
    join(&mut pair, 1, 0);
    for (id, address) in [
        ("x", "no address"),
        ("x", "http://h:1"),
        ("x", ""),
        ("a", "10.0.0.1:1"),
        ("y", &addr(1).to_string()),
    ] {
        tell(&mut pair, 0, 1, id, address);
    }
    assert_eq!(pair.nodes[1].dropped().addresses, 3);
    assert_eq!(pair.nodes[1].members(), (0, 1));
    // As fast as a peer may say anything.
    for batch in strangers(10_000).chunks(900) {
        say(&mut pair, 0, 1, batch);
        pair.pass(Duration::from_secs(1));
        assert!(pair.nodes[1].members().1 <= MEMBERS);
    }
    assert_eq!(listed(&pair, 1), ["seed"], "it has kept to the measure");
    assert!(pair.nodes[1].dropped().members > 0);
    pair.pass(2 * MINUTE);
    assert_eq!(pair.nodes[1].members(), (0, 1));
    assert_eq!(pair.nodes[1].dialled(), 1);
}

#[test]
fn no_more_than_sixty_four_members_are_dialled_at_once() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a"]);
    join(&mut pair, 1, 0);
    say(&mut pair, 0, 1, &strangers(500));
    let mut most = 0;
    let end = pair.now + Duration::from_secs(5);
    // Nobody answers the dials.
    while let Some(at) = pair.nodes[1].deadline().filter(|at| *at <= end) {
        pair.now = pair.now.max(at);
        let mut out = Vec::new();
        pair.nodes[1].handle(pair.now, Input::Due, &mut out);
        most = most.max(pair.nodes[1].open_links());
    }
    assert_eq!(most, MEMBER_DIALS + 1, "and the link to the seed");
}

#[test]
fn sixteen_questions_wait_and_one_more_is_busy() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a"]);
    join(&mut pair, 1, 0);
    // The seed cannot write.
    pair.frozen.push(0);
    let link = pair.link(0, "a");
    pair.nodes[0].links_mut().get_mut(link).unwrap().queue.push_raw(&vec![0; 128 * 1024]);
    let question = |call| Control::JoinQuestion { call: CallId(call), address: None };
    let busy = |pair: &Pair| pair.nodes[0].links().get(link).unwrap().inbound.unread_replies();
    for call in 1..=MEMBERS_ASKED as u64 {
        say(&mut pair, 1, 0, &[question(call)]);
    }
    assert_eq!(busy(&pair), 0);
    say(&mut pair, 1, 0, &[question(99)]);
    assert_eq!(busy(&pair), 1);
}

#[test]
fn an_answer_without_end_fails_the_question() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a"]);
    join(&mut pair, 1, 0);
    pair.frozen.push(1);
    ask(&mut pair, 1, 0);
    pair.run();
    let call = pair.nodes[1].topology().first_query().unwrap();
    for page in 0..=MEMBERS {
        if page % 900 == 0 {
            pair.now += Duration::from_secs(1);
        }
        say(&mut pair, 0, 1, &[Control::Members { call, members: Vec::new(), more: true }]);
    }
    assert_eq!(pair.result("join").unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn a_node_that_stops_has_no_members_timers_or_questions() {
    let _bound = crate::bound::bound();
    let mut pair = three();
    kill(&mut pair, 1);
    ask(&mut pair, 2, 0);
    tell(&mut pair, 0, 2, "late", "10.0.0.9:1");
    pair.command(2, Command::Stop { bound: TEN, token: Some("stop") });
    pair.pass(TEN);
    assert!(matches!(pair.result("stop"), Ok(Done::Stopped(_))));
    assert_eq!((pair.nodes[2].members(), pair.nodes[2].armed_timers()), ((0, 0), 0));
}

#[test]
fn members_that_come_and_go_do_not_pile_up_for_who_has_asked() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "asks", "evil"]);
    join(&mut pair, 1, 0);
    join(&mut pair, 2, 0);
    pair.pass(Duration::from_millis(500));
    pair.frozen = vec![0];
    for round in 0..8 {
        let mut controls = Vec::new();
        for member in strangers(450 * (round + 1)).split_off(450 * round) {
            let Control::MemberJoined(named) = &member else { continue };
            let id = named.id.clone();
            controls.extend([member, Control::MemberLeft { id }]);
        }
        say(&mut pair, 2, 0, &controls);
        pair.pass(Duration::from_secs(1));
        let seed = &pair.nodes[0];
        assert!(seed.open_links() == 2 && seed.topology().all_is_sent());
    }
    assert_eq!(pair.nodes[0].members(), (0, 2));
}

#[test]
fn a_member_that_moves_while_its_old_address_is_waited_for_is_not_forgotten() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["seed", "a", "m"]);
    join(&mut pair, 1, 0);
    tell(&mut pair, 0, 1, "m", "10.9.9.9:9");
    pair.pass(Duration::from_secs(5));
    let (mode, deadline) = (ConnectMode::Patient, pair.now + TEN);
    let address = "10.9.9.9:9".parse().unwrap();
    pair.command(1, Command::Connect { address, mode, deadline, token: "connect" });
    pair.run();
    tell(&mut pair, 0, 1, "m", &addr(2).to_string());
    pair.pass(TEN);
    assert_eq!(listed(&pair, 1), ["m", "seed"]);
}

/// Two of them, of which one has heard of five hundred members that do not answer, each at an address of its own.
fn with_silent_members() -> Pair {
    let mut pair = listening(&["seed", "a", "up"]);
    join(&mut pair, 1, 0);
    pair.silent = true;
    say(&mut pair, 0, 1, &strangers(500));
    tell(&mut pair, 0, 1, "up", &addr(2).to_string());
    pair.pass(Duration::from_secs(5));
    pair
}

#[test]
fn who_is_wanted_by_the_program_does_not_wait_behind_members_that_are_silent() {
    let _bound = crate::bound::bound();
    for joins in [false, true] {
        let mut pair = with_silent_members();
        assert_eq!(listed(&pair, 1), ["seed"], "its turn has not come");
        if joins {
            assert!(try_join(&mut pair, 1, 2).is_ok());
        } else {
            pair.connect(1, 2, "connect");
            pair.pass(Duration::from_millis(300));
            assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
        }
        assert_eq!(listed(&pair, 1), ["seed", "up"]);
    }
}

#[test]
fn who_is_dialled_in_the_background_and_wanted_now_is_dialled_at_once() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["a", "late"]);
    pair.closed = vec![1];
    pair.command(0, Command::JoinAlways { address: addr(1).into(), token: "always" });
    pair.pass(MINUTE);
    revive(&mut pair, 1);
    let before = pair.dials.len();
    assert!(try_join(&mut pair, 0, 1).is_ok());
    assert_eq!(pair.dials.len(), before + 1);
    assert_eq!(listed(&pair, 0), ["late"]);
}

#[test]
fn who_advertises_an_address_is_a_member_only_while_it_listens() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["seed", "other", "far"]);
    for node in [0, 1] {
        listen(&mut pair, node);
    }
    let elsewhere: Address = "far.example:7".parse().unwrap();
    pair.nodes[2].local_mut().advertise = Some(elsewhere.clone());
    join(&mut pair, 1, 0);
    join(&mut pair, 2, 0);
    let known = |pair: &Pair| {
        let of = |node: usize| pair.nodes[node].topology().address_of(&NodeId::new("far").unwrap());
        [of(0), of(1)]
    };
    assert_eq!(known(&pair), [None, None], "nobody can dial it");
    // It dials whom it hears of at once.
    assert_eq!(listed(&pair, 2), ["other", "seed"]);
    let there = [Some(elsewhere.clone()), Some(elsewhere)];
    listen(&mut pair, 2);
    assert_eq!(known(&pair), there);
    pair.command(2, Command::Unbind { token: "unbind" });
    pair.run();
    assert_eq!(known(&pair), [None, None], "it listens no more");
    listen(&mut pair, 2);
    assert_eq!(known(&pair), there);
}

#[test]
fn one_that_tells_lies_leaves_room_for_members_that_others_tell_of() {
    let _bound = crate::bound::bound();
    let mut pair = listening(&["evil", "a", "b", "new"]);
    join(&mut pair, 1, 0);
    join(&mut pair, 2, 1);
    let away = |pair: &Pair| pair.nodes[1].members().0;
    let mut lies = strangers(2 * MEMBERS);
    let more = lies.split_off(MEMBERS_OF_ONE - 1);
    for batch in lies.chunks(900) {
        say(&mut pair, 0, 1, batch);
        pair.pass(Duration::from_secs(1));
    }
    assert_eq!((away(&pair), pair.nodes[1].dropped().members), (MEMBERS_OF_ONE - 1, 0));
    for batch in more.chunks(900) {
        say(&mut pair, 0, 1, batch);
        pair.pass(Duration::from_secs(1));
    }
    let over = 2 * MEMBERS - MEMBERS_OF_ONE;
    assert_eq!((away(&pair), pair.nodes[1].dropped().members), (MEMBERS_OF_ONE, over as u64));
    tell(&mut pair, 2, 1, "new", &addr(3).to_string());
    assert_eq!((away(&pair), pair.nodes[1].dropped().members), (MEMBERS_OF_ONE + 1, over as u64));
    pair.pass(TEN);
    assert_eq!(listed(&pair, 1), ["b", "evil", "new"]);
}

/// Two that have each other as seeds, and one link: the one with the larger id has closed its own.
fn seeds_of_each_other() -> Pair {
    let mut pair = Pair::new(&["a", "b"]);
    for (node, other) in [(0, 1), (1, 0)] {
        pair.command(node, Command::JoinAlways { address: addr(other).into(), token: "always" });
    }
    pair.run();
    assert_eq!(pair.dials.len(), 2);
    for node in [0, 1] {
        listen(&mut pair, node);
    }
    let directions = |pair: &Pair| pair.nodes[1].directory().get("a").map(|a| a.directions());
    for node in [0, 1] {
        ask(&mut pair, node, 1 - node);
    }
    pair.run();
    assert_eq!(directions(&pair), Some(Directions::BOTH));
    pair.pass(2 * TEN);
    assert_eq!(directions(&pair), Some(Directions::DOWN));
    pair
}

#[test]
fn a_seed_that_has_dialled_this_node_is_asked_over_that_link_and_dialled_when_that_is_lost() {
    let _bound = crate::bound::bound();
    let mut pair = seeds_of_each_other();
    pair.done.clear();
    let dials = pair.dials.len();
    assert!(try_join(&mut pair, 1, 0).is_ok());
    assert_eq!((pair.dials.len(), pair.nodes[1].dialled()), (dials, 1));
    // Its own listener closed, and with it the link.
    pair.command(1, Command::Unbind { token: "unbind" });
    pair.closed = vec![1];
    pair.pass(TEN);
    let a = pair.nodes[1].directory().get("a").unwrap().directions();
    assert_eq!(a, Directions::UP);
}

#[test]
fn a_seed_that_has_dialled_this_node_is_dialled_when_the_program_connects_to_it() {
    let _bound = crate::bound::bound();
    for always in [false, true] {
        let mut pair = seeds_of_each_other();
        if always {
            let address = addr(0).into();
            pair.command(1, Command::ConnectAlways { address, token: "connect" });
        } else {
            pair.connect(1, 0, "connect");
        }
        pair.run();
        assert!(pair.result("connect").is_ok());
        pair.pass(2 * TEN);
        let a = pair.nodes[1].directory().get("a").unwrap().directions();
        assert_eq!(a, Directions::BOTH, "the program has asked for it");
    }
}

#[test]
fn a_seed_that_has_dialled_this_node_can_be_disconnected() {
    let _bound = crate::bound::bound();
    for whom in [Whom::Id(NodeId::new("a").unwrap()), Whom::Address(addr(0).into())] {
        let mut pair = seeds_of_each_other();
        pair.closed = vec![1];
        pair.command(1, Command::Disconnect { whom, token: "disconnect" });
        pair.pass(TEN);
        assert_eq!((listed(&pair, 1), pair.nodes[1].dialled()), (vec![], 0));
        let events = pair.events_of(1);
        assert!(!events.iter().any(|event| event.contains("Reconnecting {")), "{events:?}");
    }
}
