//! Keeps the memory of the process small: one heap arena, large blocks and start-up garbage given back.

/// From this size on, in bytes, a block is the kernel's again as soon as it is freed.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Tells the allocator to use one arena, and to keep large blocks out of it: left alone it takes them in after
/// the first was freed, and what is small and stays behind them keeps them there. Call before there are other
/// threads.
pub fn use_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` only sets parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
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
