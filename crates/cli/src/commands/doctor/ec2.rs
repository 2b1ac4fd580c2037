//! What is checked of EC2: that it answers, that our clock is near its own, and what the credentials allow.

use ideal_core::ideal::Ec2Spec;
use ideal_core::time::Span;
use ideal_providers::ec2::{Allowed, Ec2, Permission, Rates};

use super::Check;
use crate::render::words::{counted, span};
use crate::world::wait_for;

/// From here on a clock is worth a word: EC2 refuses what was signed five minutes ago, or will be.
const APART: Span = Span::secs(60);

pub(super) fn ec2(spec: &Ec2Spec) -> Vec<Check> {
    let provider = Ec2::new(spec.clone(), Rates::default());
    let mut checks = Vec::new();
    let answers = wait_for(async { Ok(provider.reachable().await?) });
    let good = answers.is_ok();
    checks.push(match answers {
        Ok(region) => Check::good("provider", format!("ec2: it answers in {region}")),
        Err(error) => {
            let next = "see `aws sts get-caller-identity`, and `region:` and `profile:` of the provider";
            Check::bad("provider", format!("ec2: {error}"), next)
        }
    });
    checks.extend(clock(&provider));
    if good {
        checks.push(match wait_for(async { tried(&provider).await }) {
            Ok(tried) => tried,
            Err(error) => Check::bad("permissions", format!("ec2: {error}"), "mend the provider first"),
        });
    }
    checks
}

/// Also when EC2 refused to answer: a clock that is wrong is a reason for that.
fn clock(provider: &Ec2) -> Option<Check> {
    let skew = provider.skew()?;
    if skew.by <= APART {
        return Some(Check::good("clock", "ec2: it says the same time, to a minute"));
    }
    let side = if skew.is_ahead { "ahead of" } else { "behind" };
    let found = format!(
        "ec2: this clock is {} {side} that of EC2, which refuses requests from five minutes on",
        span(skew.by)
    );
    Some(Check::bad("clock", found, "set this machine's clock: `timedatectl set-ntp true`"))
}

async fn tried(provider: &Ec2) -> anyhow::Result<Check> {
    let all = provider.is_amazons().await?;
    let permissions = provider.permissions(all).await?;
    let place = |one: &Permission| {
        format!("{} (`{}`, line {} of docs/ec2-policy.json)", one.action, one.statement, one.line)
    };
    let refused = permissions.iter().filter(|one| one.found == Allowed::No).map(place);
    let refused: Vec<String> = refused.collect();
    let unknown = permissions.iter().filter_map(|one| match &one.found {
        Allowed::Unknown(why) => Some(format!("{} ({why})", one.action)),
        Allowed::Yes | Allowed::No => None,
    });
    let mut unknown: Vec<String> = unknown.collect();
    if !all {
        unknown.push("what changes something (no dry runs at an endpoint that is not Amazon's)".to_owned());
    }
    let tried = permissions.iter().filter(|one| !matches!(one.found, Allowed::Unknown(_))).count();
    let aside = match unknown.is_empty() {
        true => String::new(),
        false => format!("; not tried: {}", unknown.join(", ")),
    };
    if refused.is_empty() {
        let found = format!("ec2: {} tried and allowed{aside}", counted(tried, "action"));
        return Ok(Check::good("permissions", found));
    }
    let found = format!("ec2: not allowed: {}{aside}", refused.join(", "));
    Ok(Check::bad("permissions", found, "give the role or user of these credentials docs/ec2-policy.json"))
}
