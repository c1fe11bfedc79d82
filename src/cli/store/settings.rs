//! Arguments, environment and policy of the store become what its commands use.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args;
use super::fault::Fault;
use crate::artifact::Reach;
use crate::artifact::reach::{Credentials, Environment, Patience};
use crate::artifact::source::Rules;
use crate::cli::sources::CERTIFICATES;
use crate::store::notify::Notification;
use crate::store::source::Sources;
use crate::store::{Layout, Policy};

/// Where the video system keeps its models.
const DEFAULT_MODELS: &str = "/opt/vv-video-ai-system/models";

/// Where the video system keeps its manifest.
const DEFAULT_MANIFEST: &str = "/opt/vv-video-ai-system/model_manifest.json";

/// Policy looked for beside the manifest.
const POLICY_FILE: &str = "gate.toml";

/// Longest time a notification may take.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// What all commands of the store work with.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) layout: Layout,
    pub(super) manifest: PathBuf,
    /// Where the policy was said to be; `None` for beside the manifest.
    policy_path: Option<PathBuf>,
    pub(super) wait: Duration,
    pub(super) is_dry_run: bool,
    pub(super) is_json: bool,
}

impl Settings {
    pub(super) fn new(common: &args::Common) -> Self {
        let manifest = named(
            common.manifest.as_deref(),
            "VV_MODEL_MANIFEST",
            DEFAULT_MANIFEST,
        );
        Self {
            layout: Layout::new(&named(
                common.models_dir.as_deref(),
                "VV_MODELS_DIR",
                DEFAULT_MODELS,
            )),
            policy_path: common.policy.clone(),
            manifest,
            wait: Duration::from_secs_f64(common.wait),
            is_dry_run: common.dry_run,
            is_json: common.json,
        }
    }

    /// Reads the policy. Only what it decides about asks for it: with one that cannot be read, a
    /// host must still be able to go back and to say that its model is whole.
    pub(super) fn policy(&self) -> Result<Policy, Fault> {
        let beside = self.manifest.with_file_name(POLICY_FILE);
        match &self.policy_path {
            Some(path) => Ok(Policy::read(path)?),
            None if beside.exists() => Ok(Policy::read(&beside)?),
            None => Ok(Policy::default()),
        }
    }
}

/// The flag, else the environment, else the default.
fn named(flag: Option<&Path>, variable: &str, default: &str) -> PathBuf {
    flag.map(Path::to_owned)
        .or_else(|| environment(variable).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(default))
}

fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// Where artifacts may come from: policy, flags and environment together.
pub(super) fn sources(
    download: &args::Download,
    policy: &Policy,
    is_offline: bool,
) -> Result<Sources, Fault> {
    let usual = Patience::default();
    let wait = |seconds: Option<f64>, usual| seconds.map_or(usual, Duration::from_secs_f64);
    let patience = Patience {
        retries: download.retries.unwrap_or(usual.retries),
        connect: wait(download.connect_timeout, usual.connect),
        idle: wait(download.idle_timeout, usual.idle),
        min_bytes_per_s: policy.min_bytes_per_s,
        backoff: match (download.backoff_ms, download.retries) {
            (Some(ms), _) => Duration::from_millis(ms.into()),
            // Who wants no retries waits for none.
            (None, Some(0)) => Duration::ZERO,
            (None, _) => usual.backoff,
        },
        ..usual
    };
    let credentials = Credentials::from_environment()
        .map_err(|message: String| Fault::usage(&message, "set both variables, or none of them"))?;
    Ok(Sources {
        rules: Rules {
            allow_http: download.allow_http,
            allow_file: download.allow_file,
            ..policy.rules.clone()
        },
        reach: Reach {
            patience,
            credentials,
            certificates: environment(CERTIFICATES).map(PathBuf::from),
            environment: Environment::of_this_process(),
            is_offline,
        },
        limits: policy.limits,
    })
}

/// Version of the summarizer on this host, where anyone says it.
pub(super) fn consumer(flag: Option<&str>) -> Result<Option<String>, Fault> {
    const VARIABLE: &str = "VV_SUMMARIZE_SCENE_VERSION";
    match flag.map(|flag| flag.split_once('=')) {
        None => Ok(environment(VARIABLE).map(|value| value.to_string_lossy().into_owned())),
        Some(Some(("summarize_scene", version))) => Ok(Some(version.to_owned())),
        Some(_) => Err(Fault::usage(
            "`--consumer` is not understood",
            "write --consumer summarize_scene=VERSION",
        )),
    }
}

/// The command that tells the running system, where there is one.
pub(super) fn notification(command: &[OsString]) -> Option<Notification> {
    (!command.is_empty()).then(|| Notification {
        command: command.to_vec(),
        timeout: NOTIFY_TIMEOUT,
    })
}
