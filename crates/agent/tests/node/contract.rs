//! The contract suite of providers, on `local` with the real agent.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use ideal_core::id::{CloudId, VolumeId};
use ideal_core::time::Time;
use ideal_providers::contract::{self, World};

struct Here {
    data: PathBuf,
}

impl Here {
    fn folder(&self, volume: &VolumeId) -> PathBuf {
        let at_home = self.data.join("volumes").join(volume.as_str()).join("data");
        if at_home.is_dir() {
            return at_home;
        }
        let machines = std::fs::read_dir(self.data.join("machines")).unwrap();
        let places = machines.map(|entry| entry.unwrap().path().join("volumes").join(volume.as_str()));
        places.into_iter().find(|path| path.is_dir()).unwrap()
    }
}

impl World for Here {
    fn cloud(&self) -> CloudId {
        CloudId(uuid::Uuid::new_v4())
    }
    fn now(&self) -> Time {
        ideal_host::now()
    }
    fn pass(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(tokio::time::sleep(Duration::from_millis(5)))
    }
    fn write(&self, volume: &VolumeId, text: &str) {
        std::fs::write(self.folder(volume).join("text"), text).unwrap();
    }
    fn content(&self, volume: &VolumeId) -> String {
        std::fs::read_to_string(self.folder(volume).join("text")).unwrap()
    }
}

#[tokio::test]
async fn local_keeps_the_contract() {
    let bench = crate::bench::Bench::new();
    let data = bench.folder.path().join("data").canonicalize().unwrap();
    let passed = contract::all(&bench.local, &Here { data }).await.unwrap();
    assert_eq!(passed.len(), 16);
    assert_eq!(bench.local.processes().unwrap(), Vec::<String>::new(), "every machine was ended");
}
