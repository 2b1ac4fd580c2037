//! Which program an agent is: told by what it does, not by a number that people forget to raise.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One build of the program: the first eight bytes of the BLAKE3 of the engine's own binary, in hex. Agents of other
/// processors that lie beside it are of the same build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Build(pub u64);

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text names no build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a build is named by 16 hexadecimal digits")]
pub struct NoBuild;

impl FromStr for Build {
    type Err = NoBuild;
    fn from_str(text: &str) -> Result<Build, NoBuild> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return Err(NoBuild);
        }
        u64::from_str_radix(text, 16).map(Build).map_err(|_| NoBuild)
    }
}

impl TryFrom<String> for Build {
    type Error = NoBuild;
    fn try_from(text: String) -> Result<Build, NoBuild> {
        text.parse()
    }
}

impl From<Build> for String {
    fn from(build: Build) -> String {
        build.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_read_as_it_is_written() {
        for build in [Build(0), Build(0x0123_4567_89ab_cdef), Build(u64::MAX)] {
            assert_eq!(build.to_string().parse(), Ok(build));
        }
        for wrong in ["", "0123456789abcdeF", "+123456789abcdef", "0123456789abcde", "0123456789abcdef0"] {
            assert_eq!(wrong.parse::<Build>(), Err(NoBuild), "{wrong}");
        }
    }
}
