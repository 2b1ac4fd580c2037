//! On a machine to which the agent is brought: how it is put in force, how it leaves, and the way in to it.

mod install;
mod leave;
mod start;

use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ideal_host::brought::{self, Answer};
use ideal_host::durable;
use ideal_host::{Home, Identity};
use rustix::fs::{FlockOperation, flock};

use crate::AgentError;

/// Held while the agent is put in force or leaves: each takes several parts, and two at once would mix them. It is the
/// folder of the programs' folder that is locked, so that nothing is left behind.
struct Alone(#[expect(dead_code, reason = "held, and let go with this")] File);

impl Alone {
    fn take() -> Result<Alone, String> {
        let folder = Path::new(brought::PROGRAMS).parent().unwrap_or(Path::new("/"));
        let take = || -> std::io::Result<Alone> {
            let folder = File::open(folder)?;
            flock(&folder, FlockOperation::LockExclusive)?;
            Ok(Alone(folder))
        };
        take().map_err(|error| format!("{}: {error}", folder.display()))
    }
}

/// What is said to a program that was brought is one small text.
const SAID_LIMIT: u64 = 64 << 10;

/// Puts this build in force on this machine, and waits until its agent answers; should it not, the one before it is put
/// back. Reads what is [`Wanted`](brought::Wanted), and answers what came of it as a line of text.
pub fn install() -> String {
    let mut text = String::new();
    let read = std::io::stdin().take(SAID_LIMIT).read_to_string(&mut text);
    let wanted = read.map_err(|error| error.to_string()).and_then(|_| {
        serde_json::from_str(&text).map_err(|error| format!("what is wanted cannot be read: {error}"))
    });
    line(wanted.and_then(|wanted| install::install(&wanted)).map(|()| Answer::Runs))
}

/// Ends all that runs of ours on this machine and removes it. Refused while a volume is mounted.
pub fn leave() -> String {
    line(leave::leave().map(|()| Answer::Left))
}

fn line(came: Result<Answer, String>) -> String {
    let answer = came.unwrap_or_else(Answer::Failed);
    // A text of ours can always be written.
    format!("{}{}", brought::ANSWER, serde_json::to_string(&answer).unwrap_or_default())
}

/// Leads from this program's input and output to the agent, until either end has said all.
pub fn dial() -> Result<(), AgentError> {
    let home = Home::new(brought::HOME);
    let identity: Option<Identity> =
        durable::read_json(&home.identity()).map_err(AgentError::io("reading identity.json"))?;
    let identity = identity.ok_or_else(|| AgentError::Said("this machine is no node".to_owned()))?;
    let socket =
        identity.socket().ok_or_else(|| AgentError::Damaged("the address is not a socket".into()))?;
    let stream = UnixStream::connect(socket).map_err(AgentError::io("no agent answers on this machine"))?;
    let mut writing = stream.try_clone().map_err(AgentError::io("leading to the agent"))?;
    // Ends with the process, which ends when the agent has said all.
    std::thread::spawn(move || {
        _ = std::io::copy(&mut std::io::stdin().lock(), &mut writing);
        _ = writing.shutdown(std::net::Shutdown::Write);
    });
    let mut out = Flushing(std::io::stdout().lock());
    std::io::copy(&mut &stream, &mut out).map_err(AgentError::io("leading from the agent"))?;
    Ok(())
}

/// Standard output holds lines back; what is led through has none.
struct Flushing<W>(W);

impl<W: std::io::Write> std::io::Write for Flushing<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(buffer)?;
        self.0.flush()?;
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
