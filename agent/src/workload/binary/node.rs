//! The package that a script of Node belongs to.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{found::Found, programs, root::Root};

/// Longest `package.json` that is read, in bytes.
const LONGEST: usize = 256 * 1024;
/// Folders that are looked into, from the script upwards.
const MOST_FOLDERS: usize = 12;

/// The package of the script at `path`, unless the script only runs what others wrote.
pub fn find(root: &Root, path: &Path) -> Option<Found> {
    // The tool that runs an application is one of the packages that the application brings.
    let is_installed = path.components().any(|part| part.as_os_str() == "node_modules");
    let outer = path
        .ancestors()
        .filter(|folder| folder.file_name().is_some_and(|name| name == "node_modules"))
        .last()
        .and_then(Path::parent);
    if let Some(outer) = outer
        && let Some(found) = nearest(root, outer)
    {
        return Some(found);
    }
    if programs::is_launcher(path.to_str()?) {
        return None;
    }
    let found = nearest(root, if is_installed { path.parent()? } else { path })?;
    (!programs::is_launcher(&found.name)).then_some(found)
}

/// The package that the nearest `package.json` with a name describes.
fn nearest(root: &Root, path: &Path) -> Option<Found> {
    path.ancestors().take(MOST_FOLDERS).find_map(|folder| {
        let file: PathBuf = folder.join("package.json");
        let found = package(&root.head(&file, LONGEST)?)?;
        Some(Found { place: folder.to_str()?.to_owned(), ..found })
    })
}

/// What a `package.json` says, if it names a package.
pub fn package(bytes: &[u8]) -> Option<Found> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let repository = match value.get("repository") {
        Some(Value::String(url)) => url.clone(),
        Some(other) => other.get("url").and_then(Value::as_str).unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let name = text("name");
    let version = Some(text("version")).filter(|version| !programs::is_placeholder(version));
    (!name.is_empty()).then(|| Found {
        origin: "package.json".to_owned(),
        name,
        version: version.unwrap_or_default(),
        repository,
        ..Found::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages() {
        for (text, expected) in [
            (r#"{"name":"shop","version":"1.4.2"}"#, Some(("shop", "1.4.2", ""))),
            (r#"{"name":"@acme/shop","version":"0.0.0"}"#, Some(("@acme/shop", "", ""))),
            (
                r#"{"name":"a","repository":{"type":"git","url":"git+https://h/a.git"}}"#,
                Some(("a", "", "git+https://h/a.git")),
            ),
            (r#"{"name":"a","repository":"https://h/a"}"#, Some(("a", "", "https://h/a"))),
            (r#"{"type":"module"}"#, None),
            (r#"{"name":7,"version":{}}"#, None),
            ("[]", None),
            ("{", None),
            ("", None),
        ] {
            let found = package(text.as_bytes());
            let found = found.as_ref().map(|one| (&*one.name, &*one.version, &*one.repository));
            assert_eq!(found, expected, "{text}");
        }
    }
}
