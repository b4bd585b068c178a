//! Which programs may serve a probe, in what order. Decides nothing about the kernel by itself.

use std::fmt;

use super::features::Features;
use crate::signals::Setup;

/// Where a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    BtfTracepoint(&'static str),
    RawTracepoint(&'static str),
    /// Not attached, but run on demand: a BPF iterator over this target.
    Iterator(&'static str),
}

impl Hook {
    /// Whether trying makes sense at all. Only the attempt decides.
    pub fn plausible(&self, features: &Features) -> bool {
        match self {
            Self::BtfTracepoint(_) | Self::Iterator(_) => features.btf,
            Self::RawTracepoint(_) => true,
        }
    }
}

/// As people write it: `tp_btf/sys_exit`.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BtfTracepoint(name) => write!(f, "tp_btf/{name}"),
            Self::RawTracepoint(name) => write!(f, "raw_tp/{name}"),
            Self::Iterator(target) => write!(f, "iter/{target}"),
        }
    }
}

/// One way to see something: a program of the object and where it attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub program: &'static str,
    pub hook: Hook,
}

/// Whether the signal is worth anything without the probe.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    Required,
    Optional,
    /// Optional, and not even tried unless the settings ask for it.
    Asked(fn(&Setup<'_>) -> bool),
}

impl Need {
    /// Whether the signal is useless without the probe.
    pub fn is_required(&self) -> bool {
        matches!(self, Self::Required)
    }

    /// Whether the probe is to be attached at all.
    pub fn applies(&self, setup: &Setup<'_>) -> bool {
        match self {
            Self::Required | Self::Optional => true,
            Self::Asked(asked) => asked(setup),
        }
    }
}

/// One thing a signal wants to see, with the ways to see it, cheapest first.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub name: &'static str,
    pub need: Need,
    pub variants: &'static [Variant],
}

/// tp_btf first, raw_tp second: the pair that `twin!` makes. The need is `Required`, `Optional` or
/// `Asked(function)`.
#[macro_export]
macro_rules! twin_probe {
    ($name:literal, $need:ident $(($asked:path))?, $tracepoint:literal, $btf:literal, $raw:literal) => {
        $crate::kernel::plan::Probe {
            name: $name,
            need: $crate::kernel::plan::Need::$need $(($asked))?,
            variants: &[
                $crate::kernel::plan::Variant {
                    program: $btf,
                    hook: $crate::kernel::plan::Hook::BtfTracepoint($tracepoint),
                },
                $crate::kernel::plan::Variant {
                    program: $raw,
                    hook: $crate::kernel::plan::Hook::RawTracepoint($tracepoint),
                },
            ],
        }
    };
}
