//! Images that come from a registry, which is a real one: who asks for them, when, and how they are named.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bed::{BARE, until};
use crate::services::Hosts;

/// `htpasswd -Bbn anna hunter3`: a registry takes no other kind.
const WHO: &str = "anna:$2y$04$t7Rq8Sz5upKNBzPswM8qjeygBWeHSWRSU7C6GqOqVVc24ijsoZ3cK\n";

/// A registry on this host that only anna may ask. It ends with this.
struct Registry {
    process: Child,
    at: String,
}

impl Registry {
    fn start(folder: &Path) -> Option<Registry> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "install docker-registry");
            eprintln!("NOT TESTED: there is no docker-registry");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = format!("127.0.0.1:{port}");
        let own = folder.join("registry");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("who"), WHO).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\nhttp: {{addr: \"{at}\"}}\n\
             auth: {{htpasswd: {{realm: here, path: {0}/who}}}}\n",
            own.display()
        );
        std::fs::write(own.join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(own.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry { process: command.spawn().unwrap(), at };
        assert!(until(10, || std::net::TcpStream::connect(&registry.at).is_ok()), "it does not answer");
        Some(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_image_is_pulled_by_who_may() {
    let Some(bed) = Hosts::start("pull") else { return };
    let Some(registry) = Registry::start(&bed.folder) else { return };
    let image = format!("{}/pub:1", registry.at);
    let docker = |words: &[&str]| {
        let host = format!("unix://{}", bed.socket);
        let mut command = Command::new("docker");
        // What it remembers of the password is of this test alone.
        command.args(["-H", &host]).args(words).env("DOCKER_CONFIG", bed.folder.join("client"));
        crate::bed::Ran::of(&command.output().unwrap())
    };
    docker(&["tag", BARE, &image]).ended(0);
    docker(&["login", "-u", "anna", "-p", "hunter3", &registry.at]).ended(0);
    docker(&["push", &image]).ended(0);
    let digest = docker(&["inspect", "--format", "{{index .RepoDigests 0}}", &image]).ended(0).out;
    let digest = digest.trim().to_owned();
    let forget = || _ = docker(&["rmi", "-f", &image, &digest]);
    forget();
    let service = |image: &str, more: &str| {
        format!("image: \"{image}\"\ncommand: [/bin/sh, -c, \"while true; do sleep 1; done\"]\n{more}")
    };
    let anna = "registry: {user: anna, password: \"{{ secret.key }}\"}\n";

    // Nobody, and somebody with another password: each is told what the registry says.
    bed.serve(&service(&image, ""));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(20, || bed.says("no basic auth credentials")), "{}", bed.seen());
    bed.serve(&service(&image, anna));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(20, || bed.says("unauthorized") || bed.says("authentication required")), "{}", bed.seen());
    std::fs::write(bed.folder.join("p/key"), "hunter3").unwrap();
    bed.ideal(&["up", "--yes", "--timeout", "60s"]).ended(0);
    assert_eq!(bed.one()["Config"]["Image"], image);

    // By digest it is what it was, whatever the tag says by now.
    docker(&["tag", BARE, &image]).ended(0);
    bed.up_as(&service(&digest, anna), "hunter3");
    assert_eq!(bed.one()["Config"]["Image"], digest);
    let right = bed.one()["Image"].clone();

    // What is there is not asked for, unless the file says `always`; and a registry that is gone stops nobody.
    let mut registry = registry;
    registry.process.kill().unwrap();
    registry.process.wait().unwrap();
    bed.up_as(&service(&digest, &format!("{anna}env: {{A: b}}\n")), "hunter3");
    assert_eq!(bed.one()["Image"], right);
    let log = || bed.ideal(&["logs", "shop[0]"]).ended(0).out;
    assert!(!log().contains("the image that is there is used"));
    bed.up_as(&service(&digest, &format!("{anna}env: {{A: c}}\npull: always\n")), "hunter3");
    assert_eq!(bed.one()["Image"], right);
    let said = log();
    assert!(said.contains("connection refused; the image that is there is used"), "{said}");
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
    // The password is nowhere but where the file says that it is.
    let folders = [bed.folder.join("p/.ideal"), bed.folder.join("state")];
    let found = Command::new("grep").args(["-rlF", "hunter3"]).args(folders).output().unwrap();
    assert_eq!(crate::bed::Ran::of(&found).out, "");
}
