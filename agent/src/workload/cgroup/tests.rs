//! Tests of the cgroup grammars, runtime by runtime.

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const UID: &str = "2d0e1b5f-1a7c-4b53-9d5e-0a1b2c3d4e5f";
const UID_: &str = "2d0e1b5f_1a7c_4b53_9d5e_0a1b2c3d4e5f";

/// `path` may hold `{A}`, `{B}`, `{UID}`, `{UID_}`; `expected` is `container unit pod`, `-` for none,
/// a unit inside a container with a leading `+`, one of a user manager as `user/unit`.
#[track_caller]
fn check(path: &str, expected: &str) {
    let fill = |text: &str| {
        text.replace("{A}", A).replace("{B}", B).replace("{UID}", UID).replace("{UID_}", UID_)
    };
    assert_eq!(shown(&place(&fill(path))), fill(expected), "{path}");
}

fn shown(placement: &Placement) -> String {
    let Placement { container, pod_uid, unit, slice: _ } = placement;
    let container = container.as_ref().map_or_else(
        || "-".to_owned(),
        |Container { id, runtime }| format!("{}:{id}", runtime.map_or("?", Runtime::as_str)),
    );
    let unit = unit.as_ref().map_or_else(
        || "-".to_owned(),
        |Unit { name, user, inside }| {
            let user = user.as_ref().map_or_else(String::new, |user| format!("{user}/"));
            format!("{}{user}{name}", if *inside { "+" } else { "" })
        },
    );
    format!("{container} {unit} {}", pod_uid.as_deref().unwrap_or("-"))
}

#[test]
fn docker() {
    check("/docker/{A}", "docker:{A} - -");
    check("/system.slice/docker-{A}.scope", "docker:{A} - -");
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope",
        "docker:{A} - -",
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/{A}",
        "?:{A} - -",
    );
    check("/docker/buildkit/xyz", "- - -");
    check("/system.slice/docker.service", "- docker.service -");
}

#[test]
fn kubernetes_with_cgroupfs() {
    check("/kubepods/burstable/pod{UID}/{A}", "?:{A} - {UID}");
    check("/kubepods/besteffort/pod{UID}/{A}", "?:{A} - {UID}");
    check("/kubepods/pod{UID}/{A}", "?:{A} - {UID}");
    check("/kubepods/pod{UID}", "- - {UID}");
    check(
        "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{A}",
        "?:{A} - 0123456789abcdef0123456789abcdef",
    );
    check("/kubepods/burstable/podnonsense/{A}", "?:{A} - -");
}

#[test]
fn kubernetes_with_systemd() {
    check(
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd:{A} - {UID}",
    );
    check("/kubepods.slice/kubepods-pod{UID_}.slice/crio-{A}.scope", "cri-o:{A} - {UID}");
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/docker-{A}.scope",
        "docker:{A} - {UID}",
    );
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/crio-{A}.scope/container",
        "cri-o:{A} - {UID}",
    );
}

#[test]
fn the_innermost_container_wins() {
    check(
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd:{A} - {UID}",
    );
    check("/docker/{B}/kubelet/kubepods/burstable/pod{UID}/{A}", "?:{A} - {UID}");
    check(
        "/system.slice/docker-{B}.scope/kubelet/kubepods/besteffort/pod{UID}/{A}",
        "?:{A} - {UID}",
    );
    check(
        "/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd:{A} - {UID}",
    );
    check("/docker/{B}/docker/{A}", "docker:{A} - -");
}

#[test]
fn containerd() {
    check(
        "/podruntime.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}",
        "containerd:{A} - {UID}",
    );
    check(
        "/system.slice/containerd.service/kubepods-pod{UID_}.slice:cri-containerd:{A}",
        "containerd:{A} - {UID}",
    );
    check("/k8s.io/{A}", "containerd:{A} - -");
    check("/default/{A}", "containerd:{A} - -");
    check("/system.slice/nerdctl-{A}.scope", "containerd:{A} - -");
    check("/system.slice:docker:{A}", "docker:{A} - -");
    check("/reserved.slice/containerd.service", "- containerd.service -");
}

#[test]
fn cri_o_monitors_are_no_containers() {
    check("/kubepods.slice/kubepods-pod{UID_}.slice/crio-conmon-{A}.scope", "- - -");
    check("/machine.slice/crio-conmon-{A}.scope", "- - -");
}

#[test]
fn podman() {
    check("/machine.slice/libpod-{A}.scope/container", "podman:{A} - -");
    check("/machine.slice/libpod-{A}.scope", "podman:{A} - -");
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
        "podman:{A} - -",
    );
    check("/libpod_parent/libpod-{A}", "podman:{A} - -");
    check("/libpod_parent/conmon", "- - -");
    check("/machine.slice/libpod-conmon-{A}.scope", "- - -");
    check(
        "/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container",
        "podman:{A} - -",
    );
    check("/system.slice/app.service/libpod-payload-{A}", "podman:{A} app.service -");
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service/libpod-payload-{A}/container",
        "podman:{A} 1000/app.service -",
    );
    check("/system.slice/app.service/runtime", "- app.service -");
}

#[test]
fn ecs_and_nomad() {
    let task = "0123456789abcdef0123456789abcdef";
    check(&format!("/ecs/{task}/{{A}}"), "docker:{A} - -");
    check(&format!("/ecstasks.slice/ecstasks-{task}.slice/docker-{{A}}.scope"), "docker:{A} - -");
    check(&format!("/ecs/{task}/{task}-3054012820"), &format!("ecs:{task}-3054012820 - -"));
    check(&format!("/ecs/{task}/{task}-x"), "- - -");
    check("/nomad.slice/share.slice/{UID}.web.scope", "nomad:{UID}.web - -");
    check("/nomad.slice/reserve.slice/{UID}.web.scope", "nomad:{UID}.web - -");
    check("/nomad.slice/share.slice/nonsense.web.scope", "- - -");
}

#[test]
fn whole_systems() {
    check("/lxc/web1/system.slice/x.service", "lxc:web1 +x.service -");
    check("/lxc.payload.web1/system.slice/x.service", "lxc:web1 +x.service -");
    check("/lxc.payload.web1/init.scope", "lxc:web1 - -");
    check("/lxc.monitor.web1", "- - -");
    check(
        "/machine.slice/systemd-nspawn@db.service/payload/system.slice/y.service",
        "systemd-nspawn:db +y.service -",
    );
    check("/machine.slice/machine-db.scope/payload/init.scope", "systemd-nspawn:db - -");
    check("/machine.slice/machine-my\\x2ddb.scope/payload", "systemd-nspawn:my-db - -");
    check("/machine.slice/systemd-nspawn@db.service/supervisor", "- systemd-nspawn@db.service -");
    check("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "- - -");
    check("/docker/{A}/lxc.payload.web1/system.slice/x.service", "lxc:web1 +x.service -");
}

#[test]
fn systemd_services() {
    check("/system.slice/foo.service", "- foo.service -");
    check("/system.slice/system-foo.slice/foo@inst.service", "- foo@inst.service -");
    check("/system.slice/foo.service/sub/deeper", "- foo.service -");
    check("/system.slice/a.service/b.service", "- b.service -");
    check(
        "/system.slice/system-systemd\\x2dfsck.slice/systemd-fsck@dev-disk-by\\x2duuid.service",
        "- systemd-fsck@dev-disk-by-uuid.service -",
    );
    check("/system.slice/_cpu.service", "- cpu.service -");
    check("/system.slice/.service", "- - -");
}

#[test]
fn user_services_and_sessions() {
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
        "- 1000/foo.service -",
    );
    check("/user.slice/user-1000.slice/user@1000.service", "- user@1000.service -");
    check("/user.slice/user-1000.slice/user@1000.service/init.scope", "- - -");
    check("/user.slice/user-1000.slice/session-3.scope", "- - -");
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-868f9513-eee8-457d-8e36-1b37ae8ae622.scope",
        "- - -",
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-1234.scope",
        "- - -",
    );
}

#[test]
fn neither_container_nor_service() {
    for path in ["/", "", "/init.scope", "/init", "/..", "/../..", "/process_api/0123", "////", "x"]
    {
        check(path, "- - -");
    }
}

#[test]
fn talos() {
    check("/podruntime/runtime", "- runtime -");
    check("/system/apid", "- apid -");
    check("/system/a/b", "- - -");
    check("/init", "- - -");
}

#[test]
fn systemd_inside_a_container() {
    check(
        "/system.slice/docker-{A}.scope/system.slice/nginx.service",
        "docker:{A} +nginx.service -",
    );
    check(
        "/docker/{A}/syscont-cgroup-root/system.slice/containerd.service",
        "docker:{A} +containerd.service -",
    );
    check("/docker/{A}/init.scope", "docker:{A} - -");
}

#[test]
fn seen_from_another_cgroup_namespace() {
    check("/../../../../system.slice/docker-{A}.scope", "docker:{A} - -");
    check("/../cri-containerd-{A}.scope", "containerd:{A} - -");
    check("/../../../..", "- - -");
    check("/../../../../system.slice/foo.service", "- foo.service -");
}

#[test]
fn deleted() {
    check("/system.slice/docker-{A}.scope (deleted)", "docker:{A} - -");
    check("/system.slice/foo.service (deleted)", "- foo.service -");
}

#[test]
fn almost_an_id_is_no_id() {
    check("/docker/{A}0", "- - -");
    check(&format!("/docker/{}", &A[1..]), "- - -");
    check(&format!("/docker/{}", A.to_uppercase()), "- - -");
    check("/system.slice/vte-spawn-{A}.scope", "- - -");
    check("/x/{A}", "?:{A} - -");
    check("/system.slice/docker-{UID}.scope", "- - -");
}

#[test]
fn slices() {
    let slice = |path: &str| place(path).slice;
    assert_eq!(
        slice("/system.slice/system-foo.slice/foo@a.service").as_deref(),
        Some("system-foo.slice")
    );
    assert_eq!(slice("/a.slice/docker-x.scope").as_deref(), Some("a.slice"));
    assert_eq!(slice(&format!("/docker/{A}/system.slice/x.service")), None);
}

#[test]
fn from_the_leaf_alone() {
    let leaves = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| Arc::from(*name)).collect();
        shown(&place_leaves(&names))
    };
    assert_eq!(leaves(&[&format!("docker-{A}.scope"), "system.slice"]), format!("docker:{A} - -"));
    assert_eq!(leaves(&[A, "docker"]), format!("docker:{A} - -"));
    assert_eq!(leaves(&[A]), format!("?:{A} - -"));
    assert_eq!(leaves(&["container", &format!("libpod-{A}.scope")]), format!("podman:{A} - -"));
    assert_eq!(leaves(&["foo.service"]), "- foo.service -");
    assert_eq!(leaves(&[]), "- - -");
}

#[test]
fn escapes() {
    for (name, expected) in [
        ("a\\x2db", "a-b"),
        ("a\\x2", "a\\x2"),
        ("a\\xzz", "a\\xzz"),
        ("\\x00", "\\x00"),
        ("\\xff", "\\xff"),
        ("\\xc3\\xa9", "é"),
        ("plain", "plain"),
    ] {
        assert_eq!(&*unescape(name), expected, "{name}");
    }
}

#[track_caller]
fn check_file(text: &str, expected: Option<&str>) {
    assert_eq!(choose(text), expected, "{text:?}");
}

#[test]
fn file_of_version_2() {
    check_file("0::/system.slice/nginx.service\n", Some("/system.slice/nginx.service"));
    check_file("0::/\n", Some("/"));
    check_file("0::/a:b/c:d\n", Some("/a:b/c:d"));
}

#[test]
fn file_of_version_1_and_hybrid() {
    let pod = format!("/kubepods/burstable/pod{UID}/{A}");
    check_file(
        &format!("11:memory:{pod}\n1:name=systemd:/\n0::/reserved.slice/containerd.service\n"),
        Some(&pod),
    );
    let docker = format!("/docker/{A}");
    check_file(
        &format!("4:memory:{docker}\n1:name=systemd:{docker}\n0::/system.slice/containerd.service"),
        Some(&docker),
    );
    check_file("4:memory:/process_api/x\n1:name=systemd:/\n0::/\n", Some("/process_api/x"));
    check_file("4:memory:/a\n3:cpu,cpuacct:/b\n2:pids:/c\n1:name=systemd:/\n", Some("/b"));
    check_file(
        "4:memory:/\n1:name=systemd:/system.slice/a.service\n0::/init.scope\n",
        Some("/system.slice/a.service"),
    );
}

#[test]
fn file_of_any_content() {
    for text in ["", "\n\n", "garbage", "1:2", "::", "0::", "0::relative"] {
        check_file(text, None);
    }
    assert_eq!(choose_bytes(b"0::/\xff\xfe/x\n").as_deref(), Some("/\u{fffd}\u{fffd}/x"));
}
