//! The cases: of each kind, what is declared and how one sees without us that it is so.

use serde_json::{Value, json};

use crate::bed::System;
use crate::story::Case;

/// Packages of our own, in a folder that is a repository: small, and with a second version each. Debian's own are set
/// aside, so that no index comes over the network each time.
pub(crate) const REPOSITORY: &str = r#"
    [ -e /root/sources ] || {
        mkdir /root/sources
        for at in /etc/apt/sources.list /etc/apt/sources.list.d/*; do [ ! -e "$at" ] || mv "$at" /root/sources/; done
    }
    [ -e /srv/repo/Packages ] || {
        mkdir -p /srv/repo
        pack() {
            dir=$(mktemp -d); mkdir -p "$dir/DEBIAN" "$dir/usr/share/$1"; echo "$2" > "$dir/usr/share/$1/version"
            printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A Test <test@example.org>\nDescription: a test\n%s' \
                "$1" "$2" "$3" > "$dir/DEBIAN/control"
            [ -z "$4" ] || { printf '#!/bin/sh\n%s\n' "$4" > "$dir/DEBIAN/postinst"; chmod 755 "$dir/DEBIAN/postinst"; }
            chmod 755 "$dir"; dpkg-deb --root-owner-group -b "$dir" "/srv/repo/$1_$2.deb" > /dev/null; rm -r "$dir"
        }
        pack alpha 1.0 '' ''; pack alpha 2.0 '' ''; pack beta 1.0 'Depends: alpha
' ''; pack gamma 1.0 '' ''; pack broken 1.0 '' 'exit 1'
        pack dies 1.0 '' '[ -e /var/lib/dies-once ] || { touch /var/lib/dies-once; kill -KILL $PPID; }'
        for deb in /srv/repo/*.deb; do
            dpkg-deb -f "$deb"
            printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat -c %s "$deb")" "$(sha256sum < "$deb" | cut -d' ' -f1)"
        done > /srv/repo/Packages
    }
"#;

pub(crate) fn repo(state: &str) -> Value {
    json!({"repo": {
        "name": "own", "uris": ["file:/srv/repo"], "suites": ["./"], "unsigned": true, "manager": "apt", "state": state,
    }})
}

pub(crate) fn all(system: System) -> Vec<Case> {
    // What has nothing to do with process 1 dies in one system only.
    let common = system == System::Plain;
    let mut cases = vec![
        Case {
            name: "packages and their repository",
            before: REPOSITORY,
            wanted: json!([
                repo("present"),
                {"package": {"name": "alpha", "version": "1.*"}},
                {"package": {"name": "beta"}},
                {"package": {"name": "gamma", "state": "held"}},
            ]),
            right: "grep -qx 1.0 /usr/share/alpha/version; test -e /usr/share/beta/version; apt-mark showhold | grep -qx gamma",
            spoil: "apt-get install -qq -y alpha=2.0 > /dev/null; apt-mark unhold gamma > /dev/null",
            gone: json!([
                {"package": {"name": "alpha", "state": "absent"}},
                {"package": {"name": "beta", "state": "absent"}},
                {"package": {"name": "gamma", "state": "absent"}},
                repo("absent"),
            ]),
            away: "! test -e /usr/share/alpha; ! test -e /usr/share/beta; ! test -e /etc/apt/sources.list.d/own.sources",
            dies: common,
        },
        Case {
            name: "a user, a group and a key",
            before: "",
            wanted: json!([
                {"group": {"name": "deployers", "gid": 2345}},
                {"user": {"name": "deploy", "uid": 2346, "groups": ["deployers", "adm"], "shell": "/bin/bash",
                          "password": "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."}},
                {"authorized_key": {"user": "deploy",
                    "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk ann@desk"}},
            ]),
            right: "test \"$(id -u deploy) $(id -Gn deploy)\" = '2346 deploy adm deployers';
                    test \"$(getent passwd deploy | cut -d: -f7)\" = /bin/bash; getent shadow deploy | grep -q 'salt.IxDD';
                    test \"$(stat -c '%U %a' /home/deploy/.ssh /home/deploy/.ssh/authorized_keys)\" = \"$(printf 'deploy 700\\ndeploy 600')\";
                    grep -c AAAAC3 /home/deploy/.ssh/authorized_keys | grep -qx 1; getent group deployers | grep -q :2345:",
            spoil: "gpasswd -d deploy adm > /dev/null; usermod -s /bin/sh -p '*' deploy; chmod 777 /home/deploy/.ssh; rm /home/deploy/.ssh/authorized_keys",
            gone: json!([
                {"user": {"name": "deploy", "state": "absent"}},
                {"group": {"name": "deployers", "state": "absent"}},
                {"directory": {"path": "/home/deploy", "state": "absent", "with_content": true}},
            ]),
            away: "! id deploy 2> /dev/null; ! getent group deployers; ! test -e /home/deploy",
            dies: common,
        },
        Case {
            name: "a home that is missing",
            before: "id ann > /dev/null 2>&1 || useradd -M -s /bin/sh ann; rm -rf /home/ann",
            wanted: json!([{"user": {"name": "ann"}}]),
            right: "test \"$(stat -c '%U %a' /home/ann)\" = 'ann 700'; test \"$(stat -c %U /home/ann/.profile)\" = ann; ! test -e /home/ann.ideal-new",
            spoil: "rm -rf /home/ann",
            gone: json!([{"user": {"name": "ann", "state": "absent"}}, {"directory": {"path": "/home/ann", "state": "absent", "with_content": true}}]),
            away: "! id ann 2> /dev/null",
            dies: common,
        },
        Case {
            name: "a line of cron",
            before: "",
            wanted: json!([{"cron": {"name": "tidy", "schedule": "15 4 * * mon-fri", "command": ["find", "/tmp", "-mtime", "+30", "-name", "*%*"], "env": {"MAILTO": "a@b"}}}]),
            right: "grep -qxF \"15 4 * * mon-fri root find /tmp -mtime +30 -name '*\\%*'\" /etc/cron.d/tidy; grep -qx 'MAILTO=\"a@b\"' /etc/cron.d/tidy",
            spoil: "chmod 666 /etc/cron.d/tidy; echo x >> /etc/cron.d/tidy",
            gone: json!([{"cron": {"name": "tidy", "state": "absent"}}]),
            away: "! test -e /etc/cron.d/tidy",
            dies: common,
        },
        Case {
            name: "a checkout",
            before: "[ -d /srv/origin ] || {
                         git init -q -b main /srv/origin; cd /srv/origin; git config user.email a@b; git config user.name a
                         echo one > file; git add file; git commit -qm one; git tag v1; echo two > file; git commit -qam two; }
                     id web > /dev/null 2>&1 || useradd -m web; git config --system safe.directory '*'",
            wanted: json!([{"git": {"repo": "/srv/origin", "at": "/srv/site", "user": "web"}}]),
            right: "test \"$(cat /srv/site/file)\" = two; test \"$(stat -c %U /srv/site /srv/site/file /srv/site/.git | sort -u)\" = web; ! test -e /srv/.site.ideal-new; ! test -e /srv/site/.git/ideal-moving",
            spoil: "cd /srv/site; su web -c 'git checkout -q v1'; su web -c 'git remote set-url origin /nowhere'",
            gone: json!([{"git": {"repo": "/srv/origin", "at": "/srv/site", "user": "web", "state": "absent"}}]),
            away: "! test -e /srv/site",
            dies: common,
        },
        Case {
            name: "an archive",
            before: "mkdir -p /srv/a/site/css; echo body > /srv/a/site/css/x.css; ln -sf css/x.css /srv/a/site/link; chmod 750 /srv/a/site/css; tar czf /srv/site.tgz --mtime=2020-01-01 -C /srv/a site; rm -r /srv/a",
            wanted: json!([{"archive": {"path": "/srv/site.tgz", "to": "/srv/www", "strip": 1, "creates": "/srv/www/css/x.css", "owner": "www-data"}}]),
            right: "test \"$(cat /srv/www/link)\" = body; test \"$(stat -c '%U %a' /srv/www/css)\" = 'www-data 750'",
            spoil: "rm -r /srv/www/css",
            gone: json!([{"directory": {"path": "/srv/www", "state": "absent", "with_content": true}}, {"file": {"path": "/srv/site.tgz", "state": "absent"}}]),
            away: "! test -e /srv/www",
            dies: common,
        },
        Case {
            name: "a mount over what was there",
            before: "for i in $(seq 0 40); do [ -e /dev/loop$i ] || mknod /dev/loop$i b 7 $i; done
                     [ -e /run/test-disk ] || truncate -s 16M /run/test-disk
                     [ -e /run/test-disk.loop ] || losetup -f --show /run/test-disk > /run/test-disk.loop; mkfs.ext4 -q -F $(cat /run/test-disk.loop)
                     rm -rf /srv/data /srv/data.ideal-old*; mkdir -p /srv/data; echo kept > /srv/data/file; chmod 751 /srv/data
                     ln -sfn \"$(cat /run/test-disk.loop)\" /dev/ideal-test",
            wanted: json!([{"mount": {"at": "/srv/data", "device": "/dev/ideal-test", "type": "ext4", "options": ["noatime"]}}]),
            right: "mountpoint -q /srv/data; test \"$(cat /srv/data/file)\" = kept; test \"$(cat /srv/data.ideal-old/file)\" = kept; grep -c /srv/data /etc/fstab | grep -qx 1; ! ls -d /run/ideal/carry-* 2> /dev/null",
            spoil: "umount /srv/data; sed -i d /etc/fstab",
            gone: json!([{"mount": {"at": "/srv/data", "state": "absent"}}]),
            away: "! mountpoint -q /srv/data; ! grep -q /srv/data /etc/fstab",
            dies: common,
        },
    ];
    cases.push(Case {
        name: "a unit of the system",
        before: match system {
            System::Systemd => "systemctl disable --now -q cron",
            System::Plain => "update-rc.d cron disable > /dev/null; /etc/init.d/cron stop > /dev/null",
        },
        wanted: json!([{"unit": {"name": "cron"}}]),
        right: match system {
            System::Systemd => "systemctl is-active -q cron; systemctl is-enabled -q cron",
            System::Plain => "/etc/init.d/cron status; ls /etc/rc3.d/S*cron",
        },
        spoil: match system {
            System::Systemd => "systemctl kill -s KILL cron; systemctl stop cron; systemctl disable -q cron; systemctl mask -q cron",
            System::Plain => "/etc/init.d/cron stop; update-rc.d cron disable",
        },
        gone: json!([{"unit": {"name": "cron", "state": "absent"}}]),
        away: match system {
            System::Systemd => "! systemctl is-active -q cron; ! systemctl is-enabled -q cron",
            System::Plain => "! /etc/init.d/cron status; ! ls /etc/rc3.d/S*cron",
        },
        dies: true,
    });
    cases.push(match system {
        System::Systemd => Case {
            name: "a unit of our own making, changed while it is stopped",
            before: "",
            wanted: json!([
                {"file": {"path": "/etc/systemd/system/own.service", "content":
                    "[Service]\nExecStart=/bin/sleep 1000000\n[Install]\nWantedBy=multi-user.target\n"}, "notifies": ["unit own"]},
                {"file": {"path": "/etc/own.conf", "content": "x\n"}},
                {"unit": {"name": "own", "while_stopped": ["file /etc/own.conf"]}},
            ]),
            right: "systemctl is-active -q own; systemctl is-enabled -q own; test \"$(systemctl show -P NeedDaemonReload own)\" = no; grep -qx x /etc/own.conf",
            spoil: "systemctl show -P MainPID own > /run/own.before; echo y > /etc/own.conf; sed -i s/1000000/1000001/ /etc/systemd/system/own.service",
            gone: json!([
                {"unit": {"name": "own", "state": "absent"}},
                {"file": {"path": "/etc/systemd/system/own.service", "state": "absent"}},
                {"file": {"path": "/etc/own.conf", "state": "absent"}},
            ]),
            away: "systemctl daemon-reload; ! systemctl is-active -q own; ! test -e /etc/systemd/system/multi-user.target.wants/own.service",
            dies: true,
        },
        System::Plain => Case {
            name: "a unit under our own supervision",
            before: "",
            wanted: json!([
                {"file": {"path": "/etc/own.conf", "content": "x\n"}},
                {"unit": {"name": "own", "command": ["/bin/sleep", "1000000"], "while_stopped": ["file /etc/own.conf"]}},
            ]),
            right: "test \"$(pgrep -fxc '/bin/sleep 1000000')\" = 1; grep -qx x /etc/own.conf",
            spoil: "pkill -KILL -fx '/bin/sleep 1000000'; echo y > /etc/own.conf",
            gone: json!([
                {"unit": {"name": "own", "state": "absent", "command": ["/bin/sleep", "1000000"]}},
                {"file": {"path": "/etc/own.conf", "state": "absent"}},
            ]),
            away: "! pgrep -fx '/bin/sleep 1000000'; ! test -e /run/ideal/units/own",
            dies: true,
        },
    });
    if system == System::Systemd {
        cases.extend(of_other_managers());
    }
    cases
}

/// Makes a repository of rpm with two versions of a package.
pub(crate) const RPMS: &str = r#"
                [ -e /srv/rpms/repodata ] || {
                    mkdir -p /srv/rpms; cd /srv/rpms
                    for version in 1.0 2.0; do
                        printf 'Name: one\nVersion: %s\nRelease: 1\nSummary: a test\nLicense: none\nBuildArch: noarch\n%%description\na test\n%%install\nmkdir -p %%{buildroot}/usr/share/one\necho %s > %%{buildroot}/usr/share/one/version\n%%files\n/usr/share/one\n' \
                            $version $version > one.spec
                        rpmbuild --quiet -bb --define '_rpmdir /srv/rpms' one.spec > /dev/null 2>&1
                    done
                    createrepo_c -q . > /dev/null
                }"#;

/// Package managers that are not Debian's own, each with a repository that is made here: dnf and rpm as Debian has
/// them, pip and gem.
fn of_other_managers() -> Vec<Case> {
    vec![
        Case {
            name: "packages of dnf, as Debian has it",
            before: RPMS,
            wanted: json!([
                {"repo": {"name": "rpms", "uris": ["file:///srv/rpms"], "unsigned": true, "manager": "dnf"}},
                {"package": {"name": "one", "version": "1.0-1", "manager": "dnf"}},
            ]),
            right: "grep -qx 1.0 /usr/share/one/version; rpm -q one | grep -q one-1.0-1",
            spoil: "dnf -q -y install one-2.0-1 > /dev/null 2>&1; grep -qx 2.0 /usr/share/one/version",
            gone: json!([
                {"package": {"name": "one", "state": "absent", "manager": "dnf"}},
                {"repo": {"name": "rpms", "manager": "dnf", "state": "absent"}},
            ]),
            away: "! test -e /usr/share/one; ! test -e /etc/yum.repos.d/rpms.repo",
            dies: true,
        },
        Case {
            name: "the newest of dnf",
            before: RPMS,
            wanted: json!([
                {"repo": {"name": "rpms", "uris": ["file:///srv/rpms"], "unsigned": true, "manager": "dnf"}},
                {"package": {"name": "one", "state": "latest", "manager": "dnf"}},
            ]),
            right: "grep -qx 2.0 /usr/share/one/version",
            spoil: "dnf -q -y downgrade one-1.0-1 > /dev/null 2>&1; rm -rf /var/cache/dnf; grep -qx 1.0 /usr/share/one/version",
            gone: json!([
                {"package": {"name": "one", "state": "absent", "manager": "dnf"}},
                {"repo": {"name": "rpms", "manager": "dnf", "state": "absent"}},
            ]),
            away: "! test -e /usr/share/one",
            // It dies where the one before does.
            dies: false,
        },
        Case {
            name: "packages of pip",
            before: r#"
                [ -e /srv/wheels ] || {
                    mkdir -p /srv/wheels
                    python3 -c '
import zipfile
for version in ("1.0", "2.0"):
    info = f"one_test-{version}.dist-info/"
    with zipfile.ZipFile(f"/srv/wheels/one_test-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("one_test.py", f"version = \"{version}\"")
        wheel.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: one-test\nVersion: {version}\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")'
                    printf '[global]\nno-index = true\nfind-links = /srv/wheels\n' > /etc/pip.conf
                }"#,
            wanted: json!([{"package": {"name": "One.Test", "version": "1.*", "manager": "pip"}}]),
            right: "python3 -c 'import one_test; assert one_test.version == \"1.0\"'",
            spoil: "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install -q --root-user-action=ignore one-test==2.0",
            gone: json!([{"package": {"name": "One.Test", "state": "absent", "manager": "pip"}}]),
            away: "! python3 -c 'import one_test' 2> /dev/null",
            // Its programs take seconds, and it dies where dnf does.
            dies: false,
        },
        Case {
            name: "packages of gem",
            before: r#"
                [ -e /srv/gems/specs.4.8 ] || {
                    mkdir -p /srv/gems/gems; cd /srv/gems
                    for version in 1.0 2.0; do
                        printf 'Gem::Specification.new { |s| s.name = "one_test"; s.version = "%s"; s.summary = "a test"; s.authors = ["a"]; s.files = [] }' $version > one.gemspec
                        gem build -q -o gems/one_test-$version.gem one.gemspec > /dev/null 2>&1
                    done
                    gem generate_index -q -d . > /dev/null 2>&1
                    printf ':sources:\n- file:///srv/gems/\n' > /etc/gemrc
                }"#,
            wanted: json!([{"package": {"name": "one_test", "version": "1.0", "manager": "gem"}}]),
            right: "gem list --local | grep -q '^one_test (.*1.0)'",
            spoil: "gem uninstall -a -x -I one_test > /dev/null",
            gone: json!([{"package": {"name": "one_test", "state": "absent", "manager": "gem"}}]),
            away: "! gem list --local | grep -q '^one_test '",
            // Its programs take seconds, and it dies where dnf does.
            dies: false,
        },
    ]
}
