//! What the arguments of an interpreter say it runs. Arguments may hold secrets: nothing but the place
//! of the program leaves this file.

/// What an interpreter was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(String),
    /// A module of Python by its name.
    Module(String),
    /// A class of Java by its name, and the class path.
    Class { name: String, path: String },
}

/// Arguments as `/proc/<pid>/cmdline` has them.
pub fn arguments(bytes: &[u8]) -> Vec<&str> {
    let end = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    end.split(|byte| *byte == 0).map(|one| std::str::from_utf8(one).unwrap_or_default()).collect()
}

/// `python [options] script`, or `-m module`.
pub fn python(arguments: &[&str]) -> Option<Entry> {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let Some(flags) = argument.strip_prefix('-') else {
            return file(argument);
        };
        if flags.is_empty() {
            return None;
        }
        if flags.starts_with('-') {
            // `--check-hash-based-pycs` is the only long option with a value.
            if *argument == "--check-hash-based-pycs" {
                rest.next()?;
            }
            continue;
        }
        // Letters may stand together; one with a value takes what is left of the word, or the next.
        for (index, flag) in flags.char_indices() {
            let value = flags.get(index + 1..).filter(|value| !value.is_empty());
            match flag {
                'm' => {
                    let module = value.or_else(|| rest.next().copied())?;
                    return (!module.is_empty()).then(|| Entry::Module(module.to_owned()));
                }
                'c' => return None,
                'W' | 'X' => {
                    if value.is_none() {
                        rest.next()?;
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    None
}

/// Options of Node that take the next argument for their value.
const NODE_VALUES: &[&str] = &[
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--env-file-if-exists",
    "--title",
    "--icu-data-dir",
    "--openssl-config",
    "--redirect-warnings",
    "--trace-event-categories",
    "--unhandled-rejections",
    "--inspect-port",
    "--diagnostic-dir",
    "--dns-result-order",
    "--input-type",
    "--watch-path",
    "--disable-warning",
];

/// `node [options] script`.
pub fn node(arguments: &[&str]) -> Option<Entry> {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match *argument {
            "--" => return file(rest.next()?),
            "-" | "-e" | "--eval" | "-p" | "--print" | "-pe" | "-i" | "--interactive" | "--run"
            | "inspect" => return None,
            option if NODE_VALUES.contains(&option) => {
                rest.next()?;
            }
            option if option.starts_with('-') => {}
            path => return file(path),
        }
    }
    None
}

/// Options of Java that take the next argument for their value.
const JAVA_VALUES: &[&str] = &[
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--enable-native-access",
    "--source",
    "--illegal-native-access",
];

/// `java [options] -jar file`, or a main class and a class path. A file of options could say anything.
pub fn java(arguments: &[&str]) -> Option<Entry> {
    let mut path = "";
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match *argument {
            "-jar" => return file(rest.next()?),
            "-cp" | "-classpath" | "--class-path" => path = rest.next()?,
            "-m" | "--module" => return None,
            option if JAVA_VALUES.contains(&option) => {
                rest.next()?;
            }
            option if option.starts_with('@') => return None,
            option if option.starts_with('-') => {
                if let Some(value) = option.strip_prefix("--class-path=") {
                    path = value;
                }
            }
            name => {
                let good = !path.is_empty() && !name.is_empty() && !name.ends_with(".java");
                return good.then(|| Entry::Class { name: name.to_owned(), path: path.to_owned() });
            }
        }
    }
    None
}

/// `dotnet [exec] [options] program.dll`.
pub fn dotnet(arguments: &[&str]) -> Option<Entry> {
    const VALUES: [&str; 6] = [
        "--depsfile",
        "--runtimeconfig",
        "--additionalprobingpath",
        "--additional-deps",
        "--fx-version",
        "--roll-forward",
    ];
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match *argument {
            "exec" => {}
            option if VALUES.contains(&option) => {
                rest.next()?;
            }
            option if option.starts_with('-') => {}
            path if path.ends_with(".dll") => return file(path),
            _ => return None,
        }
    }
    None
}

fn file(path: &str) -> Option<Entry> {
    (!path.is_empty() && path.len() <= 4096).then(|| Entry::File(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parse: fn(&[&str]) -> Option<Entry>, line: &str, expected: Option<&str>) {
        let arguments: Vec<_> = line.split(' ').collect();
        let found = parse(&arguments).map(|entry| match entry {
            Entry::File(path) => path,
            Entry::Module(name) => format!("module {name}"),
            Entry::Class { name, path } => format!("class {name} in {path}"),
        });
        assert_eq!(found.as_deref(), expected, "{line}");
    }

    #[test]
    fn what_python_runs() {
        check(python, "python3 app.py --port 1", Some("app.py"));
        check(python, "python3 -u -W ignore -X dev /srv/app.py", Some("/srv/app.py"));
        check(python, "python3 -uWignore app.py", Some("app.py"));
        check(python, "python -m shop.web --debug", Some("module shop.web"));
        check(python, "python -um shop", Some("module shop"));
        check(python, "python -mshop", Some("module shop"));
        check(python, "python -c print(1) x.py", None);
        check(python, "python -Ic print(1)", None);
        check(python, "python -", None);
        check(python, "python", None);
        check(python, "python -m", None);
        check(python, "python -W", None);
    }

    #[test]
    fn what_node_runs() {
        check(node, "node server.js", Some("server.js"));
        check(node, "node --max-old-space-size=512 -r dotenv/config dist/main", Some("dist/main"));
        check(node, "node --import ./trace.mjs -- -odd.js", Some("-odd.js"));
        check(node, "node -e 1", None);
        check(node, "node", None);
        check(node, "node --require", None);
    }

    #[test]
    fn what_java_runs() {
        check(java, "java -Xmx1g -jar shop.jar --port=1", Some("shop.jar"));
        check(
            java,
            "java -javaagent:a.jar --add-opens java.base/java.lang=ALL-UNNAMED -jar x.jar",
            Some("x.jar"),
        );
        check(
            java,
            "java -cp a.jar:lib/* com.example.Main x",
            Some("class com.example.Main in a.jar:lib/*"),
        );
        check(java, "java --class-path=a.jar Main", Some("class Main in a.jar"));
        check(java, "java Main", None);
        check(java, "java @options -jar x.jar", None);
        check(java, "java -m shop/com.example.Main", None);
        check(java, "java -jar", None);
    }

    #[test]
    fn what_dotnet_runs() {
        check(dotnet, "dotnet Shop.dll --urls x", Some("Shop.dll"));
        check(dotnet, "dotnet exec --depsfile a.json /app/Shop.dll", Some("/app/Shop.dll"));
        check(dotnet, "dotnet run", None);
        check(dotnet, "dotnet", None);
    }

    #[test]
    fn arguments_of_any_bytes() {
        assert_eq!(arguments(b""), [""]);
        assert_eq!(arguments(b"a\0b c\0\0"), ["a", "b c", ""]);
        assert_eq!(arguments(b"\xff\0a"), ["", "a"]);
    }
}
