//! A file.

use std::fs::File;
use std::io::{self, Read};

use ideal_core::resource::file::{ContentSeen, FileChange, FileSeen, FileSpec};
use rustix::fs::FileType;

use super::{About, Keep, attributes, bits_of, owned};
use crate::digest::digest;
use crate::exec::Outcome;
use crate::eyes::{Asked, Eyes, Seal, Trouble};
use crate::hands::Hands;
use crate::prepare::given;
use crate::root::Sight;

/// The longest text whose difference is shown.
const SHOWN: u64 = 64 << 10;
/// The clock of filesystems goes in ticks; two changes within one cannot be told apart.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);
/// How long a program may take to agree to a new content.
const AGREEING: std::time::Duration = std::time::Duration::from_secs(60);

/// What is wanted of the content.
enum Content<'a> {
    Text(&'a str),
    Given {
        hash: &'a str,
        size: u64,
    },
    /// As it is.
    Left,
}

fn content(spec: &FileSpec) -> Result<Content<'_>, Trouble> {
    Ok(match (&spec.content, &spec.source) {
        (Some(text), _) => Content::Text(text),
        (None, Some(source)) => {
            let (hash, size) =
                given(source).ok_or_else(|| Trouble::failed(format!("`{source}` was not given")))?;
            Content::Given { hash, size }
        }
        (None, None) => Content::Left,
    })
}

fn in_words(size: u64, hash: &str) -> String {
    format!("{size} bytes, {}", &hash[..hash.len().min(8)])
}

impl Keep for FileSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<FileSeen, Trouble> {
        let Some(sight) = eyes.sight(&self.path)? else { return Ok(FileSeen::Absent) };
        let Some(stat) = sight.stat()? else { return Ok(FileSeen::Absent) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Ok(FileSeen::Link),
            FileType::Directory => return Ok(FileSeen::Directory),
            _ => return Ok(FileSeen::Other),
        }
        let owned = owned(eyes, &stat, self.owner.as_deref(), self.group.as_deref())?;
        let seal = Seal::of(&stat);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let content = match content(self)? {
            Content::Left => ContentSeen::Same,
            Content::Text(text) => {
                let wanted = blake3::hash(text.as_bytes());
                self.compared(eyes, &sight, seal, size, (wanted, text.len() as u64), Some(text))?
            }
            Content::Given { hash, size: wanted_size } => {
                let wanted =
                    blake3::Hash::from_hex(hash).map_err(|error| Trouble::failed(error.to_string()))?;
                let text =
                    if wanted_size <= SHOWN { read_text(eyes.content(hash)).ok().flatten() } else { None };
                self.compared(eyes, &sight, seal, size, (wanted, wanted_size), text.as_deref())?
            }
        };
        Ok(FileSeen::File {
            mode: bits_of(&stat),
            owner: owned.owner,
            owner_right: owned.owner_right,
            group: owned.group,
            group_right: owned.group_right,
            content,
        })
    }

    async fn apply(
        &self,
        change: &FileChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let spot = hands.spot(&self.path)?;
        match change {
            FileChange::Remove => {
                spot.remove()?;
                spot.sync()?;
                return Ok(None);
            }
            FileChange::Adjust => {
                let wanted = attributes(hands, &self.mode, self.owner.as_deref(), self.group.as_deref())?;
                spot.set_attributes(wanted)?;
                return Ok(None);
            }
            FileChange::Put => {}
        }
        let mut wanted = attributes(hands, &self.mode, self.owner.as_deref(), self.group.as_deref())?;
        let there =
            spot.stat()?.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if let Some(stat) = &there {
            // Whose it is stays as it is, unless another is wanted; only root may give files away.
            if rustix::process::geteuid().is_root() {
                wanted.owner.get_or_insert(rustix::fs::Uid::from_raw(stat.st_uid));
                wanted.group.get_or_insert(rustix::fs::Gid::from_raw(stat.st_gid));
            }
            if self.backup {
                spot.keep_old(wanted).await?;
            }
        }
        let mut said: Option<Outcome> = None;
        let mut agreed = Ok(());
        let agrees = async |path: &std::path::Path| {
            let Some(validate) = &self.validate else { return Ok(()) };
            let path = path.display().to_string();
            let argv = validate.0.iter().map(|word| word.replace("%s", &path)).collect();
            let label = format!("{} validate", about.label);
            match hands.run_foreign(&label, Asked { argv, limit: AGREEING, ..Asked::default() }).await {
                Ok(outcome) if outcome.agreed() => Ok(()),
                Ok(outcome) => {
                    let why = format!("the new content was refused, the old one stays: {}", outcome.why());
                    said = Some(outcome);
                    Err(why)
                }
                Err(trouble) => {
                    agreed = Err(trouble);
                    Err("the new content could not be checked".to_owned())
                }
            }
        };
        let put = match content(self)? {
            Content::Text(text) => spot.put(&mut text.as_bytes(), wanted, agrees).await,
            Content::Left => spot.put(&mut io::empty(), wanted, agrees).await,
            Content::Given { hash, .. } => spot.put(&mut hands.content(hash)?, wanted, agrees).await,
        };
        agreed?;
        put.map_err(|error| Trouble::Failed {
            why: error.to_string(),
            output: said.map(|outcome| outcome.output),
        })?;
        spot.sync()?;
        Ok(None)
    }
}

trait Compared {
    fn compared(
        &self,
        eyes: &Eyes<'_>,
        sight: &Sight,
        seal: Seal,
        size: u64,
        wanted: (blake3::Hash, u64),
        text: Option<&str>,
    ) -> Result<ContentSeen, Trouble>;
}

impl Compared for FileSpec {
    /// Whether the content is the wanted one: by what is remembered of this very file, else by reading it.
    fn compared(
        &self,
        eyes: &Eyes<'_>,
        sight: &Sight,
        seal: Seal,
        size: u64,
        (wanted, wanted_size): (blake3::Hash, u64),
        text: Option<&str>,
    ) -> Result<ContentSeen, Trouble> {
        let known = eyes.cache().contents.borrow().get(&self.path).copied();
        let found = match known {
            Some((hash, of)) if of == seal => hash,
            _ => {
                let hash = digest(sight.open()?)?;
                // What was written within the same tick of the clock could be changed again unseen.
                if seal.is_older_than(std::time::SystemTime::now(), TICK) {
                    eyes.cache().contents.borrow_mut().insert(self.path.clone(), (hash, seal));
                }
                hash
            }
        };
        if found == wanted {
            return Ok(ContentSeen::Same);
        }
        let old = if size <= SHOWN { read_text(sight.open())? } else { None };
        let texts = old.zip(text.filter(|text| text.len() as u64 <= SHOWN).map(str::to_owned));
        let before = in_words(size, found.to_hex().as_str());
        let after = in_words(wanted_size, wanted.to_hex().as_str());
        Ok(ContentSeen::Other { before, after, texts })
    }
}

/// A file as text; none when it is none.
fn read_text(file: io::Result<File>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file?.take(SHOWN + 1).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}
