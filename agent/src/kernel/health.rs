//! What became of each probe, kept for `doctor`, `/status` and the logs.

/// One probe after loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeHealth {
    pub signal: &'static str,
    pub probe: &'static str,
    pub required: bool,
    /// The program that serves it; `None` when every variant was refused.
    pub serving: Option<&'static str>,
    /// What was refused before, and why.
    pub refused: Vec<Refusal>,
}

/// A variant that the kernel did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub program: &'static str,
    pub reason: String,
}
