//! A replica has a name on each node of its cluster, which leads to where it is, and follows it when it goes elsewhere;
//! who uses it is not started anew.

use std::process::{Child, Stdio};

use serde_json::Value as Json;

use crate::bed::{Bed, IMAGE, Ran, until};

/// A program that goes on in the background, for as long as this lasts.
pub(crate) struct Going(pub(crate) Child);

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bed {
    /// `ideal heal --watch`.
    pub(crate) fn heals(&self) -> Going {
        let mut command = self.command(&["heal", "--watch"]);
        Going(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
    /// Of one document of the program, what it says.
    pub(crate) fn document(&self, arguments: &[&str]) -> Json {
        let all = [arguments, &["-o", "json"]].concat();
        serde_json::from_str(&self.ideal(&all).ended(0).out).unwrap()
    }
    /// The node that a replica is on: `shop[1]`.
    pub(crate) fn node_of(&self, replica: &str) -> String {
        let said = self.ideal(&["services", "list", "-o", "jsonl"]).out;
        let rows = said.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        let mut own = rows.map(|row| row["data"].clone()).filter(|row| row["address"] == replica);
        own.next().and_then(|row| Some(row["node"].as_str()?.to_owned())).unwrap_or_default()
    }
    /// The container that is this node of the outermost cloud.
    pub(crate) fn machine(&self, index: usize) -> String {
        let cloud = format!("--filter=label=ideal.cloud={}", self.clouds[0]);
        let slot = format!("--filter=label=ideal.slot={index}");
        self.docker(&["ps", "-q", &cloud, &slot]).ended(0).out.trim().to_owned()
    }
    /// Runs a script on a node of the outermost cloud.
    pub(crate) fn on_node(&self, index: usize, script: &str) -> Ran {
        self.docker(&["exec", &self.machine(index), "sh", "-uc", script])
    }
    /// The address of a node of the outermost cloud.
    pub(crate) fn address(&self, index: usize) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.docker(&["inspect", "-f", format, &self.machine(index)]).ended(0).out.trim().to_owned()
    }
}

/// Three nodes. Two replicas say where they are, and one on each node asks the first of them all the time, by its name.
fn file(bed: &Bed) -> String {
    let (socket, shop) = (&bed.socket, &bed.clouds[0]);
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{IMAGE}", socket: "{socket}"}}}}}}
clouds:
  shop:
    uuid: {shop}
    nodes: 3
    # As systems have it; without it the C library asks other machines first.
    resources: [file: {{path: /etc/nsswitch.conf, content: "hosts: files dns\n"}}]
services:
  pub:
    on: shop
    replicas: 2
    ports: {{main: 8008}}
    command:
      - /bin/sh
      - -euc
      - mkdir -p /www; echo "$0" > /www/who; exec busybox httpd -f -p 8008 -h /www
      - "{{{{ node.name }}}}"
    health: {{tcp: "127.0.0.1:8008", every: 500ms, timeout: 2s}}
  asks:
    on: shop
    command:
      - /bin/sh
      - -uc
      - |
        while true; do
          printf 'GET /who HTTP/1.0\r\n\r\n' | busybox nc -w 2 pub-0 8008 | tail -n 1 > /said.new && mv /said.new /said
          sleep 0.1
        done
"#
    )
}

#[test]
fn a_name_follows_its_replica() {
    let Some(bed) = Bed::start("names") else { return };
    bed.write(&file(&bed));
    bed.ideal(&["up", "--yes", "--timeout", "120s"]).ended(0);
    let answers = |node: usize, whom: &str| bed.on_node(node, "cat /said").out.trim() == whom;
    assert_eq!(bed.node_of("pub[0]"), "shop[0]");
    for node in 0..3 {
        assert!(until(20, || answers(node, "shop[0]")), "{}", bed.on_node(node, "cat /etc/hosts").out);
        let list = bed.on_node(node, "cat /etc/hosts").out;
        for (replica, at) in [(0, 0), (1, 1)] {
            let line = format!("{} pub-{replica} pub-{replica}.pub pub # kept by ideal\n", bed.address(at));
            assert!(list.contains(&line), "{line}is missing in\n{list}");
        }
        assert!(list.contains("localhost"), "lines that were there stay: {list}");
    }
    // Who uses it is the same process throughout.
    let pids = || -> Vec<Json> {
        let asks = |node: usize| {
            let seen = bed.document(&["nodes", "show", &format!("shop[{node}]")]);
            seen["data"]["report"]["services"][format!("asks[{node}]")]["pid"].clone()
        };
        (1..3).map(asks).collect()
    };
    let before = pids();
    assert!(before.iter().all(Json::is_number), "{before:?}");
    bed.on_node(1, "echo '10.9.9.9 mine' >> /etc/hosts").ended(0);

    bed.ideal(&["services", "move", "pub[0]", "shop[2]"]).ended(0);
    for node in 0..3 {
        assert!(until(20, || answers(node, "shop[2]")), "{}", bed.on_node(node, "cat /etc/hosts").out);
    }
    // Taken away by somebody, it is back; what others wrote stays.
    bed.on_node(1, "busybox grep -v 'kept by ideal' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts").ended(0);
    let is_back = || bed.on_node(1, "busybox grep -q 'pub-0.* # kept by ideal' /etc/hosts").code == Some(0);
    assert!(until(60, is_back), "{}", bed.on_node(1, "cat /etc/hosts").out);
    bed.on_node(1, "busybox grep -qx '10.9.9.9 mine' /etc/hosts").ended(0);

    // Its node dies: it goes elsewhere, and its name with it.
    let _healing = bed.heals();
    bed.docker(&["rm", "-f", &bed.machine(2)]).ended(0);
    let goes_on = || matches!(bed.on_node(1, "cat /said").out.trim(), "shop[0]" | "shop[1]");
    assert!(until(60, goes_on), "{}", bed.on_node(1, "cat /etc/hosts").out);
    assert_eq!(pids()[0], before[0], "who used it was started anew");
}
