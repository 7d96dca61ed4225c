//! Exit codes: what a script learns without reading a word.

use threadmesh::ErrorKind;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what it was told.
    Done,
    /// A handler ran and answered with an error, or with nothing.
    Answered,
    /// The command line, or something on it, makes no sense.
    Usage,
    /// Nobody matches, or nobody serves it; nothing ran.
    Nobody,
    /// No connection came about.
    Unreachable,
    /// The time was over.
    Timeout,
    /// Anything else: a link was lost, a limit reached, an address taken.
    Failed,
    /// Somebody pressed Ctrl-C, or sent a signal, before the command was done.
    Interrupted,
}

/// What `--help` says about it.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done; also a node or router that was told to end
    1  a handler ran and answered with an error, or not at all
    2  the command line makes no sense
    3  nobody matches, or nobody serves it; nothing ran
    4  no connection came about
    5  the time was over; it may have run
    6  anything else: a lost link, a limit, an address in use
  130  interrupted (Ctrl-C) before it was done";

impl Exit {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Answered => 1,
            Self::Usage => 2,
            Self::Nobody => 3,
            Self::Unreachable => 4,
            Self::Timeout => 5,
            Self::Failed => 6,
            Self::Interrupted => 130,
        }
    }

    /// What a script should learn of an error of the crate.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Handler | ErrorKind::NoReply => Self::Answered,
            ErrorKind::InvalidPath
            | ErrorKind::InvalidFilter
            | ErrorKind::InvalidEvent
            | ErrorKind::InvalidAddress
            | ErrorKind::InvalidArgument => Self::Usage,
            ErrorKind::NodeNotFound
            | ErrorKind::NoNodesMatchFilter
            | ErrorKind::NoHandler
            | ErrorKind::NotFound
            | ErrorKind::PredicateNotRoutable => Self::Nobody,
            ErrorKind::ConnectTimeout
            | ErrorKind::ConnectFailed
            | ErrorKind::HandshakeTimeout
            | ErrorKind::Incompatible
            | ErrorKind::DuplicateId
            | ErrorKind::Refused
            | ErrorKind::Insecure => Self::Unreachable,
            ErrorKind::RequestTimeout | ErrorKind::Expired => Self::Timeout,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_a_number_of_its_own_and_a_line_in_the_help() {
        let all = [
            Exit::Done,
            Exit::Answered,
            Exit::Usage,
            Exit::Nobody,
            Exit::Unreachable,
            Exit::Timeout,
            Exit::Failed,
            Exit::Interrupted,
        ];
        for exit in all {
            let same = all.iter().filter(|other| other.number() == exit.number());
            assert_eq!(same.count(), 1);
            let told = |line: &&str| line.trim().starts_with(&format!("{}  ", exit.number()));
            assert_eq!(TABLE.lines().filter(told).count(), 1, "{exit:?}");
        }
    }

    #[test]
    fn only_what_ran_ends_with_one_and_no_error_ends_well() {
        for kind in ErrorKind::ALL {
            let exit = Exit::of(*kind);
            assert_ne!(exit, Exit::Done, "{kind}");
            let ran = matches!(kind, ErrorKind::Handler | ErrorKind::NoReply);
            assert_eq!(exit == Exit::Answered, ran, "{kind}");
        }
    }
}
