//! Between the store and the server: lets requests through, and breaks those that a test wants broken.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
pub(crate) enum Action {
    /// The connection breaks after so many bytes of the request's body.
    CutRequest(u64),
    /// The connection breaks after so many bytes of the answer's body.
    CutAnswer(u64),
    /// Nothing comes any more after so many bytes of the answer's body.
    StallAnswer(u64),
    /// The server gets it, and its answer is lost.
    LoseAnswer,
    /// It is taken and never answered.
    Stall,
    /// The server never gets it; this is the answer.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// The head of the answer is changed.
    Edit(fn(&str) -> String),
    /// One byte of the request's body is changed.
    Flip(usize),
    /// Something happens before the server gets it.
    Before(Box<dyn Fn() + Send + Sync>),
}

struct Rule {
    method: &'static str,
    fragment: String,
    which: Range<usize>,
    seen: AtomicUsize,
    action: Action,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Arc<Rule>>>,
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    body_bytes: AtomicUsize,
    ended: AtomicBool,
}

/// A running proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins one in front of a port of this machine.
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.ended.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || {
                    // A broken connection is what this is for.
                    let _ = serve(&client, server, &shared);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does something to some of the requests with this method whose target has this fragment, counted from zero.
    pub(crate) fn on(&self, method: &'static str, fragment: &str, which: Range<usize>, action: Action) {
        self.shared.rules.lock().unwrap().push(Arc::new(Rule {
            method,
            fragment: fragment.to_owned(),
            which,
            seen: AtomicUsize::new(0),
            action,
        }));
    }

    /// Lets everything through again.
    pub(crate) fn clear(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// The requests that came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many such requests came.
    pub(crate) fn count(&self, method: &str, fragment: &str) -> usize {
        let seen = self.seen();
        let such = seen
            .iter()
            .filter(|one| one.method == method && one.target.contains(fragment));
        such.count()
    }

    /// Most requests that were under way at a time.
    pub(crate) fn most_at_a_time(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// Bytes of requests' bodies that came.
    pub(crate) fn body_bytes(&self) -> usize {
        self.shared.body_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // So that the thread looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one request; the connection then ends.
fn serve(mut client: &TcpStream, server: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let head = read_head(&mut reader)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method.is_empty() {
        return Ok(());
    }
    shared.seen.lock().unwrap().push(Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        head: head.clone(),
    });
    let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(now, Ordering::SeqCst);
    let under = Under(shared);
    let rule = matching(shared, method, target);
    let action = rule.as_ref().map(|rule| &rule.action);
    let length = header(&head, "content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    let keep = match action {
        Some(Action::CutRequest(bytes)) => length.min(*bytes),
        _ => length,
    };
    let mut body = Vec::new();
    reader.by_ref().take(keep).read_to_end(&mut body)?;
    shared.body_bytes.fetch_add(body.len(), Ordering::SeqCst);
    match action {
        Some(Action::CutRequest(_)) => return Ok(()),
        Some(Action::Stall) => return wait_for_end(&mut reader, shared),
        Some(Action::Answer(status, headers, text)) => {
            let mut answer = format!("HTTP/1.1 {status} Answer\r\nConnection: close\r\n");
            for (name, value) in *headers {
                answer += &format!("{name}: {value}\r\n");
            }
            answer += &format!("Content-Length: {}\r\n\r\n", text.len());
            if method != "HEAD" {
                answer += text;
            }
            drop(under);
            return client.write_all(answer.as_bytes());
        }
        Some(Action::Flip(at)) => body[*at] ^= 1,
        Some(Action::Before(hook)) => hook(),
        _ => {}
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let (line, rest) = head.split_once("\r\n").unwrap_or_default();
    upstream.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes())?;
    upstream.write_all(&body)?;
    drop(body);
    let mut answer = BufReader::new(upstream);
    let mut head = read_head(&mut answer)?;
    let limit = match action {
        Some(Action::LoseAnswer) => return Ok(()),
        Some(Action::Edit(edit)) => {
            head = edit(&head);
            u64::MAX
        }
        Some(Action::CutAnswer(bytes) | Action::StallAnswer(bytes)) => *bytes,
        _ => u64::MAX,
    };
    // Before the answer: whoever has it may ask for more at once.
    drop(under);
    client.write_all(head.as_bytes())?;
    std::io::copy(&mut answer.take(limit), &mut client)?;
    if matches!(action, Some(Action::StallAnswer(_))) {
        wait_for_end(&mut reader, shared)?;
    }
    Ok(())
}

/// One request that is under way.
struct Under<'a>(&'a Shared);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Until the other side gives up.
fn wait_for_end(reader: &mut BufReader<TcpStream>, shared: &Shared) -> std::io::Result<()> {
    reader
        .get_ref()
        .set_read_timeout(Some(Duration::from_millis(200)))?;
    loop {
        match reader.read(&mut [0; 1024]) {
            Ok(0) => return Ok(()),
            _ if shared.ended.load(Ordering::SeqCst) => return Ok(()),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

fn matching(shared: &Shared, method: &str, target: &str) -> Option<Arc<Rule>> {
    let rules = shared.rules.lock().unwrap();
    let mut found = None;
    for rule in rules
        .iter()
        .filter(|rule| rule.method == method && target.contains(&rule.fragment))
    {
        let number = rule.seen.fetch_add(1, Ordering::SeqCst);
        if found.is_none() && rule.which.contains(&number) {
            found = Some(Arc::clone(rule));
        }
    }
    found
}

/// The head of a message, with the empty line.
fn read_head(reader: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.by_ref().read_line(&mut head)? == 0 {
            break;
        }
    }
    Ok(head)
}

/// The value of a header.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

/// A head in which a header has another value, or is gone.
pub(crate) fn with_header(head: &str, name: &str, value: Option<&str>) -> String {
    let lines = head.split("\r\n").filter_map(|line| match line.split_once(':') {
        Some((found, _)) if found.eq_ignore_ascii_case(name) => {
            value.map(|value| format!("{found}: {value}"))
        }
        _ => Some(line.to_owned()),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}
