//! Webhooks that are answered with a redirect: none is followed, and none counts as delivered.

use std::process::Command;

use crate::process::{Service, until};
use crate::receiver::{Answer, Receiver};
use crate::support::{Run, run, tool};
use crate::webhooks::with;

#[test]
fn a_redirect_is_not_followed_least_of_all_to_a_metadata_service() {
    let target = Receiver::start();
    let elsewhere = target.url("/roubado");
    let receiver = Receiver::answering(move |request, _| {
        let to = match request.path.as_str() {
            "/perto" => elsewhere.clone(),
            _ => "http://169.254.169.254/latest/meta-data/iam/".to_owned(),
        };
        Answer::Redirect(302, to)
    });
    let site = with(&format!(
        "[[webhooks]]\nname = \"perto\"\nurl = \"{}\"\n[[webhooks]]\nname = \"longe\"\nurl = \"{}\"\n\
         [[webhooks]]\nname = \"direto\"\nurl = \"http://169.254.169.254/latest/meta-data/\"\nallow_http = true\n",
        receiver.url("/perto"),
        receiver.url("/longe"),
    ));
    let trace = site.app.path("trace.txt");
    let traced = |args: &[&str]| -> Run {
        let inner = site.app.command(args);
        let mut strace = Command::new(tool("strace"));
        strace.args(["-f", "-e", "trace=connect", "-o"]).arg(&trace);
        run(strace
            .arg(inner.get_program())
            .args(inner.get_args())
            .env_remove("COFRE_CONFIG"))
    };
    for (name, said) in [("perto", "302"), ("longe", "302"), ("direto", "link-local")] {
        let tested = traced(&["webhook", "test", name]).says(said).says(name);
        assert_ne!(tested.code, Some(0), "{tested}");
        let calls = std::fs::read_to_string(&trace).unwrap();
        assert!(!calls.contains("169.254"), "{name}: {calls}");
        assert_eq!(
            calls.contains(&format!("htons({})", receiver.port)),
            name != "direto",
            "{calls}"
        );
    }
    let service = Service::start(&site);
    site.create();
    until("both redirects", || {
        (receiver.received().len() >= 4).then_some(())
    });
    service.logs(&["longe", "302"]);
    service.logs(&["direto", "link-local"]);
    assert_eq!(target.received().len(), 0);
}

#[test]
fn no_kind_of_redirect_is_followed_and_none_counts_as_delivered() {
    let other = Receiver::start();
    let elsewhere = other.url("/pagina");
    // `/307/outro`: the status, and where to.
    let receiver = Receiver::answering(move |request, _| {
        let mut parts = request.path.split('/').skip(1);
        match (parts.next().map(str::parse), parts.next()) {
            (Some(Ok(status)), Some(place)) => Answer::Redirect(
                status,
                match place {
                    "mesmo" => "/fim".to_owned(),
                    "laco" => request.path.clone(),
                    "arquivo" => "file:///etc/passwd".to_owned(),
                    _ => elsewhere.clone(),
                },
            ),
            _ => Answer::Status(200),
        }
    });
    let mut paths = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        paths.push(format!("{status}/mesmo"));
        paths.push(format!("{status}/outro"));
    }
    paths.extend(["307/laco".to_owned(), "302/arquivo".to_owned()]);
    let hooks = paths.iter().map(|path| {
        let (name, url) = (path.replace('/', "-"), receiver.url(&format!("/{path}")));
        format!("[[webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"hook.key\"\n")
    });
    let site = with(&hooks.collect::<String>());
    site.app.write("hook.key", b"chave");
    for (index, path) in paths.iter().enumerate() {
        let status = path.split('/').next().unwrap();
        let tested = site
            .app
            .cofre(&["webhook", "test", &path.replace('/', "-")])
            .says(&format!("answered {status}, a redirect"))
            .says("configure the address");
        assert_ne!(tested.code, Some(0), "{tested}");
        let received = receiver.received();
        assert_eq!(
            received.len(),
            index + 1,
            "asked once and nowhere else: {received:?}"
        );
        assert_eq!(
            (received[index].method.as_str(), &received[index].path),
            ("POST", &format!("/{path}"))
        );
    }
    assert_eq!(
        other.received().len(),
        0,
        "neither body nor signature reaches another origin"
    );
}
