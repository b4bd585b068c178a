//! Holds off signals of the calling thread for a while.

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

/// Signals are held off until this is dropped, on the thread that asked for it. Another thread may take one that
/// is for the whole process.
pub struct Held {
    before: libc::sigset_t,
    /// Not to be sent to another thread, whose signals it knows nothing about.
    _thread: PhantomData<*const ()>,
}

/// Holds off every signal that can be held off.
pub fn hold() -> Held {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written whole by calls that cannot fail with these arguments.
    let before = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    Held { before, _thread: PhantomData }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the set is the one that this thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
}
