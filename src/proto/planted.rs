//! Bugs that tests plant into the engine, to show that the simulated world notices them. Exists only in tests.

/// One mistake that an engine of this kind is known to make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Planted {
    /// A number that names a call on the wire is given out twice.
    ReusedId,
    /// A call in flight is forgotten when its link closes.
    ForgottenOnClose,
    /// What the kernel did not take of a write is dropped now and then.
    LostTail,
    /// An answer that comes after its call ended is given to the caller all the same.
    LateAnswerTaken,
    /// Control messages wait for the whole data message that is being written.
    PingBehindData,
    /// One more is admitted than a limit says.
    LimitOffByOne,
    /// A link that was told to write is not told again when more comes.
    LostWake,
    /// A request whose bytes have left is sent again over another link.
    SentAgain,
}

impl Planted {
    /// Every one there is.
    pub(crate) const ALL: &'static [Planted] = &[
        Planted::ReusedId,
        Planted::ForgottenOnClose,
        Planted::LostTail,
        Planted::LateAnswerTaken,
        Planted::PingBehindData,
        Planted::LimitOffByOne,
        Planted::LostWake,
        Planted::SentAgain,
    ];
}
