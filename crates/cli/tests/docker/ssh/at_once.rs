//! Two projects that want one machine at the same instant.

use super::rack::Rack;
use crate::bed::{Bed, Ran};

/// One of the two, with its cloud.
struct Project<'a> {
    bed: &'a Bed,
    name: &'static str,
    cloud: String,
}

#[test]
fn of_two_projects_that_take_one_machine_at_once_one_gets_it() {
    let Some(rack) = Rack::start("both") else { return };
    let host = rack.plain("m0");
    rack.write(&[host.line()], 1, "");
    let text = std::fs::read_to_string(rack.bed.folder.join("p/ideal.yaml")).unwrap();
    let other = rack.bed.beside(1);
    other.write(&text.replace(&rack.bed.clouds[0], &other.clouds[0]).replace("shop:", "other:"));
    let projects = [(&rack.bed, "shop"), (&other, "other")];
    let projects = projects.map(|(bed, name)| Project { bed, name, cloud: bed.clouds[0].clone() });
    let command = |project: &Project<'_>, words: &[&str]| {
        let mut command = project.bed.command_of(rack.program.to_str().unwrap(), words);
        command.env("XDG_CACHE_HOME", rack.bed.folder.join("cache")).output().unwrap()
    };
    let ideal = |project: &Project<'_>, words: &[&str]| Ran::of(&command(project, words));
    // Packing the program takes longer than all that follows: it is done beforehand.
    ideal(&projects[0], &["up", "--yes"]).ended(0);
    ideal(&projects[0], &["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    for round in 0..3 {
        let both = std::thread::scope(|threads| {
            let up = |project| {
                let command = &command;
                threads.spawn(move || command(project, &["up", "--yes", "--timeout", "20s"]))
            };
            let both = projects.each_ref().map(up);
            both.map(|thread| Ran::of(&thread.join().unwrap()))
        });
        let winners = both.iter().filter(|ran| ran.code == Some(0)).count();
        assert_eq!(winners, 1, "{both:?}");
        let [won, lost] = if both[0].code == Some(0) { [0, 1] } else { [1, 0] };
        let (winner, loser) = (&projects[won], &projects[lost]);
        let [_, told] = if won == 0 {
            both
        } else {
            let [one, two] = both;
            [two, one]
        };
        // It is told whose it is.
        told.says("already").says(&format!("{}/0/1", winner.cloud));
        eprintln!("round {round}: {} has it", winner.name);
        // Whoever did not get it takes nothing away from who did.
        ideal(winner, &["status", "--check"]).ended(0);
        ideal(loser, &["destroy", "--yes", "--name", loser.name, "--snapshots"]).ended(0);
        ideal(winner, &["status", "--check"]).ended(0);
        assert_eq!(rack.running("m0").iter().filter(|line| line.contains("agent run")).count(), 1);
        ideal(winner, &["destroy", "--yes", "--name", winner.name, "--snapshots"]).ended(0);
        assert_eq!(rack.running("m0"), Vec::<String>::new());
        rack.within("m0", "! ls -d /usr/local/lib/ideal* /var/lib/ideal* /run/ideal* 2> /dev/null").ended(0);
    }
}
