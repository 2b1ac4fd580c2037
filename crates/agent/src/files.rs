//! The far ends of a copy: what is at a path of the node goes out as a stream, or comes in as one. Each is a program of
//! its own, so that the agent is free meanwhile, and nothing of it is left when it is killed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ideal_host::{Home, Identity, durable};
use ideal_resources::bundle::{self, Giver, Target};
use ideal_resources::root::Root;

use crate::AgentError;
use crate::state::{self, State};

/// Writes what is at a path of the node to standard output.
pub fn give(home: PathBuf, path: &str) -> Result<(), AgentError> {
    let (root, inner) = below(&Home::new(home), path)?;
    let name = Path::new(path).file_name();
    let name = name.ok_or_else(|| AgentError::Said(format!("{path} has no name; name something in it")))?;
    let mut passed_over = |one: &Path| {
        let line = format!("{} is neither file, directory nor link, and is passed over", one.display());
        // Nobody else could be told.
        _ = writeln!(io::stderr(), "{line}");
    };
    let mut giver = Giver::new(io::stdout().lock(), &mut passed_over);
    let given = giver.give(&root, Path::new(&inner), Path::new(name)).and_then(|()| giver.end());
    given.map(|_| ()).map_err(|error| AgentError::Said(error.to_string()))
}

/// Puts at a path of the node what comes on standard input, and says how much that was. `many`: the path must be a
/// directory.
pub fn take(home: PathBuf, path: &str, many: bool) -> Result<(), AgentError> {
    let (root, inner) = below(&Home::new(home), path)?;
    let target =
        Target::open(&root, &inner, path, many).map_err(|error| AgentError::Said(error.to_string()))?;
    let count = bundle::take(&target, Box::new(io::stdin().lock())).map_err(AgentError::Said)?;
    let said = serde_json::to_string(&count).map_err(|error| AgentError::Said(error.to_string()))?;
    writeln!(io::stdout(), "{said}").map_err(AgentError::io("saying how much was taken"))
}

/// In which root a path lies, and as which path of it.
fn below(home: &Home, path: &str) -> Result<(Root, String), AgentError> {
    if !path.starts_with('/') {
        return Err(AgentError::Said(format!("`{path}` does not begin with /")));
    }
    let identity: Identity = durable::read_json(&home.identity())
        .map_err(AgentError::io("reading identity.json"))?
        .ok_or_else(|| AgentError::Damaged("there is no identity.json".into()))?;
    let state: Option<State> =
        durable::read_json(&home.state()).map_err(AgentError::io("reading what was told before"))?;
    let state = state.unwrap_or_default();
    let root = if identity.whole { PathBuf::from("/") } else { home.root() };
    // A mount itself is meant with all that is in it, not the link that stands for it.
    let is_mount = state.mounts.values().any(|mount| mount.mounted && mount.at == path);
    let path = if is_mount { format!("{path}/") } else { path.to_owned() };
    let found = state::below(&state, home, &root, &path);
    found.map_err(|error| AgentError::Said(format!("{path}: {error}")))
}
