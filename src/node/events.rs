//! The stream of [`NodeEvent`]s: ordered, bounded, for any number of subscribers. It must never make the loop wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::lock;
use crate::config::LONGEST_TIMEOUT;
use crate::home::Home;
use crate::node_event::NodeEvent;
use crate::service;

/// A subscription to what happens to a node, from the moment it was made, in order.
///
/// Got from [`Handle::events`](crate::Handle::events). It is an iterator that waits for the next event and ends after
/// [`NodeEvent::Stopped`], and in a forked child. A subscription holds a bounded number of events
/// ([`Limits::events_per_subscriber`](crate::Limits::events_per_subscriber)); when it is full the oldest are dropped, and the next
/// event that is taken is [`NodeEvent::Missed`] with their number.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use threadmesh::{Node, NodeEvent};
///
/// let node = Node::builder().id("lonely").start()?;
/// let mut events = node.events();
/// assert!(events.try_next().is_none());
/// node.stop()?;
/// assert!(matches!(events.next_timeout(Duration::from_secs(1)), Some(NodeEvent::Stopped)));
/// assert!(events.next().is_none());
/// # Ok::<(), threadmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
    home: Home,
}

impl Events {
    /// The next event if there is one already. `None` also after the last one.
    pub fn try_next(&mut self) -> Option<NodeEvent> {
        if !self.home.is_here() {
            return None;
        }
        lock(&self.queue.ring).take()
    }

    /// The next event. `None` when none came within `timeout`, or after the last one.
    ///
    /// # Blocking
    /// At most `timeout`; ended by an event or by the node's end.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<NodeEvent> {
        self.next_until(Instant::now().checked_add(timeout.min(LONGEST_TIMEOUT)))
    }

    /// Where the stream stands, also for those who do not take from it.
    pub(crate) fn place(&self) -> Place {
        Place(Arc::clone(&self.queue))
    }

    /// The next event, waiting until `deadline`, or for ever if there is none.
    pub(crate) fn next_until(&mut self, deadline: Option<Instant>) -> Option<NodeEvent> {
        if !self.home.is_here() {
            return None;
        }
        if let Some(event) = lock(&self.queue.ring).take() {
            return Some(event);
        }
        // Before the lock: it may start a worker, and the loop must not wait for that.
        let _waiting = service::waiting();
        let mut ring = lock(&self.queue.ring);
        loop {
            if let Some(event) = ring.take() {
                return Some(event);
            }
            if ring.ended {
                return None;
            }
            let patience = match deadline {
                None => LONGEST_TIMEOUT,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if patience.is_zero() {
                return None;
            }
            ring = self.queue.wait(ring, patience);
        }
    }
}

impl Iterator for Events {
    type Item = NodeEvent;

    /// The next event; `None` after [`NodeEvent::Stopped`].
    ///
    /// # Blocking
    /// Until something happens, at the latest until the node stops.
    fn next(&mut self) -> Option<NodeEvent> {
        self.next_until(None)
    }
}

/// The end of one subscription's stream, as it grows.
#[derive(Debug)]
pub(crate) struct Place(Arc<Queue>);

impl Place {
    /// The number of the next event that will be put into the stream; the first had zero.
    pub(crate) fn next(&self) -> u64 {
        let ring = lock(&self.0.ring);
        ring.taken + ring.missed + ring.events.len() as u64
    }
}

/// All subscriptions of one node.
#[derive(Debug)]
pub(crate) struct Hub {
    capacity: usize,
    home: Home,
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    /// A queue whose subscription was dropped is held by nobody else, and goes at the next event.
    queues: Vec<Arc<Queue>>,
    ended: bool,
    /// Events that were dropped because a subscription was full, of all together.
    missed: u64,
}

impl Hub {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), home: Home::here(), subscribers: Mutex::default() }
    }

    /// A subscription to everything from now on. After the node's end it has ended already; a fork hears nothing.
    pub(crate) fn subscribe(&self) -> Events {
        let events = Events { queue: Arc::default(), home: self.home };
        if !self.home.is_here() {
            return events;
        }
        let queue = &events.queue;
        let mut subscribers = lock(&self.subscribers);
        lock(&queue.ring).ended = subscribers.ended;
        if !subscribers.ended {
            subscribers.queues.push(Arc::clone(queue));
        }
        drop(subscribers);
        events
    }

    /// Events that subscribers missed so far, of all together.
    pub(crate) fn missed(&self) -> u64 {
        lock(&self.subscribers).missed
    }

    /// Tells every subscription. Takes only locks that nobody holds for longer than it takes to move one event.
    pub(crate) fn publish(&self, event: &NodeEvent) {
        let mut guard = lock(&self.subscribers);
        let subscribers = &mut *guard;
        if subscribers.ended {
            return;
        }
        subscribers.queues.retain(|queue| Arc::strong_count(queue) > 1);
        for queue in &subscribers.queues {
            subscribers.missed += u64::from(queue.push(event.clone(), self.capacity));
        }
        if matches!(event, NodeEvent::Stopped) {
            subscribers.ended = true;
            subscribers.queues.clear();
        }
    }
}

/// What one subscription has not taken yet.
#[derive(Debug, Default)]
struct Queue {
    ring: Mutex<Ring>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<NodeEvent>,
    /// Events that were taken, or told as missed.
    taken: u64,
    /// Events that were dropped from the front since the last one was taken.
    missed: u64,
    ended: bool,
}

impl Queue {
    /// Appends an event. True when the oldest was dropped for it.
    fn push(&self, event: NodeEvent, capacity: usize) -> bool {
        let full = {
            let mut ring = lock(&self.ring);
            ring.ended = matches!(event, NodeEvent::Stopped);
            let full = ring.events.len() >= capacity;
            if full {
                ring.events.pop_front();
                ring.missed += 1;
            }
            ring.events.push_back(event);
            full
        };
        self.arrived.notify_one();
        full
    }

    fn wait<'a>(
        &self,
        ring: std::sync::MutexGuard<'a, Ring>,
        patience: Duration,
    ) -> std::sync::MutexGuard<'a, Ring> {
        let waited = self.arrived.wait_timeout(ring, patience);
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }
}

impl Ring {
    fn take(&mut self) -> Option<NodeEvent> {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            self.taken += missed;
            return Some(NodeEvent::Missed(missed));
        }
        let event = self.events.pop_front()?;
        self.taken += 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn event(name: &str) -> NodeEvent {
        NodeEvent::ServicesChanged { id: NodeId::new(name).unwrap() }
    }

    fn name(event: Option<NodeEvent>) -> String {
        match event {
            Some(NodeEvent::ServicesChanged { id }) => id.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_subscriber_sees_every_event_in_order() {
        let _bound = crate::bound::bound();
        let hub = Hub::new(8);
        let (mut one, mut two) = (hub.subscribe(), hub.subscribe());
        hub.publish(&event("a"));
        hub.publish(&event("b"));
        for events in [&mut one, &mut two] {
            assert_eq!(name(events.try_next()), "a");
            assert_eq!(name(events.try_next()), "b");
            assert!(events.try_next().is_none());
        }
    }

    #[test]
    fn events_up_to_the_limit_wait_and_one_more_is_missed_and_counted() {
        let _bound = crate::bound::bound();
        for (count, missed) in [(2, 0), (3, 0), (4, 1)] {
            let hub = Hub::new(3);
            let (mut one, _two) = (hub.subscribe(), hub.subscribe());
            (0..count).for_each(|_| hub.publish(&event("a")));
            assert_eq!(hub.missed(), 2 * missed, "both subscriptions, {count}");
            assert_eq!(matches!(one.try_next(), Some(NodeEvent::Missed(_))), missed > 0);
        }
    }

    #[test]
    fn a_slow_subscriber_is_told_how_many_it_missed() {
        let _bound = crate::bound::bound();
        let hub = Hub::new(2);
        let mut events = hub.subscribe();
        for name in ["a", "b", "c", "d", "e"] {
            hub.publish(&event(name));
        }
        assert!(matches!(events.try_next(), Some(NodeEvent::Missed(3))));
        assert_eq!(name(events.try_next()), "d");
        assert_eq!(name(events.try_next()), "e");
        assert!(events.try_next().is_none());
    }

    #[test]
    fn stopped_ends_the_stream_and_nothing_follows() {
        let _bound = crate::bound::bound();
        let hub = Hub::new(1);
        let mut events = hub.subscribe();
        hub.publish(&NodeEvent::Stopped);
        hub.publish(&event("late"));
        assert!(matches!(events.next(), Some(NodeEvent::Stopped)));
        assert!(events.next().is_none());
        assert!(hub.subscribe().next().is_none());
    }

    #[test]
    fn a_dropped_subscription_is_forgotten() {
        let _bound = crate::bound::bound();
        let hub = Hub::new(1);
        drop(hub.subscribe());
        hub.publish(&event("a"));
        assert!(lock(&hub.subscribers).queues.is_empty());
    }

    #[test]
    fn a_waiting_subscriber_wakes_for_an_event_of_another_thread() {
        let _bound = crate::bound::bound();
        let hub = Arc::new(Hub::new(4));
        let mut events = hub.subscribe();
        std::thread::scope(|scope| {
            scope.spawn(|| hub.publish(&event("a")));
            assert_eq!(name(events.next_timeout(Duration::from_secs(10))), "a");
        });
    }
}
