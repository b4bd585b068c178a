//! Loads an object and attaches its probes: the first variant the kernel accepts serves.

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};

use shipwake_ebpf::offsets::{ABSENT, Offsets, RDONLY_CAST, RDONLY_CAST_NAME};

use super::{
    health::{ProbeHealth, Refusal},
    plan::{Hook, Variant},
    share::{SHARED, SharedMaps},
    signals,
};
use crate::signals::{Setup, SignalDef};

/// Why a signal is not there. Others go on without it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the kernel refused the object of signal `{signal}`{remedy}")]
    Object { signal: &'static str, remedy: &'static str, source: Box<aya::EbpfError> },
    #[error("required probe `{probe}` of signal `{signal}` is not available: {reason}")]
    Required { signal: &'static str, probe: &'static str, reason: String },
}

/// A loaded object. Dropping it detaches its programs and frees its maps.
pub struct Loaded {
    pub bpf: Ebpf,
    pub health: Vec<ProbeHealth>,
    /// Addresses of the kernel are read by loads, see decision 8.
    pub has_cast: bool,
}

/// Loads `object` for `signal` and attaches the probes of `probes`.
///
/// `btf` is aya's own view of the kernel's types, parsed once by the caller because it is dear.
pub fn load(
    signal: &'static SignalDef,
    object: &[u8],
    setup: &Setup<'_>,
    btf: Option<&aya::Btf>,
    shared: Option<&SharedMaps>,
) -> Result<Loaded, (LoadError, Vec<ProbeHealth>)> {
    let Some(cast) = with_cast(object, setup) else {
        return load_as_is(signal, object, setup, btf, shared);
    };
    let loaded = load_as_is(signal, &cast, setup, btf, shared);
    let is_as_wanted = |loaded: &Loaded| loaded.health.iter().all(|probe| probe.refused.is_empty());
    match loaded {
        Ok(loaded) if is_as_wanted(&loaded) => return Ok(Loaded { has_cast: true, ..loaded }),
        // It may be the cast that the kernel does not like.
        other => drop(other),
    }
    let offsets = Offsets { words: ABSENT, ..*setup.offsets };
    load_as_is(signal, object, &Setup { offsets: &offsets, ..*setup }, btf, shared)
}

fn load_as_is(
    signal: &'static SignalDef,
    object: &[u8],
    setup: &Setup<'_>,
    btf: Option<&aya::Btf>,
    shared: Option<&SharedMaps>,
) -> Result<Loaded, (LoadError, Vec<ProbeHealth>)> {
    let globals = (signal.globals)(setup);
    let sizes = (signal.map_sizes)(setup);
    let mut loader = EbpfLoader::new();
    loader.btf(btf).allow_unsupported_maps();
    for global in &globals {
        loader.override_global(global.name, global.bytes.as_slice(), false);
    }
    for (name, size) in &sizes {
        loader.map_max_entries(name, *size);
    }
    for name in SHARED {
        if let Some(shared) = shared {
            loader.map_pin_path(name, shared.path(name));
        }
    }
    let mut bpf = loader.load(object).map_err(|error| {
        let (remedy, source) = (remedy(&error), Box::new(error));
        (LoadError::Object { signal: signal.name, remedy, source }, Vec::new())
    })?;
    let mut health = Vec::new();
    let mut missing = None;
    for probe in signal.probes.iter().filter(|probe| probe.need.applies(setup)) {
        let mut outcome = ProbeHealth {
            signal: signal.name,
            probe: probe.name,
            required: probe.need.is_required(),
            serving: None,
            refused: Vec::new(),
        };
        for variant in probe.variants {
            if !variant.hook.plausible(setup.features) {
                let reason = "the kernel has no BTF".to_owned();
                outcome.refused.push(Refusal { program: variant.program, reason });
                continue;
            }
            match attach_patiently(&mut bpf, variant, btf) {
                Ok(()) => {
                    outcome.serving = Some(variant.program);
                    break;
                }
                Err(error) => {
                    let reason = reason(&error) + remedy(&error);
                    outcome.refused.push(Refusal { program: variant.program, reason });
                }
            }
        }
        if outcome.serving.is_none() && outcome.required && missing.is_none() {
            let reason =
                outcome.refused.last().map_or_else(String::new, |last| last.reason.clone());
            missing = Some(LoadError::Required { signal: signal.name, probe: probe.name, reason });
        }
        health.push(outcome);
    }
    match missing {
        Some(error) => Err((error, health)),
        None => Ok(Loaded { bpf, health, has_cast: false }),
    }
}

/// The object with calls of [`RDONLY_CAST`] turned into calls of the kernel's function; `None` when it has no such
/// calls or the kernel no such function.
fn with_cast(object: &[u8], setup: &Setup<'_>) -> Option<Vec<u8>> {
    let function =
        setup.btf.filter(|_| setup.offsets.words != ABSENT)?.function(RDONLY_CAST_NAME)?;
    let before = instruction(0, RDONLY_CAST);
    let after = instruction(PSEUDO_KFUNC_CALL, function);
    let mut object = object.to_vec();
    let mut is_changed = false;
    // Instructions are 8 bytes long, and their sections begin at a multiple of that.
    for place in object.as_chunks_mut::<8>().0.iter_mut().filter(|place| **place == before) {
        *place = after;
        is_changed = true;
    }
    is_changed.then_some(object)
}

/// `BPF_PSEUDO_KFUNC_CALL` of the kernel's `bpf.h`: the immediate of the call is the number of a function in BTF.
const PSEUDO_KFUNC_CALL: u8 = 2;

/// A call instruction with this source register and immediate.
const fn instruction(source: u8, immediate: u32) -> [u8; 8] {
    const CALL: u8 = 0x85;
    let [a, b, c, d] = immediate.to_le_bytes();
    [CALL, source << 4, 0, 0, a, b, c, d]
}

/// A signal that arrives while the verifier works makes it give up with EAGAIN. That says nothing about the
/// program. Signals are held off, and for what cannot be held off there are several attempts.
const ATTEMPTS: u32 = 10;

fn attach_patiently(
    bpf: &mut Ebpf,
    variant: &Variant,
    btf: Option<&aya::Btf>,
) -> Result<(), ProgramError> {
    let _held = signals::hold();
    for _ in 1..ATTEMPTS {
        match attach(bpf, variant, btf) {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) => {}
            outcome => return outcome,
        }
    }
    attach(bpf, variant, btf)
}

fn attach(bpf: &mut Ebpf, variant: &Variant, btf: Option<&aya::Btf>) -> Result<(), ProgramError> {
    let Some(program) = bpf.program_mut(variant.program) else {
        return Err(ProgramError::NotLoaded);
    };
    match (variant.hook, program, btf) {
        (Hook::BtfTracepoint(name), Program::BtfTracePoint(program), Some(btf)) => {
            program.load(name, btf)?;
            program.attach()?;
        }
        (Hook::RawTracepoint(name), Program::RawTracePoint(program), _) => {
            program.load()?;
            program.attach(name)?;
        }
        (Hook::Iterator(target), Program::Iter(program), Some(btf)) => program.load(target, btf)?,
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(())
}

/// What to do about an error, as an addition to its text; empty when nothing is known.
fn remedy(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let number = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        match number {
            Some(libc::EPERM) => {
                return " (give CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN before Linux 5.8; lift RLIMIT_MEMLOCK \
                        before 5.11; lockdown must not be `confidentiality`)";
            }
            Some(libc::ENOMEM) => return " (the kernel has no memory left for it)",
            _ => cause = error.source(),
        }
    }
    ""
}

/// How the last lines of a verifier log begin, whatever the outcome.
const STATISTICS: [&str; 3] = ["verification time ", "stack depth ", "processed "];

/// The error and its causes in one line; of a verifier log only its last words.
fn reason(error: &ProgramError) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        let is_statistics = |line: &str| STATISTICS.iter().any(|start| line.starts_with(start));
        let says = |line: &&str| !line.is_empty() && !is_statistics(line);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(says).collect();
        let part = match lines.as_slice() {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first, .., last] => format!("{first} … {last}"),
        };
        if !parts.iter().any(|known| known.contains(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    parts.join(": ")
}

/// Where the kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// aya's view of the kernel's types, or `None` with the reason.
pub fn kernel_btf() -> Result<aya::Btf, String> {
    aya::Btf::from_sys_fs().map_err(|error| format!("{VMLINUX}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use aya::sys::SyscallError;

    use super::*;

    fn refused(number: i32) -> ProgramError {
        let io_error = Error::from_raw_os_error(number);
        ProgramError::SyscallError(SyscallError { call: "bpf_raw_tracepoint_open", io_error })
    }

    #[test]
    fn a_missing_privilege_has_a_remedy() {
        assert!(remedy(&refused(libc::EPERM)).contains("CAP_BPF"));
        assert!(remedy(&refused(libc::ENOMEM)).contains("memory"));
        // The verifier's refusal of a program is not about privileges.
        assert_eq!(remedy(&refused(libc::EACCES)), "");
        assert_eq!(remedy(&ProgramError::NotLoaded), "");
    }

    #[test]
    fn of_a_verifier_log_the_last_words_are_kept() {
        let log = "Func#8 is safe\n0: r1 = 0\nunknown func x#158\nverification time 9 usec\n\
                   stack depth 64+48\nprocessed 7 insns (limit 1000000)\n";
        let error = Error::new(std::io::ErrorKind::InvalidInput, log);
        let text = reason(&ProgramError::IOError(error));
        assert!(text.ends_with("… unknown func x#158"), "{text}");
    }

    #[test]
    fn a_reason_is_one_line() {
        let text = reason(&refused(libc::EPERM));
        assert!(text.contains("bpf_raw_tracepoint_open") && !text.contains('\n'), "{text}");
    }
}
