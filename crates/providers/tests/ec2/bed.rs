//! Moto's server with our layer in front of it, for one test. Both end with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ideal_core::ideal::Ec2Spec;
use ideal_providers::Ec2;
use ideal_providers::ec2::{Rate, Rates};

use crate::layer::Layer;
use crate::server;

/// The Python environment that `make setup` makes.
pub(crate) fn environment() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("moto");
    if folder.join("bin/moto_server").exists() {
        return Some(folder);
    }
    let why = format!("{} is missing: `make setup` installs it", folder.join("bin/moto_server").display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("NOT TESTED: {why}");
    None
}

/// An EC2 of our own.
pub(crate) struct Bed {
    server: Child,
    moto: SocketAddr,
    pub(crate) layer: Layer,
}

/// Says that this process is the one in which a test is run.
const ALONE: &str = "IDEAL_TEST_ALONE";

/// Runs the test of this name in a process of its own with credentials in its environment, as a user of AWS has them.
/// Answers whether this is that process.
pub(crate) fn alone(test: &str, environment: &[(&str, &str)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_remove("AWS_PROFILE")
        // Nothing of whoever runs the tests is read, and no role of the machine is asked for.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .env(ALONE, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    false
}

impl Bed {
    /// The bed of the test of this name. `None` when it is run elsewhere, or, said aloud, when there is no server here;
    /// where everything must be tested that fails.
    pub(crate) fn start(test: &str) -> Option<Bed> {
        Bed::with(test, "true")
    }

    /// The same without the images of others and their snapshots, over which moto takes most of its time.
    pub(crate) fn without_images(test: &str) -> Option<Bed> {
        Bed::with(test, "false")
    }

    fn with(test: &str, images: &str) -> Option<Bed> {
        let environment = environment()?;
        let given = [
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("MOTO_EC2_LOAD_DEFAULT_AMIS", images),
        ];
        if !alone(test, &given) {
            return None;
        }
        Some(Bed::here(&environment))
    }

    /// One in this process.
    pub(crate) fn here(environment: &Path) -> Bed {
        let (server, moto) = server::serve(environment);
        Bed { server, moto, layer: Layer::start(moto, environment) }
    }

    /// What a file would say of it.
    pub(crate) fn spec(&self) -> Ec2Spec {
        Ec2Spec {
            region: Some("eu-west-1".to_owned()),
            endpoint: Some(self.layer.endpoint()),
            image: Some("ami-785db401".to_owned()),
            images: [("another-image".to_owned(), "ami-1e749f67".to_owned())].into(),
            enforced: true,
            ..Ec2Spec::default()
        }
    }

    /// A provider that asks it, and does not wait for its turn.
    pub(crate) fn provider(&self, spec: Ec2Spec) -> Ec2 {
        let any = Rate { burst: 100_000.0, each_second: 100_000.0 };
        Ec2::new(spec, Rates { look: any, change: any, launch: any })
    }
}

impl Bed {
    /// What somebody else asks of moto, past our layer.
    pub(crate) fn somebody(&self, service: &str, body: &str) -> String {
        self.somebody_of(crate::layer::ACCOUNT, service, body)
    }

    /// The same, of another account.
    pub(crate) fn somebody_of(&self, account: &str, service: &str, body: &str) -> String {
        server::ask(self.moto, account, service, body)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.server.stdin.take());
        _ = self.server.wait();
    }
}
