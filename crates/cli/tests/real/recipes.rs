//! Recipes, plugins and secrets on real nodes of this machine: from a person's commands to the files of a node.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::bench::{Bench, eventually};

const FILE: &str = r#"ideal: 1
secrets: {token: age, key: {env: TEST_KEY}}
clouds:
  shop:
    uuid: 5f0c6f2e-0000-4000-8000-000000000001
    clouds:
      db: {uuid: 5f0c6f2e-0000-4000-8000-000000000002, nodes: 1}
      web:
        uuid: 5f0c6f2e-0000-4000-8000-000000000003
        nodes: 2
        recipes:
          - site: {title: First, links: ["http://{{ clouds['shop.db'].nodes[0].address }}/"]}
        resources:
          - file: {path: /etc/token, content: "{{ secret.token }} {{ secret.key }}", mode: "0600"}
          - plugin: {use: greeting, key: greeting.txt, with: {text: Hello}}
"#;

fn ideal(bench: &Bench, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = bench.command(arguments);
    command.env("XDG_CONFIG_HOME", bench.local().join("../../../config")).env("TEST_KEY", "from-env");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// The files of this path on all machines.
fn on_nodes(bench: &Bench, path: &str) -> Vec<String> {
    let machines = std::fs::read_dir(bench.local().join("machines")).unwrap();
    let roots = machines.map(|machine| machine.unwrap().path().join("root").join(path));
    roots.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// Every file below a folder that holds a text.
fn holding(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            holding(&path, text, found);
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path);
        }
    }
}

#[test]
fn recipes_plugins_and_secrets_reach_nodes() {
    let bench = Bench::new(FILE);
    let done = |arguments: &[&str], input: &str| {
        let (code, said) = ideal(&bench, arguments, input);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(!said.contains("hunter") && !said.contains("from-env"), "{said}");
        said
    };
    done(&["recipe", "new", "site"], "");
    done(&["plugin", "new", "greeting"], "");
    assert_eq!(ideal(&bench, &["recipe", "new", "site"], "").0, Some(1), "never over another");
    let said = done(&["secret", "set", "token"], "hunter2\n");
    assert!(said.contains("made your private key"), "{said}");
    done(&["check"], "");
    done(&["up", "--yes"], "");

    let pages = on_nodes(&bench, "srv/site/index.html");
    assert_eq!(pages.len(), 2);
    assert!(
        pages.iter().all(|page| page.contains("<h1>First</h1>") && page.contains("http://127.0.0.1/")),
        "{pages:?}"
    );
    assert_eq!(on_nodes(&bench, "etc/token"), ["hunter2 from-env"; 2]);
    assert_eq!(on_nodes(&bench, "greeting.txt"), ["Hello\n"; 2]);

    // What changes in a template, an option or a secret changes on the nodes, and is what a plan shows.
    let template = bench.local().join("../../recipes/site/templates/page.html");
    std::fs::write(&template, "{{ option.title }} again").unwrap();
    bench.write(&FILE.replace("First", "Second"));
    done(&["secret", "set", "token"], "hunter3");
    let plan = done(&["plan", "--to", "launched"], "");
    assert_eq!(plan.matches("what the node is to be has changed").count(), 2, "{plan}");
    done(&["up", "--yes"], "");
    eventually("the new page", || on_nodes(&bench, "srv/site/index.html") == ["Second again"; 2]);
    eventually("the new secret", || on_nodes(&bench, "etc/token") == ["hunter3 from-env"; 2]);
    let plan = done(&["plan", "--to", "launched"], "");
    assert!(plan.contains("nothing to do"), "{plan}");

    // Nowhere but in the files that want it.
    let listed = done(&["secret", "list"], "");
    assert!(listed.contains("secrets.age") && listed.contains("shop.web"), "{listed}");
    done(&["history", "-v"], "");
    let mut found = Vec::new();
    holding(&bench.local().join("../../.."), "hunter3", &mut found);
    assert!(found.iter().all(|path| path.ends_with("root/etc/token")), "{found:?}");
    assert_eq!(found.len(), 2);
}
