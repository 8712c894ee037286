//! Lists of a bucket, page after page, and no more pages than an honest one has.

use hyper::Method;

use super::{Ask, Outcome, S3, parse};
use crate::remote::store::trouble::Failure;
use crate::remote::store::{Version, xml};

/// Most pages of one list: half a million objects.
const MOST_PAGES: usize = 500;

impl S3 {
    /// Everything whose key begins so.
    pub(in crate::remote::store) async fn list(&self, prefix: &str) -> Outcome<Vec<xml::Content>> {
        let mut found = Vec::new();
        let mut token = None::<String>;
        for _ in 0..MOST_PAGES {
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
        Err(endless())
    }

    /// All versions of one key, newest first.
    pub(in crate::remote::store) async fn versions(&self, key: &str) -> Outcome<Vec<Version>> {
        // Other keys that begin with this one come after it.
        let mut found = self.versions_with(key, |next| next > key).await?;
        found.retain(|(of, _)| of == key);
        Ok(found.into_iter().map(|(_, version)| version).collect())
    }

    /// All versions of everything whose key begins so, with their keys; those of one key newest first.
    pub(in crate::remote::store) async fn versions_below(
        &self,
        prefix: &str,
    ) -> Outcome<Vec<(String, Version)>> {
        self.versions_with(prefix, |_| false).await
    }

    async fn versions_with(
        &self,
        prefix: &str,
        enough: impl Fn(&str) -> bool,
    ) -> Outcome<Vec<(String, Version)>> {
        let mut found = Vec::new();
        let mut marker = (String::new(), String::new());
        let mut pages = 0;
        loop {
            pages += 1;
            if pages > MOST_PAGES {
                return Err(endless());
            }
            let mut query = vec![("versions", ""), ("prefix", prefix)];
            if !marker.0.is_empty() {
                query.push(("key-marker", &marker.0));
                query.push(("version-id-marker", &marker.1));
            }
            let reply = match self.ask(Ask::new(Method::GET, "", &query)).await {
                // Such a store has none.
                Err(failure) if failure.is_unknown_call() => return Ok(Vec::new()),
                reply => reply?,
            };
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

    /// The multipart uploads below a prefix that were neither finished nor aborted.
    pub(in crate::remote::store) async fn uploads(&self, prefix: &str) -> Outcome<Vec<xml::Upload>> {
        let mut found = Vec::new();
        let mut marker = (String::new(), String::new());
        for _ in 0..MOST_PAGES {
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
        Err(endless())
    }
}

fn endless() -> Failure {
    Failure::nonsense(format!("the server's list has more than {MOST_PAGES} pages"))
}
