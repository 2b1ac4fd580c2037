//! Recipes that come with the program, on a real system: what they install serves, is mended, and takes new secrets.

use ideal_core::resource::{Row, Standing};
use serde_json::{Value, json};

use crate::bed::{Bed, FILE};

/// A database with a user and its password, and a web server before a page.
fn file() -> Value {
    json!({"ideal": 1, "providers": {"there": "sim"}, "secrets": {"app-db": {"env": "APP_DB"}}, "clouds": {"a": {
        "uuid": "5f0c6f2e-7d3c-4a53-9f0e-0b7a4a3f6c11", "provider": "there", "nodes": 1,
        "recipes": [
            {"postgresql": {
                "users": [{"name": "app", "password": "{{ secret['app-db'] }}"}],
                "databases": [{"name": "shop", "owner": "app"}],
            }},
            {"nginx": {"port": 8081, "sites": [{"name": "shop", "root": "/srv/shop"}]}},
        ],
        "resources": [
            {"directory": {"path": "/srv/shop"}},
            {"file": {"path": "/srv/shop/index.html", "content": "a page of the shop\n"}},
        ],
    }}})
}

fn pass(bed: &Bed, password: &str) -> Result<Vec<Row>, String> {
    let output = bed.ideal(&[], &[("APP_DB", password)]);
    let said = [output.stdout.clone(), output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if said.contains(password) {
        return Err("the password is shown".to_owned());
    }
    let document: Value = serde_json::from_slice(&output.stdout).map_err(|_| said.clone())?;
    let rows: Vec<Row> =
        serde_json::from_value(document["data"]["nodes"][0]["rows"].clone()).map_err(|_| said.clone())?;
    match rows.iter().all(|row| row.standing.is_good()) {
        true => Ok(rows),
        false => Err(said),
    }
}

/// The database knows the user by this password, and the web server serves the page.
fn serve(bed: &Bed, password: &str) -> Result<(), String> {
    bed.shell(&format!(
        "PGPASSWORD={password} psql -h localhost -U app -d shop -Atc \
         'create table if not exists t (n int); insert into t values (1); select 42' | grep -qx 42"
    ))?;
    // No tool for the web is in the image, but the shell can connect.
    bed.shell(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8081; printf \"GET / HTTP/1.0\\r\\nHost: shop\\r\\n\\r\\n\" >&3; \
         grep -q \"a page of the shop\" <&3'",
    )
    .map(|_| ())
}

pub(crate) fn serve_and_are_mended(bed: &Bed) -> Result<(), String> {
    let text = file().to_string().replace('\'', "'\\''");
    bed.shell(&format!("printf %s '{text}' > {FILE}"))?;
    // The package is there already, and no cluster of databases.
    bed.shell("test -x /usr/bin/pg_createcluster; ! test -e /etc/postgresql/15")?;
    pass(bed, "first-password")?;
    serve(bed, "first-password")?;
    let again = pass(bed, "first-password")?;
    if let Some(row) = again.iter().find(|row| row.standing == Standing::Healed) {
        return Err(format!("a second pass changed {}: {:?}", row.label, row.why));
    }
    bed.shell("echo 'nonsense;' >> /etc/nginx/nginx.conf; rm /etc/postgresql/*/main/pg_hba.conf")?;
    pass(bed, "first-password")?;
    serve(bed, "first-password")?;
    pass(bed, "second-password")?;
    serve(bed, "second-password")?;
    // From nothing on.
    bed.shell(
        "systemctl stop postgresql; apt-get purge -qq -y --autoremove 'postgresql*' > /dev/null
         rm -rf /etc/postgresql* /var/lib/postgresql",
    )?;
    pass(bed, "second-password")?;
    serve(bed, "second-password")?;
    bed.shell("! grep -rqs 'first-password\\|second-password' /var/lib/ideal /var/log/ideal")?;
    bed.shell("systemctl stop nginx postgresql").map(|_| ())
}
