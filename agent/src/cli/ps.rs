//! `shipwake ps`: process → service → deploy.

use std::path::Path;

use super::{
    Code, Failure,
    options::ConfigOptions,
    output::{print, print_json, table},
    runtime,
};
use crate::{
    api::{
        self, ClientError,
        model::{ProcessRow, Ps},
    },
    app,
    config::Config,
};

/// Arguments of `shipwake ps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show every attribute and where it was found.
    #[arg(long)]
    explain: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    /// Show only this process.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Asks a running agent, or looks by itself.
pub fn run(args: &Args) -> Result<Code, Failure> {
    let resolved = args.config.load(Vec::new())?;
    let mut ps = find(&resolved.config)?;
    if let Some(pid) = args.pid {
        ps.processes.retain(|row| row.pid == pid);
        if ps.processes.is_empty() {
            return Err(Failure::new(
                format!("there is no process {pid}, or it is a kernel thread"),
                "see `shipwake ps` for all",
            ));
        }
    }
    match (args.json, args.explain) {
        (true, _) => print_json(&ps)?,
        (false, true) => print(&explained(&ps))?,
        (false, false) => print(&listed(&ps))?,
    }
    Ok(Code::Success)
}

fn find(config: &Config) -> Result<Ps, Failure> {
    let runtime = runtime()?;
    match runtime.block_on(api::get::<Ps>(Path::new(&config.api.socket), "/ps")) {
        Ok(ps) => Ok(ps),
        // Only the owner of a running agent may ask it; anybody may look.
        Err(ClientError::NoAgent | ClientError::Denied) => {
            runtime.block_on(app::look(config)).map_err(|error| {
                Failure::new(format!("/proc cannot be listed: {error}"), "mount it and try again")
            })
        }
        Err(error) => Err(Failure::new(error.to_string(), "see the log of the agent")),
    }
}

/// One line per process.
fn listed(ps: &Ps) -> String {
    let head = [
        "PID",
        "SERVICE",
        "NAMESPACE",
        "VERSION",
        "REVISION",
        "ENVIRONMENT",
        "PLACE",
        "EXECUTABLE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &ps.processes {
        let attribute = |key: &str| row.attribute(key).unwrap_or("-").to_owned();
        let revision: String =
            attribute("vcs.ref.head.revision").chars().take(SHORT_REVISION).collect();
        rows.push(vec![
            row.pid.to_string(),
            attribute("service.name"),
            attribute("service.namespace"),
            attribute("service.version"),
            revision,
            attribute("deployment.environment.name"),
            place(row).to_owned(),
            name(row).to_owned(),
        ]);
    }
    table(&rows) + &remark(ps)
}

/// As many digits as people write of a commit.
const SHORT_REVISION: usize = 12;

/// A paragraph per process: every attribute with its source.
fn explained(ps: &Ps) -> String {
    let mut text = String::new();
    for row in &ps.processes {
        text.push_str(&format!("{} {}\n", row.pid, name(row)));
        let attributes = row.attributes.iter().map(|attribute| {
            let value = format!("= {}", attribute.value);
            vec![format!("  {}", attribute.key), value, format!("({})", attribute.source)]
        });
        text.push_str(&table(&attributes.collect::<Vec<_>>()));
        text.push('\n');
    }
    text + &remark(ps)
}

/// Where the process runs: container or unit.
fn place(row: &ProcessRow) -> &str {
    let keys = ["k8s.pod.name", "container.name", "container.id", "shipwake.systemd.unit"];
    let found = keys.iter().find_map(|key| row.attribute(key)).unwrap_or("-");
    // Of a container without a name, as much of its id as people use.
    if row.attribute("container.id") == Some(found) {
        found.get(..12).unwrap_or(found)
    } else {
        found
    }
}

fn name(row: &ProcessRow) -> &str {
    row.executable.as_deref().or(row.argv0.as_deref()).unwrap_or("-")
}

fn remark(ps: &Ps) -> String {
    match ps.denied {
        0 => String::new(),
        denied => format!("{denied} of them hide their executable; root may see more\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::AttributeRow;

    fn ps() -> Ps {
        let attribute = |key: &str, value: &str, source: &str| AttributeRow {
            key: key.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
        };
        let row = ProcessRow {
            pid: 42,
            executable: Some("/usr/bin/shop".to_owned()),
            argv0: None,
            attributes: vec![
                attribute("service.name", "shop", "environment OTEL_SERVICE_NAME"),
                attribute("vcs.ref.head.revision", "0123456789abcdef0123", "label x"),
            ],
        };
        Ps { processes: vec![row], denied: 1 }
    }

    #[test]
    fn one_line_per_process() {
        let text = listed(&ps());
        let line = text.lines().nth(1).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, ["42", "shop", "-", "-", "0123456789ab", "-", "-", "/usr/bin/shop"]);
        assert!(text.ends_with("1 of them hide their executable; root may see more\n"), "{text}");
    }

    #[test]
    fn sources_are_named() {
        let text = explained(&ps());
        assert!(text.contains("= shop"), "{text}");
        assert!(text.contains("(environment OTEL_SERVICE_NAME)"), "{text}");
    }
}
