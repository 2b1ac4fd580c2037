//! What a person does with nodes by hand: looking at them, running programs on them, copying files, a terminal.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::bench::{Bench, eventually, file, kill};

/// Two web nodes and a database, launched.
fn launched() -> Bench {
    let bench = Bench::new(&file(2));
    bench.run(&["up"]).ended(0);
    bench
}

impl Bench {
    /// The home of the machine that is a node.
    fn home(&self, node: &str) -> PathBuf {
        let shown = self.run(&["nodes", "show", node, "-o", "json"]).ended(0).data();
        self.local().join("machines").join(shown["machine"].as_str().unwrap())
    }
    fn root(&self, node: &str) -> PathBuf {
        self.home(node).join("root")
    }
    /// A command that is given something to read, with what it says as it is.
    fn given(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut pipe, stdin) = (child.stdin.take().unwrap(), stdin.to_vec());
        let feeding = std::thread::spawn(move || pipe.write_all(&stdin));
        let output = child.wait_with_output().unwrap();
        // One that reads no more is no error.
        _ = feeding.join();
        output
    }
    /// How many processes run with exactly these words.
    fn running(&self, words: &[&str]) -> usize {
        let wanted: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|one| std::fs::read(one.path().join("cmdline")).is_ok_and(|own| own == wanted))
            .count()
    }
}

/// Bytes of every kind, more than any buffer on the way holds.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(next).collect()
}

/// A length of time that no other test sleeps for.
fn seconds(number: u32) -> String {
    format!("{}.{number}", 1000 + std::process::id())
}

#[test]
fn nodes_are_listed_and_shown() {
    let bench = Bench::new(&file(2));
    bench.run(&["nodes", "list"]).ended(0).says("shop.web[1]  away");
    bench.run(&["up"]).ended(0);
    let all = bench.run(&["nodes", "list", "-o", "json"]).ended(0).data();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 3);
    for node in all {
        assert_eq!((&node["state"], &node["agent"]), (&"launched".into(), &"answers".into()), "{node}");
    }
    let db = bench.run(&["nodes", "list", "--where", "mounts=1", "-o", "jsonl"]).ended(0).data();
    assert_eq!((&db["address"], &db["mounted"]), (&"shop.db[0]".into(), &1.into()), "{db}");
    let sorted = bench.run(&["nodes", "list", "--sort", "-address", "--limit", "1"]).ended(0);
    assert!(sorted.out.contains("shop.web[1]") && !sorted.out.contains("shop.web[0]"), "{}", sorted.out);
    bench
        .run(&["nodes", "list", "--where", "clod=shop.web"])
        .ended(2)
        .says("did you mean `cloud`")
        .says("address, ");
    bench.run(&["nodes", "list", "shop.wbe"]).ended(2).says("did you mean `shop.web`");
    bench.run(&["nodes", "list", "--where", "state=away"]).ended(0).says("no such node");

    bench.run(&["nodes", "show", "shop.db"]).ended(0).says("mounted, life 1").says("counter[0]   running");
    bench.run(&["nodes", "show", "shop.web"]).ended(2).says("2 nodes");
    bench.run(&["nodes", "show", "shop.web[7]"]).ended(2).says("no node `shop.web[7]`");

    // A silent agent is shown, with a reason.
    let socket = bench.run(&["nodes", "show", "shop.web[0]", "-o", "json"]).ended(0).data();
    let socket = socket["machines"][0]["agent"].as_str().unwrap().strip_prefix("unix:").unwrap().to_owned();
    std::fs::remove_file(&socket).unwrap();
    bench
        .run(&["nodes", "list", "--where", "agent=silent"])
        .ended(0)
        .says("shop.web[0]")
        .says("no agent answers");
    bench.run(&["nodes", "exec", "shop.web[0]", "--", "true"]).ended(5).says("no agent answers");
    let ran = bench.run(&["nodes", "exec", "shop.web", "--", "echo", "here"]).ended(1);
    ran.says("shop.web[1] | here").says("failed on 1 of 2 nodes: shop.web[0]: no agent answers");
    bench.run(&["nodes", "copy", "shop.web[0]:/x", "."]).ended(5).says("no agent answers");

    // So is one that the file does not want any more.
    bench.write(&file(1));
    bench.run(&["nodes", "list"]).ended(0).says("shop.web[1]  not in the file");
}

#[test]
fn programs_run_on_nodes() {
    let bench = launched();
    let ran = bench
        .run(&["nodes", "exec", "shop.db[0]", "--", "sh", "-c", "echo out; echo err >&2; exit 3"])
        .ended(3);
    assert_eq!((&*ran.out, &*ran.err), ("out\n", "err\n"));
    // Where and as what hooks run: in the root, with the marks, and nothing of ours.
    let root = bench.root("shop.db[0]");
    let ran = bench.run(&["nodes", "exec", "shop.db", "--", "sh", "-c", "pwd; env"]).ended(0);
    assert_eq!(ran.out.lines().next(), Some(&*root.canonicalize().unwrap().to_string_lossy()));
    let names: Vec<&str> = ran.out.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.contains(&"IDEAL_NODE") && names.contains(&"IDEAL_MACHINE"), "{names:?}");
    assert!(!names.contains(&"XDG_STATE_HOME"), "{names:?}");

    // No standard input, unless it is asked for.
    let read = |arguments: &[&str], stdin: &[u8]| bench.given(arguments, stdin).stdout;
    assert_eq!(read(&["nodes", "exec", "shop.db", "--", "cat"], b"unread"), b"");
    let large = bytes(5 << 20);
    assert!(read(&["nodes", "exec", "-i", "shop.db", "--", "cat"], &large) == large, "every byte comes back");
    assert_eq!(read(&["nodes", "exec", "-i", "shop.db", "--", "head", "-c", "3"], &large), &large[..3]);
    bench.run(&["nodes", "exec", "-i", "shop.web", "--", "cat"]).ended(2).says("to one node");

    // As a shell would end.
    bench.run(&["nodes", "exec", "shop.db", "--", "no-such-program"]).ended(127).says("cannot be started");
    bench.run(&["nodes", "exec", "shop.db", "--", "/etc"]).ended(126);
    bench.run(&["nodes", "exec", "shop.db", "--", "sh", "-c", "kill -9 $$"]).ended(137).says("signal 9");
    bench.run(&["nodes", "exec", "shop.web[9]", "--", "true"]).ended(2).says("no node");
    bench.run(&["nodes", "exec", "shop.wbe", "--", "true"]).ended(2).says("did you mean");
    bench.run(&["nodes", "exec", "shop.web"]).ended(2);
    bench.run(&["nodes", "exec", "--", "true"]).ended(2);

    // What it leaves running is not waited for.
    let begun = Instant::now();
    let left = seconds(1);
    let script = format!("sleep {left} & echo left");
    let ran = bench.run(&["nodes", "exec", "shop.db", "--", "sh", "-c", &script]).ended(0);
    assert_eq!(ran.out, "left\n");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(bench.running(&["sleep", &left]), 1);
}

#[test]
fn programs_run_on_several_nodes() {
    let bench = launched();
    let ran = bench
        .run(&["nodes", "exec", "shop", "--", "sh", "-c", "echo one; printf two; echo three >&2"])
        .ended(0);
    for line in ["shop.db[0]  | one\n", "shop.web[0] | one\n", "shop.web[1] | two\n"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    assert_eq!(ran.err.matches(" | three\n").count(), 3, "{}", ran.err);

    let first = bench.home("shop.web[1]").file_name().unwrap().to_string_lossy().into_owned();
    let script = format!("case $IDEAL_MACHINE in {first}) exit 4;; esac");
    let ran = bench.run(&["nodes", "exec", "shop.web", "--at-once", "1", "--", "sh", "-c", &script]).ended(1);
    assert_eq!(ran.err.trim(), "\u{2717} failed on 1 of 2 nodes: shop.web[1]: it ended with 4");
    let told =
        bench.run(&["nodes", "exec", "shop.web", "-o", "json", "--", "sh", "-c", &script]).ended(1).data();
    assert_eq!((&told[0]["code"], &told[1]["code"]), (&0.into(), &4.into()), "{told}");
    // Bounded: the end of it is kept.
    let script = "yes | head -c 3000000; echo end; echo why >&2";
    let told =
        bench.run(&["nodes", "exec", "shop.web[0]", "-o", "json", "--", "sh", "-c", script]).ended(0).data();
    let out = told[0]["out"].as_str().unwrap();
    assert!(out.len() == 1 << 20 && out.ends_with("y\nend\n"), "{}", out.len());
    assert_eq!(told[0]["err"], "why\n");

    // Somebody who works on the cluster is not in the way.
    let healing = bench.start(&["heal", "--watch"]);
    eventually("it works", || bench.run(&["history"]).ended(0).out.contains("heal"));
    bench.run(&["push", "shop.web"]).ended(8);
    bench.run(&["nodes", "exec", "shop.web", "--", "true"]).ended(0);
    kill(healing.id(), Signal::KILL);
    Bench::end(healing);
}

#[test]
fn who_goes_away_leaves_nothing_running() {
    let bench = launched();
    // A limit ends all of its group.
    let (one, two) = (seconds(2), seconds(3));
    let script = format!("sleep {one} & sleep {two}");
    let ran =
        bench.run(&["nodes", "exec", "--timeout", "300ms", "shop.db", "--", "sh", "-c", &script]).ended(7);
    ran.says("not done within 300ms and was killed");
    eventually("nothing of it", || bench.running(&["sleep", &one]) + bench.running(&["sleep", &two]) == 0);

    // So does the death of who asked, also when it was giving something that nobody read.
    let three = seconds(4);
    for stdin in [false, true] {
        let flag = if stdin { "-i" } else { "-q" };
        let mut command = bench.command(&["nodes", "exec", "shop.db", flag, "--", "sleep", &three]);
        command.stdin(if stdin {
            Stdio::from(std::fs::File::open("/dev/zero").unwrap())
        } else {
            Stdio::null()
        });
        let mut asking = command.spawn().unwrap();
        eventually("it runs", || bench.running(&["sleep", &three]) == 1);
        if stdin {
            // Until the pipe is full.
            std::thread::sleep(Duration::from_millis(300));
        }
        asking.kill().unwrap();
        asking.wait().unwrap();
        eventually("it is killed", || bench.running(&["sleep", &three]) == 0);
    }

    // A reader that goes away ends it, and is no error.
    let bench = &bench;
    let mut yes = bench.start(&["nodes", "exec", "shop.db", "--", "yes", &three]);
    eventually("it runs", || bench.running(&["yes", &three]) == 1);
    drop(yes.stdout.take());
    assert_eq!(Bench::end(yes).ended(0).err, "");
    eventually("it is killed", || bench.running(&["yes", &three]) == 0);
}

#[test]
fn files_are_copied_to_nodes_and_back() {
    let bench = launched();
    let here = bench.folder.join("p");
    let large = bytes(3 << 20);
    std::fs::create_dir_all(here.join("site/empty")).unwrap();
    std::fs::write(here.join("site/large"), &large).unwrap();
    std::fs::write(here.join("site/run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(here.join("site/run"), PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::set_permissions(here.join("site/empty"), PermissionsExt::from_mode(0o500)).unwrap();
    symlink("run", here.join("site/link")).unwrap();
    let odd = std::os::unix::ffi::OsStringExt::from_vec(b"odd \xff name".to_vec());
    let odd: &std::ffi::OsString = &odd;
    std::fs::write(here.join("site").join(odd), "odd").unwrap();
    std::fs::write(here.join("site").join("n".repeat(200)), "long").unwrap();

    // To a folder that is made, of every node of a cloud.
    let told = bench.run(&["nodes", "copy", "site", "shop.web:/srv/", "-o", "json"]).ended(0).data();
    assert_eq!(told["files"], 10, "{told}");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let same = |at: PathBuf| {
        assert!(std::fs::read(at.join("large")).unwrap() == large);
        assert_eq!((mode(at.join("run")), mode(at.join("empty"))), (0o750, 0o500));
        assert_eq!(std::fs::read_link(at.join("link")).unwrap(), PathBuf::from("run"));
        assert_eq!(std::fs::read(at.join(odd)).unwrap(), b"odd");
        assert_eq!(std::fs::read(at.join("n".repeat(200))).unwrap(), b"long");
    };
    for node in ["shop.web[0]", "shop.web[1]"] {
        same(bench.root(node).join("srv/site"));
    }
    // Back, under another name; and from several, each into a folder of its own.
    bench
        .run(&["nodes", "copy", "shop.web[0]:/srv/site", "back"])
        .ended(0)
        .says("5 files")
        .says("shop.web[0]");
    same(here.join("back"));
    bench.run(&["nodes", "copy", "shop.web:/srv/site/run", "all/"]).ended(0).says("copied 2 files");
    assert_eq!(mode(here.join("all/shop.web[1]/run")), 0o750);
    // In place of what is there, whole or not at all; what else is there stays.
    std::fs::write(here.join("run"), "other").unwrap();
    bench.run(&["nodes", "copy", "run", "shop.web[0]:/srv/site"]).ended(0);
    let root = bench.root("shop.web[0]");
    assert_eq!(std::fs::read(root.join("srv/site/run")).unwrap(), b"other");
    assert!(root.join("srv/site/large").exists());

    // A mount is a folder like any other, though it lies elsewhere.
    bench.run(&["nodes", "copy", "run", "shop.db[0]:/data/kept"]).ended(0);
    bench.run(&["nodes", "copy", "shop.db[0]:/data", "volume"]).ended(0);
    assert_eq!(std::fs::read(here.join("volume/kept")).unwrap(), b"other");
    assert!(here.join("volume/numbers").exists());

    bench
        .run(&["nodes", "copy", "shop.web[0]:/nothing", "."])
        .ended(1)
        .says("shop.web[0]: there is no /nothing");
    bench.run(&["nodes", "copy", "nothing", "shop.web[0]:/tmp"]).ended(2).says("nothing cannot be read here");
    bench.run(&["nodes", "copy", "run", "shop.web[0]:/no/such/place"]).ended(1).says("no directory /no/such");
    bench.run(&["nodes", "copy", "site", "run", "shop.web[0]:/new"]).ended(1).says("no directory /new");
    bench.run(&["nodes", "copy", "run", "shop.web[0]:tmp"]).ended(2).says("begins with /");
    bench.run(&["nodes", "copy", "shop.db[0]:data", "."]).ended(2).says("begins with /");
    bench.run(&["nodes", "copy", "run", "."]).ended(2).says("neither end is on a node");
    bench.run(&["nodes", "copy", "shop.web[0]:/srv", "shop.web[1]:/srv"]).ended(2).says("node to node");
    bench.run(&["nodes", "copy", "shop.web[9]:/srv", "."]).ended(2).says("no node");
    // Nothing half done lies anywhere.
    let left = Command::new("find").arg(&bench.folder).args(["-name", "*.ideal-tmp"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn no_copy_leaves_a_node() {
    let bench = launched();
    let (root, here) = (bench.root("shop.web[0]"), bench.folder.join("p"));
    let secret = bench.folder.join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "mine").unwrap();
    symlink(&secret, root.join("out")).unwrap();
    symlink(secret.join("key"), root.join("key")).unwrap();
    symlink("../../../../../../../../../../etc", root.join("up")).unwrap();

    for path in ["/out/key", "/key", "/up/passwd", "/up/hostname"] {
        bench.run(&["nodes", "copy", &format!("shop.web[0]:{path}"), "stolen"]).ended(1).says("there is no");
        assert!(!here.join("stolen").exists());
    }
    bench.run(&["nodes", "copy", "shop.web[0]:/../../identity.json", "stolen"]).ended(1).says("`..`");
    // Below a folder, a link is a link.
    std::fs::create_dir(root.join("folder")).unwrap();
    symlink(&secret, root.join("folder/out")).unwrap();
    bench.run(&["nodes", "copy", "shop.web[0]:/folder", "."]).ended(0).says("1 file");
    assert_eq!(std::fs::read_link(here.join("folder/out")).unwrap(), secret);

    // Nor is anything put outside.
    std::fs::write(here.join("key"), "theirs").unwrap();
    bench.run(&["nodes", "copy", "key", "shop.web[0]:/out/key"]).ended(1);
    bench.run(&["nodes", "copy", "key", "shop.web[0]:/out/"]).ended(1);
    std::fs::create_dir(here.join("out")).unwrap();
    std::fs::write(here.join("out/key"), "theirs").unwrap();
    bench.run(&["nodes", "copy", "out", "shop.web[0]:/"]).ended(1).says("in the place of out");
    // A link in the place of a file is replaced, not followed.
    bench.run(&["nodes", "copy", "key", "shop.web[0]:/key"]).ended(0);
    assert_eq!(std::fs::read(root.join("key")).unwrap(), b"theirs");
    assert_eq!(std::fs::read(secret.join("key")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&secret).unwrap().count(), 1);
}

#[test]
fn a_copy_that_breaks_off_leaves_the_old() {
    let bench = launched();
    let (root, here) = (bench.root("shop.web[0]"), bench.folder.join("p"));
    std::fs::write(root.join("file"), "old").unwrap();
    std::fs::File::create(here.join("file")).unwrap().set_len(20 << 30).unwrap();
    let mut copying = bench.command(&["nodes", "copy", "file", "shop.web[0]:/file"]).spawn().unwrap();
    eventually("it comes", || root.join(".file.ideal-tmp").metadata().is_ok_and(|own| own.len() > 1 << 20));
    copying.kill().unwrap();
    copying.wait().unwrap();
    eventually("it is cleaned up", || !root.join(".file.ideal-tmp").exists());
    assert_eq!(std::fs::read(root.join("file")).unwrap(), b"old");
}

#[test]
fn a_terminal_on_a_node() {
    let bench = launched();
    let root = bench.root("shop.web[0]").canonicalize().unwrap();
    let ran = bench.run(&["nodes", "ssh", "shop.web[0]", "--", "pwd"]).ended(0);
    assert_eq!(ran.out.trim(), root.to_string_lossy());
    bench.run(&["nodes", "ssh", "shop.web[0]", "--", "sh", "-c", "exit 9"]).ended(9);
    let said = bench.given(&["nodes", "ssh", "shop.web[0]"], b"echo node $IDEAL_NODE; exit 8\n");
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("node 5f0c6f2e-"), "{said:?}");
    assert_eq!(said.status.code(), Some(8));
    bench.run(&["nodes", "ssh", "shop.web[0]", "--", "no-such-program"]).ended(127).says("cannot be started");
    bench.run(&["nodes", "ssh", "shop.web"]).ended(2).says("2 nodes");
    bench.run(&["away", "--yes"]).ended(0);
    bench.run(&["nodes", "ssh", "shop.web[0]"]).ended(5).says("no machine");
    bench.run(&["nodes", "exec", "shop.web[0]", "--", "true"]).ended(5).says("no machine");
}
