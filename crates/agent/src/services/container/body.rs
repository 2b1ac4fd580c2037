//! What the engine is told of a container: plain functions of the program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ideal_host::engine::{HOME, MACHINE, SERVICE};
use serde_json::{Map, Value, json};

use super::super::wanted::{Program, version_of};
use super::SPEC;

/// How much of what a container says the engine keeps, in each of two files: the agent has its own log.
const LOG_SIZE: &str = "4m";

/// Who a container belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub cloud: String,
    pub node: String,
    pub machine: String,
    pub home: String,
}

/// A folder or file of the host that a container is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// A network that a container joins, by the engine's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub String);

/// The names by which a replica is known in its networks: its own ones, and that of its service.
pub(crate) fn aliases(program: &Program) -> [String; 3] {
    let (service, index) = (&program.replica.service, program.replica.index);
    [format!("{service}-{index}"), format!("{service}-{index}.{service}"), service.to_string()]
}

/// The container of a replica.
pub(crate) fn create(program: &Program, marks: &Marks, binds: &[Bind], networks: &[Network]) -> Value {
    let mut body = common(program, binds);
    body["Hostname"] = json!(aliases(program)[0]);
    body["Labels"] = json!({
        "ideal.cloud": marks.cloud,
        "ideal.node": marks.node,
        MACHINE: marks.machine,
        HOME: marks.home,
        SERVICE: program.replica.address(),
        "ideal.version": version_of(&program.hash),
        SPEC: program.hash,
    });
    if let Some(argv) = &program.argv {
        body["Cmd"] = json!(argv);
    }
    if let Some(entrypoint) = &program.entrypoint {
        body["Entrypoint"] = json!(entrypoint);
    }
    body["StopSignal"] = json!(format!("SIG{}", super::signal(program.stop.signal)));
    if program.health.is_some() {
        // Two checks would judge differently; ours says what is well.
        body["Healthcheck"] = json!({"Test": ["NONE"]});
    }
    let mut exposed = Map::new();
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, port) in &program.replica.spec.ports {
        let Some(on_node) = program.ports.get(name) else { continue };
        let inside = format!("{}/tcp", port.inside(*on_node));
        exposed.insert(inside.clone(), json!({}));
        bindings.entry(inside).or_default().push(json!({"HostPort": on_node.to_string()}));
    }
    body["ExposedPorts"] = Value::Object(exposed);
    body["HostConfig"]["PortBindings"] = json!(bindings);
    if let Some(Network(first)) = networks.first() {
        body["HostConfig"]["NetworkMode"] = json!(first);
        body["NetworkingConfig"] = json!({"EndpointsConfig": {first: {"Aliases": aliases(program)}}});
    }
    body
}

/// A container for one of the commands that run before it: like it, without ports and names.
pub(crate) fn init(
    program: &Program,
    argv: &[String],
    marks: &Marks,
    binds: &[Bind],
    networks: &[Network],
) -> Value {
    let mut body = common(program, binds);
    // An empty text takes the image's away; an empty list would leave it.
    body["Entrypoint"] = json!([""]);
    body["Cmd"] = json!(argv);
    body["Healthcheck"] = json!({"Test": ["NONE"]});
    // Found with the machine, and not taken for a replica.
    body["Labels"] = json!({MACHINE: marks.machine, HOME: marks.home});
    if let Some(Network(first)) = networks.first() {
        body["HostConfig"]["NetworkMode"] = json!(first);
    }
    body
}

fn common(program: &Program, binds: &[Bind]) -> Value {
    let spec = &program.replica.spec;
    let memory = spec.memory.map_or(0, |memory| memory.0);
    let bind = |bind: &Bind| json!({"Type": "bind", "Source": bind.source, "Target": bind.target, "ReadOnly": bind.read_only});
    let env: Vec<String> = program.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let names = |names: &[String]| names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
    let mut body = json!({
        "Image": program.image,
        "Env": env,
        "HostConfig": {
            // Who starts it again is the agent: two who do would fight.
            "RestartPolicy": {"Name": "no"},
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": spec.read_only,
            "CapDrop": names(&spec.capabilities.drop),
            "CapAdd": names(&spec.capabilities.add),
            "Memory": memory,
            // No swap beyond it: a replica that swaps is neither dead nor alive.
            "MemorySwap": memory,
            "CpuShares": spec.cpus.map_or(0, |cpus| shares(cpus.0)),
            "PidsLimit": spec.pids,
            "Mounts": binds.iter().map(bind).collect::<Vec<_>>(),
            "LogConfig": {"Type": "json-file", "Config": {"max-size": LOG_SIZE, "max-file": "2"}},
        },
    });
    if let Some(user) = &program.user {
        body["User"] = json!(user);
    }
    body
}

/// The kernel's shares for thousandths of a processor; less than two are not to be had.
pub(crate) fn shares(thousandths: u64) -> u64 {
    (thousandths * 1024 / 1000).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ideal_core::slice::Replica;

    fn program(spec: Value) -> Program {
        let spec = serde_json::from_value(spec).unwrap();
        let replica =
            Replica { service: ideal_core::id::Name::new("pub").unwrap(), index: 2, spec, again: 0 };
        crate::services::wanted::tests::program(replica)
    }
    fn marks() -> Marks {
        let text = str::to_owned;
        Marks { cloud: text("c"), node: text("c/0/1"), machine: text("m-1"), home: text("/h") }
    }

    #[test]
    fn the_engine_is_told_all_of_it() {
        let program = program(json!({
            "on": "shop", "image": "pub:1", "command": ["serve"], "env": {"A": "b"}, "user": "7:7",
            "ports": {"main": "8080:80"}, "memory": "64MiB", "cpus": 0.5, "pids": 20, "read_only": true,
            "capabilities": {"drop": ["all"], "add": ["NET_BIND_SERVICE"]}, "stop": {"signal": "INT"},
            "health": {"command": ["true"]},
        }));
        let bind = Bind { source: "/v".into(), target: "/data".into(), read_only: false };
        let body = create(&program, &marks(), &[bind], &[Network("n1".into()), Network("n2".into())]);
        assert_eq!(body["Cmd"], json!(["serve"]));
        assert_eq!(body.get("Entrypoint"), None, "the image's own");
        assert_eq!(
            (&body["Env"], &body["User"], &body["StopSignal"]),
            (&json!(["A=b"]), &json!("7:7"), &json!("SIGINT"))
        );
        assert_eq!(body["Healthcheck"]["Test"], json!(["NONE"]));
        assert_eq!(body["Labels"]["ideal.service"], json!("pub[2]"));
        assert_eq!(body["Labels"]["ideal.version"], json!(program.replica.spec.version()));
        assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}}));
        let aliases = &body["NetworkingConfig"]["EndpointsConfig"]["n1"]["Aliases"];
        assert_eq!(aliases, &json!(["pub-2", "pub-2.pub", "pub"]));
        let host = &body["HostConfig"];
        let expected = [
            ("PortBindings", json!({"80/tcp": [{"HostPort": "8080"}]})),
            ("Memory", json!(64 << 20)),
            ("MemorySwap", json!(64 << 20)),
            ("CpuShares", json!(512)),
            ("PidsLimit", json!(20)),
            ("ReadonlyRootfs", json!(true)),
            ("CapDrop", json!(["ALL"])),
            ("CapAdd", json!(["NET_BIND_SERVICE"])),
            ("SecurityOpt", json!(["no-new-privileges:true"])),
            ("RestartPolicy", json!({"Name": "no"})),
            ("NetworkMode", json!("n1")),
            ("Mounts", json!([{"Type": "bind", "Source": "/v", "Target": "/data", "ReadOnly": false}])),
        ];
        for (key, value) in expected {
            assert_eq!(host[key], value, "{key}");
        }
        assert_eq!(host.get("Privileged"), None);
    }

    #[test]
    fn an_image_alone_is_left_as_it_is() {
        let body = create(&program(json!({"on": "shop", "image": "pub:1"})), &marks(), &[], &[]);
        for key in ["Cmd", "Entrypoint", "User", "Healthcheck"] {
            assert_eq!(body.get(key), None, "{key}");
        }
        assert_eq!(body["HostConfig"]["Memory"], json!(0));
    }

    #[test]
    fn init_is_no_replica() {
        let program = program(json!({"on": "shop", "image": "pub:1", "ports": {"main": 80}}));
        let body = init(&program, &["mk".to_owned()], &marks(), &[], &[Network("n1".into())]);
        assert_eq!((&body["Entrypoint"], &body["Cmd"]), (&json!([""]), &json!(["mk"])));
        assert_eq!(body["HostConfig"]["NetworkMode"], json!("n1"));
        assert_eq!(body["HostConfig"].get("PortBindings"), None);
        assert_eq!(body["Labels"], json!({"ideal.machine": "m-1", "ideal.home": "/h"}));
    }
}
