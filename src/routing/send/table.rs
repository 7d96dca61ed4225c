//! All known nodes and what they serve: what a send strategy looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::{KnownNode, SendTarget};
use crate::id::{NodeId, PeerKey};
use crate::node_event::Directions;
use crate::routing::candidates::{Candidates, Question};
use crate::routing::directory::{Directory, PeerEntry};
use crate::routing::make_plan;
use crate::routing::path::{Path, PathPattern};
use crate::routing::strategy::{Strategy, hash_of};

/// The known nodes and what they serve: the node itself first, then its peers in the order in which they joined. A peer that comes back is
/// the last. A snapshot: it does not change, and its clones are cheap.
///
/// A strategy sees only whom its call may go to. A call that is limited to one direction has a table without the node itself, and without the peers
/// to which no link stands in that direction; whoever it excepts is not in the table either.
///
/// As text it is a picture for people: a line for each node, and the tree of its paths below. With serde it is a list of nodes: `id`, `host`,
/// `address`, `own`, `up`, `down`, `options`, `paths`.
///
/// # Example
/// ```
/// use threadmesh::{PathPattern, PathTable};
///
/// /// How many nodes serve a path.
/// fn serving(nodes: &PathTable, pattern: &PathPattern) -> usize {
///     nodes.iter().filter(|node| node.first_match(pattern).is_some()).count()
/// }
/// ```
pub struct PathTable {
    own: Option<Arc<PeerEntry>>,
    directory: Directory,
    directions: Directions,
    except: Arc<[NodeId]>,
    /// Peers that a filter has left out, in ascending order.
    left_out: Arc<[PeerKey]>,
    now: Instant,
    chance: AtomicU64,
}

impl PathTable {
    /// What a call sees that may go in these directions to all but `except`. `own` has the key [`PeerKey::OWN`](crate::id::PeerKey) and
    /// is on its own host; it is left out by giving none. `seed` decides what strategies do that go by chance.
    pub(crate) fn new(
        own: Option<Arc<PeerEntry>>,
        directory: Directory,
        directions: Directions,
        except: Arc<[NodeId]>,
        now: Instant,
        seed: u64,
    ) -> Self {
        debug_assert!(own.as_ref().is_none_or(|own| own.is_own() && own.is_local));
        let (left_out, chance) = (Arc::default(), AtomicU64::new(seed));
        Self { own, directory, directions, except, left_out, now, chance }
    }

    /// All nodes: the node itself, then its peers in the order in which they joined.
    pub fn iter(&self) -> impl Iterator<Item = KnownNode<'_>> {
        self.own
            .iter()
            .chain(self.directory.iter().filter(|peer| self.shows(peer)))
            .map(self.known())
    }

    /// The node itself, if the call may go to it.
    pub fn own(&self) -> Option<KnownNode<'_>> {
        self.own.as_ref().map(self.known())
    }

    /// The node of that id.
    pub fn get(&self, id: impl AsRef<str>) -> Option<KnownNode<'_>> {
        self.entry(id.as_ref()).map(self.known())
    }

    /// Only those nodes: what a strategy gives to the one that it stands around, which then chooses as if there were no others.
    ///
    /// # Example
    /// ```
    /// use threadmesh::{Outgoing, PathTable, RoundRobin, SendStrategy, Targets};
    ///
    /// /// Takes turns among those that are not about to go.
    /// struct NotDraining(RoundRobin);
    ///
    /// impl SendStrategy for NotDraining {
    ///     fn targets(&self, message: &Outgoing<'_>, nodes: &PathTable) -> Targets {
    ///         let staying = nodes.filter(|node| node.options().get_bool("draining") != Some(true));
    ///         self.0.targets(message, &staying)
    ///     }
    /// }
    /// ```
    pub fn filter(&self, mut keep: impl FnMut(&KnownNode<'_>) -> bool) -> Self {
        let known = self.known();
        let keeps_own = self.own.as_ref().is_some_and(|own| keep(&known(own)));
        let own = self.own.clone().filter(|_| keeps_own);
        let peers = self.directory.iter().filter(|peer| self.shows(peer));
        let out = peers.filter(|peer| !keep(&known(peer))).map(|peer| peer.key);
        let mut left_out: Vec<PeerKey> = self.left_out.iter().copied().chain(out).collect();
        left_out.sort_unstable();
        Self { own, left_out: left_out.into(), ..self.clone() }
    }

    /// What the node of that id is reached by.
    pub(crate) fn entry(&self, id: &str) -> Option<&Arc<PeerEntry>> {
        let peer = || self.directory.get(id).filter(|peer| self.shows(peer));
        self.own.as_ref().filter(|own| own.id == *id).or_else(peer)
    }

    /// The number of nodes. They are counted one by one.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All paths that the pattern means, each with the node that serves it: node by node, and for each node in the order in which it
    /// registered them.
    ///
    /// A node is looked at when its turn comes, so to take the first match costs little. A pattern that is a path is searched for by halving.
    pub fn matches<'t>(
        &'t self,
        pattern: &'t PathPattern,
    ) -> impl Iterator<Item = (KnownNode<'t>, &'t Path)> {
        let is_exact = !pattern.has_wildcard();
        self.iter().flat_map(move |node| {
            let one = if is_exact { node.first_match(pattern) } else { None };
            let all = if is_exact { None } else { Some(node.paths().matches(pattern)) };
            one.into_iter().chain(all.into_iter().flatten()).map(move |path| (node, path))
        })
    }

    /// All nodes that serve what the pattern means, in their order, each with its first match.
    pub fn first_matches<'t>(
        &'t self,
        pattern: &'t PathPattern,
    ) -> impl Iterator<Item = (KnownNode<'t>, &'t Path)> {
        self.iter().filter_map(move |node| Some((node, node.first_match(pattern)?)))
    }

    /// Whom the strategy chooses among those that serve what the pattern means, and its alternates, each with its first match.
    pub(super) fn chosen_by(
        &self,
        strategy: &dyn Strategy,
        pattern: &PathPattern,
    ) -> Vec<SendTarget> {
        let Directions { up, down } = self.directions;
        let number = || hash_of(pattern) ^ u64::from(up) ^ u64::from(down) << 1;
        let question = Question {
            id: None,
            filter: None,
            predicate: None,
            directions: self.directions,
            own: self.own.as_ref(),
            pattern: Some(pattern),
            except: &self.except,
            left_out: &self.left_out,
            no_routers: false,
            is_copy: false,
            number: &number,
        };
        // Whoever asks twice draws twice.
        let rng = fastrand::Rng::with_seed(self.chance.fetch_add(1, Relaxed));
        let mut candidates = Candidates::new(&self.directory, &question, rng, self.now);
        let chosen = make_plan(strategy, &mut candidates);
        let target = |peer: &Arc<PeerEntry>| {
            let path = peer.services.paths().first(pattern)?;
            Some(SendTarget::new(&peer.id, path))
        };
        chosen.iter().filter_map(target).collect()
    }

    /// The node itself and all peers, also those that the call may not go to: to tell who is meant, not who gets something.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &PeerEntry> {
        self.own.iter().chain(self.directory.iter()).map(|entry| &**entry)
    }

    /// Whether there is a node of that id, also one that the call may not go to.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.directory.get(id).is_some() || self.own.as_ref().is_some_and(|own| own.id == *id)
    }

    fn shows(&self, peer: &PeerEntry) -> bool {
        peer.face(self.directions).is_some()
            && !self.except.contains(&peer.id)
            && self.left_out.binary_search(&peer.key).is_err()
    }

    fn known<'t>(&self) -> impl Fn(&'t Arc<PeerEntry>) -> KnownNode<'t> + use<'t> {
        let now = self.now;
        move |entry| KnownNode::new(entry, now)
    }
}

/// The same nodes, and the same chance from here on.
impl Clone for PathTable {
    fn clone(&self) -> Self {
        Self {
            own: self.own.clone(),
            directory: self.directory.clone(),
            directions: self.directions,
            except: Arc::clone(&self.except),
            left_out: Arc::clone(&self.left_out),
            now: self.now,
            chance: AtomicU64::new(self.chance.load(Relaxed)),
        }
    }
}
