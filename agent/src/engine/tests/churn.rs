//! Random lives of processes: nothing is lost or counted twice.

use super::*;

/// A small generator of numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Random births, execs, ends, late facts, reused pids, late and changing labels, and measurements:
/// nothing is lost or counted twice.
#[track_caller]
fn check_churn(seed: u64, settings: &Settings) {
    let mut dice = Dice(seed);
    let mut rig = Rig::with_sources(settings, &["docker", "environ", "file", "otel_ctx"]);
    let mut expected = 0.0;
    let mut ticks = 1;
    let mut alive: Vec<ProcessKey> = Vec::new();
    let mut dead: Vec<ProcessKey> = Vec::new();
    let mut now = 0;
    for step in 0..4_000u64 {
        now += dice.roll(40);
        let pick = |dice: &mut Dice, from: &[ProcessKey]| {
            from.get(dice.roll(from.len().max(1) as u64) as usize).copied()
        };
        match dice.roll(16) {
            0 => {
                ticks += 1;
                let key = ProcessKey { tgid: 1 + dice.roll(30) as u32, start_ticks: ticks };
                alive.retain(|other| other.tgid != key.tgid);
                alive.push(key);
                let parent = pick(&mut dice, &alive).filter(|parent| *parent != key);
                let fact = match parent.filter(|_| dice.roll(3) > 0) {
                    Some(parent) => Fact::Fork { at: ms(now), parent, child: key },
                    None if dice.roll(2) == 0 => {
                        Fact::Seen(ProcessInfo { key, ..info(0, now, "app") })
                    }
                    None => seen_in(key, now, letter(dice.roll(4))),
                };
                if dice.roll(5) > 0 {
                    rig.facts([fact]);
                }
            }
            1 => {
                if let Some(key) = pick(&mut dice, &alive) {
                    let name = ["app", "worker", "sh"][dice.roll(3) as usize];
                    rig.facts([Fact::Exec(ProcessInfo { key, ..info(0, now, name) })]);
                }
            }
            2 => {
                if let Some(key) = pick(&mut dice, &alive) {
                    alive.retain(|other| *other != key);
                    dead.push(key);
                    rig.facts([Fact::Exit { at: ms(now), process: key, exit_code: 0 }]);
                }
            }
            12 => rig.tell(letter(dice.roll(4)), ["web", "shop", "job"][dice.roll(3) as usize]),
            13 => {
                if let Some(key) = pick(&mut dice, &alive) {
                    rig.tell_environment(
                        key,
                        [None, Some("shop"), Some("mail")][dice.roll(3) as usize],
                    );
                }
            }
            14 => {
                if let Some(key) = pick(&mut dice, &alive) {
                    let version = ["1", "2"][dice.roll(2) as usize];
                    let facts = [("~file.service.version", version), ("~apart", version)];
                    rig.tell_process("file", key, &facts[..dice.roll(3) as usize]);
                }
            }
            15 => {
                if let Some(key) = pick(&mut dice, &alive) {
                    let instance = ["i", "j"][dice.roll(2) as usize];
                    let facts = [
                        ("~context.service.name", "shop"),
                        ("~context.service.instance.id", instance),
                    ];
                    rig.tell_process("otel_ctx", key, &facts[..dice.roll(3) as usize]);
                }
            }
            3 if step % 7 == 0 => {
                rig.tick(now, Due::Report);
            }
            3 => {
                rig.tick(now, Due::Nothing);
            }
            _ => {
                let late = dice.roll(10) == 0;
                if let Some(key) = pick(&mut dice, if late { &dead } else { &alive }) {
                    let value = dice.roll(100) as f64;
                    let labels = labels! { "n" => dice.roll(4) as i64 };
                    let subject = Subject::Process(key);
                    rig.measure([Measurement { subject, labels, ..calls(0, value) }]);
                    expected += value;
                }
            }
        }
    }
    rig.tick(now, Due::FinalReport);
    assert_eq!(rig.ledger.total(&CALLS), expected, "seed {seed}");
}

#[test]
fn totals_survive_churn() {
    for seed in 1..=8 {
        check_churn(seed, &Settings::default());
    }
}

#[test]
fn totals_survive_churn_with_little_room() {
    for seed in 1..=8 {
        check_churn(seed, &Settings { cardinality_limit: 12, ..Default::default() });
    }
}
