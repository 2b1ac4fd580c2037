//! `ideal volumes grow`: the size in the file first, for the file is what is wanted; then in fact.

use ideal_core::address::Address;
use ideal_core::demand::{Ending, Scope, State};
use ideal_core::diagnostic::Points;
use ideal_core::id::CloudId;
use ideal_core::ideal::{Mount, place_of};
use ideal_core::path::DocPath;
use ideal_core::planner::{Consent, How};
use ideal_core::time::Bytes;

use crate::arguments::{Global, data};
use crate::ask;
use crate::commands::up;
use crate::errand::{Errand, Pursued};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::mounts;
use crate::output::Output;
use crate::project::Project;
use crate::render::words;
use crate::scopes;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::Grow, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let address = scopes::address(&wanted.address)?;
    let Grown { owner, of, count, place, size } = mount(&world, &address, &wanted.address)?;
    if wanted.size < size {
        let message = format!("{} has {size} already, and no volume is ever made smaller", wanted.address);
        return Err(Failure::new("smaller", Exit::BadInput, message)
            .next("a new mount of the wanted size, and a copy by hand, is the way to less")
            .into());
    }
    let volumes = words::counted(count as usize, "volume");
    let question = format!(
        "{volumes} of {of} grow from {size} to {}; where the kernel cannot grow a filesystem in use, services stop for a \
         moment. Go on?",
        wanted.size
    );
    if !ask::question(&question, wanted.pursuit.yes, output)? {
        return Ok(Exit::Failed);
    }
    if wanted.size > size {
        let at = write_size(global, &place, &address, wanted.size)?;
        output.note(&format!("wrote {} into {at}", wanted.size));
    }
    drop(world);
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let standing = world.glance().await?.standing;
        if !matches!(standing.how, How::Recorded | How::Mirrored) {
            output.result(&format!(
                "the file wants {}; nothing is up, so there is nothing to grow yet",
                wanted.size
            ));
            return Ok(Exit::Done);
        }
        let what = format!("volumes grow {} {}", wanted.address, wanted.size);
        let pursued = errand(&what, None, wanted).run(&world, output).await?;
        if pursued.exit() != Exit::Done {
            return tell(&pursued, &world, wanted, &what, output);
        }
        let glance = world.glance().await?;
        let views = mounts::of(&glance, std::slice::from_ref(&of))?;
        let is_small = |view: &&mounts::View<'_>| {
            Some(&view.name) == address.mount.as_ref()
                && view.part.slot.cloud == owner
                && view.mount().is_some_and(|seen| seen.small.is_some())
        };
        let small: Vec<&mounts::View<'_>> = views.iter().filter(is_small).collect();
        let Some(first) = small.first() else { return tell(&pursued, &world, wanted, &what, output) };
        let why = first.mount().and_then(|seen| seen.small.clone()).unwrap_or_default();
        output.note(&format!(
            "{} cannot grow while it is mounted: {}",
            first.address(),
            words::line(&why, 120)
        ));
        let demanded = &glance.standing.demands;
        let before: Vec<(Scope, State)> = small
            .iter()
            .map(|view| (Scope::Slot(view.part.slot), demanded.of(view.part.slot).unwrap_or(State::Launched)))
            .collect();
        let slots: Vec<Scope> = before.iter().map(|(slot, _)| *slot).collect();
        let down = errand(&what, Some((slots, State::Unmounted, Ending::No)), wanted);
        let down = down.run(&world, output).await;
        // Whatever came of it: nothing stays down that was up.
        let up = Errand { again: before, ..errand(&what, None, wanted) }.run(&world, output).await?;
        let down = down?;
        let glance = world.glance().await?;
        let after = mounts::of(&glance, std::slice::from_ref(&of))?;
        let still = after.iter().find(is_small);
        if let Some(why) = still.and_then(|view| view.mount()?.small.clone()) {
            let message = format!(
                "{} has a volume of {}, and its filesystem stays as it is: {why}",
                wanted.address, wanted.size
            );
            return Err(Failure::new("not-grown", Exit::Failed, message)
                .next("nothing on it is touched; a new mount of another size, and a copy by hand, is the way on")
                .into());
        }
        let told = if down.exit() == Exit::Done { &up } else { &down };
        tell(told, &world, wanted, &what, output)
    })
}

fn errand(what: &str, demand: Option<(Vec<Scope>, State, Ending)>, wanted: &data::Grow) -> Errand {
    let pursuit = &wanted.pursuit;
    Errand { demand, ..up::with_flags(what, Consent::default(), pursuit) }
}

fn tell(
    pursued: &Pursued,
    world: &World,
    wanted: &data::Grow,
    what: &str,
    output: &Output,
) -> anyhow::Result<Exit> {
    let met = format!("{} has {}   {}", wanted.address, wanted.size, words::span(pursued.took));
    pursued.tell(world, output, &format!("ideal {what}"), &met)
}

/// What grows: the mount of every node of a cloud, or of every replica of a service, for they are alike.
struct Grown {
    owner: CloudId,
    /// The cloud or the service, as people call it.
    of: String,
    count: u32,
    /// Where the file says how large it is.
    place: DocPath,
    /// How large it is by now.
    size: Bytes,
}

fn mount(world: &World, address: &Address, text: &str) -> anyhow::Result<Grown> {
    let ideal = &world.ideal;
    let found = address.mount.as_ref().zip(address.index).and_then(|(name, index)| {
        let key = |place: DocPath| place.key("mounts").key(name.as_str()).key("size");
        let size = |mounts: &[Mount]| mounts.iter().find(|mount| mount.name == *name).map(|mount| mount.size);
        if let Some(cloud) = ideal.cloud_at(&address.path) {
            let size = size(&cloud.mounts).filter(|_| index < cloud.most)?;
            let place = key(place_of(&cloud.path, cloud.path.0.len() - 1));
            return Some(Grown {
                owner: cloud.id,
                of: cloud.path.to_string(),
                count: cloud.nodes,
                place,
                size,
            });
        }
        let service = ideal.services.iter().find(|own| address.path.0 == [own.name.clone()])?;
        let size = size(&service.mounts).filter(|_| index < service.replicas)?;
        let place = key(DocPath::root().key("services").key(service.name.as_str()));
        Some(Grown { owner: service.id, of: service.name.to_string(), count: service.replicas, place, size })
    });
    found.ok_or_else(|| {
        let failure =
            Failure::new("no-such-part", Exit::BadInput, format!("there is no mount `{text}` in the file"));
        failure.next("ideal volumes list        shows those that there are").into()
    })
}

/// Writes a size in the place of the one that the file has; every other byte stays. Answers where.
fn write_size(global: &Global, place: &DocPath, address: &Address, size: Bytes) -> anyhow::Result<String> {
    let project = Project::open(global.file.as_deref())?;
    let loaded = project.load();
    let name = address.mount.as_ref().map(|name| name.as_str()).unwrap_or_default();
    let by_hand = |at: String| {
        let message = format!("the size of mount `{name}` is not written as a plain size{at}");
        let failure = Failure::new("not-plain", Exit::BadInput, message);
        failure.next(format!("write {size} there by hand, then ideal up"))
    };
    let spot = loaded.map.locate(place, Points::Value).ok_or_else(|| by_hand(String::new()))?;
    let source = loaded.map.source(&spot);
    let at = format!("{}:{}", source.name, spot.line);
    let present = loaded.map.text(&spot);
    if present.trim_matches(['"', '\'']).parse::<Bytes>().is_err() {
        return Err(by_hand(format!(": {at}")).into());
    }
    let bytes = project.sources.texts.get(&source.name).map(Vec::as_slice).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    // The text of a source is without its mark of byte order.
    let mark = text.len() - text.strip_prefix('\u{feff}').unwrap_or(&text).len();
    let (start, end) = (mark + spot.bytes.start, mark + spot.bytes.end);
    let new = format!("{}{size}{}", &text[..start], &text[end..]);
    project.replace(&source.name, new.as_bytes())?;
    Ok(at)
}
