//! Several inputs in one.

/// The parts of an input, between which there is `\xff\xfe`.
pub fn split(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(2).position(|pair| pair == b"\xff\xfe");
        rest = at.map(|at| &all[at + 2..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}
