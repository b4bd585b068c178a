//! Bodies of gRPC calls, cut into pieces of any size: never more messages than there are prefixes, and the
//! same messages however the pieces fall.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipwake::grpc::Frames;

fuzz_target!(|input: &[u8]| {
    let Some((size, body)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    let (whole, pieces) = (messages(body.chunks(body.len().max(1))), messages(body.chunks(size)));
    assert_eq!(whole, pieces);
});

fn messages<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Frames::new(1 << 20);
    let mut found = Vec::new();
    for piece in pieces {
        frames.push(piece);
        loop {
            match frames.next_message() {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
