//! Every chore of the project: `cargo xtask <command>`.

mod bench;
mod check;
mod command;
mod objects;
mod package;
mod packages;
mod run;
mod soak;
mod test;
mod tidy;
mod toolchain;
mod vm;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  run [-- ARGS]      build everything and start `shipwake run --console ARGS` as root
  test [FILTER]      install what the tests need and run all of them
  build              build the BPF objects and target/release/shipwake
  build-ebpf         build the BPF objects into target/bpf
  vm [KERNEL ...]    run the kernel tests in QEMU on these Debian kernels (default: 5.10 6.1 6.12)
  bench [--vm]       what the agent costs: in pairs here, or counted in instructions in QEMU
  bench --containers N [--seconds S] [--runtime containerd|cri|docker] [--short]
                     how soon each of many containers is attributed, and what that costs
  soak --minutes N   the agent under load and churn; fails when memory or descriptors grow
  package [--deb] [--image] [--check] [--test [PART ...]]
                     make the Debian package and the container image; check what would be
                     shipped; in QEMU under systemd: what the agent calls services
                     (identities), the same from its container (container), changes,
                     crashes, upgrades, removal (life)
  gen [--check]      write the generated documents and files, or fail when they are stale
  lint               fmt, clippy for the host and for BPF, generated files
  ci                 lint, then test: what every change must pass
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_str() {
        "run" => run::run(&rest),
        "test" => test::all(&rest),
        "build" => run::build().map(drop),
        "build-ebpf" => objects::build(),
        "vm" => vm::run(&rest),
        "bench" => bench::run(&rest),
        "soak" => soak::run(&rest),
        "package" => package::run(&rest),
        "gen" => check::generate(rest.iter().any(|flag| flag == "--check")),
        "lint" => check::lint(),
        "ci" => check::lint().and_then(|()| test::all(&rest)),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("xtask: there is no command `{other}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
