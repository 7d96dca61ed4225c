//! Who was found for a call: first choice and alternates, room taken on a link, and the plan that is made of it. It must not know how they
//! were found.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::event::EventName;
use crate::id::{LinkId, NodeId};
use crate::node_event::Directions;
use crate::proto::Message;
use crate::routing::{Full, Gauge, PeerEntry, Plan, Step, cost};

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
}

impl Choice {
    pub(crate) fn new(peer: Arc<PeerEntry>) -> Self {
        Self { peer, event: None }
    }

    fn step(&self, directions: Directions) -> Step {
        let event = self.event.clone().map(Box::new);
        Step { event, ..Step::new(self.peer.key, directions) }
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
}

impl Lookup {
    /// There is nobody else.
    pub(crate) fn one(first: Choice, directions: Directions) -> Self {
        Self { first, alternates: Vec::new(), directions, by_path: false }
    }

    /// The first choice.
    pub(crate) fn peer(&self) -> &NodeId {
        &self.first.peer.id
    }

    /// Takes room for a request, at the first who has it; if nobody has, the request waits at the first choice.
    pub(crate) fn take_call(&mut self, message: &Message, room: Room) -> Result<Plan, Error> {
        let cost = cost(message.payload.len());
        match self.first_with_room(|gauge| gauge.ask_call(cost)) {
            Ok(link) => Ok(Plan { waits: room == Room::Awaited, ..self.plan(Some(link)) }),
            Err(full) if room == Room::Now => Err(self.no_room(full)),
            Err(_) => Ok(self.plan(None)),
        }
    }

    /// Takes room for a tick, at the first who has it.
    pub(crate) fn take_tick(&mut self, message: &Message) -> Result<Plan, Error> {
        let cost = cost(message.payload.len());
        let taken = self.first_with_room(|gauge| gauge.ask_tick(cost));
        taken.map(|link| self.plan(Some(link))).map_err(|full| self.no_room(full))
    }

    /// Makes the first who has room the first choice. The error is that of the first choice there was.
    fn first_with_room(
        &mut self,
        mut ask: impl FnMut(&Gauge) -> Result<(), Full>,
    ) -> Result<LinkId, Full> {
        let mut why = None;
        for at in 0..=self.alternates.len() {
            let choice = if at == 0 { &self.first } else { &self.alternates[at - 1] };
            // Whoever is listed had a link when it was chosen, and this is the same snapshot.
            let Some(face) = choice.peer.face(self.directions) else { continue };
            match ask(&face.gauge) {
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
        Plan { first, alternates, room, waits: true, by_path: self.by_path, route: None }
    }

    pub(crate) fn no_room(&self, full: Full) -> Error {
        let what = match full {
            Full::Queue => "its queue is full",
            Full::Memory => "the memory of this node is nearly used up, and the link has its share",
            Full::Calls => "it has as many calls open as it allows",
            Full::Line => "others wait for room already",
            Full::Ticks => "it has not confirmed the ticks that were sent before",
        };
        let message = format!("no room for a message to {:?}: {what}", self.peer().as_str());
        Error::new(ErrorKind::Backpressure, message).with_peer(self.peer().clone())
    }
}
