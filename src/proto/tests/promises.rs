//! Every planted bug, the promise it breaks, and what notices: a story, or the simulated world by its seeds alone.
//!
//! `tests/promises.md` lists the promises and all that shows them; the tests here keep the two in step.

use std::panic::catch_unwind;

use super::goodbyes::{
    an_answer_that_a_goodbye_cuts_off_may_have_run,
    what_was_taken_up_before_a_goodbye_may_have_run_and_goes_nowhere_else,
};
use super::memory::no_peer_takes_more_than_its_share_of_the_node;
use super::relay::{
    a_request_passes_no_more_routers_than_its_hops,
    a_router_that_knows_nobody_is_not_asked_again_because_another_was_busy,
    nobody_is_found_once_by_each_router_however_they_are_linked,
    whoever_asks_is_never_the_answer_and_no_router_is,
};
use super::stories::*;
use super::*;
use crate::proto::planted::{Planted, plant};
use crate::proto::sim::scenarios::{
    a_bandwidth_limited_link_keeps_its_peer, nodes_that_were_suspended_together_keep_each_other,
};
use crate::proto::sim::switchboards;
use crate::proto::sim::tests::first_to_notice;

/// What is green without a bug and red with it.
#[derive(Clone, Copy)]
enum Proof {
    Story(fn()),
    Seeds,
    /// The seeds of the world of routers.
    Routers,
}

use Proof::{Routers, Seeds, Story};

const BUGS: &[(&str, Planted, Proof)] = &[
    ("P01", Planted::StrangerHeardOut, Story(a_stranger_is_closed_at_its_first_wrong_byte)),
    ("P02", Planted::HandshakeWithoutEnd, Story(who_trickles_a_handshake_is_closed_in_time)),
    ("P02", Planted::NewcomersUnlimited, Story(the_oldest_of_too_many_newcomers_makes_room)),
    (
        "P03",
        Planted::GiantFromStranger,
        Story(a_frame_that_is_too_large_for_a_newcomer_is_refused_on_its_length),
    ),
    ("P04", Planted::SilenceForgiven, Story(a_frame_that_does_not_go_on_ends_with_its_link)),
    ("P05", Planted::GreetingForgotten, Story(a_life_in_single_bytes_is_like_any_other)),
    ("P05", Planted::GreetingForgotten, Seeds),
    ("P05", Planted::LostTail, Seeds),
    ("P06", Planted::BadEnvelopeSkipped, Story(an_envelope_that_cannot_be_read_ends_the_link)),
    ("P07", Planted::BadEnvelopeSkipped, Story(an_envelope_that_cannot_be_read_ends_the_link)),
    ("P09", Planted::TwinAdmitted, Story(a_living_duplicate_is_refused_and_named)),
    ("P10", Planted::SelfUnnoticed, Story(dialling_oneself_is_refused_and_leaves_nothing)),
    (
        "P11",
        Planted::SilenceForgiven,
        Story(idle_peers_stay_and_a_frozen_one_is_left_within_its_time),
    ),
    ("P12", Planted::ForgottenOnClose, Seeds),
    ("P12", Planted::PingBehindData, Story(a_bandwidth_limited_link_keeps_its_peer)),
    ("P12", Planted::PingBehindData, Seeds),
    ("P12", Planted::SuspensionBlamed, Story(nodes_that_were_suspended_together_keep_each_other)),
    (
        "P13",
        Planted::HerdInStep,
        Story(those_who_lost_a_peer_together_come_back_at_different_times),
    ),
    ("P13", Planted::HerdInHaste, Story(the_pauses_between_dials_grow_up_to_their_longest)),
    ("P18", Planted::StallForgiven, Story(a_peer_that_does_not_read_is_let_go)),
    ("P18", Planted::CreepForgiven, Story(a_peer_that_reads_a_byte_now_and_then_is_let_go)),
    ("P18", Planted::WindowIgnored, Story(a_tick_beyond_the_window_ends_the_link)),
    ("P18", Planted::LossUntold, Seeds),
    ("P19", Planted::AnswersPileUp, Story(answers_that_are_taken_back_and_not_read_do_not_pile_up)),
    ("P19", Planted::ShareIgnored, Story(no_peer_takes_more_than_its_share_of_the_node)),
    ("P21", Planted::FloodIgnored, Story(a_flood_of_cheap_messages_ends_the_link)),
    ("P22", Planted::LimitOffByOne, Seeds),
    (
        "P22",
        Planted::OverrunTaken,
        Story(a_request_beyond_the_granted_number_is_busy_and_does_not_run),
    ),
    ("P22", Planted::PlaceKept, Seeds),
    (
        "P22",
        Planted::RoomForTheLate,
        Story(a_waiting_call_whose_time_ends_with_anothers_is_not_sent),
    ),
    ("P24", Planted::DeadlineForgotten, Seeds),
    ("P24", Planted::TimeoutRestarted, Routers),
    ("P28", Planted::VisitedForgotten, Routers),
    (
        "P28",
        Planted::VisitedForgotten,
        Story(nobody_is_found_once_by_each_router_however_they_are_linked),
    ),
    ("P28", Planted::OriginServed, Routers),
    ("P28", Planted::OriginServed, Story(whoever_asks_is_never_the_answer_and_no_router_is)),
    ("P29", Planted::AskedUntold, Routers),
    (
        "P29",
        Planted::AskedUntold,
        Story(a_router_that_knows_nobody_is_not_asked_again_because_another_was_busy),
    ),
    ("P29", Planted::HopsUncounted, Routers),
    ("P29", Planted::HopsUncounted, Story(a_request_passes_no_more_routers_than_its_hops)),
    ("P30", Planted::LateAnswerTaken, Seeds),
    ("P30", Planted::LostWake, Seeds),
    ("P31", Planted::AnswerFromAnywhere, Story(an_answer_on_another_link_is_nobodys)),
    ("P32", Planted::ReusedId, Seeds),
    ("P32", Planted::NumberTakenTwice, Story(a_request_whose_number_is_in_use_ends_the_link)),
    ("P33", Planted::SentAgain, Seeds),
    ("P33", Planted::ForwardedAgain, Routers),
    ("P33", Planted::NeverClaimed, Seeds),
    ("P33", Planted::GoodbyeListsNothing, Seeds),
    ("P33", Planted::GoodbyeForgetsAnswers, Seeds),
    (
        "P33",
        Planted::GoodbyeListsNothing,
        Story(what_was_taken_up_before_a_goodbye_may_have_run_and_goes_nowhere_else),
    ),
    ("P33", Planted::GoodbyeForgetsAnswers, Story(an_answer_that_a_goodbye_cuts_off_may_have_run)),
    ("P34", Planted::StopWithoutEnd, Seeds),
    ("P34", Planted::CallersLeft, Story(a_stop_tells_who_waits_at_once)),
    ("P40", Planted::DeathUnnoticed, Seeds),
    ("P40", Planted::DeathUnnoticed, Story(a_link_that_breaks_fails_its_calls_at_once)),
];

#[test]
fn stories_fail_with_the_bugs_that_are_theirs() {
    let _bound = crate::bound::bound();
    for (promise, bug, proof) in BUGS {
        let Story(story) = proof else { continue };
        story();
        let _planted = plant(Some(*bug));
        assert!(catch_unwind(story).is_err(), "{promise}: {bug:?} is not noticed");
    }
}

#[test]
fn seeds_find_the_bugs_that_are_theirs() {
    for (promise, bug, proof) in BUGS {
        let first = match proof {
            Seeds => first_to_notice,
            Routers => switchboards::first_to_notice,
            Story(_) => continue,
        };
        let _planted = plant(Some(*bug));
        let found = first();
        println!("{promise}: {bug:?} is found by seed {found:?}");
        assert!(found.is_some(), "{promise}: {bug:?} is not noticed");
    }
}

#[test]
fn every_bug_breaks_a_promise_and_the_table_says_which() {
    let _bound = crate::bound::bound();
    let unused = |bug: &&Planted| BUGS.iter().all(|(_, used, _)| used != *bug);
    let unused: Vec<_> = Planted::ALL.iter().filter(unused).collect();
    assert!(unused.is_empty(), "no test notices {unused:?}");
    let mut ours: Vec<(String, String)> =
        BUGS.iter().map(|(id, bug, _)| ((*id).to_owned(), format!("{bug:?}"))).collect();
    ours.sort();
    ours.dedup();
    assert_eq!(ours, listed(), "tests/promises.md names other bugs");
}

/// Promises and bugs as the table pairs them.
fn listed() -> Vec<(String, String)> {
    let mut listed = Vec::new();
    for row in include_str!("../../../tests/promises.md").lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", id, _, _, bugs, ""] = cells[..] else { continue };
        let names = bugs.split('`').skip(1).step_by(2);
        listed.extend(names.map(|name| (id.to_owned(), name.to_owned())));
    }
    listed.sort();
    listed
}
