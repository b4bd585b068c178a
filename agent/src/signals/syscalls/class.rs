//! The sixteen classes that calls are counted in.

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Read,
    Write,
    Poll,
    Lock,
    Time,
    Sleep,
    Socket,
    Yield,
    Filesystem,
    Memory,
    Process,
    Query,
    Ipc,
    Timer,
    Event,
    Other,
}

impl Class {
    pub const ALL: [Self; 16] = [
        Self::Read,
        Self::Write,
        Self::Poll,
        Self::Lock,
        Self::Time,
        Self::Sleep,
        Self::Socket,
        Self::Yield,
        Self::Filesystem,
        Self::Memory,
        Self::Process,
        Self::Query,
        Self::Ipc,
        Self::Timer,
        Self::Event,
        Self::Other,
    ];

    /// Value of the attribute `shipwake.syscall.class`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Poll => "poll",
            Self::Lock => "lock",
            Self::Time => "time",
            Self::Sleep => "sleep",
            Self::Socket => "socket",
            Self::Yield => "yield",
            Self::Filesystem => "filesystem",
            Self::Memory => "memory",
            Self::Process => "process",
            Self::Query => "query",
            Self::Ipc => "ipc",
            Self::Timer => "timer",
            Self::Event => "event",
            Self::Other => "other",
        }
    }

    /// Class of a call by its name; everything that changes or asks the system as a whole is `Other`.
    pub fn of(name: &str) -> Self {
        match name {
            "read" | "pread64" | "readv" | "preadv" | "preadv2" | "recvfrom" | "recvmsg"
            | "recvmmsg" | "readahead" => Self::Read,
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "sendmsg"
            | "sendmmsg" | "sendfile" | "splice" | "tee" | "vmsplice" | "copy_file_range"
            | "fsync" | "fdatasync" | "sync" | "syncfs" | "sync_file_range" | "msync" => {
                Self::Write
            }
            "poll" | "ppoll" | "select" | "pselect6" | "epoll_create" | "epoll_create1"
            | "epoll_ctl" | "epoll_ctl_old" | "epoll_wait" | "epoll_wait_old" | "epoll_pwait"
            | "epoll_pwait2" => Self::Poll,
            "futex" | "futex_wait" | "futex_wake" | "futex_waitv" | "futex_requeue" | "flock"
            | "set_robust_list" | "get_robust_list" | "membarrier" => Self::Lock,
            "time" | "gettimeofday" | "settimeofday" | "clock_gettime" | "clock_settime"
            | "clock_getres" | "clock_adjtime" | "adjtimex" | "times" => Self::Time,
            "nanosleep" | "clock_nanosleep" | "pause" => Self::Sleep,
            "socket" | "socketpair" | "bind" | "listen" | "accept" | "accept4" | "connect"
            | "shutdown" | "getsockname" | "getpeername" | "setsockopt" | "getsockopt" => {
                Self::Socket
            }
            "sched_yield" => Self::Yield,
            "open" | "openat" | "openat2" | "creat" | "close" | "close_range" | "stat"
            | "lstat" | "fstat" | "newfstatat" | "statx" | "access" | "faccessat"
            | "faccessat2" | "lseek" | "dup" | "dup2" | "dup3" | "fcntl" | "ioctl" | "truncate"
            | "ftruncate" | "fallocate" | "fadvise64" | "getdents" | "getdents64" | "getcwd"
            | "chdir" | "fchdir" | "rename" | "renameat" | "renameat2" | "mkdir" | "mkdirat"
            | "rmdir" | "link" | "linkat" | "unlink" | "unlinkat" | "symlink" | "symlinkat"
            | "readlink" | "readlinkat" | "chmod" | "fchmod" | "fchmodat" | "fchmodat2"
            | "chown" | "fchown" | "lchown" | "fchownat" | "umask" | "mknod" | "mknodat"
            | "statfs" | "fstatfs" | "mount" | "umount2" | "pivot_root" | "chroot" | "utime"
            | "utimes" | "utimensat" | "futimesat" | "setxattr" | "lsetxattr" | "fsetxattr"
            | "getxattr" | "lgetxattr" | "fgetxattr" | "listxattr" | "llistxattr"
            | "flistxattr" | "removexattr" | "lremovexattr" | "fremovexattr" | "setxattrat"
            | "getxattrat" | "listxattrat" | "removexattrat" | "name_to_handle_at"
            | "open_by_handle_at" | "quotactl" | "quotactl_fd" | "open_tree" | "open_tree_attr"
            | "move_mount" | "fsopen" | "fsconfig" | "fsmount" | "fspick" | "mount_setattr"
            | "statmount" | "listmount" | "file_getattr" | "file_setattr" | "swapon"
            | "swapoff" | "cachestat" | "lookup_dcookie" | "sysfs" | "ustat" | "uselib"
            | "nfsservctl" => Self::Filesystem,
            "mmap"
            | "munmap"
            | "mprotect"
            | "mremap"
            | "brk"
            | "madvise"
            | "process_madvise"
            | "mincore"
            | "mlock"
            | "mlock2"
            | "munlock"
            | "mlockall"
            | "munlockall"
            | "remap_file_pages"
            | "mbind"
            | "set_mempolicy"
            | "get_mempolicy"
            | "set_mempolicy_home_node"
            | "migrate_pages"
            | "move_pages"
            | "pkey_mprotect"
            | "pkey_alloc"
            | "pkey_free"
            | "memfd_create"
            | "memfd_secret"
            | "userfaultfd"
            | "process_mrelease"
            | "map_shadow_stack"
            | "mseal" => Self::Memory,
            "clone"
            | "clone3"
            | "fork"
            | "vfork"
            | "execve"
            | "execveat"
            | "exit"
            | "exit_group"
            | "wait4"
            | "waitid"
            | "kill"
            | "tkill"
            | "tgkill"
            | "ptrace"
            | "prctl"
            | "arch_prctl"
            | "set_tid_address"
            | "setpgid"
            | "setsid"
            | "setuid"
            | "setgid"
            | "setreuid"
            | "setregid"
            | "setresuid"
            | "setresgid"
            | "setgroups"
            | "setfsuid"
            | "setfsgid"
            | "setpriority"
            | "setrlimit"
            | "prlimit64"
            | "capset"
            | "personality"
            | "unshare"
            | "setns"
            | "seccomp"
            | "pidfd_open"
            | "pidfd_send_signal"
            | "pidfd_getfd"
            | "process_vm_readv"
            | "process_vm_writev"
            | "kcmp"
            | "rseq"
            | "rt_sigaction"
            | "rt_sigprocmask"
            | "rt_sigreturn"
            | "rt_sigpending"
            | "rt_sigtimedwait"
            | "rt_sigqueueinfo"
            | "rt_tgsigqueueinfo"
            | "rt_sigsuspend"
            | "sigaltstack"
            | "restart_syscall"
            | "sched_setparam"
            | "sched_setscheduler"
            | "sched_setaffinity"
            | "sched_setattr"
            | "ioprio_set"
            | "modify_ldt"
            | "set_thread_area"
            | "get_thread_area"
            | "iopl"
            | "ioperm"
            | "landlock_create_ruleset"
            | "landlock_add_rule"
            | "landlock_restrict_self"
            | "uprobe"
            | "uretprobe" => Self::Process,
            "getpid"
            | "getppid"
            | "gettid"
            | "getuid"
            | "geteuid"
            | "getgid"
            | "getegid"
            | "getresuid"
            | "getresgid"
            | "getgroups"
            | "getpgid"
            | "getpgrp"
            | "getsid"
            | "getpriority"
            | "getrlimit"
            | "getrusage"
            | "getcpu"
            | "getrandom"
            | "uname"
            | "sysinfo"
            | "capget"
            | "sched_getparam"
            | "sched_getscheduler"
            | "sched_getaffinity"
            | "sched_getattr"
            | "sched_get_priority_max"
            | "sched_get_priority_min"
            | "sched_rr_get_interval"
            | "ioprio_get"
            | "lsm_get_self_attr"
            | "lsm_list_modules"
            | "syslog" => Self::Query,
            "pipe" | "pipe2" | "msgget" | "msgsnd" | "msgrcv" | "msgctl" | "semget" | "semop"
            | "semtimedop" | "semctl" | "shmget" | "shmat" | "shmdt" | "shmctl" | "mq_open"
            | "mq_unlink" | "mq_timedsend" | "mq_timedreceive" | "mq_notify" | "mq_getsetattr" => {
                Self::Ipc
            }
            "alarm" | "getitimer" | "setitimer" | "timer_create" | "timer_settime"
            | "timer_gettime" | "timer_getoverrun" | "timer_delete" | "timerfd_create"
            | "timerfd_settime" | "timerfd_gettime" => Self::Timer,
            "eventfd" | "eventfd2" | "signalfd" | "signalfd4" | "inotify_init"
            | "inotify_init1" | "inotify_add_watch" | "inotify_rm_watch" | "fanotify_init"
            | "fanotify_mark" | "io_setup" | "io_destroy" | "io_submit" | "io_cancel"
            | "io_getevents" | "io_pgetevents" | "io_uring_setup" | "io_uring_enter"
            | "io_uring_register" | "perf_event_open" => Self::Event,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Class) {
        assert_eq!(Class::of(name), expected, "{name}");
    }

    #[test]
    fn calls_have_the_class_of_their_purpose() {
        check("recvfrom", Class::Read);
        check("sendfile", Class::Write);
        check("epoll_pwait2", Class::Poll);
        check("futex_waitv", Class::Lock);
        check("accept4", Class::Socket);
        check("openat", Class::Filesystem);
        check("clone3", Class::Process);
        check("getppid", Class::Query);
        check("bpf", Class::Other);
        check("no such call", Class::Other);
    }

    #[test]
    fn names_differ() {
        let names: std::collections::HashSet<_> = Class::ALL.map(Class::name).into();
        assert_eq!(names.len(), Class::ALL.len());
    }
}
