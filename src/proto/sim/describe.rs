//! Inputs and outputs as lines of the transcript. It decides nothing.

use std::fmt;

use super::Label;
use super::world::World;
use crate::node_event::NodeEvent;
use crate::proto::{Answer, Chosen, Command, Done, Input, Output, Work};

impl World {
    pub(super) fn note_input(&mut self, n: usize, input: &Input<Label>) {
        self.note(format_args!("{n} < {}", Told(input)));
    }

    pub(super) fn note_output(&mut self, n: usize, output: &Output<Label>) {
        *self.seen.outputs.entry(name_of(output)).or_default() += 1;
        self.note(format_args!("{n} > {}", Said(output)));
    }
}

struct Told<'a>(&'a Input<Label>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Accepted { link, remote, .. } => write!(f, "accepted {} from {remote}", link.0),
            Input::Connected { link, remote, .. } => write!(f, "connected {} to {remote}", link.0),
            Input::Received { link, len } => write!(f, "received {len} on {}", link.0),
            Input::Sent { link, len } => write!(f, "sent {len} on {}", link.0),
            Input::Lost { link, cause } => write!(f, "lost {}: {cause:?}", link.0),
            Input::Command(command) => Given(command).fmt(f),
            Input::Answer { reply_to, answer } => {
                let kind = match answer {
                    Answer::Reply(payload) => format!("reply of {}", payload.len()),
                    Answer::Failure { code, .. } => format!("failure {code}"),
                    Answer::Page { peers, .. } => format!("page of {}", peers.len()),
                    Answer::Fault(error) => format!("fault {}", error.code()),
                };
                write!(f, "{kind} to call {} on {}", reply_to.call.0, reply_to.link.0)
            }
            Input::Consumed { link, ticks, cost } => {
                write!(f, "consumed {ticks} ticks, {cost} bytes on {}", link.0)
            }
            Input::Resolved { query, result } => write!(f, "resolved {}: {result:?}", query.0),
            Input::Listening(result) => write!(f, "listening: {result:?}"),
            Input::Chosen { call, chosen: Ok(Chosen::Steps(steps)) } => {
                write!(f, "chosen for call {}: {} steps", call.0, steps.len())
            }
            Input::Chosen { call, chosen: Ok(Chosen::Page { peers, more }) } => {
                write!(f, "listed for call {}: {} peers, more: {more}", call.0, peers.len())
            }
            Input::Chosen { call, chosen: Err(error) } => {
                write!(f, "not chosen for call {}: {error}", call.0)
            }
            Input::Due => f.write_str("due"),
        }
    }
}

struct Given<'a>(&'a Command<Label>);

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Command::Request(request) => write!(
                f,
                "request {} (call {}, {} bytes) to peer {} and {} more, room {:?}",
                request.token.0,
                request.call.0,
                request.message.payload.len(),
                request.plan.first.peer.0,
                request.plan.alternates.len(),
                request.plan.room.map(|link| link.0),
            ),
            Command::Tick(tick) => write!(
                f,
                "tick {} ({} bytes) to peer {} and {} more, room {:?}",
                tick.message.event,
                tick.message.payload.len(),
                tick.plan.first.peer.0,
                tick.plan.alternates.len(),
                tick.plan.room.map(|link| link.0),
            ),
            Command::Cancel { call } => write!(f, "cancel call {}", call.0),
            Command::Bind { address, token } => write!(f, "bind {address} ({})", token.0),
            Command::Unbind { token } => write!(f, "unbind ({})", token.0),
            Command::Dropped { token } => write!(f, "what was dropped? ({})", token.0),
            Command::Connect { address, mode, token, .. } => {
                write!(f, "connect {address} {mode:?} ({})", token.0)
            }
            Command::ConnectAlways { address, token } => {
                write!(f, "connect {address} always ({})", token.0)
            }
            Command::Join { address, token, .. } => write!(f, "join {address} ({})", token.0),
            Command::JoinAlways { address, token } => {
                write!(f, "join {address} always ({})", token.0)
            }
            Command::Disconnect { whom, token } => write!(f, "disconnect {whom:?} ({})", token.0),
            Command::AskRouter { call, router, token, .. } => {
                write!(f, "ask router {} (call {}, {})", router.0, call.0, token.0)
            }
            Command::RoutingStats { reset, token } => {
                write!(f, "what was routed? reset: {reset} ({})", token.0)
            }
            Command::Flush { peer, token, .. } => write!(f, "flush peer {} ({})", peer.0, token.0),
            Command::SetOptions { .. } => f.write_str("set options"),
            Command::SetServices { services } => write!(f, "set {} services", services.len()),
            Command::Index { key } => write!(f, "index {key}"),
            Command::Stop { bound, .. } => write!(f, "stop within {bound:?}"),
        }
    }
}

struct Said<'a>(&'a Output<Label>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Resolve { query, address } => write!(f, "resolve {address} ({})", query.0),
            Output::Listen { addrs } => write!(f, "listen {addrs:?}"),
            Output::Dial { link, addr } => write!(f, "dial {addr} as {}", link.0),
            Output::Write { link } => write!(f, "write {}", link.0),
            Output::Shut { link } => write!(f, "shut {}", link.0),
            Output::Hang { link } => write!(f, "hang {}", link.0),
            Output::Deliver(delivery) => {
                let from = (&delivery.sender.id, delivery.link.0);
                match &delivery.work {
                    Work::Request { reply_to, .. } => write!(
                        f,
                        "deliver {} as call {} from {from:?}",
                        delivery.message.event, reply_to.call.0
                    ),
                    Work::Tick { cost } => {
                        write!(f, "deliver {} of {cost} from {from:?}", delivery.message.event)
                    }
                }
            }
            Output::Complete { token, result: Ok(done) } => match done {
                Done::Answered(answered) => write!(
                    f,
                    "complete {}: {} bytes from {}",
                    token.0,
                    answered.payload.len(),
                    answered.peer.id
                ),
                Done::Routing(stats) => {
                    let (requests, ticks) = (stats.proxy_requests, stats.proxy_ticks);
                    write!(f, "complete {}: routed {requests:?}, {ticks:?}", token.0)
                }
                Done::Connected(peer) => {
                    write!(f, "complete {}: connected to {}", token.0, peer.id)
                }
                done => write!(f, "complete {}: {done:?}", token.0),
            },
            Output::Complete { token, result: Err(error) } => {
                write!(f, "complete {}: {error} ({:?})", token.0, error.execution())
            }
            Output::Event(NodeEvent::PeerJoined(peer)) => write!(f, "event: {} joined", peer.id),
            Output::Event(event) => write!(f, "event: {event:?}"),
            Output::Choose(choose) => {
                let what = if choose.page.is_some() { "list" } else { "choose" };
                write!(f, "{what} for call {}", choose.call.0)
            }
            Output::Unlisten | Output::Publish | Output::Stopped => f.write_str(name_of(self.0)),
        }
    }
}

/// The kind of an output, for counting.
pub(super) fn name_of(output: &Output<Label>) -> &'static str {
    match output {
        Output::Resolve { .. } => "resolve",
        Output::Listen { .. } => "listen",
        Output::Unlisten => "unlisten",
        Output::Dial { .. } => "dial",
        Output::Write { .. } => "write",
        Output::Shut { .. } => "shut",
        Output::Hang { .. } => "hang",
        Output::Deliver(delivery) => match delivery.work {
            Work::Request { .. } => "deliver a request",
            Work::Tick { .. } => "deliver a tick",
        },
        Output::Complete { result, .. } => match result {
            Ok(Done::Nothing) => "complete: nothing",
            Ok(Done::Listening(_)) => "complete: listening",
            Ok(Done::Connected(_)) => "complete: connected",
            Ok(Done::Joined { .. }) => "complete: joined",
            Ok(Done::Answered(_)) => "complete: answered",
            Ok(Done::Peers { .. }) => "complete: peers",
            Ok(Done::Routing(_)) => "complete: routing",
            Ok(Done::Stopped(_)) => "complete: stopped",
            Ok(Done::Dropped(_)) => "complete: dropped",
            Err(_) => "complete: failed",
        },
        Output::Publish => "publish",
        Output::Event(event) => match event {
            NodeEvent::PeerJoined(_) => "event: joined",
            NodeEvent::PeerLeft { .. } => "event: left",
            NodeEvent::OptionsChanged { .. } => "event: options",
            NodeEvent::ServicesChanged { .. } => "event: services",
            NodeEvent::Reconnecting { .. } => "event: reconnecting",
            NodeEvent::Reconnected { .. } => "event: reconnected",
            NodeEvent::ReconnectFailed { .. } => "event: reconnect failed",
            NodeEvent::Undelivered { .. } => "event: undelivered",
            NodeEvent::SlowPeer { .. } => "event: slow peer",
            NodeEvent::RoutingStats(_) => "event: routing stats",
            // A step of a caller, never of the engine.
            NodeEvent::Policy(_) => "event: policy",
            NodeEvent::Error(_) => "event: error",
            NodeEvent::Missed(_) => "event: missed",
            NodeEvent::Stopped => "event: stopped",
        },
        Output::Choose(_) => "choose",
        Output::Stopped => "stopped",
    }
}
