//! A [`Call`] for which no peer will do, or may not: whether routers are asked, and for whom.
//!
//! It must not know how routers place a message, nor how they list their peers.

use std::time::Instant;

use super::{Call, Whom};
use crate::error::{Error, ErrorKind, ROUTERS};
use crate::event::EventName;
use crate::id::NodeId;
use crate::node::choose::Wanted;
use crate::node::listing::{Listed, Unheard};
use crate::node::lookup::{Choice, Lookup, Room};
use crate::node::onward::{Routed, Sought, route};
use crate::node::selector::Selector;
use crate::node::terms::{Routers, Terms};
use crate::node_event::Directions;
use crate::routing::{Destination, Route};

/// How routers are asked for somebody.
enum Asking {
    /// A router places the message.
    Places(Destination),
    /// Routers say whom they know, and this node chooses.
    Lists,
}

/// Saying whether routers are asked.
impl Call<'_> {
    /// Never asks a router: who is no peer of this node does not get the message.
    pub fn local_only(mut self) -> Self {
        self.terms.routers = Routers::Never;
        self
    }

    /// Asks routers also where calls do not by themselves: in a call [`to`](crate::Handle::to) one id, in one that is limited to one
    /// direction, and in one [by path](crate::Handle::by_path). A peer that will do comes first there, too. With
    /// [`Directions::NONE`] nobody is asked.
    ///
    /// # Example
    /// ```
    /// # use threadmesh::{Node, Request, Router};
    /// # let router = Router::builder().id("main-router").bind("127.0.0.1:0").start()?;
    /// # let users = Node::builder().id("users-7").on_request("name", |_: Request<u32>| Ok("Ada")).start()?;
    /// # users.connect(router.local_addr()?)?;
    /// # let node = Node::builder().start()?;
    /// # node.connect(router.local_addr()?)?;
    /// // It is a peer of the router, and none of this node.
    /// let name: String = node.to("users-7").via_router().request("name", &7)?;
    /// assert_eq!(name, "Ada");
    /// # Ok::<(), threadmesh::Error>(())
    /// ```
    pub fn via_router(mut self) -> Self {
        self.terms.routers = Routers::Wanted;
        self
    }
}

impl Call<'_> {
    /// How routers are asked for whom this call means; `None` if they are not.
    fn asking(&self) -> Option<Asking> {
        let Terms { directions, except, routers, .. } = &self.terms;
        let wanted = match routers {
            Routers::Never => return None,
            Routers::Usual => false,
            Routers::Wanted => true,
        };
        if *directions == Directions::NONE {
            return None;
        }
        let to = |id: &str| {
            let id = NodeId::new(id).ok().filter(|id| *id != self.core().id)?;
            (wanted && !except.contains(&id)).then_some(Asking::Places(Destination::Id(id)))
        };
        match &self.whom {
            Whom::Id(id) => to(id),
            Whom::Any(Selector { id: Some(id), .. }) => to(id),
            Whom::Any(_) if self.is_copy || !(wanted || *directions == Directions::BOTH) => None,
            Whom::Any(selector) => {
                let chooses =
                    selector.predicate.is_some() || self.strategy.is_some() || !except.is_empty();
                let places = || Asking::Places(Destination::Filter(selector.encoded()));
                Some(if chooses { Asking::Lists } else { places() })
            }
            // That is said by the send strategy.
            Whom::Path(_) => None,
        }
    }

    /// Whether there are routers, and they are asked.
    pub(super) fn goes_onward(&self) -> bool {
        self.core().knows_routers() && self.asking().is_some()
    }

    /// A call for which peers were found: behind them stand the routers, if they can place the message.
    pub(super) fn backed_by_routers(&self, mut lookup: Lookup, event: &EventName) -> Lookup {
        if !self.core().knows_routers() {
            return lookup;
        }
        if let Some(Asking::Places(destination)) = self.asking() {
            lookup.routed = self.routed(self.route(Some(destination)), event, None);
        }
        lookup
    }

    /// A call for which no peer will do.
    pub(super) fn onward(
        &self,
        event: &EventName,
        deadline: Option<Instant>,
        room: Room,
    ) -> Result<Lookup, Error> {
        match (self.asking(), &self.whom) {
            (Some(Asking::Places(destination)), _) => {
                let routers = self.core().routers(&self.core().directory(), &self.terms.except);
                // The last may have left a moment ago.
                let Some(router) = routers.into_iter().next() else {
                    return Err(self.nobody(event));
                };
                let route = self.route(Some(destination.clone()));
                let routed = self.routed(route, event, Some(router.id.clone()));
                let first = Choice::onward(router, destination);
                Ok(Lookup { routed, ..Lookup::one(first, self.terms.directions) })
            }
            (Some(Asking::Lists), Whom::Any(selector)) => {
                self.listed(selector, event, deadline, room)
            }
            _ => Err(self.nobody(event)),
        }
    }

    /// This node chooses among those whom routers know.
    fn listed(
        &self,
        selector: &Selector,
        event: &EventName,
        deadline: Option<Instant>,
        room: Room,
    ) -> Result<Lookup, Error> {
        let (core, wanted) = (self.core(), self.wanted(selector));
        if room == Room::Now {
            let why = "routers would have to be asked who is there, for which a call that only tries does not wait";
            let error = core.no_match_and(wanted, event, why);
            core.tell_no_match(&error);
            return Err(error);
        }
        // A tick has no deadline, and what it asks has one.
        let ends = || self.terms.times(core, Instant::now()).map(|times| times.deadline);
        let deadline = deadline.map_or_else(ends, Ok)?;
        let routers = core.routers(&core.directory(), &self.terms.except);
        let listed = core.choose_behind(routers, wanted, self.strategy.as_deref(), deadline)?;
        let (router, ids) = match listed {
            Listed::Chosen { router, ids } => (router, ids),
            Listed::Nobody { unheard: Unheard { failed: Some(error), .. }, .. } => {
                return Err(error);
            }
            Listed::Nobody { unheard: Unheard { untold: Some(router), .. }, .. } => {
                return Err(self.untold(wanted, event, &router));
            }
            Listed::Nobody { asked, .. } => {
                let asked: Vec<&str> = asked.iter().map(NodeId::as_str).collect();
                return Err(self.sought(event).nobody(core, &asked.join(", ")));
            }
        };
        let choice = |id| Choice::onward(router.clone(), Destination::Id(id));
        let mut choices = ids.into_iter().map(choice);
        let Some(first) = choices.next() else { return Err(self.nobody(event)) };
        // Whoever was chosen is a peer of that router. Another one may know the first choice as well, if that router is lost.
        let route = Route { hops_left: 0, ..self.route(first.onward.clone()) };
        let routed = self.routed(route, event, Some(router.id.clone()));
        let one = Lookup::one(first, self.terms.directions);
        Ok(Lookup { alternates: choices.collect(), routed, ..one })
    }

    /// Nobody matches whom this node can see, and this router does not show whom it knows.
    fn untold(&self, wanted: Wanted<'_>, event: &EventName, router: &NodeId) -> Error {
        let Wanted { selector, .. } = wanted;
        let chooser = match &selector.predicate {
            Some(predicate) => format!("the predicate at {}", predicate.place),
            None if self.strategy.is_some() => "the strategy of the call".to_owned(),
            None => "a call that excepts somebody".to_owned(),
        };
        let message = format!(
            "no peer for {:?} matches {selector}, and the router {:?} does not tell whom it knows, so {chooser} cannot choose among \
             them; say with a filter alone who is meant, or let the router tell",
            event.as_str(),
            router.as_str()
        );
        let error = Error::new(ErrorKind::PredicateNotRoutable, message).with_peer(router.clone());
        error.with_context("event", event.as_str()).with_context(ROUTERS, router)
    }

    fn route(&self, fallback: Option<Destination>) -> Route {
        let except = &self.terms.except;
        if except.is_empty() {
            return Route::new(fallback);
        }
        route(&self.core().directory(), fallback, except)
    }

    #[allow(clippy::unnecessary_wraps)] // It is what a lookup has or has not.
    fn routed(
        &self,
        route: Route,
        event: &EventName,
        router: Option<NodeId>,
    ) -> Option<Box<Routed>> {
        Some(Box::new(Routed { route, sought: self.sought(event), router }))
    }

    fn sought(&self, event: &EventName) -> Sought {
        let Terms { directions, except, .. } = &self.terms;
        let selector = match &self.whom {
            Whom::Any(selector) => selector.clone(),
            Whom::Id(id) => Selector::from(*id),
            Whom::Path(_) => Selector::default(),
        };
        if let Some(id) = selector.id.as_deref().and_then(|id| NodeId::new(id).ok()) {
            return Sought::Id(id);
        }
        let (directions, except, event) = (*directions, except.clone(), event.clone());
        Sought::Any { selector, directions, except, event }
    }
}
