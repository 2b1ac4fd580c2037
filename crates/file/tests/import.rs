//! Files of older systems: what comes out is a good ideal file, says all that went in, and no secret.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "goldens are read and written here")]

use std::path::{Path, PathBuf};

use ideal_core::id::{CloudId, Name};
use ideal_core::ideal::From;
use ideal_file::import::{Format, Imported, NotImported, import};
use ideal_file::{Loaded, Sources, load, render_plain};
use uuid::Uuid;

fn read(format: &Format, text: &str) -> Result<Imported, NotImported> {
    let mut next = 0;
    let mint = || {
        next += 1;
        CloudId(Uuid::from_u128(0x5f0c_6f2e_0000_4000_8000_0000_0000_0000 + next))
    };
    import(format, text.as_bytes(), mint)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

/// Compares with the picture beside it, and answers what the result means.
fn golden(format: &Format, name: &str) -> (Imported, Loaded) {
    let imported = read(format, &std::fs::read_to_string(folder().join(name)).unwrap()).unwrap();
    let mut picture = imported.text.clone();
    picture.push_str("\n# remarks\n");
    for remark in &imported.remarks {
        picture.push_str(&format!("# {}: {}\n", remark.line, remark.text));
    }
    let at = folder().join(format!("{name}.ideal.yaml"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&at, &picture).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&at).unwrap_or_default(), picture);
    let loaded = load(&Sources::one("ideal.yaml", imported.text.clone()));
    assert!(loaded.is_good(), "{}\n{}", imported.text, render_plain(&loaded));
    (imported, loaded)
}

/// Each mount with what it is made of.
fn mounts(loaded: &Loaded) -> Vec<String> {
    let clouds = &loaded.resolved.as_ref().unwrap().ideal.clouds;
    let all = clouds.iter().flat_map(|cloud| {
        cloud.mounts.iter().map(move |mount| {
            let from = match &mount.from {
                Some(From::Volume(id)) => format!(" of {id}"),
                Some(From::Snapshot(id)) => format!(" from {id}"),
                None => String::new(),
            };
            format!("{} x{} {} {} {}{from}", cloud.path, cloud.nodes, mount.name, mount.size, mount.at)
        })
    });
    all.collect()
}

#[test]
fn a_file_of_wucluster() {
    let (imported, loaded) = golden(&Format::Wucluster, "gibbon.wucluster.yaml");
    assert_eq!(
        mounts(&loaded),
        [
            "bonobo.solo x1 data 1GiB /data of vol-12345678",
            "bonobo.solo x1 more 1GiB /more",
            "gibbon.data-slave x2 ebs-1 50GiB /ebs 1",
            "gibbon.master x1 ebs1 100GiB /ebs1 from snap-04a9e46d",
            "gibbon.master x1 mnt-home 10GiB /mnt/home of vol-8d8d1c47",
        ]
    );
    assert!(!imported.text.contains("NEVER") && !imported.text.contains("never-shown"));
    assert!(!format!("{:?}", imported.remarks).to_lowercase().contains("never"));
}

#[test]
fn a_storage_file_of_cloudera() {
    let format = Format::Cloudera(Name::new("gibbon").unwrap());
    let (_, loaded) = golden(&format, "gibbon.cloudera.json");
    assert_eq!(
        mounts(&loaded),
        [
            "gibbon.master x1 ebs1 1GiB /ebs1 of vol-7ff5dd16",
            "gibbon.master x1 ebs2 1GiB /ebs2 of vol-7ff5dd17",
            "gibbon.slave.slave-0 x1 ebs1 1GiB /ebs1 of vol-7ff5dd18",
            "gibbon.slave.slave-1 x1 ebs1 1GiB /ebs1 of vol-7ff5dd19",
            "gibbon.spec x1 ebs1 7GiB /ebs1 from snap-fe627a97",
        ]
    );
}

#[test]
fn what_is_of_neither_is_refused_with_its_place() {
    let cloudera = Format::Cloudera(Name::new("gibbon").unwrap());
    let cases = [
        (&Format::Wucluster, "", "line 1, column 1: there is no cluster"),
        (&Format::Wucluster, "a: 1\nclusters:\n", "there is no cluster"),
        (&Format::Wucluster, "clusters: {\"---\": {}}", "none of these clusters has a name"),
        (&Format::Wucluster, "clusters: {a: {}", "line 1"),
        (&Format::Wucluster, "a: &b {}\nclusters: {c: *b}", "line 1"),
        (&cloudera, "clusters: {a: {}}", "line 1, column 1: a storage file has a list"),
        (&cloudera, "[]", "a storage file has a list"),
        (&cloudera, "a: []\nb: 1", "line 2, column 1"),
    ];
    for (format, text, said) in cases {
        let refused = read(format, text).unwrap_err();
        assert!(refused.to_string().contains(said), "{text:?}: {refused}");
    }
}

/// Whatever stands where something else is looked for, it is said.
#[test]
fn nothing_is_dropped_silently() {
    let cases = [
        ("clusters: {a: 1}", "no cluster"),
        ("clusters: {a: {nodes: [b]}}", "no list of instances by role"),
        ("clusters: {a: {nodes: {b: c}}}", "no list of instances"),
        ("clusters: {a: {nodes: {b: [c]}}}", "no instance"),
        ("clusters: {a: {nodes: {b: [{volumes: c}]}}}", "no list of volumes"),
        ("clusters: {a: {nodes: {b: [{volumes: [c]}]}}}", "no `mount_point`"),
        ("clusters: {a: {nodes: {b: [{volumes: [{mount_point: }]}]}}}", "no `mount_point`"),
        (
            "clusters: {a: {nodes: {b: [{volumes: [{mount_point: \"/{{ x }}\", size: 1}]}]}}}",
            "no absolute path",
        ),
        ("clusters: {a: {image: ami-12345678, image_id: ami-12345679}}", "`image_id` is not carried over"),
        ("clusters: {a: {image: debian}}", "no id of an image"),
        ("clusters: {a: {zone: \"{{ x }}\"}}", "no zone"),
        ("clusters: {a: {nodes: {\"---\": [{}]}}}", "cannot be a name"),
        ("clusters: {a: {}, \"---\": {}}", "cannot be a name"),
        ("clusters: {a: {}, A: {}}", "is called `a-2` now"),
        ("clusters: {a: {\"x\\ny\": 1}}", "an ideal file has no place for it"),
        ("clusters: {a: {}}\nsession_token: hidden", "credentials do not belong into this file"),
    ];
    for (text, said) in cases {
        let imported = read(&Format::Wucluster, text).unwrap();
        let remarks = format!("{:?}", imported.remarks);
        assert!(remarks.contains(said) && !remarks.contains("hidden"), "{text}: {remarks}");
        let loaded = load(&Sources::one("ideal.yaml", imported.text.clone()));
        assert!(loaded.is_good(), "{text}\n{}\n{}", imported.text, render_plain(&loaded));
    }
}
