//! Programs that run other people's programs. What their files or their packages say about themselves
//! is not the version of the service.

use crate::workload::resolve::basename;

/// How a program relates to the service that runs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// The program is the service.
    Itself,
    Python,
    Node,
    Java,
    DotNet,
    /// Another interpreter, a shell, or something that starts a service.
    Other,
}

/// Interpreters, shells, and what starts or wraps a service. Names as they are without a version at
/// the end.
const OTHERS: &[&str] = &[
    "ash",
    "awk",
    "bash",
    "beam",
    "beam.smp",
    "bun",
    "busybox",
    "catatonit",
    "chamber",
    "conmon",
    "consul-template",
    "containerd-shim",
    "containerd-shim-runc-v",
    "crun",
    "csh",
    "dash",
    "deno",
    "docker-init",
    "docker-proxy",
    "dockerize",
    "dumb-init",
    "elixir",
    "env",
    "envconsul",
    "erl",
    "erlexec",
    "fakeroot",
    "fish",
    "foreman",
    "gawk",
    "gdb",
    "gosu",
    "guile",
    "init",
    "iex",
    "jruby",
    "julia",
    "ksh",
    "ld-linux-aarch64.so",
    "ld-linux-x86-64.so",
    "ld-linux.so",
    "ld-musl-aarch64.so",
    "ld-musl-x86_64.so",
    "ld.so",
    "lua",
    "luajit",
    "mawk",
    "mksh",
    "mono",
    "mono-sgen",
    "nohup",
    "openresty",
    "osqueryi",
    "parallel",
    "passenger",
    "perl",
    "php",
    "php-cgi",
    "php-fpm",
    "phusion_passenger",
    "qemu-aarch64",
    "qemu-aarch64-static",
    "qemu-x86_64",
    "racket",
    "rbash",
    "R",
    "Rscript",
    "ruby",
    "runc",
    "runsv",
    "runsvdir",
    "s6-supervise",
    "s6-svscan",
    "sbcl",
    "screen",
    "script",
    "sh",
    "start-stop-daemon",
    "strace",
    "su",
    "su-exec",
    "sudo",
    "supervisord",
    "svscan",
    "systemd",
    "systemd-run",
    "tclsh",
    "tcsh",
    "timeout",
    "tini",
    "tini-static",
    "tmux",
    "toybox",
    "truffleruby",
    "unitd",
    "unshare",
    "uwsgi",
    "uwsgi-core",
    "watch",
    "wine",
    "wine64",
    "wish",
    "xargs",
    "yash",
    "zsh",
];

/// What kind of program an executable is, by its name.
pub fn program(executable: &str) -> Program {
    let name = basename(executable);
    let plain = without_version(name);
    match plain {
        "python" | "pypy" | "python-dbg" => Program::Python,
        "node" | "nodejs" => Program::Node,
        "java" | "javaw" => Program::Java,
        "dotnet" => Program::DotNet,
        _ if OTHERS.contains(&name) || OTHERS.contains(&plain) => Program::Other,
        _ => Program::Itself,
    }
}

/// `python3.11` is `python`, `php-fpm8.2` is `php-fpm`, `ld-linux-x86-64.so.2` is `ld-linux-x86-64.so`.
fn without_version(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'))
}

/// Packages of Python, Node and Java that run an application which somebody else wrote.
const LAUNCHERS: &[&str] = &[
    "airflow",
    "alembic",
    "ansible",
    "ansible-playbook",
    "asyncio",
    "bpython",
    "celery",
    "circusd",
    "code",
    "conda",
    "corepack",
    "coverage",
    "daphne",
    "ddtrace-run",
    "debugpy",
    "django-admin",
    "dramatiq",
    "eventlet",
    "faas",
    "fastapi",
    "flask",
    "forever",
    "functions-framework",
    "gevent",
    "granian",
    "gulp",
    "gunicorn",
    "honcho",
    "http.server",
    "huey_consumer",
    "hypercorn",
    "idlelib",
    "ipython",
    "jupyter",
    "jupyter-lab",
    "jupyter-notebook",
    "locust",
    "mod_wsgi-express",
    "mypy",
    "newrelic-admin",
    "nodemon",
    "nox",
    "npm",
    "npm-cli",
    "npx",
    "npx-cli",
    "nx",
    "opentelemetry-instrument",
    "pdb",
    "pdm",
    "pip",
    "pip3",
    "pipenv",
    "pipx",
    "pm2",
    "pm2-runtime",
    "pnpm",
    "poetry",
    "pserve",
    "pytest",
    "py.test",
    "python-dotenv",
    "dotenv",
    "ray",
    "rq",
    "runpy",
    "scrapy",
    "streamlit",
    "supervisord",
    "tox",
    "ts-node",
    "tsx",
    "twistd",
    "unittest",
    "uv",
    "uvicorn",
    "uwsgi",
    "venv",
    "virtualenv",
    "waitress-serve",
    "watchfiles",
    "watchmedo",
    "webpack",
    "yarn",
    "zipapp",
];

/// Whether a script, module or package only runs what others wrote.
pub fn is_launcher(name: &str) -> bool {
    let name = basename(name);
    let plain =
        name.rsplit_once('.').filter(|(_, end)| matches!(*end, "js" | "mjs" | "cjs" | "py"));
    let plain = plain.map_or(name, |(stem, _)| stem);
    LAUNCHERS.contains(&plain)
}

/// Jars and main classes of application servers and build tools.
const JAVA_LAUNCHERS: &[&str] = &[
    "bootstrap",
    "clojure.main",
    "com.intellij",
    "com.sun.enterprise",
    "glassfish",
    "gradle",
    "groovy",
    "jboss-modules",
    "jetty",
    "maven",
    "org.apache.catalina",
    "org.apache.felix",
    "org.apache.karaf",
    "org.apache.maven",
    "org.codehaus.groovy",
    "org.codehaus.plexus",
    "org.eclipse.equinox",
    "org.eclipse.jetty",
    "org.gradle",
    "org.jboss",
    "org.jetbrains",
    "org.junit",
    "org.osgi",
    "payara",
    "plexus",
    "sbt",
    "scala",
    "start",
    "surefire",
    "tomcat",
    "wildfly",
];

/// Whether a jar or a main class only runs what others wrote.
pub fn is_java_launcher(name: &str) -> bool {
    JAVA_LAUNCHERS.iter().any(|launcher| {
        name.strip_prefix(launcher).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(|c: char| !c.is_ascii_alphanumeric())
        })
    })
}

/// Names of programs that could be anybody's.
pub fn says_nothing(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "",
        "api",
        "app",
        "application",
        "boot",
        "cmd",
        "command-line-arguments",
        "daemon",
        "main",
        "root",
        "server",
        "service",
        "src",
        "target",
    ];
    NAMES.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// Versions that tools write where nobody has chosen one.
pub fn is_placeholder(version: &str) -> bool {
    let version = version.trim_start_matches('v');
    matches!(
        version,
        "" | "0"
            | "0.0"
            | "0.0.0"
            | "(devel)"
            | "devel"
            | "dev"
            | "develop"
            | "development"
            | "unspecified"
            | "latest"
            | "main"
            | "master"
            | "HEAD"
            | "snapshot"
            | "SNAPSHOT"
            | "unset"
            | "version"
            | "local"
            | "test"
    ) || version.starts_with("0.0.0-development")
        || version.starts_with("0.0.0-semantic")
        || version.starts_with("0.0.0+unknown")
        || version.starts_with("0+unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        for (path, expected) in [
            ("/usr/bin/python3.11", Program::Python),
            ("/usr/local/bin/python3.13", Program::Python),
            ("/opt/pypy/bin/pypy3", Program::Python),
            ("/usr/bin/node", Program::Node),
            ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", Program::Java),
            ("/usr/share/dotnet/dotnet", Program::DotNet),
            ("/usr/bin/bash", Program::Other),
            ("/usr/sbin/php-fpm8.2", Program::Other),
            ("/usr/bin/perl5.36.0", Program::Other),
            ("/lib64/ld-linux-x86-64.so.2", Program::Other),
            ("/bin/busybox", Program::Other),
            ("/usr/sbin/nginx", Program::Itself),
            ("/srv/shop/checkout", Program::Itself),
            ("/srv/python-service", Program::Itself),
            ("/srv/7", Program::Itself),
        ] {
            assert_eq!(program(path), expected, "{path}");
        }
    }

    #[test]
    fn launchers() {
        for (name, expected) in [
            ("/srv/venv/bin/gunicorn", true),
            ("/usr/lib/node_modules/npm/bin/npm-cli.js", true),
            ("pip", true),
            ("/srv/shop/server.js", false),
            ("checkout", false),
        ] {
            assert_eq!(is_launcher(name), expected, "{name}");
        }
        for (name, expected) in [
            ("org.apache.catalina.startup.Bootstrap", true),
            ("bootstrap", true),
            ("scala-library", true),
            ("bootstrapper", false),
            ("com.example.Main", false),
            ("checkout-1.2", false),
        ] {
            assert_eq!(is_java_launcher(name), expected, "{name}");
        }
    }

    #[test]
    fn placeholders() {
        for (version, expected) in [
            ("0.0.0", true),
            ("(devel)", true),
            ("v0.0.0", true),
            ("1.0.0", false),
            ("0.0.1", false),
        ] {
            assert_eq!(is_placeholder(version), expected, "{version}");
        }
    }
}
