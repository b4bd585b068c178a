//! Running a BPF iterator: a program that the kernel calls for each of its objects, and whose output is
//! read like a file.

use std::{
    fs::File,
    io,
    mem::size_of_val,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::programs::Program;

use super::Loaded;

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// An iterator program of a loaded object, ready to run as often as wanted.
pub struct Iterate {
    link: OwnedFd,
}

impl Iterate {
    /// The iterator `program` of the object, or `None` when the kernel refused it: then its probe's health
    /// says why.
    ///
    /// # Errors
    /// The object has no such iterator, or the kernel does not attach it.
    pub fn of(loaded: &Loaded, program: &str) -> anyhow::Result<Option<Self>> {
        let Some(Program::Iter(iter)) = loaded.bpf.program(program) else {
            anyhow::bail!("the object has no iterator {program}");
        };
        let Ok(fd) = iter.fd() else { return Ok(None) };
        let program = fd.as_fd().as_raw_fd().cast_unsigned();
        let link = create(BPF_LINK_CREATE, [program, 0, BPF_TRACE_ITER, 0])?;
        Ok(Some(Self { link }))
    }

    /// Starts a run. Reading the file to its end is what makes the kernel call the program.
    ///
    /// # Errors
    /// The kernel's refusal, of resources for instance.
    pub fn run(&self) -> io::Result<File> {
        let link = self.link.as_raw_fd().cast_unsigned();
        create(BPF_ITER_CREATE, [link, 0, 0, 0]).map(File::from)
    }
}

/// The commands of bpf(2) that make a descriptor. aya makes one run per link, and this one is for many.
fn create(command: libc::c_long, attributes: [u32; 4]) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told from the array, which outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes))
    };
    match i32::try_from(fd) {
        // SAFETY: the call made a descriptor that nothing else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
