//! A connection to an agent: a unix socket of this host, or a program that leads there.

use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How much of what a program says of itself is read.
const SAID: usize = 4 << 10;
/// What `ssh` says of a host whose key is not known, or is another than before.
const STRANGE: &str = "you have requested strict checking";
/// How long one that has closed its output has to end and to say why.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// An address as people may see it.
pub(super) fn named(address: &str) -> String {
    let Some(words) = words(address) else { return address.to_owned() };
    // The host stands after what ends the options.
    let mut words = words.into_iter();
    let first = words.next().unwrap_or_default();
    words.find(|word| word == "--").and_then(|_| words.next()).unwrap_or(first)
}

/// The words of the program that leads to an agent, when its address is one: `pipe:["ssh", …]`.
pub(super) fn words(address: &str) -> Option<Vec<String>> {
    let words: Vec<String> = serde_json::from_str(address.strip_prefix("pipe:")?).ok()?;
    (!words.is_empty()).then_some(words)
}

/// A connection to an agent.
pub(super) enum Stream {
    Socket(UnixStream),
    Program(Box<Program>),
}

/// A program whose input and output lead to an agent. It ends with this.
pub(super) struct Program {
    ends: Join<ChildStdout, ChildStdin>,
    _child: Child,
}

/// What a program said of itself, for when it has failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// Its last words, given a moment to say them.
    pub(super) async fn last(&self) -> Option<String> {
        let all =
            || self.0.lock().map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        // It says why and ends; who reads it holds the other half.
        let ended = async {
            while Arc::strong_count(&self.0) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        _ = timeout(ENDS_WITHIN, ended).await;
        let said = all();
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        // Where a host on the way is not taken for what it says it is, that comes first, and its consequences last.
        let line = match lines.clone().find(|line| line.contains(STRANGE)) {
            Some(line) => line,
            None => lines.next_back()?,
        };
        Some(line.trim_start_matches('\u{2717}').trim().to_owned())
    }
}

/// Connects to an agent, or says why that cannot be.
pub(super) async fn connect(address: &str, limit: Duration) -> Result<(Stream, Said), String> {
    if let Some(words) = words(address) {
        let (program, said) =
            lead(&words).map_err(|error| format!("{} cannot be started: {error}", words[0]))?;
        return Ok((Stream::Program(Box::new(program)), said));
    }
    let Some(socket) = address.strip_prefix("unix:") else {
        return Err(format!("`{address}` is not the address of an agent"));
    };
    match timeout(limit, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok((Stream::Socket(stream), Said::default())),
        Ok(Err(error)) => Err(format!("no agent answers at {address}: {error}")),
        Err(_) => Err(format!("no agent answers at {address} within {limit:?}")),
    }
}

fn lead(words: &[String]) -> std::io::Result<(Program, Said)> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: what a terminal sends to this program is not for it.
    command.kill_on_drop(true).process_group(0);
    let mut child = command.spawn()?;
    let none = || std::io::Error::other("it has no input and output");
    let (input, output) = (child.stdin.take().ok_or_else(none)?, child.stdout.take().ok_or_else(none)?);
    let mut errors = child.stderr.take().ok_or_else(none)?;
    let said = Said::default();
    let hears = said.clone();
    tokio::spawn(async move {
        let mut part = [0; 512];
        while let Ok(read @ 1..) = errors.read(&mut part).await {
            if let Ok(mut all) = hears.0.lock()
                && all.len() < SAID
            {
                all.extend_from_slice(&part[..read]);
            }
        }
    });
    Ok((Program { ends: tokio::io::join(output, input), _child: child }, said))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Socket(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Program(program) => Pin::new(&mut program.ends).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Stream::Socket(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Program(program) => Pin::new(&mut program.ends).poll_write(context, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Socket(socket) => Pin::new(socket).poll_flush(context),
            Stream::Program(program) => Pin::new(&mut program.ends).poll_flush(context),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Socket(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Program(program) => Pin::new(&mut program.ends).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_by_its_host() {
        assert_eq!(named("unix:/run/a.sock"), "unix:/run/a.sock");
        assert_eq!(named(r#"pipe:["ssh","-F","/a","--","web-1","exec sh"]"#), "web-1");
        assert_eq!(named(r#"pipe:["/bin/cat"]"#), "/bin/cat");
        assert_eq!(words("pipe:[]"), None);
        assert_eq!(words("pipe:ssh"), None);
    }
}
