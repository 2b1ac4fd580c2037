//! The engine and the program at an EC2 that others wrote, behind the layer of the provider's own tests: how many requests
//! they send, and what they do when they die.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what is not tested is said aloud")]

#[path = "../../../providers/tests/ec2/bed.rs"]
#[expect(dead_code, reason = "the tests of the provider use more of it")]
mod bed;
#[path = "../../../providers/tests/ec2/form.rs"]
mod form;
#[path = "../../../providers/tests/ec2/layer.rs"]
#[expect(dead_code, reason = "the tests of the provider use more of it")]
mod layer;
#[path = "../../../providers/tests/ec2/model.rs"]
mod model;
#[path = "../../../providers/tests/ec2/server.rs"]
mod server;
#[path = "../../../providers/tests/ec2/shaped.rs"]
mod shaped;

mod calls;
mod crashes;
