//! The volumes of a pod, made on the node as the kubelet makes them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Node,
    manifest::{
        ConfigMapVolume, EmptyDir, HostPath, HostPathKind, Manifest, Medium, Texts, Volume,
    },
};
use crate::rig;

/// Where each volume is on the node, by its name.
pub(super) fn prepare(
    manifest: &Manifest,
    node: &Node,
    directory: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut made = BTreeMap::new();
    for volume in &manifest.daemon_set.spec.template.spec.volumes {
        let Volume { name, config_map, empty_dir, host_path } = volume;
        let place = directory.join("volumes").join(name);
        let place = match (config_map, empty_dir, host_path) {
            (Some(ConfigMapVolume { name }), None, None) => {
                let data = manifest.config_maps.get(name);
                configuration(&place, data.with_context(|| format!("no ConfigMap {name}"))?)?;
                place
            }
            (None, Some(volume), None) => {
                memory(&place, volume)?;
                place
            }
            (None, None, Some(volume)) => of_node(node, volume)?,
            _ => bail!("volume {name} is of no kind, or of several"),
        };
        ensure!(made.insert(name.clone(), place).is_none(), "two volumes are called {name}");
    }
    Ok(made)
}

/// Files of a ConfigMap are links: to a link that moves to new files all at once.
fn configuration(place: &Path, data: &Texts) -> Result<()> {
    let files = place.join("..2024_01_31_10_20_30.123456789");
    fs::create_dir_all(&files)?;
    symlink(files.file_name().context("a name")?, place.join("..data"))?;
    for (name, text) in data {
        let file = files.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        symlink(Path::new("..data").join(name), place.join(name))?;
    }
    Ok(())
}

fn memory(place: &Path, volume: &EmptyDir) -> Result<()> {
    let EmptyDir { medium: Medium::Memory, size_limit } = volume;
    fs::create_dir_all(place)?;
    let options = format!("size={},mode=0777", bytes(size_limit)?);
    rig::output(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place))?;
    Ok(())
}

fn of_node(node: &Node, volume: &HostPath) -> Result<PathBuf> {
    let HostPath { path, r#type } = volume;
    let place = node.host_paths.get(path);
    let place = place.with_context(|| format!("the test does not say where {path} is"))?;
    if *r#type == HostPathKind::DirectoryOrCreate {
        fs::create_dir_all(place)?;
    }
    ensure!(place.is_dir(), "{path} is no directory of the node");
    Ok(place.clone())
}

/// Bytes of a Kubernetes quantity like `512Mi`.
pub(super) fn bytes(quantity: &str) -> Result<i64> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &quantity[digits.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        unit => bail!("the unit {unit} of {quantity} is not known here"),
    };
    Ok(digits.parse::<i64>().with_context(|| format!("{quantity} is no quantity"))? << shift)
}

/// Thousandths of a CPU of a Kubernetes quantity like `50m` or `2`.
pub(super) fn thousandths(quantity: &str) -> Result<i64> {
    let parse = |digits: &str| digits.parse::<i64>().with_context(|| format!("{quantity} is none"));
    match quantity.strip_suffix('m') {
        Some(digits) => parse(digits),
        None => Ok(parse(quantity)? * 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(["1", "1Ki", "512Mi"].map(|it| bytes(it).unwrap()), [1, 1024, 512 << 20]);
        assert_eq!(["50m", "2"].map(|it| thousandths(it).unwrap()), [50, 2000]);
        assert!(bytes("1Mb").is_err() && bytes("x").is_err() && thousandths("1.5").is_err());
    }
}
