//! The image of a container: fetched when its file says so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::Method;
use ideal_core::ideal::service::{Pull, Registry};
use serde_json::{Value, json};

use super::NotStarted;
use crate::engine::frames::Lines;
use crate::engine::{EngineError, escaped};
use crate::node::Node;
use crate::services::wanted::Program;

/// Sees to it that the engine has the image, as its file says.
pub(super) async fn bring(node: &Node, program: &Program) -> Result<(), NotStarted> {
    let image = program.image.clone().unwrap_or_default();
    let at = format!("/images/{}/json", escaped(&image));
    let there = node.containers.engine.look(&at, "look for the image").await?.is_some();
    let replica = program.replica.address();
    match program.replica.spec.pull {
        Pull::Missing if there => Ok(()),
        Pull::Never if there => Ok(()),
        Pull::Never => Err(NotStarted::Failed(format!(
            "the engine has no image `{image}`, and `pull: never` says not to fetch it: bring it there with \
             `docker pull`, `docker load` or `docker import`"
        ))),
        Pull::Missing | Pull::Always => match pull(node, &image, program.registry.as_ref()).await {
            Err(EngineError::Said(why)) if there => {
                node.log.say(format_args!("service {replica}: {why}; the image that is there is used"));
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                node.log.say(format_args!("service {replica}: fetched image {image}"));
                Ok(())
            }
        },
    }
}

async fn pull(node: &Node, image: &str, registry: Option<&Registry>) -> Result<(), EngineError> {
    let path = format!("/images/create?fromImage={}", escaped(&whole(image)));
    let credentials = registry.map(|registry| credentials(registry, image));
    let what = format!("fetch image `{image}`");
    let mut stream =
        node.containers.engine.open(Method::POST, &path, None, credentials.as_deref(), &what).await?;
    let mut lines = Lines::default();
    while let Some(part) = stream.next().await? {
        lines.add(&part);
        while let Some(line) = lines.next() {
            // That it failed is said within an answer that began well.
            let said: Value = serde_json::from_slice(&line).unwrap_or_default();
            if let Some(error) = said.get("error").and_then(Value::as_str) {
                return Err(EngineError::Said(format!("the engine did not {what}: {error}")));
            }
        }
    }
    Ok(())
}

/// The name of an image with its tag: without one all of them would be fetched.
fn whole(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

/// The registry that an image comes from.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "https://index.docker.io/v1/",
    }
}

/// Who asks, as engines want to be told.
fn credentials(registry: &Registry, image: &str) -> String {
    let who = json!({
        "username": registry.user, "password": registry.password, "serveraddress": registry_of(image),
    });
    URL_SAFE.encode(who.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_and_a_registry() {
        let hub = "https://index.docker.io/v1/";
        let cases = [
            ("pub", "pub:latest", hub),
            ("example/pub:1.2", "example/pub:1.2", hub),
            ("localhost:5000/pub", "localhost:5000/pub:latest", "localhost:5000"),
            ("ghcr.io/a/pub@sha256:00", "ghcr.io/a/pub@sha256:00", "ghcr.io"),
        ];
        for (image, named, registry) in cases {
            assert_eq!((&*whole(image), registry_of(image)), (named, registry), "{image}");
        }
    }

    #[test]
    fn credentials_are_readable_by_an_engine() {
        let registry = Registry { user: "anna".into(), password: "a?b>c".into() };
        let text = credentials(&registry, "localhost:5000/pub");
        let back: Value = serde_json::from_slice(&URL_SAFE.decode(text).unwrap()).unwrap();
        assert_eq!(back["password"], "a?b>c");
        assert_eq!(back["serveraddress"], "localhost:5000");
    }
}
