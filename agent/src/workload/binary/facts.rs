//! From what was read to what the source says.

use std::sync::Arc;

use super::{
    dpkg,
    executable::Executable,
    found::Found,
    golang::GoInfo,
    programs::{self, Program},
};
use crate::workload::{Attribute, names, text};

/// What the source says, in the making.
#[derive(Default)]
pub struct Said(Vec<Attribute>);

impl Said {
    /// What the program says about itself or the service: the first to say something is heard.
    fn built(&mut self, attribute: &str, value: Option<impl Into<Arc<str>>>, origin: &str) {
        self.give([names::BUILT, names::BUILT_BY], attribute, value, origin);
    }

    /// What its package says about the service.
    fn packaged(&mut self, attribute: &str, value: Option<impl Into<Arc<str>>>, origin: &str) {
        self.give([names::PACKAGED, names::PACKAGED_BY], attribute, value, origin);
    }

    fn give(
        &mut self,
        [prefix, by]: [&str; 2],
        attribute: &str,
        value: Option<impl Into<Arc<str>>>,
        origin: &str,
    ) {
        let key = format!("{prefix}{attribute}");
        if let Some(value) = value
            && !self.0.iter().any(|known| *known.key == *key)
        {
            self.0.push(Attribute::text(key, value));
            self.0.push(Attribute::text(format!("{by}{attribute}"), origin));
        }
    }

    /// Everything.
    pub fn finish(self) -> Vec<Attribute> {
        self.0
    }

    /// What an executable says about itself; about the service only when it is the service.
    pub fn executable(&mut self, executable: &Executable, program: Program) {
        let Executable { htlhash, gnu_build_id, go_build_id, go, cargo, package: _ } = executable;
        let mut id = |kind: &str, value: &str, origin: &str| {
            let attribute = format!("process.executable.build_id.{kind}");
            self.built(&attribute, text::clean(value), origin);
        };
        id("htlhash", htlhash, "executable");
        id("gnu", gnu_build_id, "note .note.gnu.build-id");
        id("go", go_build_id, "note .note.go.buildid");
        if program != Program::Itself {
            return;
        }
        if let Some(go) = go {
            self.go(go);
        }
        if let Some(cargo) = cargo {
            self.built("service.name", text::name(&cargo.name), "cargo auditable");
            self.built("service.version", version(&cargo.version), "cargo auditable");
        }
    }

    /// The runtime that an interpreter is.
    pub fn runtime(&mut self, name: &str) {
        self.built("process.runtime.name", Some(name), "executable");
    }

    fn go(&mut self, info: &GoInfo) {
        const ORIGIN: &str = "go build info";
        self.built("process.runtime.name", Some("go"), ORIGIN);
        self.built("process.runtime.version", text::clean(&info.go), ORIGIN);
        self.built("service.name", go_name(info), ORIGIN);
        self.built("service.version", version(&info.set_version), "go build info -ldflags");
        self.built("service.version", version(&info.version), ORIGIN);
        self.built("vcs.ref.head.revision", revision(&info.revision, info.is_modified), ORIGIN);
        self.built("shipwake.deploy.commit_time", time(&info.commit_time), ORIGIN);
    }

    /// The package that the executable came with. An interpreter's is not the service's.
    pub fn package(&mut self, manager: &str, name: &str, package_version: &str, program: Program) {
        let origin = format!("package {manager} {name}");
        self.built("shipwake.package.manager", text::clean(manager), &origin);
        self.built("shipwake.package.name", text::name(name), &origin);
        self.built("shipwake.package.version", text::name(package_version), &origin);
        if program == Program::Itself {
            self.packaged("service.version", text::name(package_version), &origin);
        }
    }

    /// The program that an interpreter runs.
    pub fn found(&mut self, found: &Found) {
        let origin = &found.origin;
        self.0.push(Attribute::text(names::APART, found.place.as_str()));
        self.built("service.name", text::name(&found.name), origin);
        self.built("service.version", version(&found.version), origin);
        let git = if found.origin == "package.json" { origin } else { "git.properties" };
        self.built("vcs.ref.head.revision", revision(&found.revision, found.is_modified), git);
        self.built("vcs.ref.head.name", text::name(&found.branch), git);
        self.built("vcs.repository.url.full", text::repository(&found.repository), git);
        self.built("shipwake.deploy.author", text::clean(&found.author), git);
        self.built("shipwake.deploy.commit_time", time(&found.commit_time), git);
        self.built("shipwake.deploy.build_time", time(&found.build_time), origin);
    }

    /// The package that a script came with, which nothing else names.
    pub fn script(&mut self, path: &str, name: &str, package: &dpkg::Package) {
        let origin = format!("package dpkg {}", package.name);
        self.0.push(Attribute::text(names::APART, path));
        self.built("service.name", text::name(name), "script");
        self.packaged("service.version", text::name(&package.version), &origin);
    }
}

/// A version that somebody chose.
fn version(value: &str) -> Option<&str> {
    text::name(value).filter(|version| !programs::is_placeholder(version))
}

fn time(value: &str) -> Option<&str> {
    text::build_time(value).and_then(|_| text::clean(value))
}

/// A commit. One with changes on top is not that commit, and must not look like it.
fn revision(value: &str, is_modified: bool) -> Option<Arc<str>> {
    let commit = text::commit(value)?;
    Some(if is_modified { format!("{commit}+dirty").into() } else { commit })
}

/// The last part of a main package's path that says something.
fn go_name(info: &GoInfo) -> Option<&str> {
    let is_version =
        |part: &&str| part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    let last = |path: &'_ str| path.rsplit('/').position(|part| !is_version(&part));
    [&info.package, &info.module]
        .into_iter()
        .filter_map(|path| path.rsplit('/').nth(last(path)?))
        .find(|name| !programs::says_nothing(name))
        .and_then(text::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_go_programs() {
        for (package, module, expected) in [
            ("example.com/shop/cmd/checkout", "example.com/shop", Some("checkout")),
            ("example.com/shop/cmd", "example.com/shop", Some("shop")),
            ("example.com/shop/v2", "example.com/shop/v2", Some("shop")),
            ("example.com/shop/v2/cmd/server", "example.com/shop/v2", Some("shop")),
            ("command-line-arguments", "", None),
            ("command-line-arguments", "shop", Some("shop")),
            ("main", "", None),
            ("", "", None),
            ("v2", "v2", None),
        ] {
            let info = GoInfo {
                package: package.to_owned(),
                module: module.to_owned(),
                ..GoInfo::default()
            };
            assert_eq!(go_name(&info), expected, "{package} {module}");
        }
    }

    #[test]
    fn a_modified_tree_is_not_its_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(revision(commit, false).as_deref(), Some(commit));
        assert_eq!(revision(commit, true), Some(format!("{commit}+dirty").into()));
        assert_eq!(revision("", true), None);
        assert_eq!(revision("main", false), None);
    }
}
