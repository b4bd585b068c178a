//! What the Go linker writes into a binary: its version, the modules it was built of, and from which
//! commit.

use super::elf::Elf;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Longest information about modules that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// Part of the data segment that is searched in a binary without section names: the linker puts the
/// information at its beginning.
const SEARCHED: u64 = 64 * 1024;
/// The information is framed by as many bytes on each side.
const FRAME: usize = 16;

/// What a Go binary says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoInfo {
    /// `go1.22.3`.
    pub go: String,
    /// Path of the main package: `example.com/shop/cmd/checkout`.
    pub package: String,
    /// Path of the main module.
    pub module: String,
    /// Version of the main module: `v1.4.2`, `(devel)`.
    pub version: String,
    /// Commit of the source tree.
    pub revision: String,
    /// When the commit was made, RFC 3339.
    pub commit_time: String,
    /// The tree had changes that are in no commit.
    pub is_modified: bool,
    /// What `-ldflags` sets `main.version` to.
    pub set_version: String,
}

/// The build information of a binary, if it is a Go binary.
pub fn read(elf: &Elf<'_>) -> Option<GoInfo> {
    let data = elf
        .section_head(".go.buildinfo", SEARCHED)
        .filter(|data| find(data).is_some())
        .or_else(|| elf.data_head(SEARCHED))?;
    let header = data.get(find(&data)?..)?;
    let (pointer, flags) = (usize::from(*header.get(14)?), *header.get(15)?);
    if flags & 2 != 0 {
        // Since Go 1.18 both texts follow, each behind its length.
        let rest = header.get(32..)?;
        let (go, rest) = counted(rest)?;
        let info = match counted(rest) {
            Some((info, _)) => info.to_vec(),
            // Longer than what was read at first.
            None => longer(elf, rest, data.len())?,
        };
        return Some(decode(&text(go), &info));
    }
    if pointer != elf.layout.pointer() || (flags & 1 != 0) != elf.layout.is_big {
        return None;
    }
    let string = |index: usize| {
        let address = elf.layout.number(header, 16 + index * pointer, pointer)?;
        let head = elf.memory(address, 2 * pointer as u64)?;
        let address = elf.layout.number(&head, 0, pointer)?;
        let length = elf.layout.number(&head, pointer, pointer)?;
        (length <= LONGEST).then(|| elf.memory(address, length))?
    };
    let go = string(0)?;
    Some(decode(&text(&go), &string(1).unwrap_or_default()))
}

/// The second text, from the section as a whole.
fn longer(elf: &Elf<'_>, rest: &[u8], read: usize) -> Option<Vec<u8>> {
    let data = elf.section(".go.buildinfo", LONGEST)?;
    let rest = data.get(read.checked_sub(rest.len())?..)?;
    counted(rest).map(|(info, _)| info.to_vec())
}

/// Where the information starts: the linker aligns it to 16 bytes.
fn find(data: &[u8]) -> Option<usize> {
    data.chunks(16).position(|chunk| chunk.starts_with(MAGIC)).map(|index| index * 16)
}

/// A text behind its length as a variable-length number, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = bytes.get(index + 1..)?;
            return rest.split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// From the two texts, the second still in its frame.
pub fn decode(go: &str, framed: &[u8]) -> GoInfo {
    let end = framed.len().saturating_sub(FRAME);
    let lines = framed.get(FRAME..end).unwrap_or_default();
    let lines = String::from_utf8_lossy(lines);
    let mut info =
        GoInfo { go: go.split(' ').next().unwrap_or_default().to_owned(), ..GoInfo::default() };
    // What replaces a module follows it, and the first lines are about the main module.
    let mut is_main = false;
    for line in lines.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        match next() {
            "path" => info.package = next().to_owned(),
            "mod" => {
                is_main = true;
                info.module = next().to_owned();
                info.version = next().to_owned();
            }
            "dep" => is_main = false,
            "=>" if is_main => info.version.clear(),
            "build" => {
                let setting = line.split_once('\t').map(|(_, rest)| rest).unwrap_or_default();
                let (key, value) = setting.split_once('=').unwrap_or_default();
                match key {
                    "vcs.revision" => info.revision = value.to_owned(),
                    "vcs.time" => info.commit_time = value.to_owned(),
                    "vcs.modified" => info.is_modified = value == "true",
                    "-ldflags" => info.set_version = set_version(value).unwrap_or_default(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    info
}

/// The value of `-X main.version=…` in flags for the linker.
fn set_version(flags: &str) -> Option<String> {
    let mut words = flags.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    words.find_map(|word| {
        let word = word.strip_prefix("-X=").unwrap_or(word);
        let value =
            word.strip_prefix("main.version=").or_else(|| word.strip_prefix("main.Version="))?;
        let value = value.trim_end_matches('\\');
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(lines: &str) -> Vec<u8> {
        [&[b'0'; FRAME][..], lines.as_bytes(), &[b'1'; FRAME]].concat()
    }

    #[test]
    fn what_the_lines_say() {
        let info = decode(
            "go1.22.3 X:nocoverageredesign",
            &framed(
                "path\texample.com/shop/cmd/checkout\nmod\texample.com/shop\t(devel)\t\n\
                 dep\tgolang.org/x/sys\tv0.1.0\th1:abc=\n=>\t./sys\t(devel)\t\n\
                 build\t-buildmode=exe\nbuild\tvcs=git\nbuild\tvcs.revision=0123abc\n\
                 build\tvcs.time=2024-01-31T10:20:30Z\nbuild\tvcs.modified=true\n",
            ),
        );
        let expected = GoInfo {
            go: "go1.22.3".to_owned(),
            package: "example.com/shop/cmd/checkout".to_owned(),
            module: "example.com/shop".to_owned(),
            version: "(devel)".to_owned(),
            revision: "0123abc".to_owned(),
            commit_time: "2024-01-31T10:20:30Z".to_owned(),
            is_modified: true,
            set_version: String::new(),
        };
        assert_eq!(info, expected);
    }

    #[test]
    fn a_main_module_that_was_replaced_has_no_version() {
        let info = decode("go1.20", &framed("mod\ta\tv1.0.0\th1:x=\n=>\t../a\t(devel)\t\n"));
        assert_eq!((&*info.module, &*info.version), ("a", ""));
    }

    #[test]
    fn versions_set_by_the_linker() {
        for (flags, expected) in [
            ("\"-s -w -X main.version=1.4.2 -X main.commit=abc\"", Some("1.4.2")),
            ("\"-X 'main.Version=v2'\"", Some("v2")),
            ("-X=main.version=3", Some("3")),
            ("\"-X example.com/dep.version=9\"", None),
            ("\"-X main.version=\"", None),
            ("-s", None),
        ] {
            assert_eq!(set_version(flags).as_deref(), expected, "{flags}");
        }
    }

    #[test]
    fn bytes_of_any_kind() {
        assert_eq!(decode("", b""), GoInfo::default());
        assert_eq!(decode("", &[0xff; 40]), GoInfo::default());
        assert_eq!(counted(&[0xff; 20]), None);
        assert_eq!(counted(&[200, 1, 2]), None);
        assert_eq!(counted(b"\x02abc"), Some((&b"ab"[..], &b"c"[..])));
    }
}
