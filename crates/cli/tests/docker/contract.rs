//! The contract suite of providers, on containers with volumes of both kinds.

use std::future::Future;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use ideal_core::id::{CloudId, VolumeId};
use ideal_core::ideal::{DockerSpec, VolumesOf};
use ideal_core::time::Time;
use ideal_host::AgentCommand;
use ideal_providers::contract::{self, World};
use ideal_providers::{Docker, DockerOptions};

use crate::bed::{Bed, IMAGE};

/// Writes to image files beside the filesystem that could be on them, and into folders.
struct Here {
    data: PathBuf,
}

impl Here {
    fn place(&self, volume: &VolumeId) -> PathBuf {
        let own = self.data.join("volumes").join(volume.as_str()).join("data");
        if own.exists() {
            return own;
        }
        let machines = std::fs::read_dir(self.data.join("machines")).unwrap();
        let mut places = machines.map(|entry| entry.unwrap().path().join("volumes").join(volume.as_str()));
        places.find(|path| path.is_dir()).unwrap()
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
        let place = self.place(volume);
        if place.is_dir() {
            return std::fs::write(place.join("text"), text).unwrap();
        }
        let file = std::fs::OpenOptions::new().write(true).open(place).unwrap();
        file.write_all_at(format!("{text}\0").as_bytes(), 300 << 10).unwrap();
    }
    fn content(&self, volume: &VolumeId) -> String {
        let place = self.place(volume);
        if place.is_dir() {
            return std::fs::read_to_string(place.join("text")).unwrap();
        }
        let mut text = [0; 64];
        std::fs::File::open(place).unwrap().read_exact_at(&mut text, 300 << 10).unwrap();
        let end = text.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(text[..end].to_vec()).unwrap()
    }
}

#[test]
fn docker_keeps_the_contract() {
    let Some(bed) = Bed::start("contract") else { return };
    for volumes in [VolumesOf::Loop, VolumesOf::Folder] {
        let data = bed.folder.join(format!("data-{volumes:?}"));
        let spec = DockerSpec {
            image: Some(IMAGE.into()),
            volumes,
            socket: Some(bed.socket.clone()),
            ..DockerSpec::default()
        };
        let agent = AgentCommand { program: env!("CARGO_BIN_EXE_ideal").into(), args: vec!["agent".into()] };
        let run = bed.folder.join("run");
        let options = DockerOptions { data: data.clone(), run, agent, spec, mounting: None };
        let docker = Docker::new(options).unwrap();
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let data = data.canonicalize().unwrap();
        let passed = threads.block_on(contract::all(&docker, &Here { data })).unwrap();
        assert_eq!(passed.len(), 16, "{volumes:?}");
        // Whatever the suite left detached, no container, network or device of it is there after a look.
        threads.block_on(ideal_providers::Provider::describe(&docker)).unwrap();
        let left = (bed.loops(), bed.labelled("ideal.owner"));
        assert_eq!(left, Default::default(), "{volumes:?}");
    }
}
