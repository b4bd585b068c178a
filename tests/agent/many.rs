//! Many containers at once, some of which end at once: none is forgotten, none is taken for another.

use std::time::Duration;

use shipwake_tests::{
    agent::Agent,
    fleet::{Fleet, Life, Member, Runtime, Verdict},
    otlp::Receiver,
    poll,
};

/// On a starved machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_container_of_many_is_attributed() {
    let fleet = Fleet::new(Runtime::Containerd).unwrap();
    let receiver = Receiver::start().unwrap();
    let settings = fleet.settings();
    let mut settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    // How soon is for `cargo xtask bench --containers`; here the daemon may take its time.
    settings.extend(["--set", "workload.patience=20s"]);
    let agent = Agent::start(&receiver, &settings).unwrap();
    let short = fleet.launch(0, 16, Duration::ZERO, Life::Short).unwrap();
    let long = fleet.launch(16, 24, Duration::ZERO, Life::Long).unwrap();
    let members: Vec<Member> = short.into_iter().chain(long).collect();
    let known = || Some(Verdict::of(&members, &receiver)).filter(|it| it.never.is_empty());
    let known = poll::until(PATIENCE, known);
    let log = agent.log();
    assert!(agent.stop().unwrap().success());
    let Verdict { never, wrong, strays, bare, waited, waited_executed } =
        Verdict::of(&members, &receiver);
    assert!(
        known.is_some() && never.is_empty(),
        "never attributed: {never:?}; the agent said {log}"
    );
    assert!(wrong.is_empty(), "not theirs: {wrong:?}");
    assert!(strays.is_empty(), "outside of their containers: {strays:?}");
    assert!(bare.is_empty(), "reported before it was known what they are: {bare:?}");
    assert_eq!(waited.len(), members.len(), "the start of each was seen");
    assert_eq!(waited_executed.len(), members.len(), "the program of each was seen");
}
