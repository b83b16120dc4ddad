//! Owns what the warden tells our process: a few numbers over a socket.

use super::raw::Errno;
use super::stage::StageStep;

/// The size of every report, in bytes.
pub const SIZE: usize = 16;

/// One thing that happened in the warden.
#[derive(Debug, Clone, Copy)]
pub enum Report {
    /// The descriptor that comes with this hears of the calls that we answer.
    Listening,
    /// A command ended with this exit code.
    Exited {
        /// Which command, counted from 0.
        step: usize,
        /// Its exit code; 128 and the signal's number if a signal ended it.
        code: i32,
    },
    /// Nothing that this command started runs any more.
    Drained {
        /// Which command, counted from 0.
        step: usize,
    },
    /// The sandbox could not be set up, and the warden has ended.
    Failed(Failure, Errno),
}

/// What of setting up failed.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// Being a user of its own namespace.
    Identity,
    /// Closing what is not to be passed on.
    Descriptors,
    /// Laying out the root.
    Stage(StageStep),
    /// Handing calls to us.
    Listener,
    /// Starting another process.
    Fork,
    /// Giving up rights and setting limits.
    Restrictions,
    /// Starting `bwrap`.
    Exec,
}

impl Report {
    /// As it is sent.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let words = match self {
            Self::Listening => [0, 0, 0, 0],
            Self::Exited { step, code } => [1, step as u32, code as u32, 0],
            Self::Drained { step } => [2, step as u32, 0, 0],
            Self::Failed(failure, Errno(errno)) => {
                let (kind, index) = failure.to_words();
                [3, kind, index, errno as u32]
            }
        };
        let mut bytes = [0; SIZE];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// As it was sent; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| {
            let place = bytes.get(4 * index..4 * index + 4)?;
            Some(u32::from_ne_bytes(place.try_into().ok()?))
        };
        let step = word(1)? as usize;
        match word(0)? {
            0 => Some(Self::Listening),
            1 => Some(Self::Exited {
                step,
                code: word(2)? as i32,
            }),
            2 => Some(Self::Drained { step }),
            3 => Some(Self::Failed(
                Failure::from_words(word(1)?, word(2)?)?,
                Errno(word(3)? as i32),
            )),
            _ => None,
        }
    }
}

impl Failure {
    fn to_words(self) -> (u32, u32) {
        match self {
            Self::Identity => (0, 0),
            Self::Descriptors => (1, 0),
            Self::Listener => (2, 0),
            Self::Fork => (3, 0),
            Self::Restrictions => (4, 0),
            Self::Exec => (5, 0),
            Self::Stage(StageStep::Mount) => (6, 0),
            Self::Stage(StageStep::Make(index)) => (7, index as u32),
            Self::Stage(StageStep::Bind(index)) => (8, index as u32),
            Self::Stage(StageStep::ReadOnly) => (9, 0),
            Self::Stage(StageStep::LateBind(index)) => (10, index as u32),
            Self::Stage(StageStep::Proc) => (11, 0),
        }
    }

    fn from_words(kind: u32, index: u32) -> Option<Self> {
        let index = index as usize;
        Some(match kind {
            0 => Self::Identity,
            1 => Self::Descriptors,
            2 => Self::Listener,
            3 => Self::Fork,
            4 => Self::Restrictions,
            5 => Self::Exec,
            6 => Self::Stage(StageStep::Mount),
            7 => Self::Stage(StageStep::Make(index)),
            8 => Self::Stage(StageStep::Bind(index)),
            9 => Self::Stage(StageStep::ReadOnly),
            10 => Self::Stage(StageStep::LateBind(index)),
            11 => Self::Stage(StageStep::Proc),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let stage = [
            StageStep::Mount,
            StageStep::Make(7),
            StageStep::Bind(2000),
            StageStep::ReadOnly,
            StageStep::LateBind(1),
            StageStep::Proc,
        ];
        let failures = [
            Failure::Identity,
            Failure::Descriptors,
            Failure::Listener,
            Failure::Fork,
            Failure::Restrictions,
            Failure::Exec,
        ];
        let failed = stage.map(Failure::Stage).into_iter().chain(failures);
        let others = [
            Report::Listening,
            Report::Exited { step: 3, code: 139 },
            Report::Drained { step: 3 },
        ];
        for report in failed
            .map(|failure| Report::Failed(failure, Errno(13)))
            .chain(others)
        {
            let arrived = Report::from_bytes(&report.to_bytes());
            assert_eq!(format!("{:?}", Some(report)), format!("{arrived:?}"));
        }
        assert!(Report::from_bytes(&[1, 2, 3]).is_none());
        assert!(Report::from_bytes(&[9; SIZE]).is_none());
    }
}
