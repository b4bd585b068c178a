//! What runs on the machine to be watched: a service with a drop-in, a template, a package of its own, an image of
//! containers. What each of them must be called is in `identities.sh`.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use super::super::{folder, tree::Tree};
use crate::command::run;

/// Waits until it is told to end, also as the first process of a container.
const SOURCE: &str = "#include <signal.h>
#include <unistd.h>
static void end(int signal) { _exit(signal == SIGTERM ? 0 : 1); }
int main(void) { signal(SIGTERM, end); for (;;) pause(); }
";
const CONTROL: &str = "Package: checkout
Version: 1.4.2-3
Architecture: amd64
Maintainer: Nobody <nobody@localhost.localdomain>
Description: programs of a shop
";
/// As a build pipeline puts it into the package, beside the program.
const DESCRIPTION: &str = "{
  \"commit\": \"1111111111222222222233333333334444444444\",
  \"repository\": \"https://git.test/acme/checkout\",
  \"author\": \"ann@git.test\",
  \"build_time\": \"2026-01-02T03:04:05Z\",
  \"pipeline\": {\"name\": \"release\", \"run\": \"4711\"}
}
";
const NAMED: &str =
    "{\"name\": \"reports\", \"commit\": \"5555555555666666666677777777778888888888\"}\n";
const CHECKOUT: &str = "[Service]
ExecStart=/usr/bin/checkout
User=nobody
";
const WEB: &str = "[Service]
ExecStart=/opt/web/bin/web
User=nobody
Environment=APP_VERSION=2.7.0
";
const DROP_IN: &str = "[Service]
Slice=shop.slice
Environment=APP_VERSION=2.7.1 GIT_COMMIT=0123456789abcdef0123456789abcdef01234567
Environment=OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=staging
";
const WORKER: &str = "[Service]
ExecStart=/opt/web/bin/worker
DynamicUser=yes
";
const QUADLET: &str = "[Container]
Image=registry.test/shop/web:1.4.2
Pull=never
Network=none
Environment=OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production
";

/// Puts all of it on a disk: units where they belong, `/test/checkout.deb`, `/test/image.tar` and the
/// program in it.
pub fn put(disk: &Tree) -> Result<()> {
    let work = Tree::new(folder().join("guest/workloads"))?;
    work.file("main.c", SOURCE)?;
    let compile = |to: &Path, digit: &str, flags: &[&str]| {
        let id = format!("-Wl,--build-id=0x{}", digit.repeat(40));
        let source = work.root().join("main.c");
        run(Command::new("cc").arg("-o").arg(to).arg(source).arg(id).args(flags))
    };
    disk.folder("opt/web/bin")?;
    compile(&disk.root().join("opt/web/bin/web"), "a", &[])?;
    compile(&disk.root().join("opt/web/bin/worker"), "b", &[])?;
    disk.file("etc/systemd/system/web.service", WEB)?;
    disk.file("etc/systemd/system/web.service.d/deploy.conf", DROP_IN)?;
    disk.file("etc/systemd/system/worker@.service", WORKER)?;
    disk.file("etc/containers/systemd/shop.container", QUADLET)?;

    let package = Tree::new(folder().join("guest/checkout"))?;
    package.folder("usr/bin")?;
    for (program, digit) in [("checkout", "c"), ("checkout-batch", "d"), ("checkout-report", "e")] {
        compile(&package.root().join("usr/bin").join(program), digit, &[])?;
    }
    package.file("usr/bin/checkout.deploy.json", DESCRIPTION)?;
    package.file("usr/bin/checkout-report.deploy.json", NAMED)?;
    package.file("usr/lib/systemd/system/checkout.service", CHECKOUT)?;
    package.file("DEBIAN/control", CONTROL)?;
    fs::create_dir_all(disk.root().join("test"))?;
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([package.root(), &disk.root().join("test/checkout.deb")])
        .stdout(std::process::Stdio::null()))?;

    let image = Tree::new(folder().join("guest/container"))?;
    compile(&image.root().join("web"), "f", &["-static"])?;
    disk.program("test/web", fs::read(image.root().join("web"))?)?;
    run(Command::new("tar")
        .args(["--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(image.root())
        .arg("-cf")
        .arg(disk.root().join("test/image.tar"))
        .arg("."))
}
