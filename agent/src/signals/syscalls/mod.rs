//! Signal `syscalls`.

crate::settings! {
    /// System calls.
    pub struct Settings {
        /// System calls whose latency is measured.
        pub latency: Vec<String> = [
            "read", "write", "pread64", "pwrite64", "readv", "writev", "sendto", "recvfrom",
            "sendmsg", "recvmsg", "sendfile", "connect", "accept", "accept4", "fsync",
            "fdatasync", "msync", "sync_file_range", "openat", "open",
        ].map(str::to_owned).to_vec(),
    }
}
