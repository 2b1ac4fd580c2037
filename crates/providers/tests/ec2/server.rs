//! Moto's server, and what anybody asks of it without any program of ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts a server. It ends when its input does.
pub(crate) fn serve(environment: &Path) -> (Child, SocketAddr) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/testbed/moto.sh");
    let mut command = Command::new(script);
    let mut server = command.arg(environment).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let at = said.trim().parse().unwrap_or_else(|_| panic!("the server does not say where it is: {said:?}"));
    (server, at)
}

/// What a service answers to somebody of this account; of the usual one when none is named.
pub(crate) fn ask(at: SocketAddr, account: &str, service: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let scope = format!("Credential=other/20260101/eu-west-1/{service}/aws4_request");
    let account =
        if account.is_empty() { String::new() } else { format!("x-moto-account-id: {account}\r\n") };
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {service}.amazonaws.com\r\nConnection: close\r\n{account}Authorization: \
         AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
