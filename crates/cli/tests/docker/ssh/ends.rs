//! What was started on a machine that exists ends there, processes and containers, when it is no node any more.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::rack::Rack;
use crate::bed::{BARE, Ran, scripts, until};

/// The engine of a machine: for both of them `/var/lib` is the same folder, as where an engine runs on the machine itself.
struct Own {
    process: Child,
    socket: String,
}

impl Own {
    fn start(folder: &Path, lib: &Path) -> Own {
        std::fs::create_dir_all(lib).unwrap();
        let script = "mount --bind \"$0\" /var/lib && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", script]).arg(lib).arg(scripts().join("engine.sh")).arg(folder);
        let process = command.stdin(Stdio::piped()).spawn().unwrap();
        let own = Own { process, socket: format!("{}/engine.sock", folder.display()) };
        assert!(until(60, || own.docker(&["info"]).code == Some(0)), "the engine did not start");
        own
    }
    fn docker(&self, words: &[&str]) -> Ran {
        let socket = format!("unix://{}", self.socket);
        Ran::of(&Command::new("docker").args(["-H", &socket]).args(words).output().unwrap())
    }
    fn containers(&self) -> Vec<String> {
        self.docker(&["ps", "-aq"]).ended(0).out.lines().map(str::to_owned).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for container in self.docker(&["ps", "-aq"]).out.lines() {
            self.docker(&["rm", "-f", "-v", container]);
        }
        // It ends when its input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[test]
fn what_was_started_on_a_machine_ends_with_its_node() {
    let Some(rack) = Rack::start("ends") else { return };
    let lib = rack.bed.folder.join("lib");
    let own = Own::start(&rack.bed.folder.join("own"), &lib);
    let bare = Command::new(scripts().join("small.sh")).arg(rack.bed.folder.join("own")).output().unwrap();
    own.docker(&["import", Ran::of(&bare).ended(0).out.trim(), BARE]).ended(0);
    let other = own.docker(&["run", "-d", BARE, "sleep", "1000002"]).ended(0).out;
    let other = vec![other.trim()[..12].to_owned()];

    let (engine, lib) =
        (format!("{}:/var/run/docker.sock", own.socket), format!("{}:/var/lib", lib.display()));
    let host = rack.host("m0", &["-v", &engine, "-v", &lib], "", "");
    let services = format!(
        "services:\n  sleeper: {{on: shop, replicas: 2, command: [/bin/sleep, \"1000000\"]}}\n  web: {{on: shop, image: \
         '{BARE}', command: [sleep, \"1000001\"]}}\n"
    );
    rack.write(&[host.line()], 1, &services);
    for round in 0..2 {
        let ran = rack.ideal(&["up", "--yes", "--timeout", "150s", "-o", "jsonl"]).ended(0);
        ran.says("\"kind\":\"came\"").says("\"verb\":\"bring-agent\"");
        assert_eq!(own.containers().len(), 2);
        assert_eq!(rack.within("m0", "pgrep -x sleep | wc -l").ended(0).out.trim(), "2");
        if round == 1 {
            // Nobody is there any more who could end them.
            rack.within("m0", "pkill -9 -f '[a]gent keep'; pkill -9 -f '[a]gent run'").ended(0);
        }
        rack.ideal(&["away", "--yes", "--timeout", "60s"]).ended(0);
        assert_eq!(own.containers(), other, "what is not ours stays");
        let networks = own.docker(&["network", "ls", "-q", "--filter", "driver=bridge"]).ended(0).out;
        assert_eq!(networks, "", "what was made for containers goes with them");
        assert_eq!(rack.within("m0", "pgrep -x sleep || true").ended(0).out, "");
        assert_eq!(rack.running("m0"), Vec::<String>::new());
        rack.within("m0", "! ls -d /usr/local/lib/ideal* /var/lib/ideal* /run/ideal* 2> /dev/null").ended(0);
    }
    rack.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
}
