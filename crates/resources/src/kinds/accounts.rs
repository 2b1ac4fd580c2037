//! The programs that write the account files: one at a time, for each locks them and gives up when it cannot.

use std::time::Duration;

use ideal_host::crash_point;

use super::About;
use crate::exec::Program;
use crate::eyes::Trouble;
use crate::hands::Hands;

/// How long one may take: a home that is moved to another disk takes its time.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs one. What is secret goes to its standard input.
pub(super) async fn run(
    hands: &Hands<'_>,
    about: About<'_>,
    argv: &[&str],
    stdin: Option<String>,
) -> Result<Option<String>, Trouble> {
    let turn = hands.cache().accounts_turn.lock().await;
    let program =
        Program { stdin: stdin.map(String::into_bytes), ..Program::new(argv.iter().copied(), LIMIT) };
    let outcome = hands.run(about.label, &program).await;
    drop(turn);
    crash_point("account-program");
    if !outcome.agreed() {
        return Err(Trouble::program(&outcome));
    }
    Ok(Some(outcome.output).filter(|text| !text.is_empty()))
}
