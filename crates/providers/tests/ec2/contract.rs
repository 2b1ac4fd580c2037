//! The contract of providers, unchanged.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ideal_core::id::{CloudId, VolumeId};
use ideal_core::time::Time;
use ideal_providers::contract::{self, World};

use crate::bed::Bed;
use crate::layer::Layer;

struct Elsewhere(Layer);

impl World for Elsewhere {
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
        self.0.write(volume.as_str(), text);
    }
    fn content(&self, volume: &VolumeId) -> String {
        self.0.content(volume.as_str())
    }
}

/// With every request and answer compared with the service model.
#[tokio::test]
async fn ec2_keeps_the_contract() {
    let Some(bed) = Bed::start("contract::ec2_keeps_the_contract") else { return };
    let provider = bed.provider(bed.spec());
    let passed = contract::all(&provider, &Elsewhere(bed.layer.clone())).await.unwrap();
    assert_eq!(passed.len(), 16);
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
