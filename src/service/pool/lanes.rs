//! Ticks of one origin over one link: in order, one worker at a time, many per wake.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{LinkId, NodeId};
use crate::proto::Delivery;

/// Ticks a worker takes from a lane at once, before others have their turn.
pub(super) const BATCH: usize = 256;

/// Whose ticks these are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LaneKey {
    pub(super) link: LinkId,
    /// `None` when the sender is the origin.
    origin: Option<NodeId>,
}

impl LaneKey {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self { link: delivery.link, origin: delivery.origin.clone() }
    }
}

/// All lanes in which there is anything. A lane that is here is queued once or owned by one worker, never both, never neither.
#[derive(Default, Debug)]
pub(super) struct Lanes {
    lanes: BTreeMap<LaneKey, VecDeque<Delivery>>,
    /// The room of the lane that was emptied last: a busy lane comes and goes, its memory stays.
    spare: VecDeque<Delivery>,
}

impl Lanes {
    /// Appends a tick. The lane is returned when it is new and must be queued.
    pub(super) fn push(&mut self, tick: Delivery) -> Option<LaneKey> {
        let key = LaneKey::of(&tick);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.push_back(tick);
            return None;
        }
        let mut lane = std::mem::take(&mut self.spare);
        lane.push_back(tick);
        self.lanes.insert(key.clone(), lane);
        Some(key)
    }

    /// Moves the next batch of a lane, which the caller now owns, into the empty `batch`.
    pub(super) fn take(&mut self, key: &LaneKey, batch: &mut VecDeque<Delivery>) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.len() <= BATCH {
            std::mem::swap(lane, batch);
        } else {
            batch.extend(lane.drain(..BATCH));
        }
    }

    /// Ends the ownership of a lane and puts back what was not done. True when the lane must be queued again.
    pub(super) fn give_back(&mut self, key: &LaneKey, rest: &mut VecDeque<Delivery>) -> bool {
        let Some(lane) = self.lanes.get_mut(key) else { return false };
        while let Some(tick) = rest.pop_back() {
            lane.push_front(tick);
        }
        let more = !lane.is_empty();
        if !more {
            let emptied = self.lanes.remove(key).unwrap_or_default();
            if emptied.capacity() <= 4 * BATCH {
                self.spare = emptied;
            }
        }
        more
    }

    /// Ticks that no worker has taken.
    pub(super) fn ticks(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }

    pub(super) fn clear(&mut self) {
        self.lanes.clear();
    }
}
