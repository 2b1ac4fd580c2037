//! A layer in front of moto, for what moto lacks. All that it adds is *our reading of EC2's documents*, and nothing that
//! anybody else has confirmed:
//!
//! - a client token makes one thing; with other parameters it is refused; the answer is that of the first time, with
//!   the present state;
//! - as many machines are made of a batch as there is room for, where moto makes as few as it may;
//! - a token of a machine that has ended is refused as such;
//! - volumes and snapshots are listed in pages;
//! - what a console shows: moto shows the same text for each machine;
//! - what a volume holds: moto keeps no bytes, so texts are kept here and go with snapshots;
//! - on demand: too many requests, errors of the service, no room, lost answers, answers that lag behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::form::{Form, element, error};
use crate::model::Model;
use crate::shaped::Shaped;

/// The account of those whose key names none.
pub(crate) const ACCOUNT: &str = "123456789012";

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused with this code, and nothing happens.
    Refused(u16, &'static str),
    /// It is done, and its answer is lost.
    Lost,
    /// It is not done, and there is no answer.
    Dropped,
    /// It is answered as if nothing matched: the answer lags behind.
    Empty,
    /// In its answer this stands for that: a state that comes late.
    Says(&'static str, &'static str),
    /// There is room for so many machines.
    Room(usize),
}

/// A fault, and which requests it meets.
#[derive(Clone, Debug)]
struct Planned {
    action: &'static str,
    /// Only requests with this text in them.
    with: String,
    fault: Fault,
    /// How many it meets still.
    left: u32,
}

#[derive(Default)]
struct State {
    /// Answers by action and token, with what was asked.
    tokens: BTreeMap<(String, String), (Form, String)>,
    contents: BTreeMap<String, String>,
    /// What consoles show, by machine.
    consoles: BTreeMap<String, String>,
    planned: Vec<Planned>,
    counts: BTreeMap<String, u32>,
    seen: Vec<Form>,
    signed: Vec<String>,
    wrong: Vec<String>,
    /// Pages that are still to be given, by their token.
    pages: BTreeMap<String, Vec<String>>,
    page: Option<usize>,
    /// Where chance stands, when it is bad weather.
    weather: Option<u64>,
    /// So many things are listed that nobody made, instead of moto's: filling moto with thousands takes minutes.
    many: BTreeMap<&'static str, usize>,
}

struct Inner {
    moto: SocketAddr,
    model: Model,
    state: Mutex<State>,
}

/// The layer at work.
#[derive(Clone)]
pub(crate) struct Layer {
    inner: Arc<Inner>,
    at: SocketAddr,
}

impl Layer {
    pub(crate) fn start(moto: SocketAddr, environment: &Path) -> Layer {
        let inner = Inner { moto, model: Model::read(environment), state: Mutex::default() };
        let inner = Arc::new(inner);
        let (tell, told) = std::sync::mpsc::channel();
        let own = inner.clone();
        // It ends with the process of the test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let inner = own.clone();
                    tokio::spawn(async move {
                        // What has begun is done, whether or not who asked for it is still there.
                        let service = service_fn(move |request| {
                            let done = tokio::spawn(answer(inner.clone(), request));
                            async { done.await.map_err(std::io::Error::other)? }
                        });
                        // A connection that breaks is one of the faults.
                        _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        Layer { inner, at: told.recv().unwrap() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.at)
    }
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }
    pub(crate) fn write(&self, volume: &str, text: &str) {
        self.state().contents.insert(volume.to_owned(), text.to_owned());
    }
    pub(crate) fn content(&self, volume: &str) -> String {
        self.state().contents.get(volume).cloned().unwrap_or_default()
    }
    /// What the console of a machine shows.
    pub(crate) fn prints(&self, machine: &str, text: &str) {
        self.state().consoles.insert(machine.to_owned(), text.to_owned());
    }
    /// The next `times` requests of this action with this text in them meet a fault.
    pub(crate) fn plan(&self, action: &'static str, with: &str, fault: Fault, times: u32) {
        self.state().planned.push(Planned { action, with: with.to_owned(), fault, left: times });
    }
    /// From now on one request in so many meets one of the usual faults. Which ones do follows from the number of requests
    /// before.
    pub(crate) fn is_stormy(&self) {
        self.state().weather = Some(1);
    }
    /// Whether every planned fault has met its requests.
    pub(crate) fn all_met(&self) -> bool {
        self.state().planned.iter().all(|planned| planned.left == 0)
    }
    /// Volumes and snapshots come in pages of so many.
    pub(crate) fn in_pages_of(&self, count: usize) {
        self.state().page = Some(count);
    }
    /// How many requests of each action came since the last time that this was asked.
    pub(crate) fn counted(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.state().counts)
    }
    /// The requests of an action.
    pub(crate) fn asked(&self, action: &str) -> Vec<Form> {
        self.state().seen.iter().filter(|form| form.action() == action).cloned().collect()
    }
    /// By whom requests were signed.
    pub(crate) fn signed(&self) -> Vec<String> {
        self.state().signed.clone()
    }
    /// What did not fit the service model.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = self.state().wrong.clone();
        wrong.sort();
        wrong.dedup();
        wrong
    }
    /// From now on this action lists so many things that nobody made.
    pub(crate) fn lists(&self, action: &'static str, count: usize) {
        self.state().many.insert(action, count);
    }
}

type Answered = Result<Response<Full<Bytes>>, std::io::Error>;

fn says(status: u16, xml: impl Into<Bytes>) -> Answered {
    Ok(Response::builder()
        .status(status)
        .header("content-type", "text/xml")
        .body(Full::new(xml.into()))
        .unwrap())
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Answered {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let form = Form::read(std::str::from_utf8(&body).unwrap());
    let action = form.action().to_owned();
    let fault = {
        let mut state = inner.state.lock().unwrap();
        let wrong = inner.model.request(&form);
        state.wrong.extend(wrong);
        *state.counts.entry(action.clone()).or_default() += 1;
        state.seen.push(form.clone());
        let signed = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        state.signed.push(signed.unwrap_or_default());
        let text = form.written();
        let meets = |planned: &&mut Planned| {
            planned.left > 0 && planned.action == action && text.contains(&planned.with)
        };
        let planned = state.planned.iter_mut().find(meets).map(|planned| {
            planned.left -= 1;
            planned.fault.clone()
        });
        planned.or_else(|| by_chance(state.weather.as_mut()?))
    };
    match fault {
        Some(Fault::Refused(status, code)) => return says(status, error(code, "as planned")),
        Some(Fault::Dropped) => return Err(std::io::Error::other("dropped")),
        Some(Fault::Empty) => return says(200, format!("<{action}Response></{action}Response>")),
        Some(Fault::Lost | Fault::Says(..) | Fault::Room(_)) | None => {}
    }
    if let Some(xml) = many(&inner, &form) {
        let wrong = inner.model.answer(&action, &Shaped::read(&xml));
        inner.state.lock().unwrap().wrong.extend(wrong);
        return says(200, xml);
    }
    if let Some(page) = next_page(&inner, &form) {
        return says(200, page);
    }
    if let Some(known) = known(&inner, &form, &parts).await {
        return known;
    }
    if action == "GetConsoleOutput" {
        let xml = console(&inner, &form);
        let wrong = inner.model.answer(&action, &Shaped::read(&xml));
        inner.state.lock().unwrap().wrong.extend(wrong);
        return says(200, xml);
    }
    let body = match form.action() {
        "RunInstances" => roomy(&form, &fault),
        _ => body,
    };
    let (status, xml) = forward(&inner, &parts, body).await;
    if status == 200 {
        let wrong = inner.model.answer(&action, &Shaped::read(&xml));
        inner.state.lock().unwrap().wrong.extend(wrong);
    }
    let xml = if status == 200 { remember(&inner, &form, xml) } else { xml };
    match fault {
        Some(Fault::Lost) => Err(std::io::Error::other("lost")),
        Some(Fault::Says(truth, instead)) => {
            assert!(xml.contains(truth), "{action} does not say {truth}: {xml}");
            says(status, xml.replace(truth, instead))
        }
        _ => says(status, xml),
    }
}

/// The same request for as many machines as there is room for.
fn roomy(form: &Form, fault: &Option<Fault>) -> Bytes {
    let most: usize = form.get("MaxCount").parse().unwrap();
    let count = match fault {
        Some(Fault::Room(room)) => most.min(*room),
        _ => most,
    };
    let mut form = form.clone();
    form.0.insert("MinCount".to_owned(), count.to_string());
    form.written().into()
}

fn console(inner: &Inner, form: &Form) -> String {
    let id = form.get("InstanceId");
    let state = inner.state.lock().unwrap();
    let output = BASE64_STANDARD.encode(state.consoles.get(id).map_or("", String::as_str));
    format!(
        "<Response><instanceId>{id}</instanceId><timestamp>2026-01-01T00:00:00Z</timestamp><output>{output}</output>\
         </Response>"
    )
}

/// One request in sixteen meets a fault.
fn by_chance(weather: &mut u64) -> Option<Fault> {
    *weather = weather.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    match *weather >> 58 {
        0 => Some(Fault::Lost),
        1 => Some(Fault::Dropped),
        2 => Some(Fault::Refused(503, "RequestLimitExceeded")),
        3 => Some(Fault::Refused(500, "InternalError")),
        _ => None,
    }
}

async fn forward(inner: &Inner, parts: &hyper::http::request::Parts, body: Bytes) -> (u16, String) {
    let stream = TcpStream::connect(inner.moto).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method("POST").uri("/").header("x-moto-account-id", account(parts));
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "content-length") {
        request = request.header(name, value);
    }
    let answer = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Whose a request is: a key of twelve digits is the account itself, so that many tests can have one server.
fn account(parts: &hyper::http::request::Parts) -> &str {
    let signed = parts.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let key = signed.split_once("Credential=").map_or("", |(_, rest)| rest.split('/').next().unwrap());
    let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { key } else { ACCOUNT }
}

/// What a token says that was used before.
async fn known(inner: &Inner, form: &Form, parts: &hyper::http::request::Parts) -> Option<Answered> {
    let token = form.get("ClientToken");
    let key = (form.action().to_owned(), token.to_owned());
    let (first, xml) = inner.state.lock().unwrap().tokens.get(&key).filter(|_| !token.is_empty())?.clone();
    if first != *form {
        return Some(says(
            400,
            error("IdempotentParameterMismatch", "the parameters are not those of before"),
        ));
    }
    let (look, field, name) = match form.action() {
        "RunInstances" => ("DescribeInstances", "instanceId", "InstanceId.1"),
        _ => ("DescribeVolumes", "volumeId", "VolumeId.1"),
    };
    let id = element(&xml, field).unwrap();
    let ask = [("Action", look), ("Version", "2016-11-15"), (name, id)];
    let ask = Form(ask.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    let (status, present) = forward(inner, parts, ask.written().into()).await;
    let over = status != 200 || present.contains("<name>terminated</name>");
    Some(match (over, form.action()) {
        (true, "RunInstances") => says(400, error("IdempotentInstanceTerminated", "it was terminated")),
        (true, _) => {
            let was = format!("<status>{}</status>", element(&xml, "status").unwrap());
            says(200, xml.replace(&was, "<status>deleted</status>"))
        }
        (false, _) => says(200, xml),
    })
}

/// Takes note of what was made.
fn remember(inner: &Inner, form: &Form, xml: String) -> String {
    let mut state = inner.state.lock().unwrap();
    let token = form.get("ClientToken").to_owned();
    if !token.is_empty() {
        state.tokens.insert((form.action().to_owned(), token), (form.clone(), xml.clone()));
    }
    match form.action() {
        "CreateSnapshot" => {
            let content = state.contents.get(form.get("VolumeId")).cloned().unwrap_or_default();
            state.contents.insert(element(&xml, "snapshotId").unwrap().to_owned(), content);
        }
        "CreateVolume" => {
            let content = state.contents.get(form.get("SnapshotId")).cloned().unwrap_or_default();
            state.contents.insert(element(&xml, "volumeId").unwrap().to_owned(), content);
        }
        "DescribeVolumes" => return first_page(&mut state, "volumeSet", xml),
        "DescribeSnapshots" => return first_page(&mut state, "snapshotSet", xml),
        _ => {}
    }
    xml
}

/// The items of a list, each with all that is in it.
fn items(list: &str) -> Vec<String> {
    let (mut found, mut depth, mut begun) = (Vec::new(), 0, 0);
    for (at, _) in list.match_indices('<') {
        if list[at..].starts_with("<item>") {
            if depth == 0 {
                begun = at;
            }
            depth += 1;
        } else if list[at..].starts_with("</item>") {
            depth -= 1;
            if depth == 0 {
                found.push(list[begun..at + "</item>".len()].to_owned());
            }
        }
    }
    found
}

fn first_page(state: &mut State, set: &str, xml: String) -> String {
    let (Some(size), Some(list)) = (state.page, element(&xml, set)) else { return xml };
    let all = items(list);
    if all.len() <= size {
        return xml;
    }
    let number = state.pages.len();
    let pages: Vec<Vec<String>> = all.chunks(size).map(<[String]>::to_vec).collect();
    let count = pages.len();
    let mut written = pages.into_iter().enumerate().map(|(at, items)| {
        let next = if at + 1 < count {
            format!("<nextToken>{number}-{}</nextToken>", at + 1)
        } else {
            String::new()
        };
        format!("<Response><{set}>{}</{set}>{next}</Response>", items.concat())
    });
    let first = written.next().unwrap();
    for (at, page) in written.enumerate() {
        state.pages.insert(format!("{number}-{}", at + 1), vec![page]);
    }
    first
}

fn next_page(inner: &Inner, form: &Form) -> Option<String> {
    let page = inner.state.lock().unwrap().pages.get(form.get("NextToken"))?.concat();
    Some(page)
}

/// A page of things that nobody made, each with our tags.
fn many(inner: &Inner, form: &Form) -> Option<String> {
    let count = *inner.state.lock().unwrap().many.get(form.action())?;
    let asked = ["InstanceId.1", "VolumeId.1", "SnapshotId.1"].map(|name| form.get(name)).concat();
    // One that is asked for by its id is a page by itself, and the last.
    let (first, last) = match asked.split_once('-') {
        Some((_, number)) => {
            let number = usize::from_str_radix(number, 16).unwrap();
            (number, number + 1)
        }
        None => {
            let first: usize = form.get("NextToken").parse().unwrap_or(0);
            (first, count.min(first + form.get("MaxResults").parse::<usize>().unwrap()))
        }
    };
    let count = if asked.is_empty() { count } else { last };
    let next = if last < count { format!("<nextToken>{last}</nextToken>") } else { String::new() };
    let item = |at: usize| {
        let tag =
            |key: &str, value: &str| format!("<item><key>ideal:{key}</key><value>{value}</value></item>");
        let cloud = tag("cloud", "5f0c6f2e-0000-4000-8000-00000000000a");
        let tags =
            format!("<tagSet>{cloud}{}{}</tagSet>", tag("node", &at.to_string()), tag("generation", "1"));
        match form.action() {
            "DescribeInstances" => format!(
                "<item><instancesSet><item><instanceId>i-{at:017x}</instanceId><instanceState><code>16</code>\
                 <name>running</name></instanceState>{tags}</item></instancesSet></item>"
            ),
            "DescribeVolumes" => format!(
                "<item><volumeId>vol-{at:017x}</volumeId><size>1</size><status>available</status>{tags}</item>"
            ),
            _ => format!(
                "<item><snapshotId>snap-{at:017x}</snapshotId><volumeSize>1</volumeSize><status>completed</status>\
                 <progress>100%</progress>{tags}</item>"
            ),
        }
    };
    let set = match form.action() {
        "DescribeInstances" => "reservationSet",
        "DescribeVolumes" => "volumeSet",
        _ => "snapshotSet",
    };
    let items: String = (first..last).map(item).collect();
    Some(format!("<Response><requestId>0</requestId><{set}>{items}</{set}>{next}</Response>"))
}
