//! The one way in which a request is answered: exactly once, whatever happens to the handler.

use std::sync::Arc;

use super::Outlet;
use crate::error::{Error, ErrorKind};
use crate::proto::{Answer, Owed};

/// The duty to answer one request. Dropping it answers `NO_REPLY`.
pub(super) struct Responder {
    /// Empty once the answer was given.
    owed: Option<Owed>,
    outlet: Arc<dyn Outlet>,
}

impl Responder {
    pub(super) fn new(owed: Owed, outlet: Arc<dyn Outlet>) -> Self {
        Self { owed: Some(owed), outlet }
    }

    pub(super) fn answer(mut self, answer: Answer) {
        if let Some(owed) = self.owed.take() {
            self.outlet.answer(owed, answer);
        }
    }

    pub(super) fn fault(self, error: Error) {
        self.answer(Answer::Fault(error));
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            let error = Error::new(ErrorKind::NoReply, "the handler ended without an answer");
            self.outlet.answer(owed, Answer::Fault(error));
        }
    }
}
