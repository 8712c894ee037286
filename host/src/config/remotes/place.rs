//! Where a remote is: its URL, and the keys that say more of a bucket.

use std::path::{Path, PathBuf};

use super::super::document::Section;
use super::super::parts::{one_of, path, resolved};
use super::super::paths::is_within;
use super::super::value;
use super::{Bucket, Place, Provider};

/// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix`, or a folder.
pub(super) fn read(table: &Section<'_>, dir: &Path) -> Option<Place> {
    let bucket = BucketKeys {
        endpoint: endpoint(table),
        region: table.string("region"),
        path_style: table.boolean("path_style"),
        credentials_file: path(table, "credentials_file", dir),
        profile: table.string("profile"),
        allow_http: table.boolean("allow_http").unwrap_or(false),
    };
    let text = table.string("url")?;
    let Some((scheme, rest)) = text.split_once("://") else {
        return folder(table, dir, &text);
    };
    let provider = match scheme {
        "s3" => Provider::S3,
        "gs" => Provider::Google,
        "az" => Provider::Azure,
        "file" => return folder(table, dir, rest),
        _ => {
            let (message, hint) = one_of(scheme, &["s3", "gs", "az", "file"]);
            table.problem("url", message, hint);
            return None;
        }
    };
    match bucket.at(provider, rest) {
        Ok(bucket) => Some(Place::Bucket(bucket)),
        Err((message, hint)) => {
            table.problem("url", message, hint);
            None
        }
    }
}

/// What else says where a bucket is.
struct BucketKeys {
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    credentials_file: Option<PathBuf>,
    profile: Option<String>,
    allow_http: bool,
}

impl BucketKeys {
    fn at(self, provider: Provider, rest: &str) -> Result<Bucket, value::Bad> {
        let example = match provider {
            Provider::S3 => "s3://bucket/folder",
            Provider::Google => "gs://bucket/folder",
            Provider::Azure => "az://account/container/folder",
        };
        let bad = || {
            (
                "does not name a bucket".to_owned(),
                Some(format!("write `{example}`")),
            )
        };
        // A URL with a user and a password would end in messages.
        if rest.contains(['@', '?', '#', '\\']) || rest.chars().any(|c| c.is_control() || c == ' ') {
            return Err((
                "has characters that no bucket and no folder may have".to_owned(),
                Some(format!(
                    "write `{example}`; credentials go into `credentials_file`"
                )),
            ));
        }
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let account = match provider {
            Provider::Azure => Some(parts.next().ok_or_else(bad)?.to_owned()),
            Provider::S3 | Provider::Google => None,
        };
        let bucket = parts.next().ok_or_else(bad)?.to_owned();
        let prefix: Vec<&str> = parts.collect();
        if prefix.iter().any(|part| *part == "." || *part == "..") {
            return Err(("can't have `.` or `..` in it".to_owned(), None));
        }
        Ok(Bucket {
            provider,
            bucket,
            prefix: prefix.join("/"),
            // Servers of one's own seldom have a host name for each bucket.
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            endpoint: self.endpoint,
            region: self.region,
            allow_http: self.allow_http,
            account,
            credentials_file: self.credentials_file,
            profile: self.profile,
        })
    }
}

fn endpoint(table: &Section<'_>) -> Option<String> {
    let text = table.string("endpoint")?;
    let allow_http = table.boolean("allow_http").unwrap_or(false);
    if text.contains('@') {
        let hint = "credentials go into `credentials_file`";
        table.problem("endpoint", "can't have a user in it", Some(hint.into()));
        return None;
    }
    match value::outgoing_host(&text, Some(allow_http)) {
        Ok(_) => Some(text.trim_end_matches('/').to_owned()),
        Err((message, hint)) => {
            table.problem("endpoint", message, hint);
            None
        }
    }
}

/// Keys that only a bucket has.
const OF_BUCKETS: [&str; 6] = [
    "endpoint",
    "region",
    "path_style",
    "credentials_file",
    "profile",
    "allow_http",
];

/// A folder for which somebody meant a bucket is a typing error, and copies would stay on this machine.
fn folder(table: &Section<'_>, dir: &Path, text: &str) -> Option<Place> {
    for key in OF_BUCKETS.into_iter().filter(|key| table.has(key)) {
        table.problem(
            key,
            "is for buckets, and `url` is a folder",
            Some("remove it, or begin `url` with `s3://`, `gs://` or `az://`".into()),
        );
    }
    resolved(table, "url", dir, text).map(Place::Folder)
}

/// Whether two remotes would write over each other.
pub(super) fn is_same(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Folder(one), Place::Folder(other)) => is_within(one, other) && is_within(other, one),
        (Place::Bucket(one), Place::Bucket(other)) => {
            (
                one.provider,
                &one.bucket,
                &one.prefix,
                &one.endpoint,
                &one.account,
            ) == (
                other.provider,
                &other.bucket,
                &other.prefix,
                &other.endpoint,
                &other.account,
            )
        }
        _ => false,
    }
}
