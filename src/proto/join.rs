//! The question about members: asked, answered in pages, and told on to those who should know. It must not decide what a
//! member is: that stands in `members.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Instant;

use super::dial::DialId;
use super::env::Timer;
use super::members::{Member, Place, Word};
use super::mesh::Mesh;
use super::stop::closed;
use super::timers::TimerId;
use super::{Done, Output};
use crate::address::Address;
use crate::config::{
    MEMBERS, MEMBERS_ASKED, MEMBERS_LATELY, MEMBERS_PAGE, MEMBERS_PAGE_BYTES, MEMBERS_TOLD,
    TELL_PAUSE,
};
use crate::error::{Error, ErrorKind, Execution};
use crate::id::{CallId, LinkId, NodeId, PeerKey};
use crate::wire::{Control, Member as Named};

/// What this node has asked.
#[derive(Debug)]
pub(super) struct Question<T> {
    link: LinkId,
    seed: NodeId,
    dial: DialId,
    /// Who waits for the members, and until when; nobody if the seed was dialled again by itself.
    wish: Option<(Instant, T)>,
    timer: TimerId,
    pages: usize,
    /// The last page has come.
    answered: bool,
    named: BTreeSet<NodeId>,
    /// Of those: who is being dialled for the first time.
    open: BTreeSet<NodeId>,
    unreached: BTreeSet<NodeId>,
}

/// What of members one link still has to say.
#[derive(Default, Debug)]
pub(super) struct Telling {
    /// When the other side last asked.
    pub(super) asked: Option<Instant>,
    /// When this side last asked.
    asks: Option<Instant>,
    /// The other side has answered a question of this one.
    answered: bool,
    /// Questions of the other side, each with the last member that was named.
    answers: VecDeque<(CallId, Option<NodeId>)>,
    /// Members the other side should hear of.
    told: BTreeSet<NodeId>,
    /// Not before this is it told of more.
    after: Option<Instant>,
}

impl Telling {
    pub(super) fn is_done(&self) -> bool {
        self.answers.is_empty() && self.told.is_empty()
    }

    /// Whether one side has asked the other since then.
    pub(super) fn is_fresh(&self, since: Instant) -> bool {
        self.asked.max(self.asks).is_some_and(|at| at > since)
    }

    /// When there is more to tell, if there is.
    pub(super) fn tells_at(&self) -> Option<Instant> {
        self.after.filter(|_| !self.told.is_empty())
    }
}

/// Asking.
impl<T> Mesh<T> {
    /// Asks the seed that a dial has reached.
    pub(super) fn ask_seed(
        &mut self,
        dial: DialId,
        peer: PeerKey,
        wish: Option<(Instant, Instant, T)>,
    ) {
        let entry = self.peers.by_key.get(&peer).map(|peer| &peer.entry);
        let face = entry.and_then(|entry| entry.up.as_ref().or(entry.down.as_ref()));
        let found = entry.and_then(|entry| Some((face?.link, entry.id.clone())));
        let Some((link, seed)) = found.filter(|(link, _)| self.links.contains_key(link)) else {
            if let Some((_, _, token)) = wish {
                let why = "the link to the seed was lost before it was asked";
                let error = Error::new(ErrorKind::ConnectionLost, why);
                let result = Err(error.with_execution(Execution::Never));
                self.env.out.push(Output::Complete { token, result });
            }
            return;
        };
        self.members.taking_part = true;
        let here = self.members.by_id.iter().filter(|(_, member)| member.place == Place::Here);
        if here.clone().any(|(id, _)| *id != seed) {
            self.members.merging = Some(self.env.now + MEMBERS_LATELY);
        }
        let call = self.env.draw_call();
        let patience = self.env.now + self.env.local.config.connect_timeout;
        let answered_by = wish.as_ref().map_or(patience, |(answered_by, ..)| *answered_by);
        let question = Question {
            link,
            seed,
            dial,
            wish: wish.map(|(_, until, token)| (until, token)),
            timer: self.env.timers.arm(answered_by, Timer::Query(call)),
            pages: 0,
            answered: false,
            named: BTreeSet::new(),
            open: BTreeSet::new(),
            unreached: BTreeSet::new(),
        };
        self.members.questions.insert(call, question);
        let address = self.member_address(link).map(|address| address.to_string());
        if let Some(link) = self.links.get_mut(&link) {
            link.telling.asks = Some(self.env.now);
            link.queue.push_state(&Control::JoinQuestion { call, address });
        }
        self.env.touch(link);
    }

    /// A page of the answer.
    pub(super) fn members_named(
        &mut self,
        link: LinkId,
        call: CallId,
        members: Vec<Named>,
        more: bool,
    ) {
        let asked = |question: &&mut Question<T>| question.link == link && !question.answered;
        let Some(question) = self.members.questions.get_mut(&call).filter(asked) else {
            self.env.counters.late_answers += 1;
            return;
        };
        question.pages += 1;
        if question.named.len() + members.len() > MEMBERS || question.pages > MEMBERS {
            let why = format!("{} names more members than {MEMBERS}", question.seed);
            let error = Error::new(ErrorKind::TooLarge, why);
            return self.question_failed(call, error.with_execution(Execution::Unknown));
        }
        let mut news = Vec::new();
        for member in members {
            if self.member_named(call, &member) {
                news.push(member.id);
            }
        }
        if !more {
            news.extend(self.answered_by(call));
        }
        for id in news {
            self.tell_of(&id, link);
        }
        self.question_proceeds(call);
    }

    /// One of the members that the answer names. Whether it is news.
    fn member_named(&mut self, call: CallId, member: &Named) -> bool {
        let own = member.address.parse().is_ok_and(|address| self.is_own_address(&address));
        let Some(question) = self.members.questions.get_mut(&call) else { return false };
        let from = question.link;
        if own || member.id == self.env.local.id || !question.named.insert(member.id.clone()) {
            return false;
        }
        let news = self.learn(&member.id, &member.address, (Word::Named, from));
        let link = self.link_to(&member.id);
        if let Some(link) = link {
            // The link may be older than this node's part in the mesh.
            self.say_member(link);
            self.env.touch(link);
        }
        let known = self.members.by_id.contains_key(&member.id);
        if let Some(question) = self.members.questions.get_mut(&call).filter(|_| link.is_none()) {
            let which = if known { &mut question.open } else { &mut question.unreached };
            which.insert(member.id.clone());
        }
        news
    }

    /// The last page has come: the seed is a member, and is asked again whenever it was lost and is back. Its name, if others should
    /// hear of it: it may have been started anew.
    fn answered_by(&mut self, call: CallId) -> Option<NodeId> {
        let question = self.members.questions.get_mut(&call)?;
        question.answered = true;
        let elsewhere = |(id, member): (&NodeId, &Member)| {
            *id != question.seed && member.source != question.link && !question.named.contains(id)
        };
        if self.members.by_id.iter().any(elsewhere) {
            self.members.merging = Some(self.env.now + MEMBERS_LATELY);
        }
        let (seed, dial, link) = (question.seed.clone(), question.dial, question.link);
        if let Some((until, _)) = &question.wish {
            let timer = self.env.timers.arm(*until, Timer::Query(call));
            self.env.timers.disarm(std::mem::replace(&mut question.timer, timer));
        }
        let dialled = self.keep_seed(dial);
        let told = self.peers.by_id(&seed).and_then(|peer| peer.entry.address.clone());
        let address = told.or(dialled)?.to_string();
        let news = self.learn(&seed, &address, (Word::Own, link));
        let first = self.links.get_mut(&link)?;
        let first = !std::mem::replace(&mut first.telling.answered, true);
        (news || first).then_some(seed)
    }

    /// Looks whether a question is done with.
    fn question_proceeds(&mut self, call: CallId) {
        let done = |question: &Question<T>| {
            question.answered && (question.open.is_empty() || question.wish.is_none())
        };
        if self.members.questions.get(&call).is_some_and(done) {
            self.question_done(call);
        }
    }

    /// Tells of whoever was reached so far.
    fn question_done(&mut self, call: CallId) {
        let Some(question) = self.members.questions.remove(&call) else { return };
        self.env.timers.disarm(question.timer);
        let Some((_, token)) = question.wish else { return };
        let unreached: Vec<NodeId> = question.unreached.into_iter().chain(question.open).collect();
        let reached = question.named.into_iter().filter(|id| !unreached.contains(id)).collect();
        let (seed, done) = (question.seed, |seed| Done::Joined { seed, reached, unreached });
        self.env.out.push(Output::Complete { token, result: Ok(done(seed)) });
    }

    /// A link with that member stands.
    pub(super) fn member_reached(&mut self, id: &NodeId) {
        self.change_questions(|question| {
            let late = question.unreached.remove(id);
            question.open.remove(id) || late
        });
    }

    /// The first dial of that member has failed, or it is none any more.
    pub(super) fn member_unreached(&mut self, id: &NodeId) {
        self.change_questions(|question| {
            let open = question.open.remove(id);
            open && question.unreached.insert(id.clone())
        });
    }

    fn change_questions(&mut self, change: impl Fn(&mut Question<T>) -> bool) {
        let all = self.members.questions.iter_mut();
        let changed: Vec<CallId> =
            all.filter_map(|(call, question)| change(question).then_some(*call)).collect();
        for call in changed {
            self.question_proceeds(call);
        }
    }

    pub(super) fn question_due(&mut self, call: CallId) {
        let Some(question) = self.members.questions.get(&call) else { return };
        if question.answered {
            return self.question_done(call);
        }
        let why = format!("{} did not say in time who the members are", question.seed);
        let error = Error::new(ErrorKind::RequestTimeout, why);
        self.question_failed(call, error.with_execution(Execution::Unknown));
    }

    /// An error in place of the answer, if it is about a question of this node.
    pub(super) fn question_refused(&mut self, link: LinkId, call: CallId, error: &Error) -> bool {
        let question = self.members.questions.get(&call);
        if question.is_some_and(|question| question.link == link && !question.answered) {
            self.question_failed(call, error.clone());
            return true;
        }
        false
    }

    /// Nobody is left who waits for the answer. What this node has dialled just to ask is let go.
    fn question_failed(&mut self, call: CallId, error: Error) {
        let Some(question) = self.members.questions.remove(&call) else { return };
        self.env.timers.disarm(question.timer);
        log::debug!(target: "threadmesh::proto", "asking {} for members: {error}", question.seed);
        self.undo_join(question.dial);
        if let Some((_, token)) = question.wish {
            let error = error.with_peer(question.seed);
            self.env.out.push(Output::Complete { token, result: Err(error) });
        }
    }

    /// A link is lost, and with it the answers that were to come over it.
    pub(super) fn questions_lost(&mut self, link: LinkId, peer: &NodeId) {
        let lost = self.members.questions.iter().filter(|(_, question)| question.link == link);
        let lost = lost.filter(|(_, question)| !question.answered);
        let lost: Vec<CallId> = lost.map(|(call, _)| *call).collect();
        for call in lost {
            let why = format!("the link to {peer} was lost before it had said who the members are");
            let error = Error::new(ErrorKind::ConnectionLost, why);
            self.question_failed(call, error.with_execution(Execution::Unknown));
        }
    }

    pub(super) fn questions_closed(&mut self) {
        for question in std::mem::take(&mut self.members.questions).into_values() {
            self.env.timers.disarm(question.timer);
            let token = question.wish.map(|(_, token)| token);
            self.env
                .out
                .extend(token.map(|token| Output::Complete { token, result: Err(closed()) }));
        }
    }

    /// The link that messages to a peer take.
    fn link_to(&self, id: &NodeId) -> Option<LinkId> {
        let entry = &self.peers.by_id(id)?.entry;
        Some(entry.face(entry.directions())?.link)
    }
}

/// Answering and telling.
impl<T> Mesh<T> {
    /// The other side asks who the members are.
    pub(super) fn members_asked(&mut self, link: LinkId, call: CallId, address: Option<&str>) {
        let Some(id) = self.peer_of(link) else { return };
        let Some(asking) = self.links.get_mut(&link) else { return };
        let stopping = self.stopping.is_some();
        if stopping || asking.telling.answers.len() >= MEMBERS_ASKED {
            let why = if stopping { "it is stopping" } else { "it is being asked already" };
            let why = format!("{} does not say who the members are: {why}", self.env.local.id);
            if self.take_place(link).is_some() {
                self.push_fault(link, call, Error::new(ErrorKind::Busy, why));
            }
            return;
        }
        let first = asking.telling.asked.replace(self.env.now).is_none();
        asking.telling.answers.push_back((call, None));
        self.members.taking_part = true;
        self.members.news.insert(link);
        let mut news = false;
        match address {
            Some(address) => {
                self.peer_moved(link, Some(address));
                news = self.learn(&id, address, (Word::Own, link));
                if let Some(member) = self.members.by_id.get_mut(&id) {
                    member.announced = true;
                }
            }
            None => self.forget_member(&id),
        }
        if (news || first) && self.members.by_id.contains_key(&id) {
            self.tell_of(&id, link);
        }
        self.env.touch(link);
    }

    /// Others than the one who said so may want to know.
    pub(super) fn pass_on(&mut self, id: &NodeId, from: LinkId) {
        if self.members.merging.is_some_and(|until| self.env.now < until) {
            self.tell_of(id, from);
        } else {
            self.tell_late_askers(id, from);
        }
    }

    /// Who asked lately did so before this was known.
    fn tell_late_askers(&mut self, id: &NodeId, from: LinkId) {
        let lately = self.lately();
        self.tell_those(id, from, |asked, _| asked.is_some_and(|asked| asked >= lately));
    }

    /// A member is back, or is here for the first time. Who asked meanwhile was not told of it, since answers name only those who are here;
    /// and those who are new since it was lost do not know it, nor it them. Of one that this node has dialled for the first time, those who
    /// are new since it was named know nothing either, unless the same node has named them.
    pub(super) fn tell_of_arrival(&mut self, id: &NodeId, from: LinkId, place: Place) {
        let Some(member) = self.members.by_id.get(id) else { return };
        let (lost, since, source) = (member.lost, member.since, member.source);
        let lately = self.lately();
        let asked_since = lost.map_or(lately, |lost| lost.min(lately));
        let dialled = matches!(place, Place::Dialled(_));
        let listens = |asked: Option<Instant>, other: Option<&Member>| {
            let is_new = other.is_some_and(|other| match lost {
                Some(lost) => other.since >= lost,
                None => dialled && other.since >= since && other.source != source,
            });
            is_new || asked.is_some_and(|asked| asked >= asked_since)
        };
        self.tell_those(id, from, listens);
    }

    /// Tells of a member all members and whoever has asked.
    fn tell_of(&mut self, id: &NodeId, from: LinkId) {
        self.tell_those(id, from, |asked, member| asked.is_some() || member.is_some());
    }

    /// Nobody need hear of a member that is forgotten; so what is to be told is bounded as the members are.
    pub(super) fn untell(&mut self, id: &NodeId) {
        for link in &self.members.news {
            if let Some(link) = self.links.get_mut(link) {
                link.telling.told.remove(id);
            }
        }
    }

    pub(super) fn lately(&self) -> Instant {
        self.env.now.checked_sub(MEMBERS_LATELY).unwrap_or(self.env.now)
    }

    /// Tells of a member those who listen, judged by when they last asked and since when they are members.
    fn tell_those(
        &mut self,
        id: &NodeId,
        from: LinkId,
        listens: impl Fn(Option<Instant>, Option<&Member>) -> bool,
    ) {
        let mut whom = Vec::new();
        for link in self.links.values_mut().filter(|link| link.is_ready() && link.id != from) {
            let peer = link.peer.and_then(|key| self.peers.by_key.get(&key));
            let Some(entry) = peer.map(|peer| &peer.entry).filter(|entry| entry.id != *id) else {
                continue;
            };
            let face = entry.face(entry.directions());
            let member = self.members.by_id.get(&entry.id);
            let first = face.is_some_and(|face| face.link == link.id);
            if first && listens(link.telling.asked, member) {
                link.telling.told.insert(id.clone());
                whom.push(link.id);
            }
        }
        self.members.news.extend(&whom);
        for link in whom {
            self.env.touch(link);
        }
    }

    /// A member has stopped: those who may be looking for it need not.
    pub(super) fn tell_stopped(&mut self, id: &NodeId) {
        if self.peers.by_id(id).is_some() {
            return;
        }
        let joined = self.members.by_id.iter().filter(|(_, member)| member.place == Place::Here);
        let links: Vec<LinkId> = joined.filter_map(|(id, _)| self.link_to(id)).collect();
        for link in links {
            let told = self.links.get_mut(&link).filter(|link| link.queue.has_control_room());
            if let Some(told) = told {
                told.queue.push_state(&Control::MemberLeft { id: id.clone() });
            }
            self.env.touch(link);
        }
    }

    /// Queues what there is to say of members, as far as there is room: pages at once, single members in a measure that no receiver
    /// takes for a flood.
    pub(super) fn tell_members(&mut self, id: LinkId) {
        if !self.members.news.contains(&id) {
            return;
        }
        let now = self.env.now;
        let asker = self.peer_of(id);
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_ready()) else { return };
        while link.queue.has_control_room() {
            let Some((call, after)) = link.telling.answers.front_mut() else { break };
            let bounds = after.take().map_or(Bound::Unbounded, Bound::Excluded);
            let mut left = self
                .members
                .by_id
                .range((bounds, Bound::Unbounded))
                .filter(|(id, member)| member.place == Place::Here && Some(*id) != asker.as_ref())
                .peekable();
            let (mut page, mut bytes) = (Vec::new(), 0);
            while page.len() < MEMBERS_PAGE && bytes < MEMBERS_PAGE_BYTES {
                let Some((id, member)) = left.next() else { break };
                bytes += id.as_str().len() + member.address.host().len() + 16;
                page.push(Named { id: id.clone(), address: member.address.to_string() });
            }
            let more = left.peek().is_some();
            *after = page.last().map(|last| last.id.clone());
            link.queue.push_state(&Control::Members { call: *call, members: page, more });
            if !more {
                link.telling.answers.pop_front();
            }
        }
        if link.telling.after.is_none_or(|after| after <= now) && link.queue.has_control_room() {
            for _ in 0..MEMBERS_TOLD {
                let Some(id) = link.telling.told.pop_first() else { break };
                if let Some(member) = self.members.by_id.get(&id) {
                    let address = member.address.to_string();
                    link.queue.push_state(&Control::MemberJoined(Named { id, address }));
                }
            }
            link.telling.after = Some(now + TELL_PAUSE);
        }
        if link.telling.is_done() {
            self.members.news.remove(&id);
        } else {
            self.arm_liveness(id);
        }
    }

    /// Whether this node has told others of the peer at the end of a link.
    pub(super) fn has_announced(&self, link: LinkId) -> bool {
        let member = self.peer_of(link).and_then(|id| self.members.by_id.get(&id));
        member.is_some_and(|member| member.announced)
    }

    /// Where the node of a hello can be dialled, if what it says is an address.
    pub(super) fn count_address(&mut self, said: Option<&str>) {
        self.env.counters.addresses +=
            u64::from(said.is_some_and(|text| text.parse::<Address>().is_err()));
    }
}
