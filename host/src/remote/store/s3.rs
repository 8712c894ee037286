//! The requests to S3 that `object_store` does not make: objects and uploads with a lock, sums of what is stored,
//! versions, retention, unfinished uploads. Signed with its own signer and its own credentials, sent by the same
//! client.

mod ask;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use serde::de::DeserializeOwned;

use self::ask::{Ask, mode, time};
use super::trouble::Failure;
use super::wire::Line;
use super::{Until, Version, xml};

type Outcome<T> = Result<T, Failure>;

/// One bucket.
pub(super) struct S3 {
    /// URL of the bucket.
    url: String,
    region: String,
    credentials: AwsCredentialProvider,
    client: HttpClient,
    line: Arc<Line>,
}

/// An answer.
pub(super) struct Reply {
    headers: HeaderMap,
    body: Bytes,
}

/// What the server says about an object, with the sums that it made of it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    pub(super) version: Option<String>,
    /// Base64; of a multipart upload the sum of its parts' sums, with `-N`.
    pub(super) sha256: Option<String>,
    /// Whether the ETag may be something else than an MD5.
    pub(super) encrypted: bool,
}

/// What is asked of an object that is being put.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes<'a> {
    pub(super) lock: Option<&'a Until>,
    /// Only if there is none.
    pub(super) new: bool,
}

impl S3 {
    pub(super) fn new(
        url: String,
        region: String,
        credentials: AwsCredentialProvider,
        client: HttpClient,
        line: Arc<Line>,
    ) -> Self {
        Self {
            url,
            region,
            credentials,
            client,
            line,
        }
    }

    /// Puts an object; `None` where it had to be new and isn't.
    pub(super) async fn put(&self, key: &str, body: Bytes, wishes: Wishes<'_>) -> Outcome<Option<Stored>> {
        let size = body.len() as u64;
        let mut ask = Ask::new(Method::PUT, key, &[])
            .body(body.clone(), wishes.lock.is_some())
            .locked(wishes.lock);
        if wishes.new {
            ask = ask.header("if-none-match", "*");
        }
        let tries = match self.send(&ask).await {
            Ok(reply) => return Ok(Some(Stored::of(&reply, size))),
            // An attempt whose answer was lost may have made it: then it is ours.
            Err((failure, tries)) if wishes.new && matches!(failure.status, Some(409 | 412)) => tries,
            Err((failure, _)) => return Err(failure),
        };
        if tries > 1 {
            let reply = self.ask(Ask::new(Method::GET, key, &[])).await?;
            if reply.body == body {
                return Ok(Some(Stored::of(&reply, size)));
            }
        }
        Ok(None)
    }

    /// Begins a multipart upload.
    pub(super) async fn create_upload(&self, key: &str, lock: Option<&Until>) -> Outcome<String> {
        let ask = Ask::new(Method::POST, key, &[("uploads", "")])
            .header("x-amz-checksum-algorithm", "SHA256")
            .locked(lock);
        let found: xml::Created = parse(&self.ask(ask).await?, "InitiateMultipartUploadResult")?;
        Ok(found.upload_id)
    }

    /// What is stored under a key; `None` if nothing is.
    pub(super) async fn stored(&self, key: &str) -> Outcome<Option<Stored>> {
        let ask = Ask::new(Method::HEAD, key, &[]).header("x-amz-checksum-mode", "ENABLED");
        match self.ask(ask).await {
            Ok(reply) => {
                let size = reply.text("content-length").and_then(|text| text.parse().ok());
                let size =
                    size.ok_or_else(|| Failure::nonsense("the server does not say how large it is"))?;
                Ok(Some(Stored::of(&reply, size)))
            }
            Err(failure) if failure.is_no_object() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Everything whose key begins so.
    pub(super) async fn list(&self, prefix: &str) -> Outcome<Vec<xml::Content>> {
        let mut found = Vec::new();
        let mut token = None::<String>;
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            query.extend(token.iter().map(|token| ("continuation-token", &**token)));
            let reply = self.ask(Ask::new(Method::GET, "", &query)).await?;
            let page: xml::List = parse(&reply, "ListBucketResult")?;
            found.extend(page.contents);
            if !page.is_truncated {
                return Ok(found);
            }
            if page.next_continuation_token.is_none() || page.next_continuation_token == token {
                return Err(Failure::nonsense("the server's list goes round in circles"));
            }
            token = page.next_continuation_token;
        }
    }

    /// All versions of one key, newest first.
    pub(super) async fn versions(&self, key: &str) -> Outcome<Vec<Version>> {
        // Other keys that begin with this one come after it.
        let mut found = self.versions_with(key, |next| next > key).await?;
        found.retain(|(of, _)| of == key);
        Ok(found.into_iter().map(|(_, version)| version).collect())
    }

    /// All versions of everything whose key begins so, with their keys; those of one key newest first.
    pub(super) async fn versions_below(&self, prefix: &str) -> Outcome<Vec<(String, Version)>> {
        self.versions_with(prefix, |_| false).await
    }

    async fn versions_with(
        &self,
        prefix: &str,
        enough: impl Fn(&str) -> bool,
    ) -> Outcome<Vec<(String, Version)>> {
        let mut found = Vec::new();
        let mut marker = (String::new(), String::new());
        loop {
            let mut query = vec![("versions", ""), ("prefix", prefix)];
            if !marker.0.is_empty() {
                query.push(("key-marker", &marker.0));
                query.push(("version-id-marker", &marker.1));
            }
            let reply = self.ask(Ask::new(Method::GET, "", &query)).await?;
            let page: xml::Versions = parse(&reply, "ListVersionsResult")?;
            let gone = page.delete_markers.into_iter().map(|entry| (entry, true));
            let there = page.versions.into_iter().map(|entry| (entry, false));
            found.extend(there.chain(gone).map(|(entry, deleted)| {
                let version = Version {
                    version: entry.version_id,
                    size: entry.size.unwrap_or(0),
                    etag: entry.etag,
                    modified: entry.last_modified,
                    latest: entry.is_latest,
                    deleted,
                };
                (entry.key, version)
            }));
            if !page.is_truncated || page.next_key_marker.as_deref().is_none_or(&enough) {
                break;
            }
            let next = (
                page.next_key_marker.unwrap_or_default(),
                page.next_version_id_marker.unwrap_or_default(),
            );
            if next == marker {
                return Err(Failure::nonsense(
                    "the server's list of versions goes round in circles",
                ));
            }
            marker = next;
        }
        let newest_first = |one: &Version| std::cmp::Reverse((one.latest, one.modified));
        found.sort_by(|(a, first), (b, second)| {
            a.cmp(b)
                .then_with(|| newest_first(first).cmp(&newest_first(second)))
        });
        Ok(found)
    }

    /// The lock of one version.
    pub(super) async fn lock_of(&self, key: &str, version: Option<&str>) -> Outcome<Option<Until>> {
        let ask = Ask::new(Method::GET, key, &versioned("retention", version));
        match self.ask(ask).await {
            Ok(reply) => Ok(parse::<xml::Retention>(&reply, "Retention")?.until()),
            Err(failure) => match &*failure.code {
                "NoSuchObjectLockConfiguration"
                | "ObjectLockConfigurationNotFoundError"
                | "InvalidRequest" => Ok(None),
                _ => Err(failure),
            },
        }
    }

    /// Sets the lock of one version.
    pub(super) async fn set_lock(&self, key: &str, version: Option<&str>, until: &Until) -> Outcome<()> {
        let (mode, time) = (mode(until.mode), time(until.at));
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{time}</RetainUntilDate></Retention>"
        );
        let ask = Ask::new(Method::PUT, key, &versioned("retention", version)).body(body.into(), true);
        self.ask(ask).await.map(drop)
    }

    /// Whether the bucket has locks.
    pub(super) async fn has_object_lock(&self) -> Outcome<bool> {
        match self.ask(Ask::new(Method::GET, "", &[("object-lock", "")])).await {
            Ok(reply) => {
                let found: xml::LockConfiguration = parse(&reply, "ObjectLockConfiguration")?;
                Ok(found.object_lock_enabled.as_deref() == Some("Enabled"))
            }
            Err(failure) if failure.code == "ObjectLockConfigurationNotFoundError" => Ok(false),
            Err(failure) if matches!(failure.status, Some(405 | 501)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The multipart uploads below a prefix that were neither finished nor aborted.
    pub(super) async fn uploads(&self, prefix: &str) -> Outcome<Vec<xml::Upload>> {
        let mut found = Vec::new();
        let mut marker = (String::new(), String::new());
        loop {
            let mut query = vec![("uploads", ""), ("prefix", prefix)];
            if !marker.0.is_empty() {
                query.push(("key-marker", &marker.0));
                query.push(("upload-id-marker", &marker.1));
            }
            let reply = self.ask(Ask::new(Method::GET, "", &query)).await?;
            let page: xml::Uploads = parse(&reply, "ListMultipartUploadsResult")?;
            found.extend(page.uploads);
            let next = (
                page.next_key_marker.unwrap_or_default(),
                page.next_upload_id_marker.unwrap_or_default(),
            );
            if !page.is_truncated {
                return Ok(found);
            }
            if next == marker || next.0.is_empty() {
                return Err(Failure::nonsense(
                    "the server's list of uploads goes round in circles",
                ));
            }
            marker = next;
        }
    }

    /// Gives an upload up; that it is gone already is fine.
    pub(super) async fn abort(&self, key: &str, upload_id: &str) -> Outcome<()> {
        match self
            .ask(Ask::new(Method::DELETE, key, &[("uploadId", upload_id)]))
            .await
        {
            Err(failure) if !failure.is_lost_upload() && !failure.is_no_object() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Removes one object, or in a bucket with versions hides it.
    pub(super) async fn delete(&self, key: &str, version: Option<&str>) -> Outcome<()> {
        let query: Vec<_> = version
            .map(|version| ("versionId", version))
            .into_iter()
            .collect();
        match self.ask(Ask::new(Method::DELETE, key, &query)).await {
            Err(failure) if !failure.is_no_object() => Err(failure),
            _ => Ok(()),
        }
    }

    async fn ask(&self, ask: Ask<'_>) -> Outcome<Reply> {
        self.send(&ask).await.map_err(|(failure, _)| failure)
    }

    /// Sends a request until it is answered for good; with an error, how often it was sent.
    async fn send(&self, ask: &Ask<'_>) -> Result<Reply, (Failure, usize)> {
        let tuning = self.line.tuning();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.once(ask).await {
                Ok((headers, body)) => return Ok(Reply { headers, body }),
                Err(failure) if tries <= tuning.retries && failure.may_pass() => {
                    tokio::time::sleep(tuning.back_off(tries)).await;
                }
                Err(failure) => return Err((failure, tries)),
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Outcome<(HeaderMap, Bytes)> {
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| Failure::from(&error))?;
        let mut request = HttpRequest::new(HttpRequestBody::from(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask
            .url(&self.url)
            .parse::<Uri>()
            .map_err(|_| Failure::nonsense("the URL can't be used"))?;
        for (name, value) in &ask.headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| Failure::nonsense("a header can't be used"))?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        if ask.body.is_empty() && matches!(ask.method, Method::PUT | Method::POST) {
            request
                .headers_mut()
                .insert(hyper::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| Failure::from(&error))?;
        let network = |error| Failure::network(&error);
        let (parts, body) = self.client.execute(request).await.map_err(network)?.into_parts();
        let body = body.bytes().await.map_err(network)?;
        let status = parts.status.as_u16();
        if parts.status.is_success() {
            return Ok((parts.headers, body));
        }
        Err(Failure::answer(status, &String::from_utf8_lossy(&body)))
    }
}

impl Reply {
    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Stored {
    fn of(reply: &Reply, size: u64) -> Self {
        let own = |name| reply.text(name).map(str::to_owned);
        let encryption = reply.text("x-amz-server-side-encryption");
        let customer = reply.text("x-amz-server-side-encryption-customer-algorithm");
        Self {
            size,
            etag: own("etag"),
            version: own("x-amz-version-id").filter(|version| version != "null"),
            sha256: own("x-amz-checksum-sha256"),
            encrypted: encryption.is_some() || customer.is_some(),
        }
    }
}

fn versioned<'a>(what: &'static str, version: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let version = version.map(|version| ("versionId", version));
    [(what, "")].into_iter().chain(version).collect()
}

/// Reads an answer. That it is the right kind is looked at too, for the page of a captive portal would otherwise be an
/// empty list.
fn parse<T: DeserializeOwned>(reply: &Reply, root: &str) -> Outcome<T> {
    if !String::from_utf8_lossy(&reply.body).contains(&format!("<{root}")) {
        return Err(Failure::nonsense(format!(
            "the server's answer makes no sense: it is no {root}"
        )));
    }
    quick_xml::de::from_reader(&*reply.body)
        .map_err(|error| Failure::nonsense(format!("the server's answer makes no sense: {error}")))
}
