//! Everything that an executable file says about itself.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use ring::digest;
use serde::Deserialize;

use super::{
    bytes::Bounded,
    elf::{Elf, Note},
    golang::{self, GoInfo},
};

/// Most bytes of one executable that are read.
pub const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Longest list of crates, compressed and plain, in bytes.
const LONGEST_CRATES: (u64, u64) = (1024 * 1024, 8 * 1024 * 1024);
/// Part of the file at each end that goes into its hash.
const HASHED: u64 = 4096;

const NT_GNU_BUILD_ID: u32 = 3;
const NT_GO_BUILD_ID: u32 = 4;
const NT_FDO_PACKAGE: u32 = 0xcafe_1a7e;

/// What an executable file says. Empty texts are what it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executable {
    /// Hash of both ends and the length, in hexadecimal digits. Not a hash of the whole content.
    pub htlhash: String,
    pub gnu_build_id: String,
    pub go_build_id: String,
    pub go: Option<GoInfo>,
    /// The crate that the binary was built from.
    pub cargo: Option<Named>,
    /// The package of a distribution that the binary was built for.
    pub package: Option<Package>,
}

/// Name and version of something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub version: String,
}

/// The content of a `.note.package`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Package {
    /// `deb`, `rpm`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub version: String,
}

/// Reads an executable within a budget. A file that is no ELF file has a hash only.
pub fn read(file: &Bounded<'_>) -> Executable {
    let mut executable =
        Executable { htlhash: htlhash(file).unwrap_or_default(), ..Executable::default() };
    let Some(elf) = Elf::parse(file) else { return executable };
    for Note { name, kind, content } in elf.notes() {
        match (name.as_slice(), kind) {
            (b"GNU", NT_GNU_BUILD_ID) if (4..=64).contains(&content.len()) => {
                executable.gnu_build_id = hex(&content);
            }
            (b"Go", NT_GO_BUILD_ID) if content.len() <= 512 => {
                executable.go_build_id = String::from_utf8_lossy(&content).into_owned();
            }
            (b"FDO", NT_FDO_PACKAGE) => executable.package = package(&content),
            _ => {}
        }
    }
    executable.go = golang::read(&elf);
    executable.cargo = elf.section(".dep-v0", LONGEST_CRATES.0).and_then(|bytes| crates(&bytes));
    executable
}

/// The first half of the SHA-256 of both ends and the length, as the profiles of OpenTelemetry have it.
fn htlhash(file: &Bounded<'_>) -> Option<String> {
    let length = file.length();
    let part = length.min(HASHED);
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&file.read(0, part)?);
    context.update(&file.read(length - part, part)?);
    context.update(&length.to_be_bytes());
    context.finish().as_ref().get(..16).map(hex)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of a `.note.package`: JSON, and zero bytes to fill it up.
pub fn package(content: &[u8]) -> Option<Package> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    serde_json::from_slice(content.get(..end)?).ok()
}

/// The root of a list of crates as `cargo auditable` writes it: compressed JSON.
pub fn crates(compressed: &[u8]) -> Option<Named> {
    #[derive(Deserialize)]
    struct List {
        packages: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: String,
        version: String,
        #[serde(default)]
        root: bool,
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(compressed).take(LONGEST_CRATES.1).read_to_end(&mut plain).ok()?;
    let list: List = serde_json::from_slice(&plain).ok()?;
    let Entry { name, version, .. } = list.packages.into_iter().find(|entry| entry.root)?;
    Some(Named { name, version })
}
