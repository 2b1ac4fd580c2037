//! The simulated cloud keeps the same contract as every other provider; otherwise simulation would prove nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use ideal_core::id::{CloudId, VolumeId};
use ideal_core::time::{Span, Time};
use ideal_providers::contract::{self, World};
use ideal_providers::sim::{Faults, Sim};

/// Texts stand behind versions: the simulated cloud keeps the version of what is on a volume.
struct Simulated {
    sim: Sim,
    clouds: Cell<u128>,
    texts: RefCell<BTreeMap<u64, String>>,
}

impl World for Simulated {
    fn cloud(&self) -> CloudId {
        self.clouds.set(self.clouds.get() + 1);
        CloudId(uuid::Uuid::from_u128(self.clouds.get()))
    }
    fn now(&self) -> Time {
        self.sim.now()
    }
    fn pass(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(tokio::time::sleep(Span::secs(1).std()))
    }
    fn write(&self, volume: &VolumeId, text: &str) {
        let mut texts = self.texts.borrow_mut();
        let version = texts.len() as u64 + 1;
        texts.insert(version, text.to_owned());
        self.sim.truth(|state| state.set_content(volume, version));
    }
    fn content(&self, volume: &VolumeId) -> String {
        let version = self.sim.truth(|state| state.content(volume)).unwrap();
        self.texts.borrow().get(&version).cloned().unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_cloud_keeps_the_contract() {
    let sim = Sim::new(1, Faults::none());
    let world = Simulated { sim: sim.clone(), clouds: Cell::new(0), texts: RefCell::default() };
    let passed = contract::all(&sim, &world).await.unwrap();
    assert_eq!(passed.len(), 16);
}
