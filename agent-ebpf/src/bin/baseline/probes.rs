//! Probes of the object `baseline`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// Does nothing: the price of being attached.
#[btf_tracepoint(function = "sys_exit")]
pub fn baseline_exit_btf(_ctx: BtfTracePointContext) -> i32 {
    0
}
