//! Objects of cloud stores, through `object_store`.
//!
//! In: an [`ObjectUrl`] that the rules allow, and the [`Environment`]. Out: the answer of the
//! store, its body unread. `object_store` knows the endpoints, obtains credentials, and writes and
//! signs the request; it is carried by the client every other source is asked with, so certificate
//! authorities, proxies, time limits and checked addresses are the same. The body never passes
//! through it: what is read, how much, and when to try again is decided in [`super::http`].

mod stores;
mod transport;

use std::sync::Arc;

use object_store::path::Path;
use object_store::{GetOptions, GetRange};
use tokio::runtime::{Builder, Runtime};
use ureq::Body;
use ureq::http::Response;
use ureq::tls::TlsConfig;

use super::error::Transfer;
use super::http::End;
use super::http_agent::Agents;
use super::reach::{Environment, Patience};
use super::source::Rules;
use super::{Condition, Error};
use crate::manifest::ObjectUrl;
use transport::{Slot, Transport};

/// Asks cloud stores.
#[derive(Debug)]
pub(super) struct Cloud {
    /// Drives the futures of `object_store`, none of which ever waits: requests are carried out
    /// where they are made.
    runtime: Runtime,
    /// For the hosts of providers, which a bucket's name is part of.
    checked: Arc<Agents>,
    /// For the hosts the operator of this host names in the environment.
    trusting: Arc<Agents>,
    rules: Arc<Rules>,
    environment: Environment,
}

impl Cloud {
    /// * `rules`: hold for the addresses of hosts the environment does not name
    ///
    /// # Panics
    /// Never: a runtime that waits for nothing takes nothing from the system.
    pub(super) fn new(
        tls: &TlsConfig,
        patience: &Patience,
        rules: &Arc<Rules>,
        environment: Environment,
    ) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        Self {
            runtime: runtime.expect("a runtime that waits for nothing"),
            checked: Arc::new(Agents::new(tls, patience, Some(rules))),
            trusting: Arc::new(Agents::new(tls, patience, None)),
            rules: Arc::clone(rules),
            environment,
        }
    }

    /// Asks for an object, or for the rest of it.
    ///
    /// * `resume`: where to go on, and the entity tag of what came before, which the store is asked
    ///   to compare (`If-Match`)
    ///
    /// # Errors
    /// [`End`]: the store cannot be reached, or the environment does not say how.
    pub(super) fn ask(
        &self,
        object: &ObjectUrl,
        resume: Option<(u64, &str)>,
    ) -> Result<Response<Body>, End> {
        let settings = stores::Settings::new(object, &self.environment);
        let transport = Transport::new(self, &settings);
        let unusable = |problem: String| {
            let transfer = Transfer {
                advice: Some("docs/manifest.md lists the variables a cloud store needs"),
                ..Transfer::new(Condition::Invalid, object.shown(), problem)
            };
            End::Final(Error::Transfer(Box::new(transfer)))
        };
        let store = stores::open(object, &settings, &transport).map_err(unusable)?;
        let key = Path::parse(object.key()).map_err(|_| unusable("its key is none".to_owned()))?;
        let slot = Slot::default();
        let mut options = GetOptions {
            range: resume.map(|(from, _)| GetRange::Offset(from)),
            if_match: resume.map(|(_, etag)| etag.to_owned()),
            version: object.version().map(str::to_owned),
            ..GetOptions::default()
        };
        options.extensions.insert(slot.clone());
        // What it says of the answer does not matter: the answer itself is in the slot. Its
        // messages may hold signed URLs and paths of key files, so none of them is ever shown.
        let _ = self.runtime.block_on(store.get_opts(&key, options));
        slot.take()
            .unwrap_or_else(|| Err(transport.failure(object)))
    }
}
