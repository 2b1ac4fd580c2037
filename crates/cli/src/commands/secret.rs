//! `ideal secret`: set, edit, renew and list secrets. A value comes in by standard input, a hidden prompt or an
//! editor, never as an argument, and goes out nowhere.

mod input;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ideal_core::id::{Name, SlotId};
use ideal_core::planner::secrets_of;
use ideal_core::secret::{Secret as Value, SecretSource};
use ideal_secrets::vault::{self, FILE, RECIPIENTS};
use ideal_secrets::{Identity, SecretsError, Vault};
use serde_json::json;

use crate::arguments::{Global, Secret, SecretAction};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::goods;
use crate::output::Output;
use crate::project::Project;
use crate::render::words;
use crate::write_new::name_of;

pub(crate) fn run(wanted: &Secret, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let project = Project::open(global.file.as_deref())?;
    match &wanted.action {
        SecretAction::Set { name } => {
            let mut desk = Desk::open(&project, output)?;
            let name = name_of(name)?;
            let value = input::asked(&name)?;
            desk.put(name, value, output)
        }
        SecretAction::Edit { name } => {
            let mut desk = Desk::open(&project, output)?;
            let name = name_of(name)?;
            let before = desk.vault.entries.get(&name).map(|entry| entry.value.clone());
            let value = input::edited(before.as_ref())?;
            desk.put(name, value, output)
        }
        SecretAction::Rotate { name: Some(name), length, .. } => {
            let mut desk = Desk::open(&project, output)?;
            let value = vault::new_value(usize::from(*length)).map_err(failure)?;
            desk.put(name_of(name)?, value, output)
        }
        SecretAction::Rotate { name: None, .. } => {
            let desk = Desk::open(&project, output)?;
            let readers = desk.vault.save(&desk.folder, &desk.identity).map_err(failure)?;
            output.note(&format!("{FILE} is encrypted for {}", words::counted(readers, "reader")));
            output.note("who could read it before may have a copy: give each secret a new value too");
            Ok(Exit::Done)
        }
        SecretAction::List => list(&project, output),
    }
}

/// The file of secrets, open for a change.
struct Desk {
    folder: PathBuf,
    identity: Identity,
    vault: Vault,
    /// The file of secrets, as one would write it from here.
    shown: PathBuf,
    declared: bool,
    names: BTreeMap<Name, SecretSource>,
}

impl Desk {
    fn open(project: &Project, output: &Output) -> anyhow::Result<Desk> {
        let folder = project.folder().to_owned();
        let path = goods::identity();
        let identity = match Identity::open(&path).map_err(failure)? {
            Some(identity) => identity,
            None if folder.join(FILE).exists() => {
                let message = format!("there is no private key at {}", path.display());
                let failure = Failure::new("no-key", Exit::BadInput, message);
                return Err(failure
                    .next("put yours there, or name it: IDEAL_IDENTITY=FILE ideal ...")
                    .into());
            }
            None => {
                let identity = Identity::new().map_err(failure)?;
                identity.write_new(&path).map_err(failure)?;
                output.note(&format!("made your private key: {}", path.display()));
                output.note("keep a copy of it in a safe place: without it, the secrets are lost");
                output.note(&format!("others add you to {RECIPIENTS} as {}", identity.recipient()));
                identity
            }
        };
        let vault = Vault::open(&folder, &identity).map_err(failure)?;
        let loaded = project.load();
        let (declared, names) = match loaded.document {
            Some(document) => (true, document.secrets),
            None => (false, BTreeMap::new()),
        };
        Ok(Desk { folder, shown: project.beside(FILE), identity, vault, declared, names })
    }

    fn put(&mut self, name: Name, value: Value, output: &Output) -> anyhow::Result<Exit> {
        if let Some(SecretSource::Env(_) | SecretSource::File(_)) = self.names.get(&name) {
            let message = format!("the ideal file says that `{name}` comes from elsewhere");
            let failure = Failure::new("not-in-the-file", Exit::BadInput, message);
            return Err(failure.next(format!("write `{name}: age` under `secrets:`")).into());
        }
        let changed = self.vault.set(name.clone(), value, ideal_host::now()).map_err(failure)?;
        if changed {
            self.vault.save(&self.folder, &self.identity).map_err(failure)?;
        }
        if output.is_json() {
            output.document("secret", json!({"name": name, "changed": changed}))?;
        } else if changed {
            output.note(&format!("set `{name}` in {}", self.shown.display()));
        } else {
            output.note(&format!("`{name}` had that value already"));
        }
        if self.declared && !self.names.contains_key(&name) {
            output.note(&format!("next: declare it in the ideal file, secrets: {{{name}: age}}"));
        }
        Ok(Exit::Done)
    }
}

/// Where one secret comes from and goes to.
struct Row {
    name: Name,
    source: String,
    age: Option<String>,
    used: Vec<String>,
}

fn list(project: &Project, output: &Output) -> anyhow::Result<Exit> {
    let loaded = project.load();
    let Some(resolved) = &loaded.resolved else {
        crate::render::diagnostic::draw(&loaded, output, false);
        return Ok(Exit::BadInput);
    };
    let declared = loaded.document.as_ref().map(|document| document.secrets.clone()).unwrap_or_default();
    let vault = match Identity::open(&goods::identity()).map_err(failure)? {
        Some(identity) => Vault::open(project.folder(), &identity).map_err(failure)?,
        None => Vault::default(),
    };
    let mut ideal = resolved.ideal.clone();
    ideal.secrets = declared.keys().map(|name| (name.clone(), String::new())).collect();
    let mut names: Vec<&Name> = declared.keys().chain(vault.entries.keys()).collect();
    names.sort();
    names.dedup();
    let now = ideal_host::now();
    let rows: Vec<Row> = names
        .into_iter()
        .map(|name| {
            let entry = vault.entries.get(name);
            let source = match (declared.get(name), entry) {
                (Some(SecretSource::Env(variable)), _) => format!("env {variable}"),
                (Some(SecretSource::File(path)), _) => format!("file {path}"),
                (Some(SecretSource::Age), Some(_)) => FILE.to_owned(),
                (Some(SecretSource::Age), None) => "not set".to_owned(),
                (None, _) => format!("{FILE}, not declared"),
            };
            let uses = |cloud: &&std::sync::Arc<ideal_core::ideal::Cloud>| {
                let slot = SlotId { cloud: cloud.id, index: 0 };
                secrets_of(&ideal, slot).contains(name)
            };
            let used = ideal.clouds.iter().filter(uses).map(|cloud| cloud.path.to_string()).collect();
            let age = entry.map(|entry| words::span(now.since(entry.changed)));
            Row { name: name.clone(), source, age, used }
        })
        .collect();
    if output.is_json() {
        let all: Vec<_> = rows
            .iter()
            .map(|row| json!({"name": row.name, "source": row.source, "age": row.age, "used": row.used}))
            .collect();
        output.document("secrets", all)?;
        return Ok(Exit::Done);
    }
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (names, sources) = (width(|row| row.name.as_str().len()), width(|row| row.source.len()));
    for row in &rows {
        let age = row.age.as_deref().map(|age| format!("{age} old")).unwrap_or_default();
        let used = if row.used.is_empty() { "not used".to_owned() } else { row.used.join(" ") };
        let (name, source) = (row.name.as_str(), &row.source);
        output.result(&format!("{name:names$}  {source:sources$}  {age:12}  {used}"));
    }
    if rows.is_empty() {
        output.note("no secrets; `ideal secret set NAME` makes one");
    }
    Ok(Exit::Done)
}

fn failure(error: SecretsError) -> anyhow::Error {
    let said = match &error {
        SecretsError::NotForYou { .. } => Failure::new("not-for-you", Exit::BadInput, error.to_string())
            .next(format!(
                "ask a reader to add your public key to {RECIPIENTS} and run: ideal secret rotate --identity"
            )),
        SecretsError::BadKey { .. } => Failure::new("bad-key", Exit::BadInput, error.to_string())
            .next("a public key is one word, age1...; a private one AGE-SECRET-KEY-1..."),
        SecretsError::Damaged { .. } => Failure::new("damaged", Exit::Failed, error.to_string())
            .next("take the last good one from version control"),
        SecretsError::File { .. } | SecretsError::NoChance => return anyhow::Error::new(error),
    };
    said.into()
}
