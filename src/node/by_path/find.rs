//! From a path to those who get the message: the strategy is asked, and whom it names is found, or dialled. It must not send anything to them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::PathCall;
use crate::address::Address;
use crate::config::LONGEST_TIMEOUT;
use crate::error::{Error, ErrorKind, Execution};
use crate::event::EventName;
use crate::node::lookup::{Choice, Lookup};
use crate::node::onward::{Routed, Sought, route};
use crate::node::terms::{Routers, Terms, half_way, out_of_time};
use crate::node_event::{Directions, NodeEvent};
use crate::payload::Encode;
use crate::proto::Message;
use crate::routing::{
    Destination, Outgoing, PathPattern, PathTable, PeerEntry, Recipient, SendStrategy, SendTarget,
    Targets,
};
use crate::service;

/// Paths named in a `NOT_FOUND`, as a help against typing errors.
const PATHS_NAMED: usize = 8;

/// A message that is going somewhere, and how it was asked for.
pub(super) struct Letter {
    pub(super) pattern: PathPattern,
    pub(super) message: Message,
    /// `None` for a tick.
    pub(super) deadline: Option<Instant>,
    /// One answer is wanted, whoever gives it.
    pub(super) is_for_one: bool,
}

impl Letter {
    /// Before it is sent: strategies and dialling take time, and what is over must not look as if it may have run.
    pub(super) fn in_time(&self) -> Result<(), Error> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(out_of_time("the time of the call was over before it could be sent"));
        }
        Ok(())
    }
}

/// What is known of a target without a dial.
enum Found {
    /// Who it is, or that it cannot be had.
    Known(Result<Choice, Error>),
    /// It has to be dialled.
    Unknown(Address),
}

/// Whom the strategy wants.
pub(super) struct Wanted {
    pub(super) targets: Targets,
    /// What it chose from.
    pub(super) table: PathTable,
    pub(super) strategy: Arc<dyn SendStrategy>,
}

impl PathCall<'_> {
    /// The message as it is asked for; whoever is found may call it something else.
    pub(super) fn letter(
        &self,
        data: &(impl Encode + ?Sized),
        deadline: Option<Instant>,
        is_for_one: bool,
    ) -> Result<Letter, Error> {
        let pattern = self.pattern()?;
        let event = event_of(&pattern)?;
        let message = self.terms.message(self.core(), self, event, data)?;
        Ok(Letter { pattern, message, deadline, is_for_one })
    }

    /// Who gets this message of a call to one. Each who may get it says by which path.
    pub(in crate::node) fn place(
        &self,
        message: &Message,
        deadline: Option<Instant>,
    ) -> Result<Lookup, Error> {
        let (pattern, message) = (self.pattern()?, message.clone());
        let mut letter = Letter { pattern, message, deadline, is_for_one: true };
        let Wanted { targets, table, .. } = self.wanted(&letter)?;
        let mut lookup = self.one_of(&mut letter, in_order(targets)?, &table)?;
        for choice in std::iter::once(&mut lookup.first).chain(&mut lookup.alternates) {
            choice.event.get_or_insert_with(|| letter.message.event.clone());
        }
        Ok(lookup)
    }

    /// Asks the strategy, and again while there is nobody, as long as the call says. An answer that means many ends a call for one, also when
    /// it means nobody.
    pub(super) fn wanted(&self, letter: &Letter) -> Result<Wanted, Error> {
        let somebody = |wanted: &Wanted| {
            !wanted.targets.as_slice().is_empty() || self.goes_onward(letter, &wanted.targets)
        };
        let ask = || Ok(Some(self.ask(letter)?).filter(somebody));
        let wanted = self.core().look_patiently(self.match_patience, letter.deadline, ask)?;
        wanted.ok_or_else(|| self.nobody(letter))
    }

    fn ask(&self, letter: &Letter) -> Result<Wanted, Error> {
        let strategy = self.strategy.clone().unwrap_or_else(|| self.core().send_strategy());
        let table = self.core().path_table(self.terms.directions, &self.terms.except);
        let now = Instant::now();
        let outgoing = Outgoing {
            path: &self.path,
            pattern: &letter.pattern,
            payload: &letter.message.payload,
            headers: &letter.message.headers,
            timeout: letter.deadline.map(|deadline| deadline.saturating_duration_since(now)),
            wants_answer: letter.deadline.is_some(),
        };
        let asked = catch_unwind(AssertUnwindSafe(|| strategy.targets(&outgoing, &table)));
        let targets = asked.map_err(|_| {
            let why = "the send strategy of the call panicked; nothing was sent";
            Error::new(ErrorKind::UserCodePanicked, why)
        })?;
        if letter.is_for_one {
            means_one(&targets)?;
        }
        if !targets.as_slice().is_empty() {
            letter.in_time()?;
        }
        Ok(Wanted { targets, table, strategy })
    }

    /// The one who gets the message, and alternates: the first of the targets that can be found, and those behind it. Its path becomes the
    /// name of the message.
    pub(super) fn one_of(
        &self,
        letter: &mut Letter,
        targets: Vec<SendTarget>,
        table: &PathTable,
    ) -> Result<Lookup, Error> {
        if targets.is_empty() {
            return self.onward(letter);
        }
        let (mut choices, mut paths, mut failed, mut ends) = (Vec::new(), Vec::new(), None, None);
        let mut left = targets.len();
        for target in targets {
            left -= 1;
            let found = match self.known(&target, table) {
                Found::Known(found) => found,
                // An address behind somebody who is there is not worth waiting for.
                Found::Unknown(_) if !choices.is_empty() => continue,
                Found::Unknown(address) => {
                    let ends = *ends.get_or_insert_with(|| self.dialling_ends(letter));
                    let until = if left > 0 { half_way(ends) } else { ends };
                    let mut dialled = None;
                    self.dial(vec![address], until, |_, found| dialled = Some(found));
                    dialled.unwrap_or_else(|| Err(self.core().closed()))
                }
            };
            match found {
                Ok(choice) => {
                    choices.push(choice);
                    paths.push(target.path().clone());
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(path) = paths.first() else {
            return Err(failed.unwrap_or_else(|| self.not_found(&letter.pattern, table)));
        };
        letter.message.event = event_of(path)?;
        if paths.iter().any(|other| other != path) {
            for (choice, path) in choices.iter_mut().zip(&paths) {
                choice.event = Some(event_of(path)?);
            }
        }
        let mut choices = choices.into_iter();
        let Some(first) = choices.next() else {
            return Err(self.not_found(&letter.pattern, table));
        };
        letter.in_time()?;
        let one = Lookup::one(first, self.terms.directions);
        Ok(Lookup { alternates: choices.collect(), by_path: true, ..one })
    }

    /// Whether routers are asked, as the strategy means one and names nobody.
    fn goes_onward(&self, letter: &Letter, targets: &Targets) -> bool {
        let Terms { directions, routers, .. } = &self.terms;
        let wants_one = letter.is_for_one || letter.deadline.is_none();
        let names_nobody = matches!(targets, Targets::InOrder(targets) if targets.is_empty());
        let asks = *routers == Routers::Wanted && *directions != Directions::NONE;
        wants_one && names_nobody && asks && self.core().knows_routers()
    }

    /// A router finds somebody who serves what was asked for.
    fn onward(&self, letter: &mut Letter) -> Result<Lookup, Error> {
        let (directory, except) = (self.core().directory(), &self.terms.except);
        // The last may have left a moment ago.
        let Some(router) = self.core().routers(&directory, except).into_iter().next() else {
            return Err(self.nobody(letter));
        };
        letter.message.event = event_of(&letter.pattern)?;
        letter.in_time()?;
        let route = route(&directory, Some(Destination::Path), except);
        let (sought, asked) = (Sought::Path(letter.pattern.clone()), Some(router.id.clone()));
        let routed = Some(Box::new(Routed { route, sought, router: asked }));
        let one = Lookup::one(Choice::onward(router, Destination::Path), self.terms.directions);
        Ok(Lookup { by_path: true, routed, ..one })
    }

    /// Each of the targets as it is found: those that are known first, then those at addresses that have to be dialled, so that these keep
    /// nobody waiting.
    pub(super) fn each_of(
        &self,
        letter: &Letter,
        targets: &[SendTarget],
        table: &PathTable,
        mut found: impl FnMut(usize, Result<Choice, Error>),
    ) {
        let unknown = self.each_known(targets, table, &mut found);
        self.each_dialled(letter, unknown, found);
    }

    /// Those of the targets that need no dial. The others are given back, each with its number.
    pub(super) fn each_known(
        &self,
        targets: &[SendTarget],
        table: &PathTable,
        mut found: impl FnMut(usize, Result<Choice, Error>),
    ) -> Vec<(usize, Address)> {
        let mut unknown = Vec::new();
        for (at, target) in targets.iter().enumerate() {
            match self.known(target, table) {
                Found::Known(known) => found(at, known),
                Found::Unknown(address) => unknown.push((at, address)),
            }
        }
        unknown
    }

    /// Dials those that are not connected, all at once. Each is told as it is reached.
    pub(super) fn each_dialled(
        &self,
        letter: &Letter,
        unknown: Vec<(usize, Address)>,
        mut found: impl FnMut(usize, Result<Choice, Error>),
    ) {
        if !unknown.is_empty() {
            let (numbers, addresses): (Vec<usize>, Vec<Address>) = unknown.into_iter().unzip();
            let until = self.dialling_ends(letter);
            self.dial(addresses, until, |at, entry| found(numbers[at], entry));
        }
    }

    fn dial(
        &self,
        addresses: Vec<Address>,
        until: Instant,
        mut found: impl FnMut(usize, Result<Choice, Error>),
    ) {
        let allowed = |entry: Result<_, _>| entry.and_then(|entry| self.allowed(entry));
        self.core().reach(addresses, until, |at, entry| found(at, allowed(entry)));
    }

    /// Who is meant, as far as that can be said without a dial.
    fn known(&self, target: &SendTarget, table: &PathTable) -> Found {
        let directions = self.terms.directions;
        let address = match target.to() {
            Recipient::Node(id) => {
                let entry = table.entry(id.as_str()).cloned().map(Choice::new);
                return Found::Known(
                    entry.ok_or_else(|| self.core().not_found(id.as_str(), directions)),
                );
            }
            Recipient::Address(address) => address,
        };
        match self.core().known_at(address) {
            Some(entry) => Found::Known(self.allowed(entry)),
            // Whoever is dialled is upstream.
            None if !directions.up => {
                Found::Known(Err(self.core().not_found(&address.to_string(), directions)))
            }
            None if !self.dials => {
                let why =
                    format!("{address} is not connected, and a call that only tries does not dial");
                Found::Known(Err(Error::new(ErrorKind::NodeNotFound, why)))
            }
            None => Found::Unknown(address.clone()),
        }
    }

    /// Who is at an address, if the call may go there: what it says of directions and exceptions counts for addresses, too.
    fn allowed(&self, entry: Arc<PeerEntry>) -> Result<Choice, Error> {
        let Terms { directions, except, .. } = &self.terms;
        let meant = if entry.is_own() {
            *directions == Directions::BOTH
        } else {
            entry.face(*directions).is_some()
        };
        if meant && !except.contains(&entry.id) {
            return Ok(Choice::new(entry));
        }
        Err(self.core().not_found(entry.id.as_str(), *directions))
    }

    /// How long it may dial: a request until its deadline, a tick as long as it says.
    fn dialling_ends(&self, letter: &Letter) -> Instant {
        if let Some(deadline) = letter.deadline {
            return deadline;
        }
        let timeout = self.terms.timeout.unwrap_or(self.core().config.connect_timeout);
        let (now, inherited) = (Instant::now(), service::context::current());
        let own = now.checked_add(timeout.min(LONGEST_TIMEOUT)).unwrap_or(now);
        inherited.and_then(|context| context.deadline).map_or(own, |handler| handler.min(own))
    }

    /// The strategy wants nobody: the program may want to know that apart from the call.
    fn nobody(&self, letter: &Letter) -> Error {
        let table = self.core().path_table(self.terms.directions, &self.terms.except);
        let error = self.not_found(&letter.pattern, &table);
        if !self.is_quiet {
            log::warn!(target: "threadmesh::node", "{}: {error}", self.core().id);
            self.core().hub.publish(&NodeEvent::Error(error.clone()));
        }
        error
    }

    fn not_found(&self, pattern: &PathPattern, table: &PathTable) -> Error {
        let limits = if self.terms.directions == Directions::BOTH && self.terms.except.is_empty() {
            "known node"
        } else {
            "node that the call may go to"
        };
        let local = |message: String| {
            Error::new(ErrorKind::NotFound, message)
                .with_execution(Execution::Never)
                .with_context("path", pattern.as_str())
                .with_context("found", "local")
        };
        let serving = table.first_matches(pattern).count();
        if serving > 0 {
            let who = if serving == 1 {
                "1 node serves".into()
            } else {
                format!("{serving} nodes serve")
            };
            let path = pattern.as_str();
            return local(format!("{who} {path:?}, and the strategy of the call wants none"));
        }
        let mut paths: Vec<&str> = Vec::new();
        for path in table.iter().flat_map(|node| node.paths().iter()) {
            if paths.len() > PATHS_NAMED {
                break;
            }
            if !paths.contains(&path.as_str()) {
                paths.push(path.as_str());
            }
        }
        let others = match paths.len() {
            0 => format!("none of the {} known serves any path", nodes(table.len())),
            named if named > PATHS_NAMED => {
                format!("they serve {} and others", paths[..PATHS_NAMED].join(", "))
            }
            _ => format!("they serve {}", paths.join(", ")),
        };
        let message = format!("no {limits} serves {:?}; {others}", pattern.as_str());
        local(message)
    }
}

fn nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// What a message to that path is called.
pub(super) fn event_of(path: &PathPattern) -> Result<EventName, Error> {
    EventName::new(path.as_str())
}

/// One answer is asked only of a strategy that means one.
fn means_one(targets: &Targets) -> Result<(), Error> {
    match targets {
        Targets::One(_) | Targets::InOrder(_) => Ok(()),
        Targets::Each(targets) => Err(means_many(targets.len())),
    }
}

/// The targets of a strategy that chooses one.
pub(super) fn in_order(targets: Targets) -> Result<Vec<SendTarget>, Error> {
    match targets {
        Targets::One(target) => Ok(vec![target]),
        Targets::InOrder(targets) => Ok(targets),
        Targets::Each(targets) => Err(means_many(targets.len())),
    }
}

fn means_many(count: usize) -> Error {
    let why = format!(
        "the strategy of this call means many nodes ({count} now), and only one answer was asked for; ask with `request_all`, or \
         choose one with another strategy"
    );
    Error::new(ErrorKind::InvalidArgument, why).with_execution(Execution::Never)
}
