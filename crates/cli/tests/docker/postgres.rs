//! A real PostgreSQL on a mounted volume, with somebody who writes all the time: whatever happens to its node, each
//! row that was acknowledged is there, once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::bed::{Bed, IMAGE, Ran, SYSTEM, sum_of, until};

/// How the cloud of the database and its mount are named, and how many others there are.
struct Wish {
    cloud: &'static str,
    mount: &'static str,
    was: &'static str,
    web: u32,
}

const FIRST: Wish = Wish { cloud: "db", mount: "data", was: "", web: 1 };
const PSQL: [&str; 7] = ["psql", "-h", "/tmp", "-U", "postgres", "-qAtX", "-vON_ERROR_STOP=1"];

fn file(bed: &Bed, wish: &Wish) -> String {
    let socket = &bed.socket;
    let [shop, db, others] = &bed.clouds;
    let Wish { cloud, mount, was, web } = wish;
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{SYSTEM}", socket: "{socket}"}}}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      {cloud}:
        uuid: {db}
        nodes: 1
        mounts: {{{mount}: {{{was}size: 256MiB, at: /srv/db}}}}
      web:
        uuid: {others}
        nodes: {web}
        image: "{IMAGE}"
services:
  postgres:
    on: shop.{cloud}
    command:
      - /bin/sh
      - -euc
      - |
        as="setpriv --reuid postgres --regid postgres --init-groups"
        if ! [ -e "$0/PG_VERSION" ]; then
          rm -rf "$0.new"
          install -d -o postgres -g postgres -m 700 "$0.new"
          $as /usr/lib/postgresql/15/bin/initdb -A trust -D "$0.new" > /dev/null
          mv "$0.new" "$0"
        fi
        exec $as /usr/lib/postgresql/15/bin/postgres -D "$0" -k /tmp -c listen_addresses=
      - "{{{{ mount.{mount} }}}}/main"
    health: {{command: [pg_isready, -q, -h, /tmp], every: 1s, start_period: 20s}}
    stop: {{signal: INT, grace: 30s}}
"#
    )
}

/// Commits one number after the other, and knows which were acknowledged.
struct Writer {
    over: Arc<AtomicBool>,
    said: Arc<Mutex<Said>>,
}

/// What a writer was told. A number whose commit has an unknown end is never tried again.
#[derive(Default)]
struct Said {
    tried: u64,
    acknowledged: BTreeSet<u64>,
}

impl Writer {
    fn start(bed: &Bed) -> Writer {
        let (over, said) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Said::default())));
        let (ends, tells) = (over.clone(), said.clone());
        // Nothing of the bed goes with the thread: where the bed ends, so does each session.
        let (socket, cloud) = (format!("unix://{}", bed.socket), bed.clouds[1].clone());
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                session(&socket, &cloud, &tells);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Writer { over, said }
    }
    fn count(&self) -> usize {
        self.said.lock().unwrap().acknowledged.len()
    }
    #[track_caller]
    fn goes_on(&self) {
        let before = self.count();
        assert!(until(60, || self.count() > before + 20), "nothing is acknowledged any more");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One connection, for as long as it holds.
fn session(socket: &str, cloud: &str, said: &Mutex<Said>) {
    let docker = |words: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["-H", socket]).args(words).stderr(Stdio::null());
        command
    };
    let listed = docker(&["ps", "-q", "--filter", &format!("label=ideal.cloud={cloud}")]).output().unwrap();
    let listed = Ran::of(&listed).out;
    let Some(container) = listed.lines().next() else { return };
    let mut session = docker(&[&["exec", "-i", container], &PSQL[..]].concat());
    let mut session = session.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut asks, answers) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let mut answers = BufReader::new(answers).lines();
    loop {
        let number = {
            let mut said = said.lock().unwrap();
            said.tried += 1;
            said.tried
        };
        let asked = writeln!(asks, "insert into numbers values ({number}) returning number;");
        match answers.next() {
            Some(Ok(line)) if asked.is_ok() && line == number.to_string() => {
                said.lock().unwrap().acknowledged.insert(number);
            }
            _ => break,
        }
    }
    let _ = session.kill();
    let _ = session.wait();
}

impl Bed {
    fn psql(&self, query: &str) -> Ran {
        self.docker(&[&["exec", &self.container()], &PSQL[..], &["-c", query]].concat())
    }
    /// That every acknowledged row is there and none twice.
    #[track_caller]
    fn rows_are_right(&self, writer: &Writer) {
        let acknowledged = writer.said.lock().unwrap().acknowledged.clone();
        let answers = || self.psql("select 1").code == Some(0);
        assert!(until(60, answers), "the database does not answer: {:?}", self.psql("select 1"));
        let text = self.psql("select number from numbers order by number").ended(0).out;
        let rows: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let distinct: BTreeSet<u64> = rows.iter().copied().collect();
        assert_eq!(rows.len(), distinct.len(), "a row is there twice");
        let lost: Vec<&u64> = acknowledged.difference(&distinct).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let tried = writer.said.lock().unwrap().tried;
        assert!(rows.last().is_some_and(|last| *last <= tried), "a row that nobody wrote");
    }
    /// The only volume.
    fn volume(&self) -> String {
        let volumes = self.metas("volumes");
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        volumes[0]["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_database_loses_no_acknowledged_row() {
    let Some(bed) = Bed::with_system("postgres") else { return };
    bed.write(&file(&bed, &FIRST));
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.psql("create table numbers (number bigint)").ended(0);
    let writer = Writer::start(&bed);
    writer.goes_on();
    let (node, volume) = (bed.container(), bed.volume());
    let same = |writer: &Writer| {
        assert_eq!((bed.container(), bed.volume()), (node.clone(), volume.clone()));
        writer.goes_on();
        bed.rows_are_right(writer);
    };

    // What is around it grows, shrinks and is renamed; it stays what it is.
    for web in [3, 1] {
        bed.write(&file(&bed, &Wish { web, ..FIRST }));
        bed.ideal(&["up", "--yes"]).ended(0);
        let others = bed.containers(&format!("ideal.cloud={}", bed.clouds[2]));
        assert_eq!(others.len(), usize::try_from(web).unwrap());
        same(&writer);
    }
    let renamed = Wish { cloud: "store", mount: "tables", was: "was: data, ", web: 1 };
    bed.write(&file(&bed, &renamed));
    bed.ideal(&["up", "--yes"]).ended(0);
    assert_eq!(bed.metas("volumes")[0]["tags"]["mount"], "tables");
    same(&writer);

    // Silent: it may still write, so nothing of it is ended or taken away.
    bed.docker(&["pause", &node]).ended(0);
    let told = bed.ideal(&["up", "--yes", "--timeout", "15s"]);
    assert_ne!(told.code, Some(0), "{told:?}");
    told.says("shop.store[0]").says("[agent-silent]");
    bed.ideal(&["status"]).says("shop.store[0]").says("silent");
    assert_eq!((bed.container(), bed.volume(), bed.loops().len()), (node.clone(), volume.clone(), 1));
    bed.docker(&["unpause", &node]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    same(&writer);
    // Without its network it is still spoken to: nothing happens to it.
    let network = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
    let network = bed.docker(&["inspect", "-f", network, &node]).ended(0).out.trim().to_owned();
    bed.docker(&["network", "disconnect", &network, &node]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    same(&writer);
    bed.docker(&["network", "connect", &network, &node]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    same(&writer);

    // Killed; and with its engine.
    bed.docker(&["kill", &node]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0).says("start machine");
    same(&writer);
    bed.engine_stops();
    bed.ideal(&["status"]).says("no engine answers");
    bed.engine_runs_again();
    bed.ideal(&["up", "--yes"]).ended(0).says("start machine");
    same(&writer);
    // Taken away: its volume returns on the replacement.
    bed.docker(&["rm", "-f", &node]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0).says("create machine");
    assert_eq!((bed.container() == node, bed.volume()), (false, volume.clone()));
    writer.goes_on();
    bed.rows_are_right(&writer);

    // Put away and woken: what comes back is what was sealed, before anything has mounted it.
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.seals_are_right()), (Vec::new(), 1));
    let sealed = bed.metas("snapshots")[0]["checksum"].as_str().unwrap().to_owned();
    bed.ideal(&["up", "--yes", "--to", "instantiated"]).ended(0);
    let restored = bed.images("volumes");
    assert_eq!((restored.len(), sum_of(&restored[0].0)), (1, sealed));
    assert_ne!(bed.volume(), volume, "another volume with the same content");
    bed.ideal(&["wake", "--yes"]).ended(0);
    writer.goes_on();
    bed.rows_are_right(&writer);
    eprintln!("{} rows acknowledged", writer.count());
    drop(writer);
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
}
