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
        model::{AttributeRow, LastKnown, Process, Ps, Service},
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
        (true, _) => print_json(&Listing::new(&ps))?,
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

/// A process with its service, which the answer keeps apart.
struct Row<'a> {
    process: &'a Process,
    service: &'a Service,
}

fn rows(ps: &Ps) -> impl Iterator<Item = Row<'_>> {
    static NONE: Service =
        Service { attributes: Vec::new(), facts: Vec::new(), last_known: Vec::new() };
    ps.processes.iter().map(|process| {
        let service = ps.services.get(process.service).unwrap_or(&NONE);
        Row { process, service }
    })
}

impl Row<'_> {
    fn name(&self) -> &str {
        let Process { executable, argv0, .. } = self.process;
        executable.as_deref().or(argv0.as_deref()).unwrap_or("-")
    }

    /// Where the process runs: pod, container or unit.
    fn place(&self) -> &str {
        let keys = ["k8s.pod.name", "container.name", "container.id", "shipwake.systemd.unit"];
        let found = keys.iter().find_map(|key| self.service.attribute(key)).unwrap_or("-");
        let is_id = self.service.attribute("container.id") == Some(found);
        if is_id { found.get(..SHORT_ID).unwrap_or(found) } else { found }
    }
}

/// As many digits as people write of a commit or a container.
const SHORT_ID: usize = 12;

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
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows(ps) {
        let attribute = |key: &str| row.service.attribute(key).unwrap_or("-").to_owned();
        lines.push(vec![
            row.process.pid.to_string(),
            attribute("service.name"),
            attribute("service.namespace"),
            attribute("service.version"),
            attribute("vcs.ref.head.revision").chars().take(SHORT_ID).collect(),
            attribute("deployment.environment.name"),
            row.place().to_owned(),
            row.name().to_owned(),
        ]);
    }
    table(&lines) + &remark(ps)
}

/// A paragraph per process: every attribute with its source, then what is known and not exported.
fn explained(ps: &Ps) -> String {
    let mut text = String::new();
    for row in rows(ps) {
        text.push_str(&format!("{} {}\n", row.process.pid, row.name()));
        let line = |sign: &'static str, remark: &'static str| {
            move |attribute: &AttributeRow| {
                let AttributeRow { key, value, source } = attribute;
                vec![format!("  {key}"), format!("{sign} {value}"), format!("({source}{remark})")]
            }
        };
        let Service { attributes, facts, last_known } = row.service;
        for LastKnown { source, since, reason } in last_known {
            let since = since.as_deref().unwrap_or("a while");
            let reason = reason.as_deref().unwrap_or("it does not answer");
            text.push_str(&format!("  last known: no word of {source} since {since} ({reason})\n"));
        }
        let mut lines: Vec<_> = attributes.iter().map(line("=", "")).collect();
        lines.extend(facts.iter().map(line("~", ", not exported")));
        text.push_str(&table(&lines));
        text.push('\n');
    }
    text + &remark(ps)
}

/// What `--json` shows: every process with its attributes.
#[derive(serde::Serialize)]
struct Listing<'a> {
    processes: Vec<Listed<'a>>,
    denied: u64,
}

#[derive(serde::Serialize)]
struct Listed<'a> {
    pid: u32,
    executable: Option<&'a str>,
    argv0: Option<&'a str>,
    attributes: &'a [AttributeRow],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    last_known: &'a [LastKnown],
}

impl<'a> Listing<'a> {
    fn new(ps: &'a Ps) -> Self {
        let processes = rows(ps).map(|Row { process, service }| Listed {
            pid: process.pid,
            executable: process.executable.as_deref(),
            argv0: process.argv0.as_deref(),
            attributes: &service.attributes,
            last_known: &service.last_known,
        });
        Self { processes: processes.collect(), denied: ps.denied }
    }
}

fn remark(ps: &Ps) -> String {
    let denied = match ps.denied {
        0 => String::new(),
        denied => format!("{denied} of them hide their executable; root may see more\n"),
    };
    let last = rows(ps).filter(|row| !row.service.last_known.is_empty()).count();
    let last = match last {
        0 => String::new(),
        last => format!(
            "{last} of them are what was known last: who told does not answer, see `shipwake ps --explain`\n"
        ),
    };
    denied + &last
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
        let process = Process {
            pid: 42,
            executable: Some("/usr/bin/shop".to_owned()),
            argv0: None,
            service: 0,
        };
        let service = Service {
            attributes: vec![
                attribute("container.id", &"0123456789abcdef".repeat(4), "cgroup"),
                attribute("service.name", "shop", "environment OTEL_SERVICE_NAME"),
                attribute("vcs.ref.head.revision", "0123456789abcdef0123", "label x"),
            ],
            facts: vec![attribute("shipwake.systemd.invocation_id", "0f", "systemd")],
            last_known: Vec::new(),
        };
        Ps { services: vec![service], processes: vec![process], denied: 1 }
    }

    #[test]
    fn one_line_per_process() {
        let text = listed(&ps());
        let line = text.lines().nth(1).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            cells,
            ["42", "shop", "-", "-", "0123456789ab", "-", "0123456789ab", "/usr/bin/shop"]
        );
        assert!(text.ends_with("1 of them hide their executable; root may see more\n"), "{text}");
    }

    #[test]
    fn what_was_known_last_is_marked() {
        let mut ps = ps();
        ps.services[0].last_known.push(LastKnown {
            source: "docker".to_owned(),
            since: Some("2024-01-31T10:20:30Z".to_owned()),
            reason: Some("no socket".to_owned()),
        });
        let mark = "last known: no word of docker since 2024-01-31T10:20:30Z (no socket)";
        assert!(explained(&ps).contains(mark), "{}", explained(&ps));
        assert!(listed(&ps).contains("1 of them are what was known last"), "{}", listed(&ps));
    }

    #[test]
    fn sources_are_named() {
        let text = explained(&ps());
        assert!(text.contains("= shop"), "{text}");
        assert!(text.contains("(environment OTEL_SERVICE_NAME)"), "{text}");
        assert!(text.contains("(systemd, not exported)"), "{text}");
    }
}
