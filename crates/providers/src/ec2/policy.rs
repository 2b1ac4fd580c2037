//! The policy that a role needs and no more, made of the table of actions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::actions::{Action, Grant};
use super::tags;

/// The policy as JSON. What ends something asks for the mark, so that EC2 itself refuses an end without the first of
/// its two acts; what gives a volume to a machine asks that neither is marked.
pub fn policy() -> Value {
    let mut by_grant: BTreeMap<Grant, Vec<String>> = BTreeMap::new();
    for action in Action::ALL {
        by_grant.entry(action.grant()).or_default().push(format!("ec2:{}", action.name()));
    }
    let mut statements = Vec::new();
    for (grant, actions) in by_grant {
        match grant {
            Grant::Look => statements.push(statement("Look", &actions, None)),
            Grant::Make => statements.push(statement("Make", &actions, None)),
            Grant::Mark => {
                let made = actions_by_name(&[
                    Action::RunInstances,
                    Action::CreateVolume,
                    Action::CreateSnapshot,
                    Action::CreateSecurityGroup,
                ]);
                statements.push(statement(
                    "MarkWhatIsMade",
                    &actions,
                    Some(json!({"StringEquals": {"ec2:CreateAction": made}})),
                ));
                statements.push(statement("MarkOurs", &actions, Some(ours())));
                let mut claim = statement("ClaimWhatIsNobodys", &actions, Some(null(tags::CLOUD, true)));
                claim["Resource"] = json!("arn:*:ec2:*:*:volume/*");
                statements.push(claim);
            }
            Grant::Ours => statements.push(statement("ChangeOurs", &actions, Some(ours()))),
            Grant::Used => {
                let unmarked = merged(ours(), null(tags::RETIRED, true));
                statements.push(statement("UseWhatIsNotRetired", &actions, Some(unmarked)));
            }
            Grant::Retired => {
                // A trial is marked and nobody's.
                statements.push(statement("EndWhatIsRetired", &actions, Some(null(tags::RETIRED, false))));
            }
        }
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn statement(name: &str, actions: &[String], condition: Option<Value>) -> Value {
    let mut all = Map::new();
    all.insert("Sid".to_owned(), json!(name));
    all.insert("Effect".to_owned(), json!("Allow"));
    all.insert("Action".to_owned(), json!(actions));
    all.insert("Resource".to_owned(), json!("*"));
    if let Some(condition) = condition {
        all.insert("Condition".to_owned(), condition);
    }
    Value::Object(all)
}

fn actions_by_name(actions: &[Action]) -> Vec<&'static str> {
    actions.iter().map(|action| action.name()).collect()
}

fn ours() -> Value {
    null(tags::CLOUD, false)
}

/// Whether a thing lacks a tag.
fn null(tag: &str, lacks: bool) -> Value {
    json!({"Null": {format!("aws:ResourceTag/{tag}"): lacks.to_string()}})
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Some(other)) = (one["Null"].as_object_mut(), other["Null"].as_object()) {
        one.extend(other.clone());
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_granted_and_no_other() {
        let policy = policy();
        let mut granted: Vec<&str> = policy["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|one| one["Action"].as_array().unwrap())
            .map(|action| action.as_str().unwrap().strip_prefix("ec2:").unwrap())
            .collect();
        granted.sort_unstable();
        granted.dedup();
        let mut called: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        called.sort_unstable();
        assert_eq!(granted, called);
    }

    #[test]
    fn nothing_ends_without_its_mark() {
        let policy = policy();
        for end in ["ec2:DeleteVolume", "ec2:TerminateInstances"] {
            let of = |one: &&Value| one["Action"].as_array().unwrap().contains(&json!(end));
            let statements: Vec<&Value> = policy["Statement"].as_array().unwrap().iter().filter(of).collect();
            let condition = json!({"Null": {"aws:ResourceTag/ideal:retired": "false"}});
            assert!(
                !statements.is_empty() && statements.iter().all(|one| one["Condition"] == condition),
                "{end}"
            );
        }
    }

    /// `IDEAL_BLESS=1` writes it anew.
    #[test]
    fn the_policy_that_is_shipped_is_made_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ec2-policy.json");
        let text = serde_json::to_string_pretty(&policy()).unwrap() + "\n";
        if std::env::var_os("IDEAL_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            text,
            "docs/ec2-policy.json is out of date"
        );
    }
}
