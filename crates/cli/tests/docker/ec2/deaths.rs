//! The program dies at each boundary of a whole life at EC2, with agents on its machines, and is run again.
//!
//! Only a program with its crash points in it can die so: never the one that is shipped.

use super::bridge::{Cloud, ask, command, items};
use crate::bed::{Bed, Ran};
use crate::ssh::rack::own_program;

/// A life: each act, and whether the node runs afterwards.
const LIFE: [(&[&str], bool); 5] = [
    (&["up", "--yes"], true),
    (&["away", "--keep-nodes"], false),
    (&["wake", "--yes"], true),
    (&["away", "--yes"], false),
    (&["wake", "--yes"], true),
];

struct Shop<'a> {
    bed: &'a Bed,
    cloud: &'a Cloud,
    program: std::path::PathBuf,
    written: usize,
}

impl Shop<'_> {
    fn run(&self, words: &[&str], name: &str, value: &str) -> std::process::Output {
        command(self.bed, &self.program, words).env(name, value).output().unwrap()
    }

    fn met(&self, words: &[&str]) {
        Ran::of(&self.run(words, "IDEAL_CRASH_AT", "")).ended(0);
    }

    /// The boundaries that a life passes, by its acts, each in the order in which it is passed first.
    fn boundaries(&mut self) -> Vec<Vec<String>> {
        let trace = self.bed.folder.join("trace");
        let mut all = Vec::new();
        for (words, runs) in LIFE {
            _ = std::fs::remove_file(&trace);
            Ran::of(&self.run(words, "IDEAL_CRASH_TRACE", trace.to_str().unwrap())).ended(0);
            self.holds(runs);
            let text = std::fs::read_to_string(&trace).unwrap();
            // What only writes down is the same in each act.
            let notes = ["engine.journal.", "engine.mirror.", "engine.note."];
            let again = |at: &str| {
                let known = |earlier: &Vec<String>| earlier.iter().any(|one| one == at);
                notes.iter().any(|note| at.starts_with(note)) && all.iter().any(known)
            };
            let own: Vec<String> =
                text.lines().filter(|at| at.ends_with("#1") && !again(at)).map(str::to_owned).collect();
            all.push(own);
        }
        all
    }

    /// What must hold after an act. What is written on the volume stays, line for line.
    fn holds(&mut self, runs: bool) {
        let machines = ask(self.cloud.at, "DescribeInstances");
        let count = |state: &str| machines.matches(&format!("<name>{state}</name>")).count();
        assert_eq!(count("running"), usize::from(runs), "{machines}");
        assert_eq!(count("pending") + count("stopping") + count("shutting-down"), 0, "{machines}");
        let ours = "DescribeVolumes&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:cloud";
        let volumes = ask(self.cloud.at, ours);
        let volumes = items(&volumes, "volumeSet").len();
        if !runs {
            assert_eq!(volumes, count("stopped"), "one stays where its node does");
            return;
        }
        assert_eq!((volumes, count("stopped")), (1, 0), "nothing is doubled");
        let script = "cat /srv/data/kept 2> /dev/null || true";
        let kept = self.exec(script);
        assert_eq!(kept.lines().count(), self.written, "{kept}");
        self.exec("mountpoint -q /srv/data && echo kept >> /srv/data/kept && sync");
        self.written += 1;
    }

    fn exec(&self, script: &str) -> String {
        let words = ["nodes", "exec", "shop[0]", "--", "sh", "-euc", script];
        Ran::of(&self.run(&words, "IDEAL_CRASH_AT", "")).ended(0).out
    }
}

#[test]
fn dead_at_every_boundary_of_a_life_with_agents() {
    let Some(bed) = Bed::with_system("dead") else { return };
    let Some(cloud) = Cloud::start(&bed) else { return };
    let program = own_program(&bed, "ideal");
    let below = "    nodes: 1
    mounts:
      data: {size: 1GiB, at: /srv/data}
services:
  writer:
    on: shop
    command: [/bin/sleep, infinity]
";
    bed.write(&cloud.file(&bed, cloud.at, "enforced: true\n", below));
    let mut shop = Shop { bed: &bed, cloud: &cloud, program, written: 0 };
    let boundaries = shop.boundaries();
    let end = ["destroy", "--yes", "--name", "shop", "--snapshots"];
    shop.met(&end);
    shop.written = 0;
    let (mut passed, mut deaths) = (0, Vec::new());
    for ((words, runs), boundaries) in LIFE.iter().zip(&boundaries) {
        for at in boundaries {
            passed += 1;
            // What an earlier run has done is not done again.
            if shop.run(words, "IDEAL_CRASH_AT", at).status.code().is_none() {
                deaths.push(at);
            }
        }
        shop.met(words);
        shop.holds(*runs);
    }
    println!("{} deaths at {passed} boundaries: {boundaries:?}", deaths.len());
    let acts =
        ["bring-agent", "new-life", "attach", "mount", "unmount", "detach", "stop-machine", "start-machine"];
    for act in acts {
        let at = format!("engine.{act}.before#1");
        assert!(deaths.contains(&&at), "nobody dies at {at}: {deaths:?}");
    }
    assert!(deaths.len() * 2 >= passed, "half are passed again: {} of {passed}", deaths.len());
    shop.met(&end);
}
