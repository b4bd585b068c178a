//! The program in a main assembly of .NET, by the `.deps.json` beside it.

use std::path::Path;

use serde_json::Value;

use super::{found::Found, programs, root::Root};

/// Longest `.deps.json` that is read, in bytes.
const LONGEST: usize = 2 * 1024 * 1024;

/// The program whose main assembly, or whose executable that loads it, is at `path`.
pub fn find(root: &Root, path: &Path) -> Option<Found> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".dll").unwrap_or(name);
    let folder = path.parent()?;
    let found = root.head(folder.join(format!("{name}.deps.json")), LONGEST)?;
    let found = dependencies(&found, name)?;
    Some(Found { place: path.with_file_name(name).to_str()?.to_owned(), ..found })
}

/// What a `.deps.json` says about the project it was made for.
pub fn dependencies(bytes: &[u8], name: &str) -> Option<Found> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let libraries = value.get("libraries")?.as_object()?;
    let is_project = |value: &Value| value.get("type").and_then(Value::as_str) == Some("project");
    let (_, version) = libraries
        .iter()
        .filter(|(_, value)| is_project(value))
        .filter_map(|(key, _)| key.split_once('/'))
        .find(|(library, _)| *library == name)?;
    // What the tools write for a project that does not say its version.
    let is_chosen = version != "1.0.0" && !programs::is_placeholder(version);
    Some(Found {
        origin: "deps.json".to_owned(),
        name: name.to_owned(),
        version: if is_chosen { version.to_owned() } else { String::new() },
        ..Found::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects() {
        let text = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0"},
            "libraries":{"Shop/2.3.1":{"type":"project"},"Base/1.0.0":{"type":"project"},
            "Json/13.0.1":{"type":"package"}}}"#;
        for (name, expected) in [
            ("Shop", Some(("Shop", "2.3.1"))),
            ("Base", Some(("Base", ""))),
            ("Json", None),
            ("Other", None),
        ] {
            let found = dependencies(text.as_bytes(), name);
            assert_eq!(found.as_ref().map(|one| (&*one.name, &*one.version)), expected, "{name}");
        }
        for text in ["", "{}", r#"{"libraries":[]}"#, r#"{"libraries":{"x":1}}"#] {
            assert_eq!(dependencies(text.as_bytes(), "x"), None, "{text}");
        }
    }
}
