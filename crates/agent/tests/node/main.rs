//! The node half with real processes and real files: the agent as a program, machines of `local` around it.

mod bench;
mod contract;
mod crashes;
mod healing;
mod keeping;
