//! Bugs that tests plant into the engine, to show that a broken promise is noticed. Outside of tests there are none.
//!
//! The engine asks [`has`] where a bug would be; a test plants one with `plant`, on its own thread only, so that tests
//! that run beside it are not disturbed. Which promise each bug breaks, and what notices it, is said in
//! `tests/promises.rs`.

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// One mistake that an engine of this kind is known to make.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(dead_code, reason = "some are mistakes of callers and shells, which only tests simulate")]
        pub(crate) enum Planted {
            $($(#[doc = $what])+ $name,)+
        }

        impl Planted {
            /// Every one there is.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Planted] = &[$(Planted::$name,)+];
        }
    };
}

bugs! {
    /// A stranger is heard to the end of its greeting, although its first byte was wrong.
    StrangerHeardOut,
    /// Who does not complete the handshake is not closed.
    HandshakeWithoutEnd,
    /// Newcomers beyond the limit are taken without an older one having to go.
    NewcomersUnlimited,
    /// A newcomer may send frames as large as a peer's.
    GiantFromStranger,
    /// What was heard of a greeting is forgotten when more comes.
    GreetingForgotten,
    /// An envelope that cannot be read is skipped.
    BadEnvelopeSkipped,
    /// Another instance with the id of a living peer takes its place.
    TwinAdmitted,
    /// A node that dialled itself does not notice it.
    SelfUnnoticed,
    /// A peer that says nothing stays.
    SilenceForgiven,
    /// After this node was suspended it takes everybody for silent.
    SuspensionBlamed,
    /// A call in flight is forgotten when its link closes.
    ForgottenOnClose,
    /// Control messages wait for the whole data message that is being written.
    PingBehindData,
    /// A link that was told to write is not told again when more comes.
    LostWake,
    /// What the kernel did not take of a write is dropped now and then.
    LostTail,
    /// All who lost a peer dial it again in step.
    HerdInStep,
    /// The pauses between two dials do not grow.
    HerdInHaste,
    /// A peer that does not read stays, and so does what is queued for it.
    StallForgiven,
    /// A tick beyond the window is taken.
    WindowIgnored,
    /// Ticks that are lost with their link are not told of.
    LossUntold,
    /// Answers that nobody reads pile up.
    AnswersPileUp,
    /// One link takes the memory of all others.
    ShareIgnored,
    /// Who reads a byte now and then is taken for a reader.
    CreepForgiven,
    /// Cheap messages cost their sender nothing, however many they are.
    FloodIgnored,
    /// One more is admitted than a limit says.
    LimitOffByOne,
    /// A request beyond the granted number runs.
    OverrunTaken,
    /// A call that ends keeps its place.
    PlaceKept,
    /// A call whose time is over takes the room of another one that ends.
    RoomForTheLate,
    /// A deadline passes and the call goes on.
    DeadlineForgotten,
    /// An answer that comes after its call ended is given to whoever waits.
    LateAnswerTaken,
    /// An answer counts on whatever link it comes.
    AnswerFromAnywhere,
    /// A number that names a call on the wire is given out twice.
    ReusedId,
    /// A request whose number is in use is taken.
    NumberTakenTwice,
    /// A request whose bytes have left is sent again over another link.
    SentAgain,
    /// A request that was given up after it was sent is said never to have run.
    NeverClaimed,
    /// A goodbye says that nothing was taken up.
    GoodbyeListsNothing,
    /// A goodbye forgets what was answered and is not written any more.
    GoodbyeForgetsAnswers,
    /// A stop waits until everything is done, however long that takes.
    StopWithoutEnd,
    /// A stop lets those who wait for an answer wait on.
    CallersLeft,
    /// A router gives a request as much time as it would give its own.
    TimeoutRestarted,
    /// A router does not say which others have been asked when it asks one.
    VisitedForgotten,
    /// A router that could not place a message does not say which others it has asked.
    AskedUntold,
    /// A router sends what may have run to the next one.
    ForwardedAgain,
    /// Routers pass a message on and on.
    HopsUncounted,
    /// A router gives a message to who sent it.
    OriginServed,
    /// A link that broke is given up only when it has been silent for long enough.
    DeathUnnoticed,
}

/// Whether this bug is planted on this thread.
#[cfg(not(test))]
pub(super) const fn has(_: Planted) -> bool {
    false
}

#[cfg(test)]
pub(super) use planting::has;
#[cfg(test)]
pub(crate) use planting::plant;

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub(crate) fn has(bug: Planted) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants this bug, or none, for as long as what it returns lives.
    #[must_use = "the bug is pulled out when this is dropped"]
    pub(crate) fn plant(bug: Option<Planted>) -> Plant {
        Plant(PLANTED.replace(bug))
    }

    /// A bug that is planted, and what was planted before it.
    pub(crate) struct Plant(Option<Planted>);

    impl Drop for Plant {
        fn drop(&mut self) {
            PLANTED.set(self.0);
        }
    }
}
