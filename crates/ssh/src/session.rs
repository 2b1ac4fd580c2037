//! One conversation with a machine over one `ssh`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{self, Failure, clean};
use crate::strange;
use crate::way::Way;

/// How much of what `ssh` says is read.
const SAID: u64 = 16 << 10;
/// How much of what the machine says is read: a few lines, after whatever greets people there.
const HEARD: u64 = 256 << 10;
/// How long `ssh` has to end when all was said.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// What stands before each line that is meant for us: the machine's own greetings come the same way.
const OURS: &str = "ideal:";

/// One conversation.
#[derive(Debug)]
pub(crate) struct Session<'w> {
    way: &'w Way,
    child: Child,
    /// None: all was said.
    input: Option<ChildStdin>,
    /// What it says, of which more than this is not heard.
    output: BufReader<Take<ChildStdout>>,
    /// Until when all must be said.
    until: Instant,
    said: Option<JoinHandle<String>>,
}

impl<'w> Session<'w> {
    /// Runs a shell's text there as root.
    pub(crate) fn open(way: &'w Way, script: &str) -> Result<Session<'w>, Failure> {
        Session::by(way, &way.as_root(script))
    }

    /// Runs a program that leads there.
    pub(crate) fn by(way: &'w Way, words: &[String]) -> Result<Session<'w>, Failure> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: what a terminal sends to this program would break off what the machine is in the middle of.
        command.kill_on_drop(true).process_group(0);
        let none = |what: &str| Failure::Refused(format!("ssh cannot be started: {what}"));
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::Refused("there is no `ssh` on this machine: install OpenSSH's client".to_owned())
            }
            _ => none(&error.to_string()),
        })?;
        let input = child.stdin.take().ok_or_else(|| none("it has no input"))?;
        let output = child.stdout.take().ok_or_else(|| none("it has no output"))?;
        let errors = child.stderr.take().ok_or_else(|| none("it has no errors"))?;
        let said = tokio::spawn(async move {
            let mut text = Vec::new();
            // What breaks off is as good as its end.
            _ = errors.take(SAID).read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let output = BufReader::new(output.take(HEARD));
        Ok(Session { way, child, input: Some(input), output, until: Instant::now(), said: Some(said) })
    }

    /// From now on all must be said within this time.
    pub(crate) fn within(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
    }

    /// The next thing that the other end says, with what it is. An error is why nothing more comes.
    pub(crate) async fn next(&mut self) -> Result<(String, String), Failure> {
        loop {
            let mut line = Vec::new();
            match timeout_at(self.until, self.output.read_until(b'\n', &mut line)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(self.ended().await),
                Err(_) => {
                    let why = format!("{} did not say in time what was asked", self.way.name);
                    return Err(Failure::Unreachable(why));
                }
            }
            let line = String::from_utf8_lossy(&line);
            let Some(ours) = line.trim_end().strip_prefix(OURS) else { continue };
            let (key, value) = ours.split_once(' ').unwrap_or((ours, ""));
            if key == "failed" {
                return Err(Failure::Refused(format!("{}: {}", self.way.name, clean(value.trim()))));
            }
            return Ok((key.to_owned(), value.to_owned()));
        }
    }

    /// Says something.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.input {
            Some(input) => input.write_all(bytes).await,
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        match written {
            Ok(()) => Ok(()),
            // It ended, and says why.
            Err(_) => match self.next().await {
                Err(failure) => Err(failure),
                Ok(_) => Err(Failure::Unreachable(format!("{} hears no more", self.way.name))),
            },
        }
    }

    /// Says something long, and meanwhile hears what the other end says of it, until that is `enough`.
    pub(crate) async fn say_hearing(
        &mut self,
        bytes: &[u8],
        mut enough: impl FnMut(&str, &str) -> bool,
    ) -> Result<(), Failure> {
        let input = self.input.take();
        // None: it ended, and says why.
        let saying = async move {
            let mut input = input?;
            input.write_all(bytes).await.ok().map(|()| input)
        };
        let hearing = async {
            loop {
                let (key, value) = self.next().await?;
                if enough(&key, &value) {
                    return Ok(());
                }
            }
        };
        // Who has heard enough, or that no more comes, has nothing more to say.
        self.input = tokio::try_join!(async { Ok(saying.await) }, hearing)?.0;
        Ok(())
    }

    /// Says the last thing.
    pub(crate) async fn say_last(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.say(bytes).await?;
        // Closed, and not only shut down, which does nothing to a pipe.
        self.input = None;
        Ok(())
    }

    async fn ended(&mut self) -> Failure {
        // It may wait for us to say all.
        self.input = None;
        let status = timeout(ENDS_WITHIN, self.child.wait()).await;
        if status.is_err() {
            // It goes with this.
            _ = self.child.start_kill();
        }
        let said = match self.said.take() {
            Some(said) => timeout(ENDS_WITHIN, said).await.map(Result::unwrap_or_default).unwrap_or_default(),
            None => String::new(),
        };
        let code = status.ok().and_then(Result::ok).and_then(|status| status.code());
        if code == Some(255) {
            let offered = match failure::is_strange(&said) {
                true => strange::offered(self.way).await,
                false => None,
            };
            return failure::of_ssh(self.way, &said, offered.as_ref());
        }
        if let Some(failure) = failure::of_sudo(self.way, &said) {
            return failure;
        }
        let name = &self.way.name;
        match said.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(last) => Failure::Refused(format!("{name}: {}", clean(last))),
            None => Failure::Unreachable(format!("{name}: the connection ended without a word")),
        }
    }
}
