//! How many requests a look at a large cluster takes.

use std::collections::BTreeMap;

use ideal_core::observed::MachineState;
use ideal_providers::Provider;

use crate::bed::Bed;

/// A thousand nodes, two thousand volumes and ten thousand snapshots: as many requests as there are pages.
#[tokio::test]
async fn a_large_cluster_is_seen_in_as_many_requests_as_pages() {
    let Some(bed) = Bed::start("calls::a_large_cluster_is_seen_in_as_many_requests_as_pages") else { return };
    let things = [("DescribeInstances", 1_000), ("DescribeVolumes", 2_000), ("DescribeSnapshots", 10_000)];
    for (action, count) in things {
        bed.layer.lists(action, count);
    }
    let provider = bed.provider(bed.spec());
    let begun = std::time::Instant::now();
    let listing = provider.describe().await.unwrap();
    let took = begun.elapsed();
    let seen = (listing.machines.len(), listing.volumes.len(), listing.snapshots.len());
    assert_eq!((listing.complete, seen), (true, (1_000, 2_000, 10_000)));
    assert!(listing.machines.iter().all(|machine| machine.state == MachineState::Running));
    let counted: BTreeMap<String, u32> = bed.layer.counted();
    let expected =
        things.map(|(action, count)| (action.to_owned(), u32::try_from(count.div_ceil(1_000)).unwrap()));
    assert_eq!(counted, expected.into());
    assert!(counted.values().sum::<u32>() <= 13 + 2);
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
    println!("13 requests, {took:?}");
}
