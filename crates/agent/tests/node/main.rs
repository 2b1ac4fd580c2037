//! The node half with real processes and real files: the agent as a program, machines of `local` around it.
//!
//! `cfg(test)` is always so here; it tells the lints that these are tests to the last line.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod care;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod healing;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod named;
