//! The recipe `proxy` with the real nginx, before replicas on several nodes: requests go on while replicas move and nodes
//! die, and nginx is never started anew.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bed::{Bed, Ran, SYSTEM, until};

/// A Debian with nginx, which does not run before it is asked to.
const NGINX: &str = "ideal-test:nginx";

/// What each replica is: it answers with its own name and its node's.
const SERVER: &str = r#"
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
"#;

/// One node that takes requests, and three that answer them.
fn file(bed: &Bed) -> String {
    let (socket, [shop, edge, web]) = (&bed.socket, &bed.clouds);
    let server: String = SERVER.trim().lines().map(|line| format!("        {line}\n")).collect();
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{NGINX}", socket: "{socket}"}}}}}}
secrets: {{pub-certificate: {{file: certificate.pem}}, pub-key: {{file: key.pem}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      edge: {{uuid: {edge}, nodes: 1, recipes: [proxy]}}
      web: {{uuid: {web}, nodes: 3}}
services:
  pub:
    on: shop.web
    replicas: 3
    ports: {{main: auto}}
    route: {{host: pub.example.org}}
    command:
      - python3
      - -c
      - |
{server}      - "{{{{ port.main }}}}"
      - "{{{{ node.name }}}}"
    health: {{http: "http://127.0.0.1:{{{{ port.main }}}}/", every: 500ms}}
  safe:
    on: shop.web
    replicas: 1
    ports: {{main: auto}}
    route: {{host: safe.example.org, port: main, tls: {{certificate: pub-certificate, key: pub-key}}}}
    command: [python3, -m, http.server, "{{{{ port.main }}}}", --directory, /usr/share/doc/nginx]
"#
    )
}

/// Asks for a page by the name of a host, as a browser does.
fn ask(address: &str, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, 80))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Somebody who asks all the time, and notes what was not answered.
struct Visitor {
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    asks: JoinHandle<Vec<String>>,
}

impl Visitor {
    fn comes(address: &str) -> Visitor {
        let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (address, until, count) = (address.to_owned(), ends.clone(), asked.clone());
        let asks = std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !until.load(Ordering::Relaxed) {
                match ask(&address, "pub.example.org") {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => {}
                    Ok(answer) => failed.push(answer),
                    Err(error) => failed.push(error.to_string()),
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Visitor { ends, asked, asks }
    }
    /// Waits until so many more requests were made.
    #[track_caller]
    fn asks_more(&self, more: usize) {
        let before = self.asked.load(Ordering::Relaxed);
        assert!(until(60, || self.asked.load(Ordering::Relaxed) >= before + more), "requests hang");
    }
    #[track_caller]
    fn was_always_answered(self) {
        self.ends.store(true, Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        let failed = self.asks.join().unwrap();
        assert!(failed.is_empty(), "{} of {asked} requests failed, the first: {}", failed.len(), failed[0]);
    }
}

impl Bed {
    /// The machine of a node of the second or third cloud.
    fn machine_in(&self, cloud: usize, index: usize) -> String {
        let cloud = format!("--filter=label=ideal.cloud={}", self.clouds[cloud]);
        let slot = format!("--filter=label=ideal.slot={index}");
        self.docker(&["ps", "-q", &cloud, &slot]).ended(0).out.trim().to_owned()
    }
    fn address_in(&self, cloud: usize, index: usize) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.docker(&["inspect", "-f", format, &self.machine_in(cloud, index)]).ended(0).out.trim().to_owned()
    }
    /// Runs a script on the node that takes requests.
    fn on_edge(&self, script: &str) -> Ran {
        self.docker(&["exec", &self.machine_in(1, 0), "sh", "-euc", script])
    }
    /// Puts nginx into an image, which is made with what Debian has.
    fn import_nginx(&self) {
        let install = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
                       --no-install-recommends nginx openssl > /dev/null; rm -f /etc/nginx/sites-enabled/default";
        let made = ["run", "--name", "nginx", "--network", "host", SYSTEM, "sh", "-euc"];
        self.docker(&[&made[..], &[install]].concat()).ended(0);
        self.docker(&["commit", "nginx", NGINX]).ended(0);
        self.docker(&["rm", "nginx"]).ended(0);
    }
    /// A certificate for `safe.example.org` and its key, in the project.
    fn certify(&self) {
        let folder = format!("{}:/p", self.folder.join("p").display());
        let make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=safe.example.org \
                    -addext subjectAltName=DNS:safe.example.org -keyout /p/key.pem -out /p/certificate.pem";
        self.docker(&["run", "--rm", "--network", "none", "-v", &folder, NGINX, "sh", "-euc", make]).ended(0);
    }
}

#[test]
fn requests_go_on_while_replicas_move_and_nodes_die() {
    let Some(bed) = Bed::with_system("proxy") else { return };
    bed.import_nginx();
    bed.certify();
    bed.write(&file(&bed));
    bed.ideal(&["up", "--yes", "--timeout", "180s"]).ended(0);
    let edge = bed.address_in(1, 0);
    let configuration = || bed.on_edge("cat /etc/nginx/nginx.conf").ended(0).out;
    let names = |what: &str| configuration().contains(what);

    bed.ideal(&["services", "show", "pub"])
        .ended(0)
        .says("http://pub.example.org to port main   taken by shop.edge");

    // Each replica answers, and none for a host that nobody has.
    for node in 0..3 {
        let from = |answer: String| answer.ends_with(&format!("\r\n\r\nshop.web[{node}]"));
        let answers = || ask(&edge, "pub.example.org").is_ok_and(from);
        assert!(until(30, answers), "web[{node}] does not answer:\n{}", configuration());
    }
    assert!(ask(&edge, "another.example.org").unwrap().starts_with("HTTP/1.1 404"));

    // By TLS, with what only root on this node can read, and nothing else knows.
    let plain = ask(&edge, "safe.example.org").unwrap();
    assert!(plain.contains("Location: https://safe.example.org/"), "{plain}");
    let modes = bed.on_edge("stat -c '%a %U' /etc/nginx/ideal/safe.example.org.*").ended(0).out;
    assert_eq!(modes, "400 root\n400 root\n");
    let by_tls = "python3 -c 'import http.client, socket, ssl
context = ssl.create_default_context(cafile=\"/etc/nginx/ideal/safe.example.org.crt\")
stream = context.wrap_socket(socket.create_connection((\"127.0.0.1\", 443)), server_hostname=\"safe.example.org\")
asked = http.client.HTTPConnection(\"safe.example.org\"); asked.sock = stream
asked.request(\"GET\", \"/\"); print(asked.getresponse().status)'";
    bed.on_edge(by_tls).ended(0).says("200");
    let key = std::fs::read_to_string(bed.folder.join("p/key.pem")).unwrap();
    let line = key.lines().nth(3).unwrap();
    let known = std::process::Command::new("grep")
        .args(["-rlF", line])
        .args([bed.folder.join("p/.ideal"), bed.folder.join("state")])
        .output()
        .unwrap();
    assert_eq!(Ran::of(&known).out, "", "the key is on a disk");

    let first = bed.on_edge("cat /run/nginx.pid").ended(0).out;
    let visitor = Visitor::comes(&edge);
    visitor.asks_more(50);
    // A replica moves, to another address and another port.
    bed.ideal(&["services", "move", "pub[0]", "shop.web[1]"]).ended(0);
    assert!(until(20, || names("# pub[0] on shop.web[1]\n")), "{}", configuration());
    visitor.asks_more(50);
    // A node dies with what it carries.
    let gone = bed.address_in(2, 2);
    let healing = bed.heals();
    bed.docker(&["rm", "-f", &bed.machine_in(2, 2)]).ended(0);
    visitor.asks_more(50);
    assert!(until(60, || !names(&format!("server {gone}:")) && names("# pub[2] on ")), "{}", configuration());
    visitor.asks_more(50);
    visitor.was_always_answered();
    // A route that leaves the file takes its certificate and its key along.
    drop(healing);
    let text = file(&bed);
    let (before, _) = text.split_once("  safe:").unwrap();
    bed.write(before);
    bed.ideal(&["up", "--yes", "--timeout", "120s"]).ended(0);
    let left = || bed.on_edge("ls /etc/nginx/ideal").ended(0).out;
    assert!(until(20, || left().is_empty()), "{}", left());
    assert_eq!(bed.on_edge("cat /run/nginx.pid").ended(0).out, first, "nginx was started anew");
}
