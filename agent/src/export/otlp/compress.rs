//! Compresses a message. A fast level: the agent's CPU is worth more than the last per cent.

use std::io::{self, Write as _};

use super::Compression;

const ZSTD_LEVEL: i32 = 1;

pub(super) fn compress(how: Compression, message: Vec<u8>) -> io::Result<Vec<u8>> {
    match how {
        Compression::None => Ok(message),
        Compression::Gzip => {
            let room = Vec::with_capacity(message.len() / 8);
            let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
            encoder.write_all(&message)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::encode_all(message.as_slice(), ZSTD_LEVEL),
    }
}
