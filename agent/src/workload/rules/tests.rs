//! Tests of reading rules.

use super::*;

#[derive(serde::Deserialize)]
struct File {
    rule: Vec<Rule>,
}

#[track_caller]
fn read(text: &str) -> Result<Vec<Rule>, String> {
    toml::from_str::<File>(text).map(|file| file.rule).map_err(|error| error.message().to_owned())
}

#[track_caller]
fn check_wrong(text: &str, expected: &str) {
    let error = read(&format!("[[rule]]\n{text}")).unwrap_err();
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn both_ways_to_write_attributes() {
    let quoted = read("[[rule]]\nmatch.unit = \"a\"\nset = { \"service.name\" = \"x\" }");
    let bare = read("[[rule]]\nmatch.unit = \"a\"\n[rule.set]\nservice.name = \"x\"");
    assert_eq!(quoted.unwrap(), bare.unwrap());
}

#[test]
fn written_as_read() {
    let text = "[[rule]]\nname = \"n\"\nmatch = { executable = \"/srv/*/app\", label.team = \"*\" }\n\
                set = { \"service.name\" = \"{executable.1}\", \"team\" = \"{label.team}\" }";
    let rules = read(text).unwrap();
    let written = toml::Value::try_from(&rules).unwrap();
    let again: Vec<Rule> = written.try_into().unwrap();
    assert_eq!(again, rules);
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    check_wrong("set = { a = \"b\" }", "missing field `match`");
    check_wrong("match = {}\nset = { a = \"b\" }", "`match` is empty");
    check_wrong("match.unit = \"a\"\nset = {}", "`set` is empty");
    check_wrong("match.unti = \"a\"\nset = { a = \"b\" }", "unknown field `unti`");
    check_wrong("match.unit = \"\"\nset = { a = \"b\" }", "empty pattern");
    check_wrong("match.unit = 1\nset = { a = \"b\" }", "expected a string");
    check_wrong("match.unit = \"a\"\nset = { a = 1 }", "`a` must be text in quotes, not integer");
    check_wrong(
        "match.unit = \"a\"\nset = { \"process.pid\" = \"1\" }",
        "`process.pid` cannot be set",
    );
    check_wrong(
        "match.unit = \"a\"\nset = { \"vcs.ref.head.revision\" = \"latest\" }",
        "`latest` cannot be a value of `vcs.ref.head.revision`",
    );
    check_wrong(
        "match.unit = \"a*\"\nset = { a = \"{unit.2}\" }",
        "has 1 `*`, and none is number 2",
    );
    check_wrong("match.unit = \"a\"\nset = { a = \"{image}\" }", "matches nothing of this name");
    check_wrong("match.unit = \"a\"\nset = { a = \"{unit\" }", "`{` has no `}`");
    check_wrong("match.unit = \"a\"\nname = \"\"\nset = { a = \"b\" }", "`name` must be");
    check_wrong("match.unit = \"a\"\nset = { a = \"b\" }\nprio = 1", "unknown field `prio`");
}
