//! What goes wrong, and what is said of it: each failure has a reason, touches nothing else, and is over once its
//! cause is.

use ideal_core::resource::{Row, Standing};
use serde_json::{Value, json};

use crate::bed::{Bed, System};
use crate::cases::{REPOSITORY, RPMS, repo};

type Told = Result<(), String>;

/// The row of a resource.
fn row<'r>(rows: &'r [Row], label: &str) -> Result<&'r Row, String> {
    rows.iter().find(|row| row.label == label).ok_or_else(|| format!("there is no row of {label}"))
}

/// That a resource stands so, for a reason that says this.
fn stands(rows: &[Row], label: &str, standing: Standing, says: &str) -> Told {
    let row = row(rows, label)?;
    let why = row.why.as_deref().unwrap_or_default();
    if row.standing == standing && why.contains(says) {
        return Ok(());
    }
    Err(format!(
        "{label} is {}, {why:?} {:?}; wanted {} and {says:?}",
        row.standing.word(),
        row.output,
        standing.word()
    ))
}

fn packages(bed: &Bed) -> Told {
    bed.shell(REPOSITORY)?;
    let all = |more: Value| {
        let mut list = vec![repo("present"), json!({"package": {"name": "gamma"}})];
        list.extend(more.as_array().cloned().unwrap_or_default());
        Value::Array(list)
    };
    // One that cannot be had, and one whose own script fails, keep no other away.
    let rows = bed.pass(
        "converge",
        &all(json!([{"package": {"name": "nothing-of-this-name"}}, {"package": {"name": "broken"}}])),
    )?;
    stands(&rows, "package gamma", Standing::Healed, "")?;
    stands(&rows, "package nothing-of-this-name", Standing::Failed, "Unable to locate")?;
    stands(&rows, "package broken", Standing::Failed, "")?;
    bed.shell("test -e /usr/share/gamma/version")?;
    // What the failed one left half is no obstacle for the next.
    let gone = json!([{"package": {"name": "broken", "state": "absent"}}, {"package": {"name": "alpha", "version": "1.0"}}]);
    bed.converges(&all(gone.clone()))?;
    bed.is_right(&all(gone))?;
    // Killed by the loss of power in the middle of a package, dpkg is brought to its end.
    let dies = all(json!([{"package": {"name": "dies"}}]));
    let rows = bed.pass("converge", &dies)?;
    bed.shell("test -e /var/lib/dies-once")?;
    if row(&rows, "package dies")?.standing != Standing::Healed {
        bed.converges(&dies)?;
    }
    bed.is_right(&dies)?;
    // The newest that the index knows.
    let latest = all(json!([{"package": {"name": "alpha", "state": "latest"}}]));
    bed.converges(&latest)?;
    bed.shell("grep -qx 2.0 /usr/share/alpha/version")?;
    // To ask for it makes nothing that was not there.
    bed.shell("rm -f /var/cache/apt/*.bin")?;
    bed.is_right(&latest)?;
    // What is held and was not named is not changed on the way, and what was named is.
    bed.shell("apt-mark hold alpha gamma > /dev/null")?;
    let older = all(json!([{"package": {"name": "alpha", "version": "1.0"}}]));
    bed.converges(&older)?;
    bed.shell("grep -qx 1.0 /usr/share/alpha/version; apt-mark showhold | grep -qx gamma; apt-mark unhold gamma > /dev/null")?;
    let none: Vec<Value> = ["alpha", "gamma", "dies"]
        .iter()
        .map(|name| json!({"package": {"name": name, "state": "absent"}}))
        .collect();
    bed.converges(&Value::Array([none, vec![repo("absent")]].concat())).map(|_| ())
}

fn checkouts(bed: &Bed) -> Told {
    bed.shell("rm -rf /srv/o /srv/c; git init -q -b main /srv/o; cd /srv/o; git config user.email a@b; git config user.name a
               echo one > file; git add file; git commit -qm one; git tag -am v1 v1; echo two > file; git commit -qam two")?;
    let at = |revision: &str, overwrite: bool| json!([{"git": {"repo": "/srv/o", "at": "/srv/c", "revision": revision, "overwrite": overwrite}}]);
    bed.converges(&at("v1", false))?;
    bed.is_right(&at("v1", false))?;
    bed.shell("grep -qx one /srv/c/file; echo mine > /srv/c/file")?;
    let rows = bed.pass("converge", &at("main", false))?;
    stands(&rows, "git /srv/c", Standing::Failed, "somebody changed file")?;
    bed.shell("grep -qx mine /srv/c/file")?;
    bed.converges(&at("main", true))?;
    bed.shell("grep -qx two /srv/c/file; cd /srv/o; echo three > file; git commit -qam three")?;
    // A branch moves, and so does the checkout.
    bed.converges(&at("main", false))?;
    bed.shell("grep -qx three /srv/c/file")?;
    let rows = bed.pass("converge", &at("no-such-branch", false))?;
    stands(&rows, "git /srv/c", Standing::Failed, "no branch or tag")?;
    // What git does not know is nobody's change; but a file of somebody's is not overwritten.
    bed.shell("echo mine > /srv/c/own")?;
    bed.is_right(&at("main", false))?;
    bed.shell("cd /srv/o; echo theirs > own; git add own; git commit -qm own")?;
    for _ in 0..2 {
        let rows = bed.pass("converge", &at("main", false))?;
        stands(&rows, "git /srv/c", Standing::Failed, "untracked")?;
        bed.shell("grep -qx mine /srv/c/own; grep -qx three /srv/c/file")?;
    }
    // Nothing that is only here goes with the checkout.
    let gone = json!([{"git": {"repo": "/srv/o", "at": "/srv/c", "state": "absent"}}]);
    let rows = bed.pass("converge", &gone)?;
    stands(&rows, "git /srv/c", Standing::Failed, "own")?;
    bed.shell("cd /srv/c; git config user.email a@b; git config user.name a; git add own; git stash -q")?;
    let rows = bed.pass("converge", &gone)?;
    stands(&rows, "git /srv/c", Standing::Failed, "a stash")?;
    bed.shell("cd /srv/c; git stash pop -q; git commit -qm mine")?;
    let rows = bed.pass("converge", &gone)?;
    stands(&rows, "git /srv/c", Standing::Failed, "commits")?;
    bed.shell("cd /srv/c; git checkout -q --detach origin/main; git reflog expire --expire=now --all")?;
    bed.converges(&gone)?;
    bed.shell("! test -e /srv/c")?;
    bed.converges(&at("main", false))?;
    bed.shell("mv /srv/o /srv/elsewhere")?;
    let rows = bed.pass("converge", &at("main", false))?;
    stands(&rows, "git /srv/c", Standing::Failed, "/srv/o")?;
    bed.shell("rm -rf /srv/c; mkdir /srv/c; touch /srv/c/mine")?;
    let rows = bed.pass("converge", &at("main", false))?;
    stands(&rows, "git /srv/c", Standing::Failed, "no checkout")
}

fn archives(bed: &Bed) -> Told {
    bed.shell(
        "rm -rf /srv/bad /srv/out; mkdir -p /srv/bad /srv/e; cd /srv/e; echo evil > f
         tar cPf /srv/bad/climbs.tar --transform 's,^f,../../evil,' f
         tar cPf /srv/bad/absolute.tar --transform 's,^f,/evil,' f
         ln -s /etc d; tar cf /srv/bad/link.tar d; rm d; mkdir d; cp f d/evil; tar rf /srv/bad/link.tar d/evil; rm -r d
         mkfifo p; tar cf /srv/bad/pipe.tar p; rm p
         tar czf /srv/bad/cut.tgz f; truncate -s 60 /srv/bad/cut.tgz; printf PK > /srv/bad/other.zip",
    )?;
    let of = |name: &str| json!([{"archive": {"path": format!("/srv/bad/{name}"), "to": "/srv/out"}}]);
    for (name, says) in [
        ("climbs.tar", "lies outside"),
        ("absolute.tar", "lies outside"),
        ("pipe.tar", "neither file, directory nor link"),
        ("cut.tgz", ""),
        ("other.zip", "zip"),
        ("none.tar", "does not exist"),
    ] {
        let rows = bed.pass("converge", &of(name))?;
        stands(&rows, "archive /srv/out", Standing::Failed, says)?;
        bed.shell("! test -e /srv/out/f; ! test -e /evil; ! test -e /srv/evil")?;
    }
    // An older one than the last is unpacked again.
    bed.shell("cd /srv/e; echo 1 > f; tar cf /srv/bad/v1.tar f; echo 2 > f; tar cf /srv/bad/v2.tar f")?;
    for version in ["1", "2", "1"] {
        bed.converges(&of(&format!("v{version}.tar")))?;
        bed.shell(&format!("grep -qx {version} /srv/out/f"))?;
        bed.is_right(&of(&format!("v{version}.tar")))?;
    }
    bed.shell("rm -r /srv/out")?;
    // A link of the archive's own leads nowhere else: what is named below it stays within.
    let _ = bed.pass("converge", &of("link.tar"))?;
    bed.shell("! test -e /etc/evil; rm -rf /srv/out /srv/bad /srv/e").map(|_| ())
}

fn accounts(bed: &Bed) -> Told {
    let rows = bed.pass("converge", &json!([
        {"user": {"name": "lost", "group": "no-such-group"}},
        {"file": {"path": "/srv/of-lost", "content": "x", "owner": "lost"}},
        {"authorized_key": {"user": "nobody-here", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk a"}},
        {"unit": {"name": "no-such-unit"}},
        {"group": {"name": "root", "state": "absent"}},
    ]))?;
    stands(&rows, "user lost", Standing::Failed, "no-such-group")?;
    stands(&rows, "file /srv/of-lost", Standing::Blocked, "user lost")?;
    stands(&rows, "authorized_key nobody-here PSF5p9gUYk", Standing::Failed, "no such user")
        .or_else(|_| stands(&rows, &rows[2].label, Standing::Failed, "no such user"))?;
    stands(&rows, "unit no-such-unit", Standing::Failed, "nobody knows")?;
    stands(&rows, "group root", Standing::Failed, "user root")?;
    // Who owns a home can lead nobody out of it.
    bed.shell("id eve > /dev/null 2>&1 || useradd -m eve; rm -rf /home/eve/.ssh /srv/target; mkdir /srv/target; ln -s /srv/target /home/eve/.ssh")?;
    let rows = bed.pass("converge", &json!([{"authorized_key": {"user": "eve", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk a"}}]))?;
    stands(&rows, &rows[0].label, Standing::Failed, "no directory")?;
    // What cannot be read whole is not written again.
    bed.shell("rm /home/eve/.ssh; mkdir -m 700 /home/eve/.ssh; printf '# caf\\351\\n' > /home/eve/.ssh/authorized_keys; chown -R eve: /home/eve/.ssh")?;
    let rows = bed.pass("converge", &json!([{"authorized_key": {"user": "eve", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk a"}}]))?;
    stands(&rows, &rows[0].label, Standing::Failed, "no text in UTF-8")?;
    // What holds an environment is for nobody else to read, also later.
    let cron =
        json!([{"cron": {"name": "own", "schedule": "@daily", "command": ["true"], "env": {"TOKEN": "x"}}}]);
    bed.converges(&cron)?;
    bed.shell("stat -c %a /etc/cron.d/own | grep -qx 600; chmod 644 /etc/cron.d/own")?;
    bed.converges(&cron)?;
    bed.shell("stat -c %a /etc/cron.d/own | grep -qx 600; rm /etc/cron.d/own")?;
    bed.shell("test -z \"$(ls -A /srv/target)\"; userdel -r eve 2> /dev/null || :; rm -rf /srv/target")
        .map(|_| ())
}

fn mounts(bed: &Bed) -> Told {
    bed.shell("rm -rf /srv/m; mkdir /srv/m; echo kept > /srv/m/file; cp /etc/fstab /run/fstab")?;
    let of = json!([{"mount": {"at": "/srv/m", "device": "/dev/no-such-disk", "type": "ext4"}}]);
    let rows = bed.pass("converge", &of)?;
    stands(&rows, "mount /srv/m", Standing::Failed, "mount")?;
    // Of what cannot be mounted no entry stays, which would keep the system from starting.
    bed.shell("grep -qx kept /srv/m/file; cmp /run/fstab /etc/fstab; rm /srv/m/file")?;
    let rows = bed.pass("converge", &of)?;
    stands(&rows, "mount /srv/m", Standing::Failed, "mount")?;
    bed.shell("cmp /run/fstab /etc/fstab; mount -t tmpfs none /srv/m")?;
    let rows = bed.pass("converge", &of)?;
    stands(&rows, "mount /srv/m", Standing::Failed, "is mounted there")?;
    bed.shell("umount /srv/m; cmp /run/fstab /etc/fstab; rm -r /srv/m")?;
    // A path with a link in it is the path that the kernel knows: it is mounted once.
    bed.shell("rm -rf /srv/real /srv/link; mkdir /srv/real; ln -s real /srv/link")?;
    let linked = |state: &str| json!([{"mount": {"at": "/srv/link/m", "device": "scratch", "type": "tmpfs", "state": state}}]);
    bed.converges(&linked("present"))?;
    bed.is_right(&linked("present"))?;
    bed.shell("grep -c ' /srv/real/m ' /proc/self/mountinfo | grep -qx 1")?;
    bed.converges(&linked("absent"))?;
    bed.shell(
        "! grep ' /srv/real/m ' /proc/self/mountinfo; cmp /run/fstab /etc/fstab; rm -r /srv/real /srv/link",
    )?;
    // What cannot be read whole is not written again.
    bed.shell("printf '# caf\\351\\n' >> /etc/fstab; cp /etc/fstab /run/latin")?;
    let rows = bed.pass("converge", &linked("present"))?;
    stands(&rows, "mount /srv/link/m", Standing::Failed, "no text in UTF-8")?;
    bed.shell("cmp /run/latin /etc/fstab; cp /run/fstab /etc/fstab").map(|_| ())
}

/// What is known of packages of rpm, and of paths that somebody named. Debian's rpm keeps its list in a home; it is
/// shown where other systems have it.
fn facts(bed: &Bed) -> Told {
    bed.shell(RPMS)?;
    bed.shell("mkdir -p /etc/ideal; printf 'up: /srv/up\\n' > /etc/ideal/assets; mkdir -p /srv/up; echo 12345 > /srv/up/file
               rpm -i --nodeps /srv/rpms/noarch/one-2.0-1.noarch.rpm; mv /var/lib/rpm /var/lib/rpm-away 2> /dev/null || :
               ln -s ~/.rpmdb /var/lib/rpm; mv /var/lib/dpkg/status /var/lib/dpkg/away")?;
    let said = bed.shell("ideal facts --here -o json");
    bed.shell("mv /var/lib/dpkg/away /var/lib/dpkg/status; rm /var/lib/rpm; mv /var/lib/rpm-away /var/lib/rpm 2> /dev/null || :; rpm -e one; rm -r /etc/ideal/assets /srv/up")?;
    let said = said?;
    let facts: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let text = facts.to_string();
    for wanted in ["\"one\":\"2.0-1\"", "\"path\":\"/srv/up\",\"size\":6"] {
        if !text.contains(wanted) {
            return Err(format!("{wanted} is not in {}", text.chars().take(3000).collect::<String>()));
        }
    }
    Ok(())
}

/// As whom programs run: with that user's groups, and at that user's home.
fn users(bed: &Bed) -> Told {
    bed.shell(
        "userdel -r runner 2> /dev/null || :; useradd -m runner; groupadd -f extra; usermod -aG extra runner",
    )?;
    let said = |user: &str, expected: &str| {
        let text = "id -un; id -Gn | tr ' ' '\\n' | sort; echo $HOME $USER $LOGNAME";
        let rows = bed.pass("converge", &json!([{"command": {"shell": format!("{{ {text}; }} > /tmp/ran-$$; mv /tmp/ran-$$ /tmp/ran"), "unless": ["false"], "user": user}}]))?;
        if !rows.iter().all(|row| row.standing.is_good()) {
            return Err(format!("{rows:?}"));
        }
        let ran = bed.shell("cat /tmp/ran; rm /tmp/ran")?;
        if ran == expected { Ok(()) } else { Err(format!("as {user} it was {ran:?}")) }
    };
    said("runner", "runner\nextra\nrunner\n/home/runner runner runner\n")?;
    bed.shell("usermod -G '' runner")?;
    said("runner", "runner\nrunner\n/home/runner runner runner\n")?;
    // The group of that number is somebody's, and the number is no account.
    bed.shell("groupadd -f -g 4711 others")?;
    let rows =
        bed.pass("converge", &json!([{"command": {"run": ["id"], "unless": ["false"], "user": "4711"}}]))?;
    stands(&rows, &rows[0].label, Standing::Failed, "group `others`")?;
    bed.shell("userdel -r runner 2> /dev/null; groupdel extra; groupdel others").map(|_| ())
}

/// That a home is moved only where it is the user's own, and that nothing in it is lost sight of.
fn homes(bed: &Bed) -> Told {
    let at = |home: &str| json!([{"user": {"name": "mover", "home": home}}]);
    let says = |home: &str| format!("getent passwd mover | grep -q ':{home}:'");
    bed.shell("userdel mover 2> /dev/null || :; rm -rf /srv/h; mkdir /srv/h")?;
    bed.converges(&at("/srv/h/one"))?;
    bed.shell("echo mine > /srv/h/one/file; chown mover: /srv/h/one/file")?;
    bed.converges(&at("/srv/h/two"))?;
    bed.is_right(&at("/srv/h/two"))?;
    bed.shell(&format!("{}; grep -qx mine /srv/h/two/file; ! test -e /srv/h/one", says("/srv/h/two")))?;
    // Power fails at each step; whichever home is wanted after that, what was in it is there.
    for point in ["home-noted#1", "home-moved#1"] {
        for wanted in ["/srv/h/three", "/srv/h/two"] {
            bed.dies_at(&at("/srv/h/three"), point)?;
            bed.converges(&at(wanted))?;
            bed.is_right(&at(wanted))?;
            bed.shell(&format!(
                "{}; grep -qx mine {wanted}/file; test \"$(ls -d /srv/h/*)\" = {wanted}",
                says(wanted)
            ))?;
            bed.converges(&at("/srv/h/two"))?;
        }
    }
    // Where the account cannot be changed, its home stays.
    let other = json!([{"user": {"name": "mover", "home": "/srv/h/three", "group": "no-such-group"}}]);
    let rows = bed.pass("converge", &other)?;
    stands(&rows, "user mover", Standing::Failed, "no-such-group")?;
    bed.shell("grep -qx mine /srv/h/two/file; ! test -e /srv/h/three")?;
    // What is not the user's own, or another's too, is not moved.
    bed.shell("useradd --no-create-home --home-dir /srv/h/two other")?;
    bed.converges(&at("/srv/h/three"))?;
    bed.shell("grep -qx mine /srv/h/two/file; test -d /srv/h/three; userdel other; chown root /srv/h/three; echo theirs > /srv/h/three/file")?;
    bed.converges(&at("/srv/h/four"))?;
    bed.shell("grep -qx theirs /srv/h/three/file; test -d /srv/h/four; ! test -e /srv/h/four/file")?;
    bed.shell("userdel mover; rm -r /srv/h").map(|_| ())
}

/// That what is mounted in a directory outlives the directory's end: nothing of either is removed.
fn trees(bed: &Bed) -> Told {
    bed.shell("rm -rf /srv/t /srv/precious; mkdir -p /srv/t/a/b /srv/t/z /srv/precious; echo kept > /srv/precious/file; echo kept > /srv/t/a/file")?;
    let gone = json!([{"directory": {"path": "/srv/t", "state": "absent", "with_content": true}}]);
    for (mount, says) in [
        ("mount -t tmpfs none /srv/t; echo kept > /srv/t/file", "a filesystem is mounted there"),
        ("mount --bind /srv/precious /srv/t", "a filesystem is mounted there"),
        ("mount --bind /srv/precious /srv/t/z", "something is mounted at t/z"),
        ("mount -t tmpfs none /srv/t/a/b; echo kept > /srv/t/a/b/file", "something is mounted at t/a/b"),
        ("mount --bind /srv/precious/file /srv/t/a/file", "something is mounted at t/a/file"),
    ] {
        bed.shell(mount)?;
        let walk = "find /srv/t /srv/precious | sort";
        let before = bed.shell(walk)?;
        let rows = bed.pass("converge", &gone)?;
        stands(&rows, "directory /srv/t", Standing::Failed, says)?;
        if bed.shell(walk)? != before {
            return Err(format!("after `{mount}` something was removed"));
        }
        bed.shell("umount $(awk '$5 ~ \"^/srv/t\" {print $5}' /proc/self/mountinfo)")?;
    }
    bed.converges(&gone)?;
    bed.shell("! test -e /srv/t; grep -qx kept /srv/precious/file; rm -r /srv/precious").map(|_| ())
}

/// That who is to be told of a change is told, also when power failed between the two.
fn told_of_changes(bed: &Bed) -> Told {
    let wanted = |text: &str| {
        json!([
            {"file": {"path": "/srv/conf", "content": text}, "notifies": ["unit told"]},
            {"unit": {"name": "told", "command": ["/bin/sleep", "2000000"]}},
        ])
    };
    let pid = "pgrep -fx '/bin/sleep 2000000'";
    bed.converges(&wanted("a"))?;
    let first = bed.shell(pid)?;
    bed.is_right(&wanted("a"))?;
    if bed.shell(pid)? != first {
        return Err("it was restarted for nothing".to_owned());
    }
    bed.converges(&wanted("b"))?;
    let second = bed.shell(pid)?;
    if second == first {
        return Err("it was not restarted".to_owned());
    }
    // The file is changed, and then power fails.
    bed.dies_at(&wanted("c"), "file-live#1")?;
    if bed.shell(pid)? != second {
        return Err("it was restarted too early".to_owned());
    }
    bed.converges(&wanted("c"))?;
    if bed.shell(pid)? == second {
        return Err("what was owed before the crash was forgotten".to_owned());
    }
    bed.converges(
        &json!([{"unit": {"name": "told", "command": ["/bin/sleep", "2000000"], "state": "absent"}}]),
    )
    .map(|_| ())
}

/// What went otherwise.
pub(crate) fn all_are_told(bed: &Bed, only: &str) -> Vec<String> {
    type Story = fn(&Bed) -> Told;
    let all: [(&str, Story); 11] = [
        ("drift", crate::drift::is_noticed),
        ("failing packages", packages),
        ("failing checkouts", checkouts),
        ("failing archives", archives),
        ("failing accounts", accounts),
        ("failing mounts", mounts),
        ("failing trees", trees),
        ("homes", homes),
        ("facts", facts),
        ("users of programs", users),
        ("notified units", told_of_changes),
    ];
    // With systemd no unit is of our own supervision.
    let all = if bed.system == System::Plain { &all[..] } else { &all[..10] };
    let mut failed = Vec::new();
    for (name, does) in all.iter().filter(|(name, _)| name.contains(only)) {
        let begun = std::time::Instant::now();
        match does(bed) {
            Ok(()) => eprintln!("{:?}: {name}: as it should be, {:?}", bed.system, begun.elapsed()),
            Err(error) => failed.push(format!("{:?}, {name}: {error}", bed.system)),
        }
    }
    failed
}
