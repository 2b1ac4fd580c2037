//! Inheritance and every check, as tables of small documents.

use serde_json::{Value, json};

use super::*;

const A: &str = "5f0c6f2e-0000-4000-8000-00000000000a";
const B: &str = "5f0c6f2e-0000-4000-8000-00000000000b";

fn resolved(document: Value) -> Resolved {
    resolve(&serde_json::from_value(document).unwrap())
}

/// One cloud `shop` with these fields beside its uuid.
fn shop(fields: Value) -> Value {
    let mut cloud = json!({"uuid": A});
    cloud.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"ideal": 1, "clouds": {"shop": cloud}})
}

fn service(fields: Value) -> Value {
    let mut service = json!({"on": "shop", "command": "./pub"});
    service.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"ideal": 1, "clouds": {"shop": {"uuid": A, "nodes": 2}}, "services": {"pub": service}})
}

fn slugs(document: Value) -> Vec<(String, String)> {
    resolved(document).diagnostics.iter().map(|d| (d.slug.clone(), d.path.to_string())).collect()
}

#[test]
fn what_is_inherited() {
    let motd = json!({"file": {"path": "/etc/motd", "content": "hello"}});
    let all = resolved(json!({
        "ideal": 1,
        "providers": {"here": "local", "fake": "sim"},
        "clouds": {"shop": {
            "uuid": A, "provider": "fake", "image": "debian", "tags": ["x", "y"], "protect": true,
            "hooks": {"launched": {"run": "./up"}, "haltable": {"run": "./stop"}},
            "resources": [motd],
            "clouds": {"db": {
                "uuid": B, "provider": "here", "nodes": 1, "tags": ["y", "z"], "protect": false,
                "hooks": {"launched": {"run": "./db-up"}},
                "resources": [motd, {"directory": {"path": "/srv"}}],
            }},
        }},
    }));
    assert_eq!(all.diagnostics, []);
    let [shop, db] = &all.ideal.clouds[..] else { panic!() };
    assert_eq!((shop.provider.as_str(), db.provider.as_str()), ("fake", "here"));
    assert_eq!((shop.protect, db.protect), (true, false));
    assert_eq!(db.image, "debian");
    assert_eq!(db.tags.iter().map(Name::as_str).collect::<Vec<_>>(), ["x", "y", "z"]);
    assert_eq!(
        db.resources.iter().map(|r| r.label()).collect::<Vec<_>>(),
        ["file /etc/motd", "directory /srv"]
    );
    assert_eq!(db.hooks.launched.as_ref().unwrap().run.0, ["./db-up"]);
    assert_eq!(db.hooks.haltable.as_ref().unwrap().run.0, ["./stop"]);
    let from = &all.origins[1];
    assert_eq!((from.provider, from.image, from.size, from.protect), (Some(1), Some(0), None, Some(1)));
    assert_eq!(from.hooks, [Some(1), None, Some(0)]);
    assert_eq!(from.resources, [(0, 0), (1, 1)]);
    assert_eq!(from.tags, [(0, 0), (0, 1), (1, 1)]);
    assert_eq!(place_of(&db.path, 0).to_string(), "clouds.shop");
    assert_eq!(place_of(&db.path, 1).to_string(), "clouds.shop.clouds.db");
}

#[test]
fn which_provider_and_how_many_replicas() {
    let none = resolved(service(json!({})));
    assert_eq!(none.diagnostics, []);
    assert_eq!(none.ideal.clouds[0].provider.as_str(), "here");
    assert_eq!(none.ideal.providers.len(), 1);
    assert_eq!(none.ideal.services[0].replicas, 2);
    let mut one = service(json!({"replicas": 5}));
    one["providers"] = json!({"fake": "sim"});
    let one = resolved(one);
    assert_eq!(one.ideal.clouds[0].provider.as_str(), "fake");
    assert_eq!(one.ideal.services[0].replicas, 5);
}

#[test]
fn every_check_finds_its_fault() {
    let mount = |at: &str| shop(json!({"mounts": {"data": {"size": "1GiB", "at": at}}}));
    let two_mounts = |a: &str, b: &str| {
        shop(json!({"mounts": {"a": {"size": "1GiB", "at": a}, "b": {"size": "1GiB", "at": b}}}))
    };
    let file = |path: &str| shop(json!({"resources": [{"file": {"path": path}}]}));
    let table = [
        (json!({"ideal": 2}), "ideal/version", "ideal"),
        (json!({"ideal": 1, "policy": {"attempts": 0}}), "ideal/bad-policy", "policy.attempts"),
        (json!({"ideal": 1, "policy": {"blast_percent": 101}}), "ideal/bad-policy", "policy.blast_percent"),
        (json!({"ideal": 1, "policy": {"concurrency": 1025}}), "ideal/bad-policy", "policy.concurrency"),
        (
            json!({"ideal": 1, "clouds": {"a": {"uuid": A}, "b": {"uuid": A}}}),
            "ideal/duplicate-uuid",
            "clouds.b.uuid",
        ),
        (shop(json!({"uuid": "00000000-0000-0000-0000-000000000000"})), "ideal/nil-uuid", "clouds.shop.uuid"),
        (shop(json!({"provider": "her"})), "ideal/unknown-provider", "clouds.shop.provider"),
        (
            json!({"ideal": 1, "providers": {"a": "sim", "b": "sim"}, "clouds": {"c": {"uuid": A, "nodes": 1}}}),
            "ideal/no-provider",
            "clouds.c",
        ),
        (
            json!({"ideal": 1, "providers": {"a": "docker"}, "clouds": {"c": {"uuid": A, "nodes": 1}}}),
            "ideal/no-image",
            "clouds.c",
        ),
        (shop(json!({"nodes": 100_001})), "ideal/too-many", "clouds.shop.nodes"),
        (shop(json!({"size": {"cpus": 0}})), "ideal/zero", "clouds.shop.size.cpus"),
        (shop(json!({"image": "-v"})), "ideal/unsafe-text", "clouds.shop.image"),
        (mount("data"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/etc"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/var/../etc"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/a//b"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/a/./b"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/a/"), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount(&format!("/{}", "a".repeat(5000))), "ideal/bad-mount-path", "clouds.shop.mounts.data.at"),
        (mount("/a\u{202e}b"), "ideal/unsafe-text", "clouds.shop.mounts.data.at"),
        (mount("/a\nb"), "ideal/unsafe-text", "clouds.shop.mounts.data.at"),
        (two_mounts("/a", "/a"), "ideal/mounts-overlap", "clouds.shop.mounts.b.at"),
        (two_mounts("/a", "/a/b/c"), "ideal/mounts-overlap", "clouds.shop.mounts.b.at"),
        (two_mounts("/a/b", "/a"), "ideal/mounts-overlap", "clouds.shop.mounts.b.at"),
        (
            shop(json!({"mounts": {"a": {"size": "1KiB", "at": "/a"}}})),
            "ideal/mount-too-small",
            "clouds.shop.mounts.a.size",
        ),
        (
            shop(json!({"nodes": 2, "mounts": {"a": {"size": "1GiB", "at": "/a", "from": {"volume": "v"}}}})),
            "ideal/from-needs-one-node",
            "clouds.shop.mounts.a.from",
        ),
        (
            shop(json!({"mounts": {"a": {"size": "1GiB", "at": "/a", "was": "a"}}})),
            "ideal/bad-was",
            "clouds.shop.mounts.a.was",
        ),
        (
            shop(
                json!({"mounts": {"a": {"size": "1GiB", "at": "/a"}, "b": {"size": "1GiB", "at": "/b", "was": "a"}}}),
            ),
            "ideal/bad-was",
            "clouds.shop.mounts.b.was",
        ),
        (
            shop(json!({"mounts": {
                "a": {"size": "1GiB", "at": "/a", "was": "x"}, "b": {"size": "1GiB", "at": "/b", "was": "x"},
            }})),
            "ideal/bad-was",
            "clouds.shop.mounts.b.was",
        ),
        (file("etc/motd"), "ideal/bad-path", "clouds.shop.resources[0].file.path"),
        (file("/{{ node.name }}/../x"), "ideal/bad-path", "clouds.shop.resources[0].file.path"),
        (
            shop(json!({"resources": [{"file": {"path": "/x", "mode": "0888"}}]})),
            "ideal/bad-mode",
            "clouds.shop.resources[0].file.mode",
        ),
        (
            shop(json!({"resources": [{"file": {"path": "/x"}}, {"directory": {"path": "/x"}}]})),
            "ideal/resources-disagree",
            "clouds.shop.resources[1].directory",
        ),
        (
            shop(json!({"resources": [{"command": {"run": ["a", "\u{1b}[2J"]}}]})),
            "ideal/unsafe-text",
            "clouds.shop.resources[0].command.run[1]",
        ),
        (
            shop(json!({"hooks": {"launched": {"run": "./up now"}}})),
            "ideal/write-a-list",
            "clouds.shop.hooks.launched.run",
        ),
        (
            shop(json!({"hooks": {"launched": {"run": ""}}})),
            "ideal/no-program",
            "clouds.shop.hooks.launched.run",
        ),
        (service(json!({"on": "shp"})), "ideal/unknown-cloud", "services.pub.on"),
        (service(json!({"health": {}})), "ideal/health-needs-one", "services.pub.health"),
        (
            service(json!({"health": {"tcp": "h:1", "command": "x"}})),
            "ideal/health-needs-one",
            "services.pub.health",
        ),
        (service(json!({"health": {"tcp": "5432"}})), "ideal/bad-health-target", "services.pub.health.tcp"),
        (
            service(json!({"health": {"http": "file:///etc/passwd"}})),
            "ideal/bad-health-target",
            "services.pub.health.http",
        ),
        (
            service(json!({"health": {"tcp": "h:1", "every": "0s"}})),
            "ideal/zero",
            "services.pub.health.every",
        ),
        (
            service(json!({"health": {"tcp": "h:1", "retries": 0}})),
            "ideal/zero",
            "services.pub.health.retries",
        ),
        (service(json!({"env": {"1X": ""}})), "ideal/bad-env-name", "services.pub.env.1X"),
        (service(json!({"replicas": 3, "ports": {"main": 80}})), "ideal/port-taken", "services.pub.replicas"),
        (service(json!({"ports": {"a": 80, "b": 80}})), "ideal/port-taken", "services.pub.ports.b"),
        (
            json!({"ideal": 1, "clouds": {"s": {"uuid": A}},
                "services": {"p": {"on": "s", "command": "x", "replicas": 1}}}),
            "ideal/no-nodes",
            "services.p.replicas",
        ),
    ];
    for (document, slug, path) in table {
        assert_eq!(slugs(document.clone()), [(slug.to_owned(), path.to_owned())], "{document}");
    }
}

#[test]
fn what_is_fine() {
    let table = [
        shop(json!({"mounts": {"a": {"size": "1MiB", "at": "/a"}, "b": {"size": "1MiB", "at": "/ab"}}})),
        shop(json!({"mounts": {"a": {"size": "1MiB", "at": "/var/lib/x", "was": "old"}}})),
        shop(json!({"resources": [{"file": {"path": "/etc/{{ node.name }}.conf"}}]})),
        shop(json!({"resources": [{"command": {"run": ["/bin/sh", "-c", "a\n\tb"]}}]})),
        service(json!({"replicas": 3, "ports": {"main": "auto"}})),
        service(json!({"health": {"http": "http://127.0.0.1:{{ port.main }}/"}, "ports": {"main": 80}})),
        service(json!({"health": {"tcp": "127.0.0.1:{{ port.main }}"}, "ports": {"main": 80}})),
    ];
    for document in table {
        assert_eq!(slugs(document.clone()), [], "{document}");
    }
}

#[test]
fn a_flood_of_inheritance_is_refused() {
    let tags: Vec<String> = (0..5000).map(|i| format!("t{i}")).collect();
    let clouds: serde_json::Map<String, Value> =
        (0..1000).map(|i| (format!("c{i}"), json!({"uuid": uuid::Uuid::from_u128(i + 1)}))).collect();
    let found = slugs(json!({"ideal": 1, "clouds": {"root": {"uuid": A, "tags": tags, "clouds": clouds}}}));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "ideal/too-large");
}

fn recipes() -> super::Recipes {
    let known = [
        (
            "nginx",
            json!({"recipe": 1, "options": {"port": {"type": "number", "default": 80}, "name": {"type": "text", "required": true}},
                "resources": [{"file": {"path": "/etc/nginx.conf", "template": "nginx.conf"}, "name": "config"}]}),
        ),
        (
            "app",
            json!({"recipe": 1, "options": {"name": {"type": "text", "default": "shop"}},
                "recipes": [{"nginx": {"name": "{{ option.name }}"}}, {"user": {"login": "app"}}],
                "resources": [{"file": {"path": "/etc/app"}, "after": ["config"]}]}),
        ),
        ("user", json!({"recipe": 1, "options": {"login": {"type": "text"}}, "resources": []})),
        ("round", json!({"recipe": 1, "recipes": ["round"]})),
    ];
    let recipe = |document: Value| crate::recipe::Recipe {
        document: serde_json::from_value(document).unwrap(),
        files: [("templates/nginx.conf".to_owned(), crate::recipe::FileRef::default())].into(),
        ..crate::recipe::Recipe::default()
    };
    let known = known.into_iter().map(|(name, document)| (Name::new(name).unwrap(), recipe(document)));
    super::Recipes {
        known: known.collect(),
        others: [Name::new("docker").unwrap()].into(),
        ..Default::default()
    }
}

#[test]
fn recipes_come_in_order_with_their_options() {
    let document = json!({"ideal": 1, "clouds": {"shop": {"uuid": A, "recipes": [{"user": {"login": "app"}}], "clouds": {
        "web": {"uuid": B, "recipes": ["app", {"app": {"name": "b"}}, "app"]},
    }}}});
    let resolved = super::resolve_with(&serde_json::from_value(document).unwrap(), &recipes());
    let cloud = &resolved.ideal.clouds[1];
    let all: Vec<_> = cloud
        .recipes
        .iter()
        .map(|used| (used.recipe.as_str(), used.under, &used.uses[..], Value::Object(used.options.clone())))
        .collect();
    assert_eq!(
        all,
        [
            ("user", None, &[][..], json!({"login": "app"})),
            ("nginx", Some(2), &[], json!({"port": 80, "name": "{{ option.name }}"})),
            ("app", None, &[1, 0], json!({"name": "shop"})),
            ("nginx", Some(4), &[], json!({"port": 80, "name": "{{ option.name }}"})),
            ("app", None, &[3, 0], json!({"name": "b"})),
        ]
    );
    assert_eq!(resolved.origins[1].recipes, [(0, 0), (1, 0), (1, 0), (1, 1), (1, 1)]);
}

#[test]
fn what_can_be_wrong_with_uses() {
    let one = |used: Value| shop(json!({"nodes": 1, "recipes": [used]}));
    let both = |used: Value, resource: Value| shop(json!({"recipes": [used], "resources": [resource]}));
    let table = [
        (one(json!("dokcer")), "ideal/unknown-recipe", "clouds.shop.recipes[0]", "did you mean `docker`?"),
        (one(json!("nginx")), "ideal/missing-option", "clouds.shop.recipes[0]", "nginx: {name: ...}, a text"),
        (
            one(json!({"nginx": {"name": "a", "prot": 1}})),
            "ideal/unknown-option",
            "clouds.shop.recipes[0].nginx.prot",
            "did you mean `port`?",
        ),
        (
            one(json!({"nginx": {"name": 1}})),
            "ideal/bad-option",
            "clouds.shop.recipes[0].nginx.name",
            "write \"1\"",
        ),
        (
            both(json!("app"), json!({"file": {"path": "/etc/app", "content": "b"}})),
            "ideal/resources-disagree",
            "clouds.shop.resources[0].file",
            "remove one, or move the other out of the cloud that hands it down",
        ),
        (
            both(json!("app"), json!({"line": {"path": "/etc/nginx.conf", "line": "b"}})),
            "ideal/resources-disagree",
            "clouds.shop.resources[0].line",
            "remove one, or move the other out of the cloud that hands it down",
        ),
        (
            both(json!("app"), json!({"file": {"path": "/etc/b"}, "after": ["confg"]})),
            "ideal/unknown-resource",
            "clouds.shop.resources[0].after[0]",
            "did you mean `config`?",
        ),
    ];
    let mut with_round = recipes();
    let round = with_round.known.remove(&Name::new("round").unwrap()).unwrap();
    let recipes = with_round.clone();
    for (document, slug, path, help) in table {
        let found =
            super::resolve_with(&serde_json::from_value(document.clone()).unwrap(), &recipes).diagnostics;
        let said: Vec<_> = found
            .iter()
            .map(|one| (one.slug.as_str(), one.path.to_string(), one.help.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(said, [(slug, path.to_owned(), help)], "{document}");
    }
    with_round.known.insert(Name::new("round").unwrap(), round);
    let found =
        super::resolve_with(&serde_json::from_value(shop(json!({}))).unwrap(), &with_round).diagnostics;
    let said: Vec<_> = found.iter().map(|one| (one.slug.as_str(), one.path.to_string())).collect();
    assert_eq!(said, [("ideal/recipe-cycle", "recipes/round.recipes[0]".to_owned())]);
}

#[test]
fn what_waits_for_itself_is_said() {
    let document = shop(json!({"resources": [
        {"directory": {"path": "/srv"}, "after": ["file /srv/a"]}, {"file": {"path": "/srv/a"}},
    ]}));
    let found = slugs(document);
    assert_eq!(found, [("ideal/resource-cycle".to_owned(), "clouds.shop.resources[0]".to_owned())]);
}
