//! The provider `ec2`, against moto's server: an EC2 that others wrote. What moto lacks is added by a thin layer in
//! front of it, which is our reading of EC2's documents and says so; every request and every answer that passes there
//! is compared with the service model that AWS publishes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what is not tested is said aloud")]

mod batch;
mod bed;
mod calls;
mod careful;
mod console;
mod contract;
mod doctor;
mod faults;
mod fits;
mod form;
mod layer;
mod model;
mod server;
mod shaped;
mod usual;
