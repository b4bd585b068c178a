//! The distribution of Python that a script or module belongs to.

use std::path::{Path, PathBuf};

use super::{
    command::Entry,
    found::Found,
    programs,
    root::{self, Root},
};

/// Distributions in one environment that are looked at.
const MOST_DISTRIBUTIONS: usize = 512;
/// Longest head of a `METADATA`, `entry_points.txt`, `top_level.txt` or `pyproject.toml`, in bytes.
const LONGEST: usize = 64 * 1024;
/// Folders in which a project file is looked for, from the script upwards.
const MOST_FOLDERS: usize = 4;

/// How a process of Python was started.
pub struct Start<'a> {
    pub entry: &'a Entry,
    /// First argument: the interpreter as it was called, inside of its environment if it has one.
    pub interpreter: &'a str,
    /// The executable.
    pub executable: &'a Path,
    /// The working directory.
    pub directory: &'a Path,
}

/// The distribution or project that the process runs.
pub fn find(root: &Root, start: &Start<'_>) -> Option<Found> {
    match start.entry {
        Entry::File(path) => {
            let path = root::absolute(start.directory, path)?;
            let name = path.file_name()?.to_str()?;
            if programs::is_launcher(name) {
                return None;
            }
            let prefix = path.parent().filter(|folder| folder.ends_with("bin"))?.parent();
            let script = prefix.and_then(|prefix| {
                let sites = sites(root, prefix);
                let declares = |text: &str| declares_script(text, name);
                distribution(root, &sites, "entry_points.txt", declares)
            });
            script.or_else(|| project(root, path.parent()?))
        }
        Entry::Module(module) => {
            let top = module.split('.').next().filter(|top| !top.is_empty())?;
            if programs::is_launcher(top) || programs::is_launcher(module) {
                return None;
            }
            // The working directory comes first on the path.
            let here = start.directory.join(top);
            if root.key(&here).is_some() || root.key(here.with_extension("py")).is_some() {
                return project(root, start.directory);
            }
            let sites =
                prefixes(start).iter().flat_map(|prefix| sites(root, prefix)).collect::<Vec<_>>();
            let has = |text: &str| text.lines().any(|line| line.trim() == top);
            distribution(root, &sites, "top_level.txt", has).or_else(|| {
                let records = |text: &str| {
                    let package = format!("{top}/__init__.py,");
                    let single = format!("{top}.py,");
                    text.lines().any(|line| line.starts_with(&package) || line.starts_with(&single))
                };
                distribution(root, &sites, "RECORD", records)
            })
        }
        Entry::Class { .. } => None,
    }
}

/// Where distributions may be installed: the environment of the interpreter first.
fn prefixes(start: &Start<'_>) -> Vec<PathBuf> {
    let called = root::absolute(start.directory, start.interpreter)
        .filter(|_| start.interpreter.contains('/'));
    let mut prefixes: Vec<PathBuf> = Vec::new();
    for path in called.iter().map(PathBuf::as_path).chain([start.executable]) {
        if let Some(prefix) = path.parent().and_then(Path::parent)
            && !prefixes.iter().any(|known| known == prefix)
        {
            prefixes.push(prefix.to_owned());
        }
    }
    prefixes
}

/// Folders with distributions below a prefix.
fn sites(root: &Root, prefix: &Path) -> Vec<PathBuf> {
    let library = prefix.join("lib");
    let versions = root.list(&library, 8, |name| name.starts_with("python"));
    let below = |version: &String| {
        ["site-packages", "dist-packages"].map(|name| library.join(version).join(name))
    };
    versions.iter().flat_map(below).filter(|site| root.key(site).is_some()).collect()
}

/// The one distribution whose file `name` satisfies `is_meant`. `None` when there are several.
fn distribution(
    root: &Root,
    sites: &[PathBuf],
    name: &str,
    is_meant: impl Fn(&str) -> bool,
) -> Option<Found> {
    let mut found = None;
    let is_info = |name: &str| name.ends_with(".dist-info") || name.ends_with(".egg-info");
    for site in sites {
        for info in root.list(site, MOST_DISTRIBUTIONS, is_info) {
            let folder = site.join(&info);
            let longest = if name == "RECORD" { 4 * LONGEST } else { LONGEST };
            let Some(text) = root.head(folder.join(name), longest) else { continue };
            if is_meant(&String::from_utf8_lossy(&text)) && found.replace(folder).is_some() {
                return None;
            }
        }
    }
    let folder = found?;
    let text =
        ["METADATA", "PKG-INFO"].iter().find_map(|name| root.head(folder.join(name), LONGEST))?;
    let found = metadata(&String::from_utf8_lossy(&text))?;
    if programs::is_launcher(&found.name) {
        return None;
    }
    // Without its version, which the name of the folder has too.
    let place = folder.parent()?.join(&found.name);
    Some(Found { place: place.to_str()?.to_owned(), ..found })
}

/// Whether `[console_scripts]` or `[gui_scripts]` of an `entry_points.txt` has this script.
pub fn declares_script(text: &str, script: &str) -> bool {
    let mut is_scripts = false;
    text.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            is_scripts = matches!(line, "[console_scripts]" | "[gui_scripts]");
            return false;
        }
        is_scripts && line.split_once('=').is_some_and(|(name, _)| name.trim() == script)
    })
}

/// What the headers of a `METADATA` say.
pub fn metadata(text: &str) -> Option<Found> {
    let header = |name: &str| {
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        let value = lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        value.unwrap_or_default().to_owned()
    };
    let version = Some(header("Version")).filter(|version| !programs::is_placeholder(version));
    let name = header("Name");
    (!name.is_empty()).then(|| Found {
        origin: "python distribution".to_owned(),
        name,
        version: version.unwrap_or_default(),
        ..Found::default()
    })
}

/// The project whose `pyproject.toml` is in this folder or not far above.
fn project(root: &Root, folder: &Path) -> Option<Found> {
    folder.ancestors().take(MOST_FOLDERS).find_map(|folder| {
        let text = root.head(folder.join("pyproject.toml"), LONGEST)?;
        let found = pyproject(&String::from_utf8_lossy(&text))?;
        Some(Found { place: folder.to_str()?.to_owned(), ..found })
    })
}

/// What a `pyproject.toml` says about its project. Tools may work the version out: then it has none.
pub fn pyproject(text: &str) -> Option<Found> {
    let table: toml::Table = text.parse().ok()?;
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
    let project = table.get("project").or(poetry)?;
    let text = |key: &str| project.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    let version = Some(text("version")).filter(|version| !programs::is_placeholder(version));
    let name = text("name");
    (!name.is_empty()).then(|| Found {
        origin: "pyproject.toml".to_owned(),
        name: name.to_owned(),
        version: version.unwrap_or_default().to_owned(),
        ..Found::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_distributions() {
        let text = "[console_scripts]\nshop = shop.main:run\n shop-admin=shop.admin:run [x]\n\n[other]\nworker = x\n";
        for (script, expected) in
            [("shop", true), ("shop-admin", true), ("worker", false), ("sho", false), ("", false)]
        {
            assert_eq!(declares_script(text, script), expected, "{script}");
        }
    }

    #[track_caller]
    fn check(found: Option<Found>, expected: Option<(&str, &str)>) {
        assert_eq!(found.as_ref().map(|one| (&*one.name, &*one.version)), expected);
    }

    #[test]
    fn headers_of_metadata() {
        check(
            metadata("Metadata-Version: 2.1\nName: shop\nversion: 1.4.2\n\nVersion: 9\n"),
            Some(("shop", "1.4.2")),
        );
        check(metadata("Name: shop\nVersion: 0.0.0\n"), Some(("shop", "")));
        check(metadata("Version: 1\n\nName: x"), None);
        check(metadata(""), None);
    }

    #[test]
    fn projects() {
        check(pyproject("[project]\nname = 'shop'\nversion = '2'\n"), Some(("shop", "2")));
        check(pyproject("[project]\nname = 'shop'\ndynamic = ['version']\n"), Some(("shop", "")));
        check(pyproject("[tool.poetry]\nname = 'shop'\nversion = '3'\n"), Some(("shop", "3")));
        check(pyproject("[tool.black]\n"), None);
        check(pyproject("[project]\nname = 1\n"), None);
        check(pyproject("["), None);
    }
}
