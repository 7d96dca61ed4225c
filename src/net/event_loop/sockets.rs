//! The part of a turn that touches sockets: noting readiness, accepting, dialling, reading and writing, each by its share.

use std::collections::VecDeque;
use std::net::SocketAddr;

use mio::Token;
use mio::net::TcpStream;

use super::{LISTENER, Loop, WAKER, close};
use crate::config::{
    ACCEPTS_PER_TURN, READ_PER_LINK_AND_TURN, READ_PER_TURN, WRITE_PER_LINK_AND_TURN,
};
use crate::id::LinkId;
use crate::net::above::Above;
use crate::net::engine::Engine;
use crate::net::listener::Listener;
use crate::net::stream::{Dial, Progress, Stream};
use crate::proto::{Cause, Input};

impl<T: Send + 'static, A: Above<T>, E: Engine<T>> Loop<T, A, E> {
    /// Remembers what the poll has told. A token that is unknown belongs to a link that is gone.
    pub(super) fn note_readiness(&mut self) {
        for event in &self.events {
            match event.token() {
                WAKER => {}
                LISTENER => self.listener.iter_mut().for_each(Listener::note_ready),
                Token(number) => {
                    let link = LinkId(number as u64);
                    let Some(stream) = self.streams.get_mut(&link) else { continue };
                    stream.note(event);
                    list(&mut self.ready, link, stream);
                    queue(&mut self.writes, link, stream);
                }
            }
        }
    }

    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.deaf {
                return;
            }
            let Some(listener) = &mut self.listener else { return };
            let Some((socket, remote)) = listener.accept(self.now) else { return };
            self.welcome(socket, remote);
        }
    }

    fn welcome(&mut self, socket: TcpStream, remote: SocketAddr) {
        if self.streams.len() >= self.links {
            if !self.crowded {
                log::warn!(target: "threadmesh::net", "all {} links are taken, {remote} and later ones are closed", self.links);
            }
            self.crowded = true;
            return;
        }
        self.crowded = false;
        let link = self.engine.draw_link();
        let stream = Stream::accepted(socket, self.poll.registry(), token(link));
        match stream.and_then(|stream| Ok((stream.local_addr()?, stream))) {
            Ok((local, stream)) => {
                self.streams.insert(link, stream);
                self.feed(Input::Accepted { link, local, remote });
            }
            // The other side was gone before we looked.
            Err(error) => {
                log::debug!(target: "threadmesh::net", "{remote} is not accepted: {error}");
            }
        }
    }

    pub(super) fn listen(&mut self, addrs: &[SocketAddr]) {
        self.unlisten();
        let result = Listener::bind(addrs, self.poll.registry(), LISTENER).map(|listener| {
            let local = listener.local();
            self.listener = Some(listener);
            local
        });
        self.feed(Input::Listening(result));
    }

    pub(super) fn unlisten(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close(self.poll.registry());
        }
    }

    pub(super) fn dial(&mut self, link: LinkId, addr: SocketAddr) {
        match Stream::dial(addr, self.poll.registry(), token(link)) {
            Ok(stream) => {
                self.streams.insert(link, stream);
            }
            Err(error) => {
                let cause = Cause::Refused(error.to_string());
                self.feed(Input::Lost { link, cause });
            }
        }
    }

    /// Looks what became of a dial that the poll has told about.
    fn settle(&mut self, link: LinkId) {
        let Some(stream) = self.streams.get_mut(&link) else { return };
        match stream.settle() {
            Dial::Pending => {}
            Dial::Connected { local, remote } => {
                self.feed(Input::Connected { link, local, remote });
                self.queue_write(link);
            }
            Dial::Refused(why) => self.lose(link, Cause::Refused(why)),
        }
    }

    /// Serves every stream that is ready once, as far as the turn's share goes. Those left over come first in the next turn.
    pub(super) fn read(&mut self) {
        let mut share = READ_PER_TURN;
        for _ in 0..self.ready.len() {
            if share == 0 || self.deaf {
                return;
            }
            let Some(link) = self.ready.pop_front() else { return };
            let read = self.serve(link, share.min(READ_PER_LINK_AND_TURN));
            share -= read;
        }
    }

    /// Reads one stream until it is empty or has had its share; says how much that was.
    fn serve(&mut self, link: LinkId, share: usize) -> usize {
        let Some(stream) = self.streams.get_mut(&link) else { return 0 };
        stream.listed = false;
        if stream.is_dialling() {
            self.settle(link);
        }
        let mut read = 0;
        while read < share && !self.deaf {
            match self.read_once(link, share - read) {
                Some(len) => read += len,
                None => break,
            }
        }
        if let Some(stream) = self.streams.get_mut(&link) {
            list(&mut self.ready, link, stream);
        }
        read
    }

    /// `None` when this stream has no more for now, or for ever.
    fn read_once(&mut self, link: LinkId, most: usize) -> Option<usize> {
        let stream = self.streams.get_mut(&link).filter(|stream| stream.wants_service())?;
        let space = self.engine.space(link);
        debug_assert!(!space.is_empty(), "an empty space would read as the end");
        let most = most.min(space.len());
        match stream.read(&mut space[..most]) {
            Progress::Moved(len) => {
                self.feed(Input::Received { link, len });
                return Some(len);
            }
            Progress::Blocked => {}
            Progress::Finished => self.feed(Input::Lost { link, cause: Cause::Eof }),
            Progress::Broken(why) => self.lose(link, Cause::Broken(why)),
        }
        None
    }

    /// The engine has something to write on this link.
    pub(super) fn want_write(&mut self, link: LinkId) {
        if let Some(stream) = self.streams.get_mut(&link) {
            stream.unsent = true;
            queue(&mut self.writes, link, stream);
        }
    }

    /// The engine wants the writing ended after what is outgoing.
    pub(super) fn want_shut(&mut self, link: LinkId) {
        if let Some(stream) = self.streams.get_mut(&link) {
            stream.want_shut();
        }
        self.want_write(link);
    }

    fn queue_write(&mut self, link: LinkId) {
        if let Some(stream) = self.streams.get_mut(&link) {
            queue(&mut self.writes, link, stream);
        }
    }

    /// Writes every stream that has something, each up to its share.
    pub(super) fn write(&mut self) {
        for index in 0..self.writes.len() {
            self.write_link(self.writes[index]);
        }
        // Writing feeds the engine, whose wishes are carried out later: nothing was added meanwhile.
        self.writes.clear();
    }

    fn write_link(&mut self, link: LinkId) {
        let mut share = WRITE_PER_LINK_AND_TURN;
        if let Some(stream) = self.streams.get_mut(&link) {
            stream.queued = false;
        }
        loop {
            let Some(stream) = self.streams.get_mut(&link) else { return };
            if !stream.wants_writing() {
                return;
            }
            if share == 0 {
                stream.queued = true;
                return self.later.push(link);
            }
            match stream.write(self.engine.outgoing(link), &mut self.scratch) {
                Progress::Moved(len) => {
                    share = share.saturating_sub(len);
                    self.feed(Input::Sent { link, len });
                }
                Progress::Blocked | Progress::Finished => return,
                Progress::Broken(why) => return self.lose(link, Cause::Broken(why)),
            }
        }
    }

    /// Forgets the socket and says why.
    fn lose(&mut self, link: LinkId, cause: Cause) {
        self.hang(link);
        self.feed(Input::Lost { link, cause });
    }

    pub(super) fn hang(&mut self, link: LinkId) {
        close(&mut self.streams, link, &self.poll);
    }
}

fn token(link: LinkId) -> Token {
    Token(link.0 as usize)
}

/// Puts a stream on the list of those to serve.
fn list(ready: &mut VecDeque<LinkId>, link: LinkId, stream: &mut Stream) {
    if stream.wants_service() && !stream.listed {
        stream.listed = true;
        ready.push_back(link);
    }
}

/// Puts a stream on the list of those to write.
fn queue(writes: &mut Vec<LinkId>, link: LinkId, stream: &mut Stream) {
    if stream.wants_writing() && !stream.queued {
        stream.queued = true;
        writes.push(link);
    }
}
