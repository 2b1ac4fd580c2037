//! What a look may ask of programs of the system: a closed list, each of which changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use ideal_core::resource::package::Manager;

use crate::exec::Program;

/// How long an answer about this machine may take.
const SOON: Duration = Duration::from_secs(60);
/// How long an answer from elsewhere may take.
const FROM_ELSEWHERE: Duration = Duration::from_secs(300);

/// Where what dnf and yum fetch for an answer is kept; their own place belongs to those who change something.
const DNF_CACHE: &str = "--setopt=cachedir=/run/ideal/dnf";
const DNF_LOG: &str = "--setopt=logdir=/run/ideal/dnf";

/// A question to a program of the system that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How units are, of these full names. To systemd.
    Units(Vec<String>),
    /// Whether a script of /etc/init.d says that its daemon runs.
    Script(String),
    /// Every package that a manager has installed; of those whose own files cannot be read.
    Installed(Manager),
    /// The newest version of a package.
    Newest(Manager, String),
    /// Which files of a checkout somebody changed.
    Changed {
        /// The checkout, as a path of the host.
        at: String,
        /// Whether files that git does not know are named too.
        unknown: bool,
    },
    /// Which commits of a checkout, a stash among them, are in no branch of its repository; some of them.
    OnlyHere {
        /// The checkout, as a path of the host.
        at: String,
    },
    /// Where the branches and tags of a repository are.
    Remote {
        /// The repository.
        repo: String,
        /// What is asked for.
        names: Vec<String>,
    },
}

impl Question {
    /// The program that answers it.
    pub fn program(&self) -> Program {
        let words = |fixed: &[&str], more: &[String]| -> Vec<String> {
            fixed.iter().map(|word| (*word).to_owned()).chain(more.iter().cloned()).collect()
        };
        // Neither a hook nor a monitor of files that a repository names may run here.
        let within = |at: &String, more: &[&str]| {
            let safe = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", at];
            words(&[&safe, more].concat(), &[])
        };
        let (argv, limit) = match self {
            Question::Units(names) => {
                let shown =
                    "--property=MainPID,Id,Names,LoadState,ActiveState,UnitFileState,NeedDaemonReload";
                (words(&["systemctl", "show", shown, "--"], names), SOON)
            }
            Question::Script(name) => (vec![format!("/etc/init.d/{name}"), "status".to_owned()], SOON),
            Question::Installed(manager) => {
                let argv: &[&str] = match manager {
                    Manager::Gem => &["gem", "list", "--local"],
                    Manager::Pip => &["python3", "-m", "pip", "list", "--format=json"],
                    Manager::Npm => &["npm", "ls", "--global", "--depth=0", "--json"],
                    _ => &["rpm", "-qa", "--qf", "%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{ARCH}\\n"],
                };
                (words(argv, &[]), SOON)
            }
            Question::Newest(manager, name) => {
                let argv: &[&str] = match manager {
                    Manager::Gem => &["gem", "list", "--remote", "--exact"],
                    Manager::Pip => &["python3", "-m", "pip", "index", "versions"],
                    Manager::Npm => &["npm", "view", "--json"],
                    Manager::Apk => &["apk", "policy"],
                    Manager::Dnf => {
                        &["dnf", "-q", DNF_CACHE, DNF_LOG, "repoquery", "--latest-limit=1", "--qf=%{evr}\\n"]
                    }
                    Manager::Yum => &["yum", "-q", DNF_CACHE, "info"],
                    Manager::System | Manager::Apt => &[
                        "apt-cache",
                        "-o",
                        "Dir::Cache::pkgcache=",
                        "-o",
                        "Dir::Cache::srcpkgcache=",
                        "policy",
                    ],
                };
                let field: &[String] = if *manager == Manager::Npm { &["version".to_owned()] } else { &[] };
                (words(argv, &[std::slice::from_ref(name), field].concat()), FROM_ELSEWHERE)
            }
            Question::Changed { at, unknown } => {
                let unknown = if *unknown { "--untracked-files=normal" } else { "--untracked-files=no" };
                (within(at, &["status", "--porcelain", "-z", unknown]), SOON)
            }
            Question::OnlyHere { at } => {
                (within(at, &["rev-list", "--max-count=5", "--all", "--not", "--remotes"]), SOON)
            }
            Question::Remote { repo, names } => (
                words(&["git", "ls-remote", "--"], &[std::slice::from_ref(repo), &names[..]].concat()),
                FROM_ELSEWHERE,
            ),
        };
        let env = [
            // git writes what it found into the index otherwise, and asks for passwords.
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("LC_ALL", "C.UTF-8"),
            // What is kept so that the next answer comes sooner is kept beside the system's own, until it starts again.
            ("PIP_NO_CACHE_DIR", "1"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("GEM_SPEC_CACHE", "/run/ideal/gem"),
            ("npm_config_cache", "/run/ideal/npm"),
            ("npm_config_logs_max", "0"),
            ("npm_config_update_notifier", "false"),
            // The answer is read, not looked at.
            ("SYSTEMD_PAGER", ""),
            ("SYSTEMD_COLORS", "0"),
        ];
        let env: BTreeMap<String, String> =
            env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Program { env, ..Program::new(argv, limit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_options() {
        let units = Question::Units(vec!["-x.service".into()]).program().argv;
        assert_eq!(units.last().map(String::as_str), Some("-x.service"));
        assert_eq!(units[units.len() - 2], "--");
        let remote =
            Question::Remote { repo: "--upload-pack=x".into(), names: vec!["HEAD".into()] }.program().argv;
        assert_eq!(remote[2..], ["--", "--upload-pack=x", "HEAD"]);
    }

    #[test]
    fn nothing_is_kept_where_the_system_keeps_its_own() {
        let line = |manager| Question::Newest(manager, "x".into()).program().argv.join(" ");
        assert!(line(Manager::Apt).contains("pkgcache= ") && line(Manager::Apt).ends_with(" policy x"));
        for manager in [Manager::Dnf, Manager::Yum] {
            assert!(line(manager).contains("cachedir=/run/ideal/"), "{}", line(manager));
        }
        let env = Question::Newest(Manager::Npm, "x".into()).program().env;
        for name in ["npm_config_cache", "GEM_SPEC_CACHE"] {
            assert!(env[name].starts_with("/run/ideal/"), "{name}");
        }
        assert_eq!((&*env["npm_config_logs_max"], &*env["PIP_NO_CACHE_DIR"]), ("0", "1"));
    }
}
