//! Why a daemon gave no answer.

use std::{fmt, io, time::Duration};

use crate::grpc::Code;

/// How long one question may take.
pub(in crate::workload) const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer, in bytes: a list of a thousand containers with all their labels.
pub(in crate::workload) const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::workload) enum Problem {
    /// The socket cannot be connected to.
    Connect(io::Error),
    /// No answer within [`TIMEOUT`].
    Slow,
    /// The connection broke, or what came was not the protocol.
    Broken(String),
    TooLarge,
    /// The protocol, but not what was asked for.
    Refused(String),
    /// A gRPC call that failed, and what was said about it.
    Failed(Code, String),
    /// Not the answer of this API.
    Nonsense {
        api: &'static str,
        error: String,
    },
}

impl Problem {
    /// The daemon is there; only this answer is no good.
    pub(in crate::workload) fn is_of_one_answer(&self) -> bool {
        match self {
            Self::TooLarge | Self::Refused(_) | Self::Failed(..) | Self::Nonsense { .. } => true,
            Self::Connect(_) | Self::Slow | Self::Broken(_) => false,
        }
    }

    /// There is no socket at all, or one of a daemon that does not offer the service.
    pub(in crate::workload) fn is_absence(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() == io::ErrorKind::NotFound,
            Self::Failed(code, _) => *code == Code::UNIMPLEMENTED,
            _ => false,
        }
    }

    /// The daemon does not know the thing that was asked about.
    pub(in crate::workload) fn is_unknown_thing(&self) -> bool {
        matches!(self, Self::Failed(code, _) if *code == Code::NOT_FOUND)
    }
}

/// What was found, or why this one answer is no good. Trouble with the connection stays an error.
pub(in crate::workload) fn or_flaw<T>(
    found: Result<Option<T>, Problem>,
) -> Result<(Option<T>, Option<Problem>), Problem> {
    match found {
        Ok(found) => Ok((found, None)),
        Err(problem) if problem.is_of_one_answer() => Ok((None, Some(problem))),
        Err(problem) => Err(problem),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => f.write_str(
                "permission denied (run as root or as a member of the group that owns it)",
            ),
            Self::Connect(error) => write!(f, "{error}"),
            Self::Slow => write!(f, "no answer within {TIMEOUT:?} (is the daemon stuck?)"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::TooLarge => write!(f, "an answer is larger than {LARGEST_ANSWER} bytes"),
            Self::Refused(status) => write!(f, "it answers {status}"),
            Self::Failed(code, message) if *code == Code::UNIMPLEMENTED => {
                write!(f, "the service is not offered there ({message})")
            }
            Self::Failed(code, message) => write!(f, "it answers {code}: {message}"),
            Self::Nonsense { api, error } => write!(f, "it does not speak the {api}: {error}"),
        }
    }
}
