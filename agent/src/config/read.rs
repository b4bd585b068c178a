//! Finds and reads the files, and takes the environment of the process.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Flag, Inputs, Problem, Problems, Resolved, environment, resolve};

/// Read unless another file is named; it may be missing.
pub const FILE: &str = "/etc/shipwake/shipwake.toml";
/// Files here are read after [`FILE`], by name.
pub const DIRECTORY: &str = "/etc/shipwake/conf.d";

/// Reads everything that has a say and resolves it.
///
/// `file` (or `SHIPWAKE_CONFIG`) takes the place of the standard file and of the directory beside it,
/// and must exist.
pub fn load(file: Option<&Path>, flags: Vec<Flag>) -> Result<Resolved, Problems> {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let named = file.map(Path::to_owned).or_else(|| {
        let named =
            variables.iter().find(|(name, text)| name == environment::FILE && !text.is_empty());
        named.map(|(_, path)| PathBuf::from(path))
    });
    let files = match named {
        Some(path) => vec![(read(&path)?, path)],
        None => standard(Path::new(FILE), Path::new(DIRECTORY))?,
    };
    let files = files.into_iter().map(|(text, path)| (path, text)).collect();
    resolve(&Inputs { files, variables, flags })
}

/// The standard file and the directory's `*.toml`, sorted by name; either may be missing.
fn standard(file: &Path, directory: &Path) -> Result<Vec<(String, PathBuf)>, Problems> {
    let mut paths = Vec::new();
    if file.exists() {
        paths.push(file.to_owned());
    }
    match fs::read_dir(directory) {
        Ok(entries) => {
            let mut found: Vec<PathBuf> = entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .collect();
            found.sort();
            paths.append(&mut found);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(directory, &error).into()),
    }
    paths.into_iter().map(|path| Ok((read(&path)?, path))).collect()
}

fn read(path: &Path) -> Result<String, Problems> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error).into())
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem { origin: None, text: format!("{} cannot be read: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_directory_come_sorted_after_the_file() {
        let top = std::env::temp_dir().join(format!("shipwake-config-{}", std::process::id()));
        let conf = top.join("conf.d");
        fs::create_dir_all(&conf).unwrap();
        for name in ["20-b.toml", "10-a.toml", "ignored.txt"] {
            fs::write(conf.join(name), "").unwrap();
        }
        let main = top.join("main.toml");
        fs::write(&main, "").unwrap();
        let names = |file: &Path, directory: &Path| -> Vec<String> {
            let found = standard(file, directory).unwrap();
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            found.iter().map(|(_, path)| name(path)).collect()
        };
        assert_eq!(names(&main, &conf), ["main.toml", "10-a.toml", "20-b.toml"]);
        assert_eq!(names(&top.join("none"), &top.join("none.d")), [""; 0]);
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_named_file_must_exist() {
        let problems = load(Some(Path::new("/nonexistent/x.toml")), Vec::new()).unwrap_err();
        assert!(problems.to_string().contains("/nonexistent/x.toml cannot be read"), "{problems}");
    }
}
