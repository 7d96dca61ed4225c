//! The end of a turn: what the engine wants done is done, writes last, so that one write carries all that the turn has brought.

use std::mem;

use super::Loop;
use crate::config::MESSAGES_PER_HANDOVER;
use crate::net::above::Above;
use crate::net::engine::Engine;
use crate::proto::{Input, Output};

impl<T: Send + 'static, A: Above<T>, E: Engine<T>> Loop<T, A, E> {
    /// Carries out everything. Messages reach the handlers' threads before the writing, so that they wake meanwhile.
    pub(super) fn apply(&mut self) {
        self.writes.append(&mut self.later);
        loop {
            self.carry_out_all();
            self.publish();
            self.hand_over();
            if self.writes.is_empty() && self.out.is_empty() {
                return;
            }
            self.write();
        }
    }

    /// Outputs may bring inputs (a dial that fails at once), and those further outputs.
    fn carry_out_all(&mut self) {
        while !self.out.is_empty() {
            let mut outputs = mem::replace(&mut self.out, mem::take(&mut self.spare));
            outputs.drain(..).for_each(|output| self.carry_out(output));
            self.spare = outputs;
        }
    }

    fn carry_out(&mut self, output: Output<T>) {
        match output {
            Output::Resolve { query, address } => {
                if let Some(result) = self.resolver.ask(query, address) {
                    self.feed(Input::Resolved { query, result });
                }
            }
            Output::Listen { addrs } => self.listen(&addrs),
            Output::Unlisten => self.unlisten(),
            Output::Dial { link, addr } => self.dial(link, addr),
            Output::Write { link } => self.want_write(link),
            Output::Shut { link } => self.want_shut(link),
            Output::Hang { link } => self.hang(link),
            Output::Publish => self.unpublished = true,
            Output::Deliver(_) | Output::Complete { .. } | Output::Event(_) | Output::Stopped
                if self.unpublished =>
            {
                self.held.push_back(output);
            }
            Output::Deliver(delivery) => {
                self.batch.push(delivery);
                if self.batch.len() >= MESSAGES_PER_HANDOVER {
                    self.hand_over();
                }
            }
            Output::Complete { token, result } => self.above.complete(token, result),
            Output::Event(event) => self.above.event(event),
            Output::Choose(choose) => {
                if let Some((call, chosen)) = self.above.choose(choose) {
                    self.feed(Input::Chosen { call, chosen });
                }
            }
            Output::Stopped => self.ended = true,
        }
    }

    /// Gives the handlers what has come for them.
    fn hand_over(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let refused = self.above.deliver(&mut self.batch);
        self.batch.clear();
        for (reply_to, answer) in refused {
            self.feed(Input::Answer { reply_to, answer });
        }
    }

    /// Shows the directory to callers, once for all changes of a turn, and then what waited for that. If callers hold it just now, the next
    /// turn tries again.
    fn publish(&mut self) {
        if !self.unpublished || !self.above.publish(self.engine.directory()) {
            return;
        }
        self.unpublished = false;
        while let Some(output) = self.held.pop_front() {
            self.carry_out(output);
        }
        self.above.published();
    }
}
