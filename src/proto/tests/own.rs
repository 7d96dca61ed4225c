//! A node that calls itself, and plans whose steps call the message by different names.

use super::*;

impl Pair {
    /// How node 0 reaches itself, with room taken there.
    fn own_plan(&self, tick: bool, bytes: usize) -> Plan {
        let own = self.nodes[0].own().expect("a living node");
        let face = own.face(Directions::BOTH).unwrap();
        let gauge = &face.gauge;
        let taken = if tick { gauge.take_tick(cost(bytes)) } else { gauge.take_call(cost(bytes)) };
        Plan::one(Step::new(PeerKey::OWN, Directions::BOTH), taken.is_ok().then_some(face.link))
    }

    fn ask_own(&mut self, token: Label) -> CallId {
        let plan = self.own_plan(false, 1);
        self.request_by(plan, 0, Payload::null(), token)
    }

    fn own_tick(&mut self, bytes: usize) {
        let plan = self.own_plan(true, bytes_of(bytes).len());
        let message = Self::message(bytes_of(bytes));
        self.command(0, Command::Tick(Tick { plan, message, wait: None }));
        self.run();
    }

    fn reply_to(&mut self) -> ReplyTo {
        match self.delivered.pop().expect("a delivery").1.work {
            Work::Request { reply_to, .. } => reply_to,
            Work::Tick { .. } => panic!("a tick"),
        }
    }

    fn check_own(&self) {
        assert_eq!(self.nodes[0].broken_ledger(&|_| Posted::default(), true), None);
    }
}

#[test]
fn a_node_without_a_link_answers_itself() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    pair.ask_own("asked");
    pair.run();
    let (_, delivery) = pair.delivered.last().expect("it is delivered at once");
    assert_eq!(delivery.sender.id, "alone");
    let reply_to = pair.reply_to();
    pair.feed(0, Input::Answer { reply_to, answer: Answer::Reply(bytes_of(7)) });
    let Ok(Done::Answered(answered)) = pair.result("asked") else { panic!("an answer") };
    assert_eq!((answered.payload, answered.peer.id.as_str()), (bytes_of(7), "alone"));
    assert_eq!(pair.nodes[0].armed_timers(), 0);
    pair.check_own();
}

#[test]
fn failures_and_faults_of_its_own_handlers_arrive_as_they_are() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    let (code, message) = ("ODD".to_owned(), "no".to_owned());
    let failure = Answer::Failure { code, message, data: None };
    let fault = Answer::Fault(Error::new(ErrorKind::NoHandler, "nobody"));
    for (answer, code) in [(failure, "ODD"), (fault, "NO_HANDLER")] {
        pair.ask_own("asked");
        pair.run();
        let reply_to = pair.reply_to();
        pair.feed(0, Input::Answer { reply_to, answer });
        let error = pair.result("asked").unwrap_err();
        assert_eq!((error.code(), error.peer().unwrap().as_str()), (code, "alone"));
    }
    pair.check_own();
}

#[test]
fn the_deadline_and_a_cancel_end_a_call_to_itself_and_its_handler_sees_it() {
    let _bound = crate::bound::bound();
    for kind in [ErrorKind::RequestTimeout, ErrorKind::Cancelled] {
        let mut pair = Pair::new(&["alone"]);
        let call = pair.ask_own("asked");
        pair.run();
        if kind == ErrorKind::Cancelled {
            pair.command(0, Command::Cancel { call });
        }
        pair.pass(Duration::from_secs(3));
        let error = pair.result("asked").unwrap_err();
        assert_eq!((error.kind(), error.execution()), (kind, Execution::Unknown));
        let (_, delivery) = pair.delivered.pop().unwrap();
        let Work::Request { reply_to, cancelled, .. } = delivery.work else { panic!("a request") };
        assert!(cancelled.load(std::sync::atomic::Ordering::Relaxed));
        pair.feed(0, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
        assert_eq!(pair.nodes[0].dropped().unwanted_answers, 1);
        pair.check_own();
    }
}

#[test]
fn calls_beyond_the_places_wait_in_line_and_all_are_answered() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.calls_per_link = 2;
    let mut pair = Pair::with(&["alone"], &config);
    for token in ["1", "2", "3", "4"] {
        pair.ask_own(token);
        pair.run();
    }
    assert_eq!(pair.delivered.len(), 2);
    while !pair.delivered.is_empty() {
        let reply_to = pair.reply_to();
        pair.feed(0, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
    }
    for token in ["1", "2", "3", "4"] {
        assert!(pair.result(token).is_ok());
    }
    pair.check_own();
}

#[test]
fn ticks_to_itself_take_the_window_and_give_it_back_when_they_are_handled() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    let gauge = |pair: &Pair| Arc::clone(&pair.nodes[0].own().unwrap().up.as_ref().unwrap().gauge);
    pair.own_tick(40_000);
    assert!(gauge(&pair).unconfirmed() > 40_000 && gauge(&pair).queued() == 0);
    assert_eq!(gauge(&pair).take_tick(40_000), Err(Full::Ticks));
    let (_, delivery) = pair.delivered.pop().unwrap();
    let Work::Tick { cost } = delivery.work else { panic!("a tick") };
    pair.feed(0, Input::Consumed { link: delivery.link, ticks: 1, cost });
    assert_eq!(gauge(&pair).unconfirmed(), 0);
    pair.check_own();
    // It was used up within a second, so it has grown.
    assert_eq!(gauge(&pair).take_tick(100_000), Ok(()));
    gauge(&pair).give_queue(100_000);
    assert_eq!(gauge(&pair).take_tick(20_000), Ok(()));
}

#[test]
fn a_stop_waits_for_its_own_handlers_and_then_for_nobody() {
    let _bound = crate::bound::bound();
    for answered in [true, false] {
        let mut pair = Pair::new(&["alone"]);
        pair.calls += 1;
        let (call, plan) = (CallId(pair.calls), pair.own_plan(false, 1));
        let (message, deadline) =
            (Pair::message(Payload::null()), pair.now + Duration::from_secs(9));
        // Of a handler, which may still finish.
        let request = Request { call, plan, message, deadline, depth: 1, token: "asked" };
        pair.command(0, Command::Request(request));
        pair.own_tick(10);
        pair.command(0, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
        pair.run();
        assert!(pair.stopped.is_empty(), "its handlers are at work");
        let work: Vec<Delivery> = pair.delivered.drain(..).map(|(_, delivery)| delivery).collect();
        for Delivery { link, work, .. } in work.into_iter().filter(|_| answered) {
            let input = match work {
                Work::Request { reply_to, .. } => {
                    Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) }
                }
                Work::Tick { cost } => Input::Consumed { link, ticks: 1, cost },
            };
            pair.feed(0, input);
        }
        pair.pass(if answered { Duration::ZERO } else { Duration::from_secs(2) });
        assert_eq!(pair.stopped, [0]);
        let Ok(Done::Stopped(cut)) = pair.result("stop") else { panic!("a stop") };
        let cut_off = u64::from(!answered);
        assert_eq!((cut.calls, cut.unconfirmed), (cut_off, cut_off), "{cut:?}");
        assert_eq!(pair.result("asked").is_ok(), answered);
        assert_eq!(pair.nodes[0].armed_timers(), 0);
    }
}

#[test]
fn its_handlers_see_it_with_its_newest_options() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::joined(&["one", "other"]);
    let options = crate::options! { "load": 3 };
    pair.command(0, Command::SetOptions { options });
    pair.own_tick(1);
    assert_eq!(pair.delivered.pop().unwrap().1.sender.options.get_u64("load"), Some(3));
    let told = pair.events_of(0).iter().filter(|event| event.contains("OptionsChanged")).count();
    assert_eq!(told, 0, "nobody is told of what was done here");
}

/// By another name at each step: to itself and then to the server.
fn by_names(pair: &Pair, own: &str, other: &str) -> Plan {
    let named = |name: &str| Some(Box::new(EventName::new(name).unwrap()));
    let mut plan = pair.own_plan(false, 1);
    let server = pair.nodes[0].directory().get("server").unwrap().key;
    plan.first.event = named(own);
    let event = named(other);
    plan.alternates = vec![Step { event, ..Step::new(server, Directions::BOTH) }];
    plan.by_path = true;
    plan
}

#[test]
fn a_call_by_path_goes_on_under_the_name_of_the_next_step() {
    let _bound = crate::bound::bound();
    let refusals =
        [(ErrorKind::NotFound, true), (ErrorKind::Busy, true), (ErrorKind::NoHandler, false)];
    for (kind, goes_on) in refusals {
        let mut pair = Pair::joined(&["client", "server"]);
        let plan = by_names(&pair, "/a/x", "/b/x");
        pair.request_by(plan, 0, Payload::null(), "asked");
        pair.run();
        assert_eq!(pair.delivered.last().unwrap().1.message.event.as_str(), "/a/x");
        let reply_to = pair.reply_to();
        let answer = Answer::Fault(Error::new(kind, "no").with_execution(Execution::Never));
        pair.feed(0, Input::Answer { reply_to, answer });
        pair.run();
        let delivered =
            pair.delivered.last().map(|(node, delivery)| (*node, delivery.message.event.as_str()));
        assert_eq!(delivered, goes_on.then_some((1, "/b/x")), "{kind:?}");
    }
}

#[test]
fn who_has_no_room_keeps_its_name_for_when_its_turn_comes_again() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.calls_per_link = 1;
    let mut pair = Pair::joined_with(&["client", "server"], &config);
    pair.ask_own("before");
    pair.run();
    let reply_to = pair.reply_to();
    // No room here, so the server is asked first, and then there is some.
    let plan = by_names(&pair, "/a/x", "/b/x");
    assert_eq!(plan.room, None);
    pair.request_by(plan, 0, Payload::null(), "asked");
    pair.run();
    assert_eq!(pair.delivered.last().unwrap().1.message.event.as_str(), "/b/x");
    pair.feed(0, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
    let (node, reply_to) = (pair.delivered.last().unwrap().0, pair.reply_to());
    let answer = Answer::Fault(Error::new(ErrorKind::NotFound, "gone"));
    pair.feed(node, Input::Answer { reply_to, answer });
    pair.run();
    let (node, delivery) = pair.delivered.last().unwrap();
    assert_eq!((*node, delivery.message.event.as_str()), (0, "/a/x"));
}

#[test]
fn a_member_that_listens_late_has_nothing_to_tell_itself() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::joined(&["alone", "other"]);
    pair.command(0, Command::JoinAlways { address: addr(1).into(), token: "join" });
    pair.command(0, Command::Bind { address: addr(0).into(), token: "bind" });
    pair.run();
    assert!(pair.result("bind").is_ok());
    pair.command(0, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
    pair.run();
    assert_eq!(pair.stopped, [0], "nothing is left to be written");
}

#[test]
fn a_tick_too_large_for_two_steps_of_one_peer_gives_its_room_back_once() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    config.limits.message_bytes = 1_000_000;
    let mut pair = Pair::joined_with(&["client", "server"], &config);
    let entry = pair.nodes[0].directory().get("server").unwrap().clone();
    let face = entry.face(Directions::BOTH).unwrap();
    let payload = bytes_of(1_500_000);
    face.gauge.take_tick(cost(payload.len())).unwrap();
    let step = Step::new(entry.key, Directions::BOTH);
    let mut plan = Plan::one(step.clone(), Some(face.link));
    (plan.alternates, plan.by_path) = (vec![step], true);
    let message = Pair::message(payload);
    pair.command(0, Command::Tick(Tick { plan, message, wait: None }));
    pair.run();
    assert_eq!((face.gauge.queued(), face.gauge.unconfirmed()), (0, 0));
}

#[test]
fn ticks_to_itself_that_are_finished_are_not_told_as_undelivered() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    for _ in 0..5 {
        pair.own_tick(10);
    }
    let work: Vec<Delivery> = pair.delivered.drain(..).map(|(_, delivery)| delivery).collect();
    for Delivery { link, work, .. } in work.into_iter().take(4) {
        let Work::Tick { cost } = work else { panic!("a tick") };
        pair.feed(0, Input::Consumed { link, ticks: 1, cost });
    }
    pair.command(0, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
    pair.pass(Duration::from_secs(3));
    let Ok(Done::Stopped(cut)) = pair.result("stop") else { panic!("a stop") };
    assert_eq!(cut.unconfirmed, 1);
    let told = pair.events_of(0).into_iter().filter(|event| event.contains("Undelivered"));
    let told: Vec<String> = told.collect();
    assert!(told.len() == 1 && told[0].contains("unconfirmed: 1"), "{told:?}");
}

#[test]
fn a_tick_that_waits_for_room_with_itself_is_refused_when_the_node_stops() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["alone"]);
    pair.own_tick(70_000);
    let plan = Plan::one(Step::new(PeerKey::OWN, Directions::BOTH), None);
    let wait = Some((pair.now + Duration::from_secs(9), "parked"));
    let message = Pair::message(bytes_of(10));
    pair.command(0, Command::Tick(Tick { plan, message, wait }));
    pair.command(0, Command::Stop { bound: Duration::from_secs(2), token: Some("stop") });
    pair.run();
    let error = pair.result("parked").unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Closed, Execution::Never));
    let (_, Delivery { link, work, .. }) = pair.delivered.pop().unwrap();
    let Work::Tick { cost } = work else { panic!("a tick") };
    pair.feed(0, Input::Consumed { link, ticks: 1, cost });
    assert_eq!((pair.stopped.clone(), pair.delivered.len()), (vec![0], 0));
}

#[test]
fn thousands_that_wait_for_their_own_node_and_are_refused_at_once_need_no_deep_stack() {
    let _bound = crate::bound::bound();
    let mut config = Config::default();
    (config.limits.calls_per_link, config.limits.node_bytes) = (2, 1_000_000);
    let mut pair = Pair::with(&["alone"], &config);
    pair.ask_own("first");
    pair.run();
    let large = bytes_of(700_000);
    let plan = pair.own_plan(false, large.len());
    pair.request_by(plan, 0, large, "large");
    pair.run();
    for _ in 0..60_000 {
        pair.ask_own("waits");
    }
    pair.run();
    assert_eq!(pair.delivered.len(), 2);
    let Work::Request { reply_to, .. } = pair.delivered.remove(0).1.work else {
        panic!("a request")
    };
    pair.feed(0, Input::Answer { reply_to, answer: Answer::Reply(Payload::null()) });
    assert!(pair.result("first").is_ok());
    let busy = pair.done.iter().filter(|(token, result)| {
        *token == "waits" && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy)
    });
    assert_eq!(busy.count(), 60_000);
    pair.check_own();
}

#[test]
fn options_that_change_during_a_handshake_do_not_end_it() {
    let _bound = crate::bound::bound();
    let mut pair = Pair::new(&["client", "server"]);
    pair.connect(0, 1, "connect");
    pair.frozen = vec![0, 1];
    pair.run();
    let options = Options::default().with_id(&NodeId::new("client").unwrap());
    pair.command(0, Command::SetOptions { options });
    pair.pass(Duration::from_secs(1));
    pair.frozen.clear();
    for node in [0, 1] {
        for link in pair.nodes[node].links().ids(|link| link.id != LinkId::OWN) {
            pair.carry(node, link);
        }
    }
    pair.run();
    assert!(matches!(pair.result("connect"), Ok(Done::Connected(_))));
    assert_eq!(pair.dials.len(), 1, "the first handshake has gone on");
}
