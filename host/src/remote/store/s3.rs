//! The requests to S3 that `object_store` does not make: objects and uploads with a lock, parts whose sum is known, sums
//! of what is stored, versions, retention, unfinished uploads. Signed with its own signer and its own credentials, sent
//! by the same client.

mod ask;
mod lists;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody, HttpResponseBody};
use serde::de::DeserializeOwned;

use self::ask::{Ask, mode, time};
use super::trouble::Failure;
use super::wire::Line;
use super::{Until, xml};

type Outcome<T> = Result<T, Failure>;

/// Largest answer that is read, in bytes: a page of a list has 1,000 entries of at most a few KiB.
const LARGEST: usize = 8 << 20;

/// How often a part is sent at least: on a slow line one attempt takes longer than other requests may take in all.
const PART_ATTEMPTS: usize = 3;

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

    /// Sends a part whose SHA-256 is known; `object_store` would make it once more. Gives what that calls the part, and
    /// the SHA-256 in base64 that the server says it has.
    pub(super) async fn put_part(
        &self,
        key: &str,
        upload_id: &str,
        number: usize,
        body: Bytes,
        digest: Vec<u8>,
    ) -> Outcome<(String, Option<String>)> {
        let place = (number + 1).to_string();
        let query = [("partNumber", &*place), ("uploadId", upload_id)];
        let ask = Ask::new(Method::PUT, key, &query)
            .summed(body, digest)
            .at_least(PART_ATTEMPTS);
        let reply = self.ask(ask).await?;
        let Some(etag) = reply.text("etag") else {
            return Err(Failure::nonsense("the server does not say what it calls a part"));
        };
        let sha256 = reply.text("x-amz-checksum-sha256");
        let part = xml::PartMetadata {
            e_tag: etag,
            checksum_sha256: sha256,
        };
        let id = quick_xml::se::to_string(&part).map_err(|error| Failure::nonsense(error.to_string()))?;
        Ok((id, sha256.map(str::to_owned)))
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

    /// The lock of one version.
    pub(super) async fn lock_of(&self, key: &str, version: Option<&str>) -> Outcome<Option<Until>> {
        let ask = Ask::new(Method::GET, key, &versioned("retention", version));
        match self.ask(ask).await {
            Ok(reply) => Ok(parse::<xml::Retention>(&reply, "Retention")?.until()),
            Err(failure) if failure.is_unknown_call() => Ok(None),
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
            Err(failure) if failure.is_unknown_call() => Ok(false),
            Err(failure) => Err(failure),
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
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.once(ask).await {
                Ok((headers, body)) => return Ok(Reply { headers, body }),
                Err(failure)
                    if tries <= tuning.retries
                        && failure.may_pass()
                        && (tries < ask.at_least || began.elapsed() < tuning.retry_time) =>
                {
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
            .try_authorize(&mut request, ask.digest.as_deref())
            .map_err(|error| Failure::from(&error))?;
        let network = |error| Failure::network(&error);
        let (parts, body) = self.client.execute(request).await.map_err(network)?.into_parts();
        let body = whole(body).await?;
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

/// All of an answer, as long as it is not larger than any honest one.
async fn whole(body: HttpResponseBody) -> Outcome<Bytes> {
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::nonsense(format!(
            "the server's answer makes no sense: it has more than {LARGEST} bytes"
        ))),
        Err(error) => Err(error.downcast::<HttpError>().map_or_else(
            |error| Failure::nonsense(error.to_string()),
            |error| Failure::network(&error),
        )),
    }
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
