//! Our tags as EC2 keeps them: texts of at most 256 characters under names that begin with `ideal:`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ideal_core::demand::Demands;
use ideal_core::id::{Epoch, Life, Name, Token};
use ideal_core::observed::{RetireMark, SealKind, Tags};
use ideal_core::time::{Bytes, Time};

use super::element::Element;

pub(crate) const CLOUD: &str = "ideal:cloud";
pub(crate) const NODE: &str = "ideal:node";
pub(crate) const MOUNT: &str = "ideal:mount";
pub(crate) const GENERATION: &str = "ideal:generation";
pub(crate) const TOKEN: &str = "ideal:token";
pub(crate) const DEMAND: &str = "ideal:demand";
pub(crate) const EPOCH: &str = "ideal:epoch";
pub(crate) const LIFE: &str = "ideal:life";
pub(crate) const SEAL: &str = "ideal:seal";
/// A short sum of all that was wished for when it was made: the same token for another wish is refused.
pub(crate) const WISH: &str = "ideal:wish";
pub(crate) const VOLUME: &str = "ideal:volume";
pub(crate) const ORIGIN: &str = "ideal:origin";
/// The mark of the first act of an ending: of a machine any text, of a volume its life and two instants.
pub(crate) const RETIRED: &str = "ideal:retired";
/// As asked, in our words.
pub(crate) const IMAGE: &str = "ideal:image";
/// As asked, in our words: of a machine its size, of a volume its bytes.
pub(crate) const SIZE: &str = "ideal:size";
/// Of a machine that was made together with others: of which slots they are, in the order of their launch indices.
pub(crate) const BATCH: &str = "ideal:batch";
/// The public host key of a machine: given to it when it was made, or read once from its console.
pub(crate) const HOST_KEY: &str = "ideal:host-key";
/// The fingerprint of the key that a machine was made to let in.
pub(crate) const LOGIN: &str = "ideal:login";
/// What is restored on trial.
pub(crate) const TRIAL: &str = "ideal:trial";

/// What fits into one tag, with room for a number before it.
pub(crate) const PIECE: usize = 240;
/// Into how many tags the demands are divided at most. A thing has 50 tags.
const PIECES: usize = 16;

/// The tags of a thing, by name.
pub(crate) type Written = BTreeMap<String, String>;

/// What a thing of EC2 carries.
pub(crate) fn written(element: &Element) -> Written {
    let pair = |tag: &Element| (tag.text("key").to_owned(), tag.untrimmed("value").to_owned());
    element.items("tagSet").map(pair).collect()
}

/// The names of all that says whose a thing is. What it is in itself, such as the life of a volume, stays on it when
/// it is given up.
pub(crate) fn whose() -> Vec<String> {
    let plain = [CLOUD, NODE, BATCH, MOUNT, GENERATION, TOKEN, WISH, DEMAND, EPOCH, RETIRED];
    plain.into_iter().map(str::to_owned).chain((1..PIECES).map(piece)).collect()
}

fn piece(at: usize) -> String {
    if at == 0 { DEMAND.to_owned() } else { format!("{DEMAND}:{at}") }
}

/// Demands in as many tags as they need, the first of which says how many those are: a shorter text leaves old
/// pieces behind, which are then not read. `None`: they do not fit. Spaces are written as `+`, which no demand has: a
/// piece may begin or end with one, and who hands tags on may trim them.
pub(crate) fn demand(demands: &Demands) -> Option<Written> {
    let text = demands.to_string().replace(' ', "+");
    // Its letters are of one byte each.
    let pieces: Vec<&str> =
        text.as_bytes().chunks(PIECE).filter_map(|one| std::str::from_utf8(one).ok()).collect();
    if pieces.len() > PIECES || pieces.concat() != text {
        return None;
    }
    let count = pieces.len();
    let value = |(at, text): (usize, &str)| match at {
        0 => (piece(0), format!("{count}|{text}")),
        _ => (piece(at), text.to_owned()),
    };
    Some(pieces.into_iter().enumerate().map(value).collect())
}

fn read_demand(tags: &Written) -> Option<Demands> {
    let (count, first) = tags.get(DEMAND)?.split_once('|')?;
    let rest =
        (1..count.parse::<usize>().ok()?.min(PIECES)).map(|at| tags.get(&piece(at)).map(String::as_str));
    let mut text = first.to_owned();
    for piece in rest {
        text.push_str(piece?);
    }
    text.replace('+', " ").parse().ok()
}

/// What is written on a new thing.
pub(crate) fn write(tags: &Tags) -> Option<Written> {
    let mut written = Written::from([
        (CLOUD.to_owned(), tags.cloud.to_string()),
        (GENERATION.to_owned(), tags.generation.to_string()),
        (EPOCH.to_owned(), tags.epoch.to_string()),
    ]);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            written.insert(name.to_owned(), value);
        }
    };
    add(NODE, tags.index.map(|index| index.to_string()));
    add(MOUNT, tags.mount.as_ref().map(ToString::to_string));
    add(TOKEN, tags.token.as_ref().map(ToString::to_string));
    if let Some(demands) = &tags.demand {
        written.extend(demand(demands)?);
    }
    Some(written)
}

/// Our tags of a thing; none when it is nobody's, or when its tag is none of ours.
pub(crate) fn read(tags: &Written) -> Option<Tags> {
    Some(Tags {
        cloud: tags.get(CLOUD)?.parse().ok()?,
        index: parsed(tags, NODE),
        mount: tags.get(MOUNT).and_then(|text| Name::new(text).ok()),
        generation: parsed(tags, GENERATION).unwrap_or_default(),
        token: tags.get(TOKEN).map(|text| Token::new(text.as_str())),
        demand: read_demand(tags).map(Arc::new),
        epoch: parsed::<Epoch>(tags, EPOCH).unwrap_or_default(),
    })
}

fn parsed<T: std::str::FromStr>(tags: &Written, name: &str) -> Option<T> {
    tags.get(name)?.parse().ok()
}

/// Slots in their order: `0-3,7,9-12`.
pub(crate) fn slots_text(slots: impl IntoIterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(slot) => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    let text = |(first, last): (u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads the same; a text of another kind names none. No batch is larger than `most`.
pub(crate) fn slots(text: &str, most: usize) -> Vec<u32> {
    let mut slots = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Vec::new() };
        slots.extend((first..=last).take(most + 1));
        if slots.len() > most {
            return Vec::new();
        }
    }
    slots
}

/// The life of a volume, or that which a snapshot is of.
pub(crate) fn life(tags: &Written) -> Life {
    parsed(tags, LIFE).unwrap_or_default()
}

/// What a snapshot rests on.
pub(crate) fn seal(tags: &Written) -> Option<SealKind> {
    match tags.get(SEAL)?.as_str() {
        "clean" => Some(SealKind::Clean),
        "dirty" => Some(SealKind::Dirty),
        _ => None,
    }
}

pub(crate) fn seal_text(kind: SealKind) -> &'static str {
    match kind {
        SealKind::Clean => "clean",
        SealKind::Dirty => "dirty",
    }
}

/// `3/1763680000000/1763680600000`: the life, when, and until when.
pub(crate) fn mark_text(mark: RetireMark) -> String {
    format!("{}/{}/{}", mark.life, mark.at.0, mark.until.0)
}

/// The mark of a volume.
pub(crate) fn mark(tags: &Written) -> Option<RetireMark> {
    let mut parts = tags.get(RETIRED)?.split('/');
    let life = parts.next()?.parse().ok()?;
    let mut time = || Some(Time(parts.next()?.parse().ok()?));
    Some(RetireMark { life, at: time()?, until: time()? })
}

/// What was asked for a volume that EC2 made of so many GiB: whole GiB are made, so it says what was asked as long
/// as that is how it was rounded.
pub(crate) fn size(tags: &Written, gib: u64) -> Bytes {
    let asked = parsed::<u64>(tags, SIZE).filter(|asked| asked.div_ceil(1 << 30) == gib);
    Bytes(asked.unwrap_or(gib << 30))
}

#[cfg(test)]
mod tests {
    use ideal_core::demand::{Scope, State};
    use ideal_core::id::{CloudId, SlotId};

    use super::*;

    fn tags(slots: u32) -> Tags {
        let cloud: CloudId = "5f0c6f2e-0000-4000-8000-000000000001".parse().unwrap();
        let mut demands = Demands::none();
        for index in 0..slots {
            demands.demand(Scope::Slot(SlotId { cloud, index }), State::Away, 7, |_| false);
        }
        Tags {
            cloud,
            index: Some(3),
            mount: Some(Name::new("data").unwrap()),
            generation: 2,
            token: Some(Token::new("t")),
            demand: Some(Arc::new(demands)),
            epoch: 7,
        }
    }

    #[test]
    fn tags_are_read_as_they_were_written() {
        for slots in [0, 1, 40] {
            let tags = tags(slots);
            let written = write(&tags).unwrap();
            assert_eq!(read(&written).unwrap(), tags);
            assert!(written.values().all(|value| value.len() <= 256), "{written:?}");
            assert!(written.keys().all(|name| whose().contains(name)));
        }
    }

    /// As EC2 shows them, wherever a piece is cut; and as they were written before, with spaces.
    #[test]
    fn demands_of_every_length_are_read_from_an_answer() {
        for clouds in 1..=40 {
            let mut demands = Demands::none();
            for cloud in 0..clouds {
                let cloud: CloudId = format!("5f0c6f2e-0000-4000-8000-{cloud:012}").parse().unwrap();
                demands.demand(Scope::Cloud(cloud), State::Away, 7, |_| false);
            }
            let tags = Tags { demand: Some(Arc::new(demands)), ..tags(0) };
            let written = write(&tags).unwrap();
            assert!(written.values().all(|value| !value.contains(' ')), "{written:?}");
            for between in ["+", " "] {
                let item = |(key, value): (&String, &String)| {
                    let value = value.replace('+', between);
                    format!("<item><key>{key}</key><value>{value}</value></item>")
                };
                let items: String = written.iter().map(item).collect();
                let xml = format!(
                    "<a><volumeId>vol-1a2b3c4d</volumeId>\n<tagSet>\n{items}\n</tagSet><size>1</size></a>"
                );
                let seen = crate::ec2::see::volume(&Element::read(xml.as_bytes()).unwrap());
                assert_eq!(seen.tags, tags, "{clouds} clouds, {between:?}");
            }
        }
    }

    #[test]
    fn a_shorter_demand_leaves_nothing_of_a_longer_one() {
        let mut written = write(&tags(40)).unwrap();
        let short = tags(1);
        written.extend(demand(short.demand.as_deref().unwrap()).unwrap());
        assert_eq!(read(&written).unwrap().demand, short.demand);
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        assert_eq!(write(&tags(200)), None);
    }

    #[test]
    fn marks_and_sizes_are_read() {
        let mark_written = RetireMark { life: 4, at: Time(5), until: Time(9) };
        let written = Written::from([
            (RETIRED.to_owned(), mark_text(mark_written)),
            (SIZE.to_owned(), (3_u64 << 20).to_string()),
        ]);
        assert_eq!(mark(&written), Some(mark_written));
        assert_eq!(size(&written, 1), Bytes(3 << 20));
        assert_eq!(size(&written, 2), Bytes(2 << 30), "somebody made it larger");
    }

    #[test]
    fn the_slots_of_a_batch_are_read_as_they_are_written() {
        for (own, text) in [
            (vec![7], "7"),
            (vec![0, 1, 2, 5, 7, 8], "0-2,5,7-8"),
            (vec![u32::MAX - 1, u32::MAX], "4294967294-4294967295"),
        ] {
            assert_eq!(slots_text(own.clone()), text);
            assert_eq!(slots(text, 200), own);
        }
        for wrong in ["", "1-", "a", "0-4294967295", "0-200", "0,"] {
            assert_eq!(slots(wrong, 200), Vec::<u32>::new(), "{wrong}");
        }
    }
}
