//! What peers say of members, and what they are sent: queries, replies and announcements. It must
//! not decide what is done to have a link with a member.

use std::time::Instant;

use super::membership::{Member, Origin, Source, lately};
use super::queries::Sent;
use super::{MembersPage, Topology, main_link};
use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::id::{CallId, LinkId, NodeId};
use crate::proto::effect::Effect;
use crate::proto::env::Env;
use crate::proto::peers::Peers;
use crate::wire::{self, Control};

/// What comes in.
impl<T> Topology<T> {
    /// Takes a query for the members; an error is its reply.
    pub(crate) fn query_received(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        link: LinkId,
        (call, address): (CallId, Option<&str>),
    ) -> Result<(), Error> {
        let added = if self.stopped { None } else { self.gossip.add_query(env.now, link, call) };
        let (Some(first), Some(id)) = (added, self.gossip.peer(link).cloned()) else {
            let why = if self.stopped { "it is stopping" } else { "it is being queried already" };
            let why = format!("{} does not name the members: {why}", env.local.id);
            return Err(Error::new(ErrorKind::Busy, why));
        };
        self.members.take_part();
        let mut news = false;
        if let Some(address) = address {
            let origin = Origin { source: Source::Itself, link };
            news = self.learn(env, peers, &id, address, origin);
            self.members.note_announced(&id);
        } else {
            let next = self.forget(env, &id);
            self.follow(env, peers, next);
        }
        if (news || first) && self.members.contains(&id) {
            self.announce_to_all(env, peers, &id, link);
        }
        env.touch(link);
        Ok(())
    }

    /// Takes a page of a reply.
    pub(crate) fn page_received(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        link: LinkId,
        page: MembersPage,
    ) {
        let MembersPage { call, members, more } = page;
        if !self.queries.awaits(link, call) {
            env.counters.late_answers += 1;
            return;
        }
        let failed = self.queries.count_page(env, call, members.len());
        if failed.is_some() {
            return self.query_failed(env, peers, failed);
        }
        let mut news = Vec::new();
        for member in members {
            if self.member_named(env, peers, (call, link), &member) {
                news.push(member.id);
            }
        }
        if !more {
            news.extend(self.reply_complete(env, peers, call));
        }
        for id in news {
            self.announce_to_all(env, peers, &id, link);
        }
        self.queries.proceed(env, call);
    }

    /// Takes one of the members that a reply names. Returns whether it is news.
    fn member_named(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        (call, link): (CallId, LinkId),
        member: &wire::Member,
    ) -> bool {
        let address = member.address.parse::<Address>();
        let own = address.is_ok_and(|address| self.is_own_address(env, &address));
        if own || member.id == env.local.id || !self.queries.name(call, &member.id) {
            return false;
        }
        let origin = Origin { source: Source::Answer, link };
        let news = self.learn(env, peers, &member.id, &member.address, origin);
        if let Some(link) = main_link(peers, &member.id) {
            // The link may be older than this node's part in the mesh.
            self.announce_self(env, link);
        } else if self.members.contains(&member.id) {
            self.queries.note_open(call, &member.id);
        } else {
            self.queries.note_unreached(call, &member.id);
        }
        news
    }

    /// The last page has come: the seed is a member, and is queried again whenever it was lost and
    /// is back. Returns it if it is to be announced: it may have been started anew.
    fn reply_complete(&mut self, env: &mut Env<T>, peers: &Peers, call: CallId) -> Option<NodeId> {
        let Sent { link, seed, dial } = self.queries.replied(env, call)?;
        let queries = &self.queries;
        self.members.note_reply(env.now, link, |id| queries.has_named(call, id));
        let dialled = self.dials.keep_seed(dial);
        let said = peers.get(&seed).and_then(|peer| peer.address.clone());
        // Without an address no node can dial it.
        let address = said.or(dialled)?.to_string();
        let origin = Origin { source: Source::Itself, link };
        let news = self.learn(env, peers, &seed, &address, origin);
        let first = self.gossip.note_reply(link);
        (news || first).then_some(seed)
    }

    /// Takes an error in place of a reply. Returns whether it is about a query of this node.
    pub(crate) fn query_refused(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        (link, call): (LinkId, CallId),
        error: &Error,
    ) -> bool {
        if !self.queries.awaits(link, call) {
            return false;
        }
        let failed = self.queries.fail(env, call, error.clone());
        self.query_failed(env, peers, failed);
        true
    }

    /// The sender, or another node, is a member.
    pub(crate) fn member_announced(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        from: LinkId,
        member: &wire::Member,
    ) {
        let is_sender = self.gossip.peer(from) == Some(&member.id);
        let source = if is_sender { Source::Itself } else { Source::Gossip };
        let origin = Origin { source, link: from };
        if self.learn(env, peers, &member.id, &member.address, origin) {
            self.announce_further(env, peers, &member.id, from);
        }
    }

    /// The sender is no member any more, or another node has stopped.
    pub(crate) fn member_left(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        from: LinkId,
        id: &NodeId,
    ) {
        if self.gossip.peer(from) == Some(id) || peers.get(id).is_none() {
            let next = self.forget(env, id);
            self.follow(env, peers, next);
        }
    }

    /// Whether this node has announced a member because it has queried this node.
    pub(crate) fn has_announced(&self, id: &NodeId) -> bool {
        self.members.has_announced(id)
    }
}

/// What is sent.
impl<T> Topology<T> {
    /// Announces a new or moved member: to all while two meshes merge, else to nodes that have
    /// queried this one a moment before it was known.
    fn announce_further(&mut self, env: &mut Env<T>, peers: &Peers, id: &NodeId, from: LinkId) {
        if self.members.is_merging(env.now) {
            return self.announce_to_all(env, peers, id, from);
        }
        let since = lately(env.now);
        self.announce(env, peers, (id, from), |queried_at, _| {
            queried_at.is_some_and(|at| at >= since)
        });
    }

    /// Announces a member to all members, and to every node that has queried this one.
    fn announce_to_all(&mut self, env: &mut Env<T>, peers: &Peers, id: &NodeId, from: LinkId) {
        self.announce(env, peers, (id, from), |queried_at, member| {
            queried_at.is_some() || member.is_some()
        });
    }

    /// Announces a member on the main link of each peer but itself, if `wants` selects it by when
    /// it last sent a query and by what is known of it as a member.
    pub(super) fn announce(
        &mut self,
        env: &mut Env<T>,
        peers: &Peers,
        (id, from): (&NodeId, LinkId),
        wants: impl Fn(Option<Instant>, Option<&Member>) -> bool,
    ) {
        let members = &self.members;
        self.gossip.announce(env, id, |to| {
            to.link != from
                && to.peer != id
                && main_link(peers, to.peer) == Some(to.link)
                && wants(to.queried_at, members.get(to.peer))
        });
    }

    /// Announces to the other side of a link that this node is a member, and where it can be
    /// dialled.
    pub(super) fn announce_self(&self, env: &mut Env<T>, link: LinkId) {
        let address = self.member_address(env, link).filter(|_| self.members.is_taking_part());
        let Some(address) = address else { return };
        let own = wire::Member { id: env.local.id.clone(), address: address.to_string() };
        env.then(Effect::SendControl { link, control: Control::MemberJoined(own) });
    }

    /// Announces on all links that this node can be dialled from now on, or not any more.
    pub(crate) fn announce_listening(&mut self, env: &mut Env<T>) {
        if self.stopped || !self.members.is_taking_part() {
            return;
        }
        for link in self.gossip.links() {
            if self.member_address(env, link).is_some() {
                self.announce_self(env, link);
            } else {
                let control = Control::MemberLeft { id: env.local.id.clone() };
                env.then(Effect::SendControl { link, control });
            }
        }
    }

    /// Announces that a member has stopped, so that none looks for it.
    pub(crate) fn announce_stop(&mut self, env: &mut Env<T>, peers: &Peers, id: &NodeId) {
        if peers.get(id).is_some() {
            return;
        }
        for link in self.members.joined_ids().filter_map(|member| main_link(peers, member)) {
            let control = Control::MemberLeft { id: id.clone() };
            env.then(Effect::OfferControl { link, control });
        }
    }

    /// Returns where this node can be dialled, as a member, which it is only as long as it listens.
    pub(super) fn member_address(&self, env: &Env<T>, link: LinkId) -> Option<Address> {
        let open = self.listener.is_open();
        env.advertised(self.gossip.local(link)).filter(|_| open)
    }

    /// Whether a link is still to be sent something of members.
    pub(crate) fn has_news(&self, link: LinkId) -> bool {
        self.gossip.is_pending(link)
    }

    /// Returns when there is more to announce on a link, if there is.
    pub(crate) fn next_announce_at(&self, link: LinkId) -> Option<Instant> {
        self.gossip.next_at(link)
    }

    /// Returns the page of a reply that is to be sent next on a link.
    pub(crate) fn next_page(&mut self, link: LinkId) -> Option<Control> {
        let next = self.gossip.next_page(link)?;
        let (members, more) = self.members.page(next.after.as_ref(), &next.requester);
        let last = members.last().map(|last| last.id.clone()).filter(|_| more);
        self.gossip.page_sent(link, last);
        Some(Control::Members { call: next.call, members, more })
    }

    /// Takes what may be announced on a link now.
    pub(crate) fn next_announcements(&mut self, now: Instant, link: LinkId) -> Vec<Control> {
        let ids = self.gossip.next_members(now, link);
        let named = ids.iter().filter_map(|id| self.members.named(id));
        named.map(Control::MemberJoined).collect()
    }

    /// Notes that a link was sent what there was to be sent. Returns whether more is left.
    pub(crate) fn settle_link(&mut self, link: LinkId) -> bool {
        self.gossip.settle(link)
    }
}
