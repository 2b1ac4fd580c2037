//! Measures this program beside its peers. Each bench prints lines `name size: ours X, peer Y, ratio Z`.
//!
//! Each size is measured in a process of its own, so that its peak memory is its own.

mod bed;
mod bootstrap;
mod calls;
mod cluster;
mod faults;
mod heal;
mod launch;
mod measure;
mod peer;
mod placement;
mod plan;
mod resources;
mod status;

#[path = "../../crates/providers/tests/ec2/form.rs"]
#[expect(clippy::unwrap_used, reason = "it is of the tests of the provider")]
mod form;
#[path = "../../crates/providers/tests/ec2/layer.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it is of the tests of the provider, which use more of it")]
mod layer;
#[path = "../../crates/providers/tests/ec2/model.rs"]
#[expect(clippy::unwrap_used, reason = "it is of the tests of the provider")]
mod model;
#[path = "../../crates/providers/tests/ec2/shaped.rs"]
#[expect(clippy::unwrap_used, reason = "it is of the tests of the provider")]
mod shaped;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["plan"] => plan::bench(),
        ["placement"] => placement::bench(),
        ["launch"] => launch::bench(),
        ["status"] => status::bench(),
        ["resources"] => resources::bench(),
        ["heal"] => heal::bench(),
        ["bootstrap"] => bootstrap::bench(),
        ["calls"] => calls::bench(),
        ["faults", only @ ..] => faults::bench(only),
        // What the others start, once for each size.
        ["one", "calls", _] => calls::one(),
        ["one", "heal-nodes", times] => heal::nodes(&bed::program()?, number(times)?),
        ["one", "first", parts] => plan::first(number(parts)?),
        ["one", "no-op", parts] => plan::no_op(number(parts)?),
        ["one", "launch", parts] => launch::one(number(parts)?),
        ["one", "place", replicas] => placement::place(number(replicas)?, 100),
        ["one", "place-large", replicas] => placement::place(number(replicas)?, 1000),
        ["one", "stay", replicas] => placement::stay(number(replicas)?, 100),
        ["one", "replace", replicas] => placement::replace(number(replicas)?, 100),
        ["one", "replace-large", replicas] => placement::replace(number(replicas)?, 1000),
        _ => {
            bail!("which bench? plan, launch, placement, resources, status, heal, faults, calls or bootstrap")
        }
    }
}

fn number(text: &str) -> anyhow::Result<usize> {
    text.parse().with_context(|| format!("`{text}` is not a number of parts"))
}
