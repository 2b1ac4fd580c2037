//! Golden stories: `scenarios/<name>/story.txt` is played, and what came of it is compared with `golden.txt`.
//! `UPDATE_GOLDEN=1` writes the golden texts anew; read the difference before it is committed.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its stories")]

mod story;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut stories: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    stories
}

#[test]
fn the_stories_go_as_they_went() {
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let only = std::env::var("STORY").ok();
    let mut wrong = String::new();
    for folder in stories() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let text = fs::read_to_string(folder.join("story.txt")).unwrap();
        let read = |file: &str| {
            // Most stories tell of the same small shop.
            let own = fs::read_to_string(folder.join(file));
            own.or_else(|_| fs::read_to_string(folder.join("../../story").join(file))).ok()
        };
        let now = match story::play(&text, &read) {
            Ok(now) => now,
            Err(why) => {
                let _ = writeln!(wrong, "{name}: {why}");
                continue;
            }
        };
        let golden = folder.join("golden.txt");
        if update {
            fs::write(&golden, &now).unwrap();
            continue;
        }
        let before = fs::read_to_string(&golden).unwrap_or_default();
        if let Some((line, (old, new))) = first_difference(&before, &now) {
            let _ = writeln!(wrong, "{name}, line {line}:\n  it was: {old}\n  it is:  {new}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}\nUPDATE_GOLDEN=1 takes these as right");
}

fn first_difference<'a>(before: &'a str, now: &'a str) -> Option<(usize, (&'a str, &'a str))> {
    let (mut old, mut new) = (before.lines(), now.lines());
    (1..).find_map(|line| match (old.next(), new.next()) {
        (None, None) => Some(None),
        (old, new) if old == new => None,
        (old, new) => Some(Some((line, (old.unwrap_or("(the end)"), new.unwrap_or("(the end)"))))),
    })?
}
