//! Bytes of the ring and of the iterator's output become reports.

use shipwake_ebpf::tcp::{KIND_CLOSED, KIND_FAILED, KIND_LIVE, Report};

/// Length of every record.
pub const LENGTH: usize = size_of::<Report>();

/// The report in `bytes`; `None` when they are none.
pub fn decode(bytes: &[u8]) -> Option<Report> {
    let report: Report = bytemuck::try_pod_read_unaligned(bytes).ok()?;
    matches!(report.kind, KIND_LIVE | KIND_CLOSED | KIND_FAILED).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], kind: Option<u32>) {
        assert_eq!(decode(bytes).map(|report| report.kind), kind);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused() {
        let with_kind = |kind: u32| {
            let mut bytes = vec![0xa5; LENGTH];
            bytes[..4].copy_from_slice(&kind.to_ne_bytes());
            bytes
        };
        for kind in [KIND_LIVE, KIND_CLOSED, KIND_FAILED] {
            check(&with_kind(kind), Some(kind));
        }
        check(&with_kind(0), None);
        check(&with_kind(99), None);
        check(&with_kind(KIND_LIVE)[1..], None);
        check(&[with_kind(KIND_LIVE), vec![0]].concat(), None);
        check(&[], None);
    }
}
