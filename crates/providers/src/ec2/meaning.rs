//! Images and sizes by meaning: what `debian-12` and `2cpu 4GiB` are at EC2.

use ideal_core::ideal::{Ec2Spec, MachineSize};
use ideal_core::time::Bytes;

/// The image of machines for which none is named.
pub(crate) const USUAL_IMAGE: &str = "debian-12";
/// The size of machines for which none is named.
const USUAL_SIZE: MachineSize = MachineSize { cpus: Some(2), memory: Some(Bytes(2 << 30)) };
/// So many types are tried when there is no room for the first.
const CHOICES: usize = 3;

/// What an image is called by who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// By its id.
    Id(String),
    /// The newest of these.
    Newest {
        /// The account of who makes it.
        owner: &'static str,
        /// `*` stands for anything.
        name: String,
    },
}

/// What an image is meant by; none: nothing that we know.
pub(crate) fn image(spec: &Ec2Spec, asked: &str, machine_type: &str) -> Option<Image> {
    let asked = if asked.is_empty() { spec.image.as_deref().unwrap_or(USUAL_IMAGE) } else { asked };
    if let Some(id) = spec.images.get(asked) {
        return Some(Image::Id(id.clone()));
    }
    if asked.starts_with("ami-") {
        return Some(Image::Id(asked.to_owned()));
    }
    let arm = is_arm(machine_type);
    let (short, long) = if arm { ("arm64", "arm64") } else { ("amd64", "x86_64") };
    let (owner, name) = match asked {
        "debian-12" => ("136693071363", format!("debian-12-{short}-2*")),
        "debian-13" => ("136693071363", format!("debian-13-{short}-2*")),
        "ubuntu-22.04" => {
            ("099720109477", format!("ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-{short}-server-*"))
        }
        "ubuntu-24.04" => {
            ("099720109477", format!("ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-{short}-server-*"))
        }
        "amazon-linux-2023" => ("137112412989", format!("al2023-ami-2023.*-{long}")),
        _ => return None,
    };
    Some(Image::Newest { owner, name })
}

/// What `uname -m` says on machines of a type.
pub(super) fn processors(machine_type: &str) -> &'static str {
    if is_arm(machine_type) { "aarch64" } else { "x86_64" }
}

/// Whether machines of a type have ARM processors: `m7g.large`, `c7gn.xlarge`, but not `g5.xlarge`.
fn is_arm(machine_type: &str) -> bool {
    let family = machine_type.split('.').next().unwrap_or_default();
    let after = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('g') || family == "a1"
}

/// A type with what its machines have: processors, and memory in MiB.
fn types() -> impl Iterator<Item = (String, u32, u64)> {
    let small = [
        ("t3.nano", 2, 512),
        ("t3.micro", 2, 1024),
        ("t3.small", 2, 2048),
        ("t3.medium", 2, 4096),
        ("t3.large", 2, 8192),
        ("t3.xlarge", 4, 16_384),
        ("t3.2xlarge", 8, 32_768),
    ];
    let small = small.into_iter().map(|(name, cpus, memory)| (name.to_owned(), cpus, memory));
    let steps = [
        ("large", 1),
        ("xlarge", 2),
        ("2xlarge", 4),
        ("4xlarge", 8),
        ("8xlarge", 16),
        ("12xlarge", 24),
        ("16xlarge", 32),
        ("24xlarge", 48),
        ("32xlarge", 64),
    ];
    let families = [("c6i", 4_u64), ("m6i", 8), ("r6i", 16)];
    let large = families.into_iter().flat_map(move |(family, gib)| {
        steps.map(|(step, times)| (format!("{family}.{step}"), 2 * times, gib * 1024 * u64::from(times)))
    });
    small.chain(large)
}

/// The types that a machine may be of, in the order in which they are tried. None: no type is that large, or the text
/// is no size.
pub(crate) fn choices(spec: &Ec2Spec, asked: &str) -> Option<Vec<String>> {
    let size = match asked {
        "" if !spec.types.is_empty() => return Some(spec.types.clone()),
        "" => spec.size.unwrap_or(USUAL_SIZE),
        text => read_size(text)?,
    };
    let (cpus, memory) = (size.cpus.unwrap_or(1), size.memory.unwrap_or(Bytes(0)).0.div_ceil(1 << 20));
    let mut fitting: Vec<(String, u32, u64)> =
        types().filter(|(_, has, room)| *has >= cpus && *room >= memory).collect();
    // As they are paid, roughly: a processor costs what 4 GiB cost. Stable, so that equals stay in the order above.
    fitting.sort_by_key(|(_, cpus, memory)| u64::from(*cpus) * 4096 + memory);
    let choices: Vec<String> = fitting.into_iter().take(CHOICES).map(|(name, ..)| name).collect();
    (!choices.is_empty()).then_some(choices)
}

/// Reads what [`ideal_core::observed::size_text`] writes.
fn read_size(text: &str) -> Option<MachineSize> {
    let mut size = MachineSize::default();
    for word in text.split(' ') {
        match word.strip_suffix("cpu") {
            Some(cpus) => size.cpus = Some(cpus.parse().ok()?),
            None => size.memory = Some(word.parse().ok()?),
        }
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use ideal_core::observed::size_text;

    use super::*;

    #[test]
    fn a_size_is_the_smallest_type_that_has_it() {
        let of = |cpus, memory: u64| {
            let size = MachineSize { cpus: Some(cpus), memory: Some(Bytes(memory << 30)) };
            choices(&Ec2Spec::default(), &size_text(&size)).unwrap_or_default()
        };
        assert_eq!(of(2, 4), ["t3.medium", "c6i.large", "t3.large"]);
        assert_eq!(of(1, 0), ["t3.nano", "t3.micro", "t3.small"]);
        assert_eq!(of(16, 64), ["m6i.4xlarge", "c6i.8xlarge", "r6i.4xlarge"]);
        assert_eq!(of(2, 10_000), Vec::<String>::new());
        assert_eq!(choices(&Ec2Spec::default(), "large"), None);
        assert_eq!(choices(&Ec2Spec::default(), "").unwrap()[0], "t3.small");
    }

    #[test]
    fn types_of_the_file_go_before_its_size_and_a_cloud_before_both() {
        let size = Some(MachineSize { cpus: Some(4), memory: None });
        let spec = Ec2Spec { types: vec!["m7g.large".into()], size, ..Ec2Spec::default() };
        assert_eq!(choices(&spec, "").unwrap(), ["m7g.large"]);
        assert_eq!(choices(&spec, "8cpu").unwrap()[0], "c6i.2xlarge");
    }

    #[test]
    fn an_image_is_found_by_its_meaning() {
        let spec = Ec2Spec { images: [("gold".to_owned(), "ami-1".to_owned())].into(), ..Ec2Spec::default() };
        let of = |asked, of_type| image(&spec, asked, of_type);
        assert_eq!(of("gold", "t3.small"), Some(Image::Id("ami-1".into())));
        assert_eq!(of("ami-2", "t3.small"), Some(Image::Id("ami-2".into())));
        let debian = |name: &str| Some(Image::Newest { owner: "136693071363", name: name.to_owned() });
        assert_eq!(of("", "t3.small"), debian("debian-12-amd64-2*"));
        assert_eq!(of("debian-12", "c7gn.large"), debian("debian-12-arm64-2*"));
        assert_eq!(of("debian-12", "g5.xlarge"), debian("debian-12-amd64-2*"));
        assert_eq!(of("slackware", "t3.small"), None);
        assert!(Ec2Spec::IMAGES.iter().all(|word| of(word, "t3.small").is_some()));
    }
}
