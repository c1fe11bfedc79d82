//! The stores, set up from the environment.
//!
//! Variables have the names `object_store` gives them. No file in a home directory is read, and the
//! machine's own identity is asked for only where a variable says so: without credentials a request
//! is not signed, as public buckets want it.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig, StaticCredentialProvider};

use super::super::reach::Environment;
use super::transport::Transport;
use crate::manifest::{Host, HttpUrl, ObjectUrl, Store};

/// What the environment says of the store of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) object: &'a ObjectUrl,
    environment: &'a Environment,
}

impl<'a> Settings<'a> {
    pub(super) fn new(object: &'a ObjectUrl, environment: &'a Environment) -> Self {
        Self {
            object,
            environment,
        }
    }

    fn prefix(self) -> &'static str {
        match self.object.bucket().store {
            Store::S3 => "AWS_",
            Store::Gs => "GOOGLE_",
            Store::Az => "AZURE_",
        }
    }

    /// Keys of a builder with their values.
    fn keys<K: std::str::FromStr>(self) -> impl Iterator<Item = (K, &'a str)> {
        self.environment
            .beginning(self.prefix())
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
    }

    /// Hosts the environment names as endpoints of the store.
    pub(super) fn endpoints(self) -> Vec<Host> {
        let of = |text: Option<String>| Some(HttpUrl::parse(&text?).ok()?.host().clone());
        let hosts = match self.object.bucket().store {
            Store::S3 => {
                let builder = s3(self);
                [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint]
                    .map(|key| of(builder.get_config_value(&key)))
            }
            Store::Gs => {
                let key = GoogleConfigKey::BaseUrl;
                [of(google(self).get_config_value(&key)), None]
            }
            Store::Az => {
                let key = AzureConfigKey::Endpoint;
                [of(azure(self).get_config_value(&key)), None]
            }
        };
        hosts.into_iter().flatten().collect()
    }

    /// Whether the environment allows plain HTTP beyond loopback addresses.
    pub(super) fn allows_http(self) -> bool {
        let name = format!("{}ALLOW_HTTP", self.prefix());
        self.environment.says_yes(&name)
    }

    fn uses_instance(self) -> bool {
        self.environment.says_yes(Environment::INSTANCE)
    }

    /// What is wrong, with the names of the variables that were looked at and none of their values.
    fn unusable(self) -> String {
        let names: Vec<&str> = self
            .environment
            .beginning(self.prefix())
            .map(|(name, _)| name)
            .collect();
        let seen = match names.as_slice() {
            [] => format!("no variable {}* is set", self.prefix()),
            names => format!("set are {}", names.join(", ")),
        };
        format!("the settings of its store cannot be used ({seen})")
    }
}

/// Retries are counted once, where all downloads are.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

fn s3(settings: Settings<'_>) -> AmazonS3Builder {
    settings
        .keys()
        .fold(AmazonS3Builder::new(), |builder, (key, value)| {
            builder.with_config(key, value)
        })
}

fn google(settings: Settings<'_>) -> GoogleCloudStorageBuilder {
    settings
        .keys()
        .fold(GoogleCloudStorageBuilder::new(), |builder, (key, value)| {
            builder.with_config(key, value)
        })
}

fn azure(settings: Settings<'_>) -> MicrosoftAzureBuilder {
    settings
        .keys()
        .fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| {
            builder.with_config(key, value)
        })
}

/// The store an object is in; asks nobody.
///
/// # Errors
/// A sentence without any value of the environment: what is missing or malformed there.
pub(super) fn open(
    object: &ObjectUrl,
    settings: &Settings<'_>,
    transport: &Transport,
) -> Result<Box<dyn ObjectStore>, String> {
    let settings = *settings;
    let name = object.bucket().name.as_str();
    let connector = transport.clone();
    let opened: object_store::Result<Box<dyn ObjectStore>> = match object.bucket().store {
        Store::S3 => {
            use AmazonS3ConfigKey as Key;
            let mut builder = s3(settings);
            let is_signed = [
                Key::AccessKeyId,
                Key::SecretAccessKey,
                Key::WebIdentityTokenFile,
                Key::ContainerCredentialsRelativeUri,
                Key::ContainerCredentialsFullUri,
            ];
            let is_signed = is_signed
                .iter()
                .any(|key| builder.get_config_value(key).is_some());
            if !is_signed && !settings.uses_instance() {
                builder = builder.with_skip_signature(true);
            }
            builder
                .with_bucket_name(name)
                .with_retry(no_retries())
                .with_http_connector(connector)
                .build()
                .map(|store| Box::new(store) as _)
        }
        Store::Gs => {
            use GoogleConfigKey as Key;
            let mut builder = google(settings);
            let is_signed = [
                Key::ServiceAccount,
                Key::ServiceAccountKey,
                Key::ApplicationCredentials,
                Key::BearerToken,
            ];
            let is_signed = is_signed
                .iter()
                .any(|key| builder.get_config_value(key).is_some());
            if !is_signed && !settings.uses_instance() {
                // Otherwise it reads the credentials a person left in a home directory.
                let nobody = GcpCredential {
                    bearer: String::new(),
                };
                builder = builder
                    .with_credentials(Arc::new(StaticCredentialProvider::new(nobody)))
                    .with_skip_signature(true);
            }
            builder
                .with_bucket_name(name)
                .with_retry(no_retries())
                .with_http_connector(connector)
                .build()
                .map(|store| Box::new(store) as _)
        }
        Store::Az => {
            use AzureConfigKey as Key;
            let mut builder = azure(settings);
            let has = |key: Key| builder.get_config_value(&key).is_some();
            let is_emulated = builder.get_config_value(&Key::UseEmulator);
            let is_emulated = is_emulated.is_some_and(|value| value == "true");
            if !has(Key::AccountName) && !is_emulated {
                return Err("AZURE_STORAGE_ACCOUNT_NAME is not set".to_owned());
            }
            let is_signed = [
                Key::AccessKey,
                Key::SasKey,
                Key::Token,
                Key::ClientSecret,
                Key::FederatedTokenFile,
            ];
            let is_signed = is_emulated || is_signed.into_iter().any(has);
            if !is_signed && !settings.uses_instance() {
                builder = builder.with_config(Key::SkipSignature, "true");
            }
            builder
                .with_container_name(name)
                .with_retry(no_retries())
                .with_http_connector(connector)
                .build()
                .map(|store| Box::new(store) as _)
        }
    };
    opened.map_err(|_| settings.unusable())
}
