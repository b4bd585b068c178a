//! Processes that the standard library cannot make: whose leader ends first, that execute from a
//! thread, that get a certain pid.
#![expect(unsafe_code, reason = "fork, clone3 and exit of a single thread have no safe form")]

use std::{ffi::CString, io, ptr};

/// Ends the calling thread alone.
fn end_thread(code: i32) -> ! {
    // SAFETY: the thread ends here and holds nothing.
    unsafe {
        libc::syscall(libc::SYS_exit, code);
        libc::abort()
    }
}

extern "C" fn later(code: *mut libc::c_void) -> *mut libc::c_void {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 30_000_000 };
    // SAFETY: the pointers are valid or null where null is allowed.
    unsafe { libc::nanosleep(&pause, ptr::null_mut()) };
    end_thread(code as usize as i32)
}

extern "C" fn wait_for_signal(_: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: no argument.
    unsafe { libc::pause() };
    end_thread(96)
}

extern "C" fn execute(path: *mut libc::c_void) -> *mut libc::c_void {
    let path = path.cast::<libc::c_char>().cast_const();
    let args = [path, ptr::null()];
    // SAFETY: path and arguments are terminated and outlive the call.
    unsafe { libc::execv(path, args.as_ptr()) };
    end_thread(99)
}

fn fork(child: impl FnOnce()) -> io::Result<u32> {
    // SAFETY: the child only makes system calls and threads, then ends.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            child();
            end_thread(98)
        }
        pid => Ok(pid as u32),
    }
}

fn thread(body: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void, argument: usize) {
    let mut id = 0;
    // SAFETY: `body` takes any argument, and the main thread never frees what it points to.
    unsafe { libc::pthread_create(&mut id, ptr::null(), body, argument as *mut _) };
}

/// A process whose main thread ends at once with `leader`, and `others` later, each with code 3.
pub fn leader_ends_first(leader: i32, others: usize) -> io::Result<u32> {
    fork(|| {
        for _ in 0..others {
            thread(later, 3);
        }
        end_thread(leader)
    })
}

/// A process whose main thread has ended while another goes on until a signal comes.
pub fn leader_ends_alone() -> io::Result<u32> {
    fork(|| {
        thread(wait_for_signal, 0);
        end_thread(0);
    })
}

/// A process whose second thread executes `path` while the main thread waits.
pub fn second_thread_executes(path: &str) -> io::Result<u32> {
    let path = CString::new(path)?;
    fork(|| {
        thread(execute, path.as_ptr() as usize);
        // SAFETY: no argument.
        unsafe { libc::pause() };
    })
}

/// Executes `path` with `args` in a new process whose pid is `pid`, if that is free.
pub fn spawn_as(pid: u32, path: &str, args: &[&str]) -> io::Result<u32> {
    let path = CString::new(path)?;
    let args: Vec<CString> = args.iter().map(|arg| CString::new(*arg)).collect::<Result<_, _>>()?;
    let mut pointers: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(ptr::null());
    let wanted = [pid as libc::pid_t];
    // The layout of `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack,
    // stack_size, tls, set_tid, set_tid_size.
    let request = [0, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, wanted.as_ptr() as u64, 1];
    // SAFETY: the request has the size that is given; the child executes or ends at once.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, request.as_ptr(), size_of_val(&request)) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: path and arguments are terminated and outlive the call.
            unsafe { libc::execv(path.as_ptr(), pointers.as_ptr()) };
            end_thread(97)
        }
        pid => Ok(pid as u32),
    }
}

/// Waits for a child. The status is as `wait(2)` gives it.
pub fn wait(pid: u32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    match unsafe { libc::waitpid(pid as libc::pid_t, &mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(status),
    }
}
