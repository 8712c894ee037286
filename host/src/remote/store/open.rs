//! Opening a bucket: what the configuration, the environment and files of credentials say, put together. Nothing is
//! sent yet.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::credentials::{self, AzureKey};
use super::s3::S3;
use super::wire::{Connector, Line};
use crate::config::{Bucket, Provider};
use crate::error::{Code, Error, Result};
use crate::text;

/// An opened bucket.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    /// What only S3 has.
    pub(super) s3: Option<S3>,
}

pub(super) fn bucket(remote: &str, bucket: &Bucket, line: &Arc<Line>) -> Result<Opened> {
    let opened = match bucket.provider {
        Provider::S3 => s3(bucket, line),
        Provider::Google => google(bucket, line),
        Provider::Azure => azure(bucket, line),
    };
    opened.map_err(|error| Error {
        message: format!("remote {}: {}", text::escape(remote), error.message),
        ..error
    })
}

fn s3(bucket: &Bucket, line: &Arc<Line>) -> Result<Opened> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket.bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_unsigned_payload(false)
        .with_skip_signature(false)
        .with_disable_bulk_delete(true)
        .with_retry(retry(line))
        .with_http_connector(Connector(Arc::clone(line)));
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    let said =
        |builder: &AmazonS3Builder, key| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let endpoint = bucket
        .endpoint
        .clone()
        .or_else(|| said(&builder, AmazonS3ConfigKey::S3Endpoint))
        .or_else(|| said(&builder, AmazonS3ConfigKey::Endpoint));
    let region = said(&builder, AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
    let url = bucket_url(endpoint.as_deref(), &region, bucket)?;
    let base = if bucket.path_style {
        url.strip_suffix(&*bucket.bucket)
            .unwrap_or(&url)
            .trim_end_matches('/')
    } else {
        &url
    };
    builder = builder
        .with_region(&region)
        .with_config(AmazonS3ConfigKey::S3Endpoint, base)
        .with_virtual_hosted_style_request(!bucket.path_style)
        .with_client_options(options(bucket, &url));
    if let Some(key) = aws_key(&builder, bucket, endpoint.is_some())? {
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(key)));
    }
    let client = Connector(Arc::clone(line))
        .connect(&options(bucket, &url))
        .map_err(|_| cannot())?;
    let store = Arc::new(builder.build().map_err(|_| cannot())?);
    let s3 = S3::new(
        url,
        region,
        Arc::clone(store.credentials()),
        client,
        Arc::clone(line),
    );
    Ok(Opened {
        objects: Arc::clone(&store) as _,
        parts: store,
        s3: Some(s3),
    })
}

/// That the environment has one half of a key.
fn half(builder: &AmazonS3Builder) -> Option<Error> {
    let has = |key| {
        builder
            .get_config_value(&key)
            .is_some_and(|value| !value.is_empty())
    };
    let (there, missing) = match (
        has(AmazonS3ConfigKey::AccessKeyId),
        has(AmazonS3ConfigKey::SecretAccessKey),
    ) {
        (true, false) => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        (false, true) => ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        _ => return None,
    };
    let message = format!("the credentials are not complete: {there} is set, and {missing} is not");
    Some(Error::new(Code::Config, message).remedy(format!(
        "set {missing} too, or name a file with `credentials_file`"
    )))
}

/// The key that isn't in the environment: from the file that the configuration names, which counts more than the
/// environment, or else from where AWS's own tools keep it. `None` leaves it to `object_store`.
fn aws_key(builder: &AmazonS3Builder, bucket: &Bucket, elsewhere: bool) -> Result<Option<AwsCredential>> {
    let profile = || {
        let named = bucket
            .profile
            .clone()
            .or_else(|| std::env::var("AWS_PROFILE").ok());
        named.unwrap_or_else(|| "default".to_owned())
    };
    let from_environment = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::SecretAccessKey,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    if bucket.credentials_file.is_none()
        && bucket.profile.is_none()
        && let Some(error) = half(builder)
    {
        return Err(error);
    }
    let path = match &bucket.credentials_file {
        Some(path) => path.clone(),
        None if bucket.profile.is_none()
            && from_environment
                .iter()
                .any(|key| builder.get_config_value(key).is_some()) =>
        {
            return Ok(None);
        }
        None => match credentials::aws_default() {
            Some(path) => path,
            // Only a machine of Amazon's has a service that gives credentials out.
            None if elsewhere => {
                return Err(Error::new(Code::Config, "there are no credentials").remedy(
                    "name a file with `credentials_file`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                ));
            }
            None => return Ok(None),
        },
    };
    let key = credentials::aws(&path, &profile())?;
    Ok(Some(AwsCredential {
        key_id: key.id,
        secret_key: key.secret,
        token: key.token,
    }))
}

/// The URL of the bucket itself.
fn bucket_url(endpoint: Option<&str>, region: &str, bucket: &Bucket) -> Result<String> {
    let name = &bucket.bucket;
    let Some(endpoint) = endpoint else {
        return Ok(if bucket.path_style {
            format!("https://s3.{region}.amazonaws.com/{name}")
        } else {
            format!("https://{name}.s3.{region}.amazonaws.com")
        });
    };
    let bad = || {
        Error::new(
            Code::Config,
            format!("the endpoint {} is not a URL", text::escape(endpoint)),
        )
    };
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint.split_once("://").ok_or_else(bad)?;
    if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['@', '?', '#']) {
        return Err(bad());
    }
    Ok(if bucket.path_style {
        format!("{endpoint}/{name}")
    } else {
        format!("{scheme}://{name}.{host}")
    })
}

fn google(bucket: &Bucket, line: &Arc<Line>) -> Result<Opened> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&bucket.bucket)
        .with_retry(retry(line))
        .with_client_options(options(bucket, bucket.endpoint.as_deref().unwrap_or_default()))
        .with_http_connector(Connector(Arc::clone(line)));
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(path) = &bucket.credentials_file {
        builder = builder.with_service_account_key(credentials::read(path)?);
    }
    let store = Arc::new(builder.build().map_err(|_| cannot())?);
    Ok(Opened {
        objects: Arc::clone(&store) as _,
        parts: store,
        s3: None,
    })
}

fn azure(bucket: &Bucket, line: &Arc<Line>) -> Result<Opened> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&bucket.bucket)
        .with_retry(retry(line))
        .with_client_options(options(bucket, bucket.endpoint.as_deref().unwrap_or_default()))
        .with_http_connector(Connector(Arc::clone(line)));
    if let Some(account) = &bucket.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(path) = &bucket.credentials_file {
        builder = match credentials::azure(path)? {
            AzureKey::Account(key) => builder.with_access_key(key),
            AzureKey::Sas(sas) => builder.with_config(AzureConfigKey::SasKey, sas),
        };
    }
    let store = Arc::new(builder.build().map_err(|_| cannot())?);
    Ok(Opened {
        objects: Arc::clone(&store) as _,
        parts: store,
        s3: None,
    })
}

/// The reason is left out: it may quote what stands in a file of credentials.
fn cannot() -> Error {
    Error::new(Code::Config, "its address or its credentials can't be used")
        .remedy("check `endpoint`, and that the file of `credentials_file` has the format of this provider")
}

/// Without TLS only where the configuration allows it, or where nothing leaves the machine.
fn options(bucket: &Bucket, url: &str) -> ClientOptions {
    ClientOptions::new().with_allow_http(bucket.allow_http || is_this_machine(url))
}

fn is_this_machine(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    };
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn retry(line: &Line) -> RetryConfig {
    let tuning = line.tuning();
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: tuning.first_wait,
            max_backoff: tuning.longest_wait,
            base: 2.0,
        },
        max_retries: tuning.retries,
        retry_timeout: tuning.retry_time,
    }
}
