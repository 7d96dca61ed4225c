//! Who was found for a call: first choice and alternates, room taken on a link, and the plan that is made of it. It must not know how they
//! were found, nor by whom.

use std::sync::Arc;

use super::onward::Routed;
use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::id::{LinkId, NodeId};
use crate::node_event::Directions;
use crate::proto::Message;
use crate::routing::{Destination, Full, Gauge, PeerEntry, Plan, Step, cost};

/// What becomes of a request that finds no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// The engine lets it wait in line until its deadline.
    Awaited,
    /// It is refused.
    Now,
}

/// One who may get a message.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) peer: Arc<PeerEntry>,
    /// What the message is called there, where those who may get it differ in that: then each of them says so.
    pub(crate) event: Option<EventName>,
    /// The peer is a router, and this is with whom it shall place the message.
    pub(crate) onward: Option<Destination>,
}

impl Choice {
    pub(crate) fn new(peer: Arc<PeerEntry>) -> Self {
        Self { peer, event: None, onward: None }
    }

    pub(crate) fn onward(router: Arc<PeerEntry>, destination: Destination) -> Self {
        Self { onward: Some(destination), ..Self::new(router) }
    }

    /// Which links the message may take. How this node is linked with a router is no business of the call.
    fn directions(&self, allowed: Directions) -> Directions {
        if self.onward.is_some() { Directions::BOTH } else { allowed }
    }

    fn step(&self, allowed: Directions) -> Step {
        let (event, onward) = (self.event.clone().map(Box::new), self.onward.clone().map(Box::new));
        Step { event, onward, ..Step::new(self.peer.key, self.directions(allowed)) }
    }

    /// A tick that a router places is a call, which it answers.
    fn ask_tick(&self, gauge: &Gauge, cost: usize) -> Result<(), Full> {
        if self.onward.is_some() { gauge.ask_call(cost) } else { gauge.ask_tick(cost) }
    }
}

/// Who was found for a call.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) first: Choice,
    /// Who is tried next when that one cannot take the message.
    pub(crate) alternates: Vec<Choice>,
    pub(crate) directions: Directions,
    /// It is for whoever serves a path.
    pub(crate) by_path: bool,
    /// Present if routers take part.
    pub(crate) routed: Option<Box<Routed>>,
}

impl Lookup {
    /// There is nobody else.
    pub(crate) fn one(first: Choice, directions: Directions) -> Self {
        Self { first, alternates: Vec::new(), directions, by_path: false, routed: None }
    }

    /// The first choice: the router, if it is a router that chooses.
    pub(crate) fn peer(&self) -> &NodeId {
        match &self.first.onward {
            Some(Destination::Id(id)) => id,
            Some(Destination::Filter(_) | Destination::Path) | None => &self.first.peer.id,
        }
    }

    /// Whether a router chooses who gets the message, and not this node.
    pub(crate) fn is_left_to_a_router(&self) -> bool {
        matches!(self.first.onward, Some(Destination::Filter(_) | Destination::Path))
    }

    /// Takes room for a request, at the first who has it; if nobody has, the request waits at the first choice.
    pub(crate) fn take_call(&mut self, message: &Message, room: Room) -> Result<Plan, Error> {
        let cost = cost(message.payload.len());
        match self.first_with_room(|_, gauge| gauge.ask_call(cost)) {
            Ok(link) => Ok(Plan { waits: room == Room::Awaited, ..self.plan(Some(link)) }),
            Err(full) if room == Room::Now => Err(self.no_room(full)),
            Err(_) => Ok(self.plan(None)),
        }
    }

    /// Takes room for a tick, at the first who has it.
    pub(crate) fn take_tick(&mut self, message: &Message) -> Result<Plan, Error> {
        let cost = cost(message.payload.len());
        let taken = self.first_with_room(|choice, gauge| choice.ask_tick(gauge, cost));
        taken.map(|link| self.plan(Some(link))).map_err(|full| self.no_room(full))
    }

    /// Makes the first who has room the first choice. The error is that of the first choice there was.
    fn first_with_room(
        &mut self,
        mut ask: impl FnMut(&Choice, &Gauge) -> Result<(), Full>,
    ) -> Result<LinkId, Full> {
        let mut why = None;
        for at in 0..=self.alternates.len() {
            let choice = if at == 0 { &self.first } else { &self.alternates[at - 1] };
            // Whoever is listed had a link when it was chosen, and this is the same snapshot.
            let directions = choice.directions(self.directions);
            let Some(face) = choice.peer.face(directions) else { continue };
            match ask(choice, &face.gauge) {
                Ok(()) => {
                    let link = face.link;
                    if at > 0 {
                        std::mem::swap(&mut self.first, &mut self.alternates[at - 1]);
                    }
                    return Ok(link);
                }
                Err(full) => why = why.or(Some(full)),
            }
        }
        Err(why.unwrap_or(Full::Line))
    }

    /// Whom to try, the first choice first.
    pub(super) fn plan(&self, room: Option<LinkId>) -> Plan {
        let alternates =
            self.alternates.iter().map(|choice| choice.step(self.directions)).collect();
        let first = self.first.step(self.directions);
        let route = self.routed.as_ref().map(|routed| Box::new(routed.route.clone()));
        Plan { first, alternates, room, waits: true, by_path: self.by_path, route }
    }

    pub(crate) fn no_room(&self, full: Full) -> Error {
        let what = match full {
            Full::Queue => "its queue is full",
            Full::Memory => "the memory of this node is nearly used up, and the link has its share",
            Full::Calls => "it has as many calls open as it allows",
            Full::Line => "others wait for room already",
            Full::Ticks => "it has not confirmed the ticks that were sent before",
        };
        let peer = &self.first.peer.id;
        let message = format!("no room for a message to {:?}: {what}", peer.as_str());
        Error::new(ErrorKind::Backpressure, message).with_peer(peer.clone())
    }
}
