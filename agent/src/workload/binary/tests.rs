//! The decoders on real files: what a compiler, an archiver and build tools make of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    bytes::Bounded,
    executable::{self, Executable},
    found::Found,
    jar,
};

/// A folder of its own for a test. Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("shipwake-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn read(path: &Path) -> Executable {
    let bytes = fs::read(path).unwrap();
    let bytes = bytes.as_slice();
    executable::read(&Bounded::new(&bytes, bytes.len() as u64, executable::MOST_BYTES))
}

/// The hash as `sha256sum` has it.
fn htlhash(folder: &Folder, path: &str) -> String {
    let script = format!(
        "size=$(stat -c %s {path}); (head -c 4096 {path}; tail -c 4096 {path}; \
         printf \"$(printf %016x $size | sed 's/../\\\\x&/g')\") | sha256sum | head -c 32"
    );
    folder.run("bash", &["-c", &script])
}

#[test]
fn a_compiled_program() {
    let folder = Folder::new("compiled");
    folder.write("main.c", "int main(void) { return 0; }\n");
    folder.write("note.json", "{\"type\":\"deb\",\"name\":\"shop\",\"version\":\"1.2-3\"}\0");
    // Length of name, length of content, kind, name, content, all in words.
    folder.write(
        "note.s",
        ".section .note.package, \"a\", @note\n.balign 4\n.long 4, 2f-1f, 0xcafe1a7e\n.asciz \"FDO\"\n\
         1: .incbin \"note.json\"\n2: .balign 4\n.section .note.GNU-stack,\"\",@progbits\n",
    );
    let list = br#"{"packages":[{"name":"libc","version":"0.2.1","source":"crates.io"},
        {"name":"checkout","version":"1.4.2","source":"local","root":true}]}"#;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, list).unwrap();
    folder.write("crates", packed.finish().unwrap());
    let id = "0123456789abcdef0123456789abcdef01234567";
    folder.run("cc", &["-o", "plain", "main.c", "note.s", &format!("-Wl,--build-id=0x{id}")]);
    folder.run("objcopy", &["--add-section", ".dep-v0=crates", "plain", "program"]);
    folder.run("strip", &["-o", "stripped", "program", "--keep-section=.dep-v0"]);
    for name in ["program", "stripped"] {
        let found = read(&folder.0.join(name));
        assert_eq!(found.gnu_build_id, id, "{name}");
        assert_eq!(found.htlhash, htlhash(&folder, name), "{name}");
        assert_eq!(found.go, None, "{name}");
        let cargo = found.cargo.unwrap();
        assert_eq!((&*cargo.name, &*cargo.version), ("checkout", "1.4.2"), "{name}");
        let package = found.package.unwrap();
        let package = (&*package.kind, &*package.name, &*package.version);
        assert_eq!(package, ("deb", "shop", "1.2-3"), "{name}");
    }
}

#[test]
fn a_small_file_and_a_script_have_a_hash() {
    let folder = Folder::new("small");
    folder.write("script", "#!/bin/sh\n");
    let expected = Executable { htlhash: htlhash(&folder, "script"), ..Executable::default() };
    assert_eq!(read(&folder.0.join("script")), expected);
}

#[test]
fn a_broken_program_is_read_as_far_as_it_goes() {
    let bytes = fs::read("/proc/self/exe").unwrap();
    for (at, with) in [(32, 0xff), (40, 0xff), (54, 0xff), (56, 0xff), (60, 0xff), (62, 0xff)] {
        let mut bytes = bytes.clone();
        bytes[at..at + 2].fill(with);
        let bytes = bytes.as_slice();
        let file = Bounded::new(&bytes, bytes.len() as u64, executable::MOST_BYTES);
        assert_eq!(executable::read(&file).htlhash.len(), 32, "{at}");
    }
    for length in 0..bytes.len().min(300) {
        let bytes = &bytes[..length];
        executable::read(&Bounded::new(&bytes, length as u64, executable::MOST_BYTES));
    }
}

/// An ELF file of one data segment and the buildinfo of Go 1.17 and before, which points to texts.
fn old_go(is_64: bool, is_big: bool, go: &str, info: &str) -> Vec<u8> {
    let word = |number: u64, length: usize| -> Vec<u8> {
        let bytes = number.to_le_bytes()[..length].to_vec();
        if is_big { bytes.into_iter().rev().collect() } else { bytes }
    };
    let pointer = if is_64 { 8 } else { 4 };
    const BASE: u64 = 0x40_0000;
    let framed = format!("{}{info}{}", "0".repeat(16), "1".repeat(16));
    // The data: header of 32 bytes, two strings' headers, the texts.
    let heads = BASE + 64;
    let texts = heads + 4 * pointer as u64;
    let mut data = b"\xff Go buildinf:".to_vec();
    data.extend([pointer as u8, u8::from(is_big)]);
    data.extend(word(heads, pointer));
    data.extend(word(heads + 2 * pointer as u64, pointer));
    data.resize(64, 0);
    data.extend(word(texts, pointer));
    data.extend(word(go.len() as u64, pointer));
    data.extend(word(texts + go.len() as u64, pointer));
    data.extend(word(framed.len() as u64, pointer));
    data.extend(go.as_bytes());
    data.extend(framed.as_bytes());
    let (header, entry) = if is_64 { (64, 56) } else { (52, 32) };
    let start = 128;
    let mut file = b"\x7fELF".to_vec();
    file.extend([if is_64 { 2 } else { 1 }, if is_big { 2 } else { 1 }, 1]);
    file.resize(16, 0);
    for (number, length) in [(2, 2), (62, 2), (1, 4), (BASE, pointer)] {
        file.extend(word(number, length));
    }
    for (number, length) in
        [(header, pointer), (0, pointer), (0, 4), (header, 2), (entry, 2), (1, 2)]
    {
        file.extend(word(number, length));
    }
    file.resize(header as usize, 0);
    let length = data.len() as u64;
    let (kind, flags) = (word(1, 4), word(6, 4));
    let places =
        [(start, pointer), (BASE, pointer), (BASE, pointer), (length, pointer), (length, pointer)];
    let places: Vec<u8> = places.iter().flat_map(|(number, size)| word(*number, *size)).collect();
    let parts = if is_64 { [kind, flags, places] } else { [kind, places, flags] };
    file.extend(parts.concat());
    file.resize(start as usize, 0);
    file.extend(data);
    file
}

#[test]
fn a_program_of_an_old_go() {
    let info = "path\tshop\nmod\texample.com/shop\tv1.4.2\th1:x=\n";
    for (is_64, is_big) in [(true, false), (true, true), (false, false), (false, true)] {
        let bytes = old_go(is_64, is_big, "go1.17.3", info);
        let bytes = bytes.as_slice();
        let found = executable::read(&Bounded::new(&bytes, bytes.len() as u64, 1 << 20));
        let go = found.go.unwrap_or_default();
        assert_eq!(
            (&*go.go, &*go.module, &*go.version),
            ("go1.17.3", "example.com/shop", "v1.4.2"),
            "{is_64} {is_big}"
        );
    }
}

/// A jar, made by another program than the one that reads it.
fn jar(folder: &Folder, name: &str, files: &[(&str, &str)]) -> Option<Found> {
    for (path, content) in files {
        folder.write(path, content);
    }
    let script = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as jar:\n    \
        [jar.write(path) for path in sys.argv[2:]]\n";
    let paths = files.iter().map(|(path, _)| *path);
    let arguments: Vec<&str> = ["-c", script, name].into_iter().chain(paths).collect();
    folder.run("python3", &arguments);
    let bytes = fs::read(folder.0.join(name)).unwrap();
    let bytes = bytes.as_slice();
    jar::read(&Bounded::new(&bytes, bytes.len() as u64, jar::MOST_BYTES), name)
}

#[test]
fn jars() {
    let folder = Folder::new("jars");
    let found = jar(
        &folder,
        "x.jar",
        &[
            (
                "META-INF/MANIFEST.MF",
                "Manifest-Version: 1.0\r\nImplementation-Title: checkout\r\nImplementation-Version: 1.4.2\r\n\r\n",
            ),
            (
                "BOOT-INF/classes/git.properties",
                "git.commit.id=0123456789abcdef0123456789abcdef01234567\ngit.dirty=true\ngit.commit.user.name=Ann\ngit.commit.time=2024-01-31T10\\:20\\:30+0100\ngit.remote.origin.url=git@h.example\\:acme/shop.git\n",
            ),
        ],
    );
    let expected = Found {
        origin: "jar manifest".to_owned(),
        name: "checkout".to_owned(),
        version: "1.4.2".to_owned(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        is_modified: true,
        author: "Ann".to_owned(),
        commit_time: "2024-01-31T10:20:30+01:00".to_owned(),
        repository: "git@h.example:acme/shop.git".to_owned(),
        ..Found::default()
    };
    assert_eq!(found, Some(expected));
    // Executable jars begin with a script.
    let path = folder.0.join("x.jar");
    let script = [b"#!/bin/sh\nexec java -jar $0\n".to_vec(), fs::read(&path).unwrap()].concat();
    let bytes = script.as_slice();
    let found = jar::read(&Bounded::new(&bytes, bytes.len() as u64, jar::MOST_BYTES), "x.jar");
    assert_eq!(found.map(|found| found.version).as_deref(), Some("1.4.2"));
}

#[test]
fn broken_jars() {
    let folder = Folder::new("broken-jars");
    assert!(jar(&folder, "a.jar", &[("META-INF/MANIFEST.MF", "A: b\n")]).is_some());
    let bytes = fs::read(folder.0.join("a.jar")).unwrap();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        let whole = bytes.as_slice();
        jar::read(&Bounded::new(&whole, whole.len() as u64, jar::MOST_BYTES), "a.jar");
        let cut = &bytes[..at];
        jar::read(&Bounded::new(&cut, cut.len() as u64, jar::MOST_BYTES), "a.jar");
    }
}
