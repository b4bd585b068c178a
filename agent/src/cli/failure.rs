//! How a command ends when it does not end well: one line with the remedy, and the exit code.

use std::{fmt, process::ExitCode};

use crate::config::Problems;

/// Exit codes of every subcommand.
///
/// 0: done, healthy. 1: failed, or works in part. 2: the command line or the configuration is wrong;
/// for `doctor`: the agent cannot run here. 130 and 143: ended at once by a second signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Interrupted = 130,
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// What is wrong, one line each.
    pub lines: Vec<String>,
    /// What to do about it; empty when there is nothing to add.
    pub remedy: String,
}

impl Failure {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: Code::Failed, lines: vec![what.into()], remedy: remedy.into() }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self {
            code: Code::Usage,
            lines: problems.0.iter().map(ToString::to_string).collect(),
            remedy: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            // One line each, whatever the text of a cause looks like.
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            write!(f, "{newline}shipwake: error: {line}")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;

    #[test]
    fn one_line_with_the_remedy() {
        let failure = Failure::new("no signal\n could start", "run `shipwake doctor`");
        assert_eq!(
            failure.to_string(),
            "shipwake: error: no signal could start; run `shipwake doctor`"
        );
    }

    #[test]
    fn configuration_problems_are_usage_errors() {
        let problem = |text: &str| Problem { origin: None, text: text.to_owned() };
        let failure = Failure::from(Problems(vec![problem("a"), problem("b")]));
        assert_eq!(failure.code, Code::Usage);
        assert_eq!(failure.to_string(), "shipwake: error: a\nshipwake: error: b");
    }
}
