//! One body, two programs: tp_btf for kernels with BTF, raw_tp for the others.

/// Declares programs `$btf` and `$raw` on one kernel tracepoint. The body is a function
/// `fn body<const BTF: bool>(args: *const u64)`: both hooks pass the tracepoint's arguments as an
/// array of 64-bit values, and argument N is `*args.add(N)`.
#[macro_export]
macro_rules! twin {
    ($tracepoint:literal, $btf:ident, $raw:ident, $body:ident) => {
        #[aya_ebpf::macros::btf_tracepoint(function = $tracepoint)]
        pub fn $btf(ctx: aya_ebpf::programs::BtfTracePointContext) -> i32 {
            $body::<true>(aya_ebpf::EbpfContext::as_ptr(&ctx).cast::<u64>());
            0
        }

        #[aya_ebpf::macros::raw_tracepoint(tracepoint = $tracepoint)]
        pub fn $raw(ctx: aya_ebpf::programs::RawTracePointContext) -> i32 {
            $body::<false>(aya_ebpf::EbpfContext::as_ptr(&ctx).cast::<u64>());
            0
        }
    };
}
