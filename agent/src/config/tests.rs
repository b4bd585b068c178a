//! Tests of reading, merging and checking settings.

use std::path::PathBuf;

use super::*;

fn inputs(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Inputs {
    Inputs {
        files: vec![(PathBuf::from("/etc/shipwake/shipwake.toml"), file.to_owned())],
        variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        flags: flags.iter().map(|(k, v)| Flag::new(format!("--set {k}"), *k, *v)).collect(),
    }
}

/// The problems, one per line; empty when there are none.
#[track_caller]
fn check(inputs: &Inputs, expected: &[&str]) {
    let found = resolve(inputs).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn later_wins_and_origins_are_kept() {
    let file = "[http]\ntemplates = 1\nidle = \"7s\"\n[tcp]\npeers = 5\n";
    let variables = [("SHIPWAKE_HTTP_TEMPLATES", "2"), ("SHIPWAKE_TCP_PEERS", "")];
    let found = resolve(&inputs(file, &variables, &[("http.idle", "9s")])).unwrap();
    let file = |line| Origin::File { path: "/etc/shipwake/shipwake.toml".into(), line };
    assert_eq!(found.config.http.templates, 2);
    assert_eq!(
        found.origin("http", "templates"),
        Origin::Environment("SHIPWAKE_HTTP_TEMPLATES".to_owned())
    );
    assert_eq!(found.config.http.idle, Span::secs(9));
    assert_eq!(found.origin("http", "idle"), Origin::Flag("--set http.idle".to_owned()));
    assert_eq!(found.config.tcp.peers, 5, "an empty variable counts as unset");
    assert_eq!(found.origin("tcp", "peers"), file(5));
    assert_eq!(found.origin("otlp", "endpoint"), Origin::Default);
}

#[test]
fn a_later_file_changes_only_what_it_names() {
    let mut inputs = inputs("[http]\ntemplates = 1\nidle = \"7s\"\n", &[], &[]);
    inputs.files.push(("/etc/shipwake/conf.d/9.toml".into(), "[http]\ntemplates = 3".to_owned()));
    let found = resolve(&inputs).unwrap();
    assert_eq!((found.config.http.templates, found.config.http.idle), (3, Span::secs(7)));
}

#[test]
fn lists_are_separated_by_commas_or_written_as_toml() {
    for text in ["read, write", "[\"read\", \"write\"]", "read,write,"] {
        let found = resolve(&inputs("", &[("SHIPWAKE_SYSCALLS_LATENCY", text)], &[])).unwrap();
        assert_eq!(found.config.syscalls.latency, ["read", "write"], "{text}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let file = "/etc/shipwake/shipwake.toml";
    check(
        &inputs("[http]\ntempaltes = 1\n\n[htpp]\nidle = \"1s\"\n", &[], &[]),
        &[
            &format!("{file}:4: unknown section `htpp`; did you mean `http`?"),
            &format!("{file}:2: unknown key `tempaltes` in [http]; did you mean `templates`?"),
        ],
    );
    check(
        &inputs("templates = 1\n[http]\npeers = 1", &[], &[]),
        &[
            &format!("{file}:3: unknown key `peers` in [http]; it is a key of [tcp]"),
            &format!("{file}:1: key `templates` stands outside of a section; put it below [http]"),
        ],
    );
    check(
        &inputs("", &[], &[("http.templats", "1")]),
        &["flag --set http.templats: unknown key `templats` in [http]; did you mean `templates`?"],
    );
    check(
        &inputs("", &[], &[("templates", "1")]),
        &["flag --set templates: `templates` is not a setting; write section.key=value"],
    );
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let variables = [("SHIPWAKE_HTTP_TEMPLATE", "1"), ("SHIPWAKE_PORT_9464_TCP", "tcp://10.0.0.1")];
    let found = resolve(&inputs("", &variables, &[])).unwrap();
    let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "environment variable SHIPWAKE_HTTP_TEMPLATE: no setting has this name; did you mean SHIPWAKE_HTTP_TEMPLATES?"
        ]
    );
}

#[test]
fn wrong_types_name_the_place_and_the_key() {
    let file = "/etc/shipwake/shipwake.toml";
    check(
        &inputs("[http]\ntemplates = \"many\"\nidle = \"soon\"\n", &[], &[]),
        &[
            &format!(
                "{file}:3: `http.idle`: `soon` is not a length of time; write it like 250ms, 10s, 5m or 1h"
            ),
            &format!("{file}:2: `http.templates`: invalid type: string \"many\", expected u32"),
        ],
    );
    check(
        &inputs("", &[("SHIPWAKE_HTTP_TEMPLATES", "many"), ("SHIPWAKE_TCP_PEERS", "-1")], &[]),
        &[
            "environment variable SHIPWAKE_HTTP_TEMPLATES: `http.templates` cannot be `many`: not of type integer",
            "environment variable SHIPWAKE_TCP_PEERS: `tcp.peers` cannot be `-1`: invalid value: integer `-1`, expected u32",
        ],
    );
    check(
        &inputs("[http\n", &[], &[]),
        &[&format!("{file}:1: not TOML: unclosed table, expected `]`")],
    );
}

#[test]
fn values_are_checked_and_the_origin_named() {
    check(
        &inputs("[signals]\nenabled = [\"tpc\"]\n", &[], &[]),
        &[
            "/etc/shipwake/shipwake.toml:2: [signals] enabled: unknown signal `tpc`; did you mean `tcp`?",
        ],
    );
}

#[test]
fn standard_variables_win_over_own_ones_and_lose_against_flags() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"),
        ("SHIPWAKE_OTLP_ENDPOINT", "http://b:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_SERVICE_NAME", "the-agent"),
    ];
    let found = resolve(&inputs("", &variables, &[])).unwrap();
    assert_eq!(found.config.otlp.endpoint, "http://a:4318");
    assert_eq!(found.config.workload.own_name, "the-agent");
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    let flags = [("otlp.endpoint", "http://c:4318")];
    let found = resolve(&inputs("", &variables, &flags)).unwrap();
    assert_eq!(found.config.otlp.endpoint, "http://c:4318");
}

#[test]
fn credentials_are_neither_shown_nor_repeated() {
    let found = resolve(&inputs("", &[], &[("otlp.headers", "authorization=hunter2")])).unwrap();
    assert_eq!(found.config.otlp.headers.0.len(), 1);
    assert!(!toml::to_string(&found.config).unwrap().contains("hunter2"));
    check(
        &inputs("", &[], &[("otlp.headers", "hunter2")]),
        &["flag --set otlp.headers: `otlp.headers` cannot be `this`: not of type table"],
    );
}

#[test]
fn addresses_and_routes_are_checked() {
    check(
        &inputs("", &[], &[("otlp.endpoint", "collector:4318")]),
        &[
            "flag --set otlp.endpoint: [otlp] otlp.endpoint `collector:4318` lacks a scheme; write http://collector:4318 or https://collector:4318",
        ],
    );
    check(
        &inputs("", &[], &[("prometheus.listen", "9464")]),
        &[
            "flag --set prometheus.listen: [prometheus] listen: `9464` is not an address; write it like 127.0.0.1:9464",
        ],
    );
    check(
        &inputs("", &[], &[("http.routes", "users")]),
        &[
            "flag --set http.routes: [http] routes: route `users` does not begin with `/`; write it like `/users/{id}` or `/static/*`",
        ],
    );
}

#[test]
fn every_section_and_key_has_one_variable() {
    let mut names: Vec<String> = SECTIONS
        .iter()
        .flat_map(|section| section.fields.iter().map(|field| variable(section.name, field.name)))
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(SECTIONS.iter().all(|section| !section.name.contains('_')));
}

#[test]
fn defaults_pass_their_own_check() {
    assert_eq!(Config::default().problems(), []);
}

#[test]
fn words_are_checked() {
    let one = |path: &str, value: &str| {
        let problems = resolve(&inputs("", &[], &[(path, value)])).unwrap_err();
        problems.0.iter().map(|problem| problem.text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        one("aggregate.histogram", "linear"),
        ["[aggregate] histogram: `linear` is not known; write `exponential` or `explicit`"]
    );
    assert_eq!(
        one("aggregate.interval", "10ms"),
        ["[aggregate] interval: 10ms is too short; write at least 1s"]
    );
    assert_eq!(
        one("workload.sources", "docker,sistemd"),
        ["[workload] sources: unknown source `sistemd`; did you mean `systemd`?"]
    );
    assert_eq!(
        one("log.format", "xml"),
        ["[log] format: `xml` is not known; write `human` or `json`"]
    );
    assert_eq!(
        one("http.known_methods", "GET,G T"),
        [
            "[http] known_methods: `G T` is not a method; write letters, digits and !#$%&'*+-.^_`|~, at most 32"
        ]
    );
    assert!(one("syscalls.latency", "raed")[0].starts_with("[syscalls] latency: "));
}

#[test]
fn a_mistake_in_a_rule_is_named_with_its_line() {
    let file = "/etc/shipwake/shipwake.toml";
    let good = "[[workload.rule]]\nmatch.unit = \"a\"\nset = { \"service.name\" = \"x\" }\n";
    let rules = resolve(&inputs(good, &[], &[])).unwrap().config.workload.rule.len();
    assert_eq!(rules, 1);
    let bad = format!("# rules\n{good}[[workload.rule]]\nmatch.unti = \"b\"\nset.team = \"y\"\n");
    let expected = "unknown field `unti`, expected one of `unit`, `executable`, `container`, `image`, \
                    `namespace`, `label`, `variable`";
    check(&inputs(&bad, &[], &[]), &[&format!("{file}:6: `workload.rule`: {expected}")]);
    let bad = format!("{good}[[workload.rule]]\nmatch = {{}}\nset.team = \"y\"\n");
    let found = resolve(&inputs(&bad, &[], &[])).unwrap_err().to_string();
    assert!(found.starts_with(&format!("{file}:4: `workload.rule`: `match` is empty")), "{found}");
    // As everything else, from a variable.
    let text = "[{ match = { unit = \"a\" }, set = { team = \"x\" } }]";
    let found = resolve(&inputs("", &[("SHIPWAKE_WORKLOAD_RULE", text)], &[])).unwrap();
    assert_eq!(found.config.workload.rule.len(), 1);
}
