//! `ideal adopt`: what a provider has that is nobody's, as lines for the ideal file. Nothing is touched: a volume that the
//! file names is taken over by the next `ideal up`.

use std::collections::BTreeMap;

use ideal_core::id::Name;
use ideal_core::ideal::ProviderSpec;
use ideal_providers::ProviderError;
use ideal_providers::ec2::{Ec2, NobodysMachine, NobodysVolume, Rates};
use serde_json::{Value as Json, json};

use crate::arguments::{Adopt, AdoptWhat, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words::counted;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Adopt, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::read(global, output)? else { return Ok(Exit::BadInput) };
    let (what, AdoptWhat::Volumes { provider } | AdoptWhat::Machines { provider }) =
        (&wanted.what, &wanted.what);
    let providers = asked(&world.ideal.providers, provider.as_deref())?;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    wait_for(async {
        for (name, provider) in &providers {
            let cannot = |why: ProviderError| {
                let message = format!("the provider `{name}` cannot be seen: {why}");
                Failure::new("cannot-see", Exit::Unreachable, message).next("ideal doctor looks closer")
            };
            match what {
                AdoptWhat::Volumes { .. } => {
                    let mut taken = Vec::new();
                    for own in provider.nobodys_volumes().await.map_err(cannot)? {
                        rows.push(volume_row(name, &own));
                        lines.extend(volume_lines(&own, &mut taken));
                    }
                }
                AdoptWhat::Machines { .. } => {
                    for own in provider.nobodys_machines().await.map_err(cannot)? {
                        rows.push(machine_row(name, &own));
                        lines.extend(machine_lines(&own));
                    }
                }
            }
        }
        Ok(())
    })?;
    let kind = match what {
        AdoptWhat::Volumes { .. } => "volume",
        AdoptWhat::Machines { .. } => "machine",
    };
    if output.is_stream() {
        rows.iter().try_for_each(|row| output.document(kind, row))?;
    } else if output.is_json() {
        output.document(&format!("{kind}s"), &rows)?;
    } else if rows.is_empty() {
        output.note(&format!("there is no {kind} that is nobody's"));
    } else {
        let (head, next) = match what {
            AdoptWhat::Volumes { .. } => (
                "# Under `mounts` of a cloud of one node, each at the path where it belongs:",
                "then `ideal plan`; `ideal up` takes over what the file names",
            ),
            AdoptWhat::Machines { .. } => (
                "providers:\n  here:\n    ssh:\n      machines:",
                "then give clouds `provider: here`, and see `ideal plan`",
            ),
        };
        output.result(&format!("{head}\n{}", lines.join("\n")));
        let are = if rows.len() == 1 { "is" } else { "are" };
        let found = counted(rows.len(), kind);
        output.note(&format!(
            "{found} {are} nobody's; nothing was touched. Put into the file what you want, {next}"
        ));
    }
    Ok(Exit::Done)
}

/// Those that can be asked: of kind `ec2`, all or the one that is named.
fn asked(all: &BTreeMap<Name, ProviderSpec>, wanted: Option<&str>) -> anyhow::Result<Vec<(Name, Ec2)>> {
    let of_ec2 = all.iter().filter_map(|(name, spec)| match spec {
        ProviderSpec::Ec2(spec) => Some((name.clone(), Ec2::new((**spec).clone(), Rates::default()))),
        _ => None,
    });
    let found: Vec<(Name, Ec2)> =
        of_ec2.filter(|(name, _)| wanted.is_none_or(|wanted| name.as_str() == wanted)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = match wanted {
        Some(wanted) => format!("`{wanted}` is no provider of kind ec2 in this file"),
        None => "this file has no provider of kind ec2".to_owned(),
    };
    let next = "write one: providers: {aws: {ec2: {region: eu-west-1}}}";
    Err(Failure::new("no-such-provider", Exit::BadInput, message).next(next).into())
}

/// What somebody else wrote, in a comment: one line, and nothing that a terminal acts on.
fn quoted(text: &str) -> String {
    let text: String = text.chars().take(60).map(ideal_file::visible).collect();
    if text.is_empty() { text } else { format!(" \"{text}\"") }
}

fn volume_row(provider: &Name, own: &NobodysVolume) -> Json {
    json!({
        "provider": provider, "id": own.id, "name": own.name, "size": own.size.0, "zone": own.zone,
        "machine": own.used_by.as_ref().map(|(machine, _)| machine),
        "device": own.used_by.as_ref().map(|(_, device)| device),
    })
}

fn volume_lines(own: &NobodysVolume, taken: &mut Vec<Name>) -> Vec<String> {
    let mut head = format!("# {}{}, in {}", own.id, quoted(&own.name), own.zone);
    if let Some((machine, device)) = &own.used_by {
        head += &format!(", used by {machine} as {device}: it can be taken over when no machine has it");
    }
    let name = mount_name(own, taken);
    let line = format!("{name}: {{size: {}, at: /srv/{name}, from: {{volume: {}}}}}", own.size, own.id);
    vec![head, line]
}

/// As it is called there, where that can be a name of a mount.
fn mount_name(own: &NobodysVolume, taken: &mut Vec<Name>) -> Name {
    let said = Name::new(&own.name.to_lowercase().replace(['_', ' ', '.'], "-"));
    let name = said.ok().filter(|name| !taken.contains(name)).or_else(|| Name::new(own.id.as_str()).ok());
    #[expect(clippy::expect_used, reason = "the word is a name")]
    let name = name.unwrap_or_else(|| Name::new("data").expect("a name"));
    taken.push(name.clone());
    name
}

fn machine_row(provider: &Name, own: &NobodysMachine) -> Json {
    json!({
        "provider": provider, "id": own.id, "name": own.name, "address": own.address, "public": own.public,
        "user": own.user, "key": own.key, "zone": own.zone,
    })
}

fn machine_lines(own: &NobodysMachine) -> Vec<String> {
    let key = own.key.as_deref().map(|key| format!(", with the key pair{}", quoted(key))).unwrap_or_default();
    let mut head = format!("        # {}{}, in {}{key}", own.id, quoted(&own.name), own.zone);
    if own.user.is_none() {
        head += "; its image does not tell who logs in: add login: {user: ...}";
    }
    // Both come of EC2, and are addresses.
    let host = own.public.as_ref().map(|public| format!(", host: {public}")).unwrap_or_default();
    let login = own.user.map(|user| format!(", login: {{user: {user}}}")).unwrap_or_default();
    vec![head, format!("        - {{address: {}{host}{login}}}", own.address)]
}
