//! gem, pip and npm: package managers of languages.

use ideal_core::resource::package::{Install, Manager};
use serde_json::Value;

use super::{Entry, Installed, Program, Wanted, argv};
use crate::eyes::Trouble;

fn entry(version: &str) -> Entry {
    Entry { version: version.to_owned(), ..Entry::default() }
}

/// What `gem list` says: `rake (13.1.0, default: 13.0.6)`; the first is the newest.
pub(super) fn gem(answer: &[u8]) -> Installed {
    let text = String::from_utf8_lossy(answer);
    let line = |line: &str| {
        let (name, versions) = line.trim().strip_suffix(')')?.split_once(" (")?;
        // A version for one platform has that behind it.
        let version = |one: &str| {
            one.trim().trim_start_matches("default: ").split_whitespace().next().map(str::to_owned)
        };
        let versions: Vec<String> = versions.split(',').filter_map(version).collect();
        Some((name.to_owned(), Entry { versions: versions.clone(), ..entry(versions.first()?) }))
    };
    text.lines().filter_map(line).collect()
}

/// What `pip list --format=json` says.
pub(super) fn pip(answer: &[u8]) -> Result<Installed, Trouble> {
    let all: Value = read(answer, "pip")?;
    let one = |one: &Value| Some((python_name(one["name"].as_str()?), entry(one["version"].as_str()?)));
    Ok(all.as_array().into_iter().flatten().filter_map(one).collect())
}

/// What `npm ls --json` says.
pub(super) fn npm(answer: &[u8]) -> Result<Installed, Trouble> {
    let all: Value = read(answer, "npm")?;
    let one = |(name, what): (&String, &Value)| Some((name.clone(), entry(what["version"].as_str()?)));
    Ok(all["dependencies"].as_object().into_iter().flatten().filter_map(one).collect())
}

fn read(answer: &[u8], who: &str) -> Result<Value, Trouble> {
    serde_json::from_slice(answer)
        .map_err(|error| Trouble::failed(format!("{who} said what cannot be read: {error}")))
}

/// The name of a package of Python as all its spellings mean it.
pub(super) fn python_name(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if plain.ends_with('-') => {}
            '-' | '_' | '.' => plain.push('-'),
            c => plain.push(c.to_ascii_lowercase()),
        }
    }
    plain
}

/// The newest version in what a manager answered.
pub(super) fn newest(manager: Manager, name: &str, answer: &str) -> Option<String> {
    match manager {
        Manager::Npm => serde_json::from_str(answer).ok(),
        Manager::Gem => gem(answer.as_bytes()).remove(name).map(|entry| entry.version),
        // `requests (2.32.3)`, then all the others.
        _ => Some(answer.lines().next()?.split_once(" (")?.1.trim_end_matches(')').to_owned()),
    }
}

/// What puts these packages, and then what removes others.
pub(super) fn programs(manager: Manager, all: &[Wanted<'_>]) -> Vec<Program> {
    let mut programs = Vec::new();
    for one in all {
        let name = one.spec.name.clone();
        let version = one.spec.version.clone();
        let program = match (manager, one.is(Install::Remove)) {
            (Manager::Gem, true) => {
                argv(&["gem", "uninstall", "--all", "--executables", "--ignore-dependencies"], [name])
            }
            (Manager::Gem, false) => {
                let version =
                    version.map(|version| vec!["--version".to_owned(), version]).unwrap_or_default();
                argv(&["gem", "install", "--no-document"], [vec![name], version].concat())
            }
            (Manager::Npm, true) => argv(&["npm", "uninstall", "--global"], [name]),
            (Manager::Npm, false) => {
                let version = version.unwrap_or_else(|| "latest".to_owned());
                argv(
                    &["npm", "install", "--global", "--no-fund", "--no-audit"],
                    [format!("{name}@{version}")],
                )
            }
            (_, true) => python(&["uninstall", "--yes"], name),
            (_, false) => {
                let word = version.map_or(name.clone(), |version| format!("{name}=={version}"));
                python(&["install", "--upgrade"], word)
            }
        };
        programs.push(program);
    }
    programs
}

fn python(verb: &[&str], word: String) -> Program {
    let mut program = argv(&[&["python3", "-m", "pip"], verb].concat(), [word]);
    let env = [
        ("PIP_NO_INPUT", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_ROOT_USER_ACTION", "ignore"),
        // The author asked for a package of the whole machine; where the system keeps its own, this goes beside.
        ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
    ];
    program.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    program
}

#[cfg(test)]
mod tests {
    use ideal_core::resource::package::{PackageChange, PackageSpec};

    use super::*;

    #[test]
    fn their_lists() {
        let gems = gem(b"rake (13.1.0, default: 13.0.6)\n\n*** LOCAL GEMS ***\nffi (1.15.5 x86_64-linux)\njson (default: 2.6)\n");
        assert_eq!(
            (&*gems["rake"].version, &*gems["ffi"].version, &*gems["json"].version),
            ("13.1.0", "1.15.5", "2.6")
        );
        assert_eq!(gems["rake"].versions, ["13.1.0", "13.0.6"]);
        let all = pip(br#"[{"name": "Ruamel.YAML_x", "version": "0.18"}]"#).unwrap();
        assert_eq!(all[&python_name("ruamel-yaml-x")].version, "0.18");
        let all =
            npm(br#"{"dependencies": {"@a/b": {"version": "1.2.3"}, "bad": {"missing": true}}}"#).unwrap();
        assert_eq!(all["@a/b"].version, "1.2.3");
        assert!(!all.contains_key("bad") && npm(b"oops").is_err());
        assert_eq!(newest(Manager::Npm, "x", "\"1.2.3\"\n"), Some("1.2.3".into()));
        assert_eq!(newest(Manager::Gem, "x", "x (2.0)\n"), Some("2.0".into()));
        assert_eq!(newest(Manager::Pip, "x", "x (2.1)\nAvailable versions: 2.1, 2.0\n"), Some("2.1".into()));
    }

    #[test]
    fn their_words() {
        let line = |manager: Manager, spec: &str, install| {
            let spec: PackageSpec = serde_json::from_str(spec).unwrap();
            let change = PackageChange { install: Some(install), hold: false };
            programs(manager, &[Wanted { spec: &spec, change: &change }])[0].argv.join(" ")
        };
        let (put, remove) = (Install::Put, Install::Remove);
        let exact = r#"{"name": "x", "version": "1.2"}"#;
        assert_eq!(line(Manager::Gem, exact, put), "gem install --no-document x --version 1.2");
        assert_eq!(
            line(Manager::Gem, exact, remove),
            "gem uninstall --all --executables --ignore-dependencies x"
        );
        assert_eq!(line(Manager::Pip, exact, put), "python3 -m pip install --upgrade x==1.2");
        assert_eq!(line(Manager::Pip, exact, remove), "python3 -m pip uninstall --yes x");
        assert_eq!(
            line(Manager::Npm, r#"{"name": "x"}"#, put),
            "npm install --global --no-fund --no-audit x@latest"
        );
        assert_eq!(line(Manager::Npm, exact, remove), "npm uninstall --global x");
    }
}
