//! Where the kernel keeps what the probes read. Resolved from the running kernel's BTF at start and
//! loaded as a frozen read-only global, so the verifier sees constants and removes dead branches.

use crate::wire;

/// Offset of a field that this kernel does not have. Probes must branch on it, never guess.
pub const ABSENT: u32 = u32::MAX;

/// The function of the kernel, 6.2 and later, that tells the verifier to take an address for a pointer to a type.
pub const RDONLY_CAST_NAME: &str = "bpf_rdonly_cast";
/// Number of a helper that no kernel has: the loader turns calls of it into calls of that function.
pub const RDONLY_CAST: u32 = 0x5348_0001;

macro_rules! offsets {
    ($size:literal; $($(#[$meta:meta])* $name:ident: $($path:literal)|+;)*) => {
        wire! {
            /// Byte offsets, [`ABSENT`] where the kernel has no such field.
            pub struct Offsets [$size] { $($(#[$meta])* pub $name: u32,)* }
        }

        impl Offsets {
            /// Nothing known: every feature that needs a field is off.
            pub const ABSENT: Self = Self { $($name: ABSENT,)* };
        }

        /// Field name and the `struct.member.path` candidates to try, in the order of [`Offsets`]; a candidate
        /// without a member is a type whose number is meant.
        #[cfg(not(target_arch = "bpf"))]
        pub const FIELDS: &[(&str, &[&str])] = &[$((stringify!($name), &[$($path),+]),)*];
    };
}

offsets! { 268;
    // Registers at system call entry and exit: x86-64 | arm64. `+N` adds bytes.
    regs_nr: "pt_regs.orig_ax" | "pt_regs.syscallno";
    regs_arg0: "pt_regs.di" | "pt_regs.orig_x0";
    regs_arg1: "pt_regs.si" | "pt_regs.regs+8";
    regs_arg2: "pt_regs.dx" | "pt_regs.regs+16";
    regs_arg3: "pt_regs.r10" | "pt_regs.regs+24";
    task_tgid: "task_struct.tgid";
    task_pid: "task_struct.pid";
    task_group_leader: "task_struct.group_leader";
    task_real_parent: "task_struct.real_parent";
    task_start_boottime: "task_struct.start_boottime" | "task_struct.real_start_time";
    task_exit_code: "task_struct.exit_code";
    task_mm: "task_struct.mm";
    task_files: "task_struct.files";
    task_nsproxy: "task_struct.nsproxy";
    task_cgroups: "task_struct.cgroups";
    task_signal: "task_struct.signal";
    signal_live: "signal_struct.live";
    mm_arg_start: "mm_struct.arg_start";
    mm_arg_end: "mm_struct.arg_end";
    task_flags: "task_struct.flags";
    signal_flags: "signal_struct.flags";
    signal_group_exit_code: "signal_struct.group_exit_code";
    // Equal to `filename` except for scripts, where it is the interpreter: what `/proc/PID/exe` shows.
    bprm_interp: "linux_binprm.interp";
    nsproxy_pid_ns: "nsproxy.pid_ns_for_children";
    pid_ns_inum: "pid_namespace.ns.inum";
    css_set_subsys: "css_set.subsys";
    css_set_dfl_cgrp: "css_set.dfl_cgrp";
    css_cgroup: "cgroup_subsys_state.cgroup";
    cgroup_kn: "cgroup.kn";
    kn_id: "kernfs_node.id";
    kn_name: "kernfs_node.name";
    kn_parent: "kernfs_node.__parent" | "kernfs_node.parent";
    files_fdt: "files_struct.fdt";
    fdt_max_fds: "fdtable.max_fds";
    fdt_fd: "fdtable.fd";
    file_inode: "file.f_inode";
    file_private_data: "file.private_data";
    inode_mode: "inode.i_mode";
    socket_sk: "socket.sk";
    socket_type: "socket.type";
    /// The file that belongs to the socket: proves that a file's private data is a socket.
    socket_file: "socket.file";
    /// Holds the bit that says a system call came through the 32-bit entry: x86-64 | arm64.
    task_compat: "task_struct.thread_info.status" | "task_struct.thread_info.flags";
    sk_family: "sock.__sk_common.skc_family";
    sk_state: "sock.__sk_common.skc_state";
    sk_daddr: "sock.__sk_common.skc_daddr";
    sk_rcv_saddr: "sock.__sk_common.skc_rcv_saddr";
    sk_dport: "sock.__sk_common.skc_dport";
    sk_num: "sock.__sk_common.skc_num";
    sk_v6_daddr: "sock.__sk_common.skc_v6_daddr";
    sk_v6_rcv_saddr: "sock.__sk_common.skc_v6_rcv_saddr";
    sk_protocol: "sock.sk_protocol";
    sk_err: "sock.sk_err";
    tcp_srtt_us: "tcp_sock.srtt_us";
    tcp_total_retrans: "tcp_sock.total_retrans";
    tcp_bytes_acked: "tcp_sock.bytes_acked";
    tcp_bytes_received: "tcp_sock.bytes_received";
    tcp_segs_in: "tcp_sock.segs_in";
    tcp_segs_out: "tcp_sock.segs_out";
    sk_flags: "sock.__sk_common.skc_flags";
    sk_net: "sock.__sk_common.skc_net.net";
    tcp_bytes_sent: "tcp_sock.bytes_sent";
    tcp_bytes_retrans: "tcp_sock.bytes_retrans";
    // A bit field: the congestion state is the low five bits of this byte.
    icsk_ca_state: "inet_connection_sock.icsk_ca_state";
    icsk_pending: "inet_connection_sock.icsk_pending";
    skb_cb: "sk_buff.cb";
    tcp_cb_gso_segs: "tcp_skb_cb.tcp_gso_segs";
    /// No offset: number of a type that begins with two 64-bit integers, as which any memory of the kernel
    /// can be read. Absent where the kernel has no [`RDONLY_CAST_NAME`].
    words: "timespec64";
}
