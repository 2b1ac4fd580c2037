//! A front of moto's server, which shows the same text as the console of every machine: here it is what the container of
//! a machine printed on its own. All else goes through as it is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::bed::Bed;

/// EC2 keeps so much of a console.
const KEPT: usize = 64 << 10;

/// The front at work. It ends with the process of the test.
pub(crate) struct Front {
    pub(crate) at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Front {
    pub(crate) fn start(bed: &Bed, server: SocketAddr) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (engine, seen) = (format!("unix://{}", bed.socket), asked.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, seen) = (client.unwrap(), engine.clone(), seen.clone());
                // Who goes away before the answer is not told.
                std::thread::spawn(move || _ = answer(client, server, &engine, &seen));
            }
        });
        Front { at, asked }
    }

    /// Of which machines the console was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    mut client: TcpStream,
    server: SocketAddr,
    engine: &str,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(number) = lower.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        match line.trim() {
            "" => break,
            _ if lower.starts_with("connection:") => {}
            _ => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let form = String::from_utf8_lossy(&body);
    let field = |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if field("Action") == Some("GetConsoleOutput") {
        let id = field("InstanceId").unwrap_or_default();
        asked.lock().unwrap().push(id.to_owned());
        let logs = Command::new("docker").args(["-H", engine, "logs", id]).output()?.stdout;
        let output = BASE64_STANDARD.encode(&logs[logs.len().saturating_sub(KEPT)..]);
        let xml = format!(
            "<GetConsoleOutputResponse><instanceId>{id}</instanceId><output>{output}</output></GetConsoleOutputResponse>"
        );
        return write!(
            client,
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{xml}",
            xml.len()
        );
    }
    let mut to = TcpStream::connect(server)?;
    to.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    to.write_all(&body)?;
    // The server says itself that it closes.
    io::copy(&mut to, &mut client).map(|_| ())
}
