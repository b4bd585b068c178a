//! What is shipped: a Debian package, a container image, a Kubernetes manifest.

mod check;
mod deb;
mod guest;
mod image;
mod licences;
mod tree;
mod version;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    command::{root, say},
    run as agent,
};
pub use check::check;
use version::Version;

/// `cargo xtask package`: what is named, or everything. After `--test` come the parts of it, or nothing for all.
pub fn run(arguments: &[String]) -> Result<()> {
    let (mut deb, mut image) = (arguments.is_empty(), arguments.is_empty());
    for (index, argument) in arguments.iter().enumerate() {
        match argument.as_str() {
            "--deb" => deb = true,
            "--image" => image = true,
            "--check" => return check(),
            "--test" => return guest::test(&arguments[index + 1..]),
            other => bail!("`{other}` is no package; known: --deb --image --check --test"),
        }
    }
    let binary = agent::build()?;
    if deb {
        let package = deb::build(&binary, &Version::of_tree()?)?;
        say(format!("made {}", package.display()));
    }
    if image {
        let context = image::prepare(&binary)?;
        image::build(&context)?;
    }
    Ok(())
}

/// Everything made for shipping is in here.
fn folder() -> PathBuf {
    root().join("target/package")
}
