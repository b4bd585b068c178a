//! Keeps the memory of the process small: one heap arena, and start-up garbage given back.

/// Tells the allocator to use one arena. Call before there are other threads.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` only sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives freed memory back to the kernel. Takes about a millisecond: for the end of start-up.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
