use shipwake::{config::Config, kernel::*, signals::*};
static OBJ: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/syscalls"));
static S: SignalDef = SignalDef {
    name: "x",
    help: "",
    object: Object::Own(&[]),
    probes: &[shipwake::twin_probe!(
        "exit",
        Required,
        "sys_exit",
        "syscalls_exit_btf",
        "syscalls_exit_raw"
    )],
    metrics: &[],
    globals: |s| vec![Global::new("OFFSETS", s.offsets)],
    map_sizes: |_| vec![],
    collector: |_, _| anyhow::bail!(""),
};
static R: SignalDef = SignalDef {
    name: "y",
    help: "",
    object: Object::Own(&[]),
    probes: &[shipwake::kernel::plan::Probe {
        name: "exit",
        need: shipwake::kernel::plan::Need::Required,
        variants: &[shipwake::kernel::plan::Variant {
            program: "syscalls_exit_raw",
            hook: shipwake::kernel::plan::Hook::RawTracepoint("sys_exit"),
        }],
    }],
    metrics: &[],
    globals: |s| vec![Global::new("OFFSETS", s.offsets)],
    map_sizes: |_| vec![],
    collector: |_, _| anyhow::bail!(""),
};
fn main() -> anyhow::Result<()> {
    let features = features::Features::probe();
    let btf = btf::Btf::of_kernel()?;
    let offsets = btf.offsets();
    let shared = SharedMaps::new()?;
    let k = kernel_btf().unwrap();
    let config = Config::default();
    let setup = Setup {
        config: &config,
        features: &features,
        btf: Some(&btf),
        offsets: &offsets,
        cpus: 2,
        own_tgid: 1,
    };
    let mut l = Vec::new();
    for s in [&S, &R] {
        match load(s, OBJ, &setup, Some(&k), Some(&shared)) {
            Ok(x) => {
                println!("{:?}", x.health);
                l.push(x)
            }
            Err((e, h)) => println!("{e} {h:?}"),
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    for x in &mut l {
        let m: aya::maps::HashMap<_, Wire<shipwake_ebpf::process::ProcessKey>, u64> =
            aya::maps::HashMap::try_from(x.bpf.map("COUNTS").unwrap())?;
        for e in m.iter().take(5) {
            println!("{:?}", e?);
        }
        let m: aya::maps::HashMap<_, u64, Wire<shipwake_ebpf::socket::Owner>> =
            aya::maps::HashMap::try_from(x.bpf.map("SOCKETS").unwrap())?;
        println!("sockets {:?} id {:?}", m.iter().count(), m.iter().next());
    }
    Ok(())
}
