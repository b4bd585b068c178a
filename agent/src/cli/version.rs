//! `shipwake version`.

use super::{Code, Failure, output::print};

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit the binary was built from, when the build was told by `SHIPWAKE_COMMIT`.
pub const COMMIT: Option<&str> = option_env!("SHIPWAKE_COMMIT");

/// Prints version, commit and target.
pub fn run() -> Result<Code, Failure> {
    let commit = COMMIT.map_or_else(String::new, |commit| format!(" ({commit})"));
    print(&format!(
        "shipwake {VERSION}{commit} {}-{}\n",
        std::env::consts::ARCH,
        std::env::consts::OS
    ))?;
    Ok(Code::Success)
}
