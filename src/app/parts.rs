//! What listeners and workers share, built from a configuration.

use super::readiness;
use crate::alertmanager::webhook::{self, WebhookState};
use crate::appservice::http::{self, AppserviceState};
use crate::clock::SharedClock;
use crate::config::{Config, Listener, RoomListConfig};
use crate::domain::lists::{ListSettings, Lists, Webhooks};
use crate::engine::Engine;
use crate::health::Health;
use crate::http::{Binding, MainRuntime, Probes, Services, Tls};
use crate::matrix::{Client, RequestObserver, Timeouts};
use crate::rooms::{Rooms, user_id};
use crate::store::Store;
use crate::telemetry::Metrics;
use actix_web::web;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;

/// What listeners and workers share.
#[derive(Debug)]
pub struct Parts {
    /// Handles inputs.
    pub engine: Engine,
    /// Rooms and virtual users.
    pub rooms: Rooms,
    pub(super) client: Client,
    pub(super) health: Health,
    webhook: web::Data<WebhookState>,
    runtime: MainRuntime,
}

struct Observed(Arc<Metrics>);

impl RequestObserver for Observed {
    fn on_request(&self, endpoint: &'static str, code: Option<u16>, elapsed: Duration) {
        self.0.homeserver_request(endpoint, code, elapsed);
    }
}

impl Parts {
    /// Builds everything, without the database: until `configure` has been called there are no room lists, and every
    /// report is answered 503.
    pub fn build(config: &Config, store: Store, clock: SharedClock) -> anyhow::Result<Self> {
        let runtime = MainRuntime::current();
        let metrics = Arc::new(Metrics::new()?);
        for endpoint in crate::matrix::Endpoint::ALL {
            metrics.introduce_endpoint(endpoint.as_str());
        }
        let client =
            Client::new(&config.homeserver.url, config.registration.as_token.clone(), Timeouts::default())?
                .observed_by(Arc::new(Observed(Arc::clone(&metrics))));
        let rooms = Rooms::new(client.clone(), store.clone());
        let engine =
            Engine::new(store, Arc::clone(&clock), metrics, Lists::default().with_webhooks(webhooks(config)));
        let webhook = web::Data::new(WebhookState::new(
            engine.clone(),
            runtime.clone(),
            clock,
            Arc::clone(engine.metrics()),
        ));
        Ok(Self { engine, rooms, client, health: Health::default(), webhook, runtime })
    }

    /// The listeners' addresses and services.
    pub fn bindings(&self, config: &Config) -> Vec<Binding> {
        let listen = &config.listen;
        vec![
            binding("appservice", &listen.appservice, self.appservice(config)),
            binding("webhook", &listen.webhook, webhook_services(&self.webhook)),
            binding("admin", &listen.admin, self.probes().services()),
        ]
    }

    fn appservice(&self, config: &Config) -> Services {
        let state = web::Data::new(AppserviceState::new(
            self.engine.clone(),
            self.rooms.users().clone(),
            self.runtime.clone(),
            &config.registration.hs_token,
            Arc::clone(self.engine.metrics()),
        ));
        Arc::new(move |config| http::configure(config, state.clone()))
    }

    /// Writes a configuration's room lists to the database, whose schema is up to date, and applies them with their
    /// tokens and paths. Incidents keep the policy of their run.
    pub async fn configure(&self, config: &Config) -> anyhow::Result<()> {
        for list in &config.room_lists {
            self.engine.metrics().introduce_room_list(&list.name, list.policy.levels.len());
        }
        let lists = write_lists(config, self.engine.store(), self.engine.clock()).await?;
        // One snapshot: no request sees half of a reload.
        self.engine.replace_lists(lists.with_webhooks(webhooks(config)));
        self.engine.wakers().attendance.notify_one();
        Ok(())
    }

    fn probes(&self) -> Probes {
        let (metrics, clock) = (Arc::clone(self.engine.metrics()), Arc::clone(self.engine.clock()));
        Probes {
            live: Vec::new(),
            ready: readiness::checks(&self.engine, &self.health, &self.runtime),
            metrics: Box::new(move || metrics.render(clock.now()).ok()),
        }
    }
}

fn webhook_services(state: &web::Data<WebhookState>) -> Services {
    let state = state.clone();
    Arc::new(move |config| webhook::configure(config, state.clone()))
}

fn webhooks(config: &Config) -> Webhooks {
    let mut webhooks = Webhooks { compatibility: config.compatibility.clone(), ..Webhooks::default() };
    for list in &config.room_lists {
        webhooks.add(&list.name, list.webhook_token.clone(), &list.receivers);
    }
    webhooks
}

fn binding(name: &'static str, listener: &Listener, services: Services) -> Binding {
    let tls = listener
        .tls
        .as_ref()
        .map(|files| Tls { certificate: files.certificate.clone(), key: files.key.clone() });
    Binding { name, address: listener.address, tls, services }
}

/// Writes the room lists to the database, and returns them with the versions of their policies.
async fn write_lists(config: &Config, store: &Store, clock: &SharedClock) -> anyhow::Result<Lists> {
    let mut lists = Vec::with_capacity(config.room_lists.len());
    for list in &config.room_lists {
        let user_id = user_id::user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name)
            .with_context(|| format!("naming the virtual user of {}", list.name))?;
        lists.push(settings(list, user_id));
    }
    store.configure(&mut lists, clock.now()).await?;
    Ok(Lists::new(lists))
}

fn settings(list: &RoomListConfig, user_id: ruma::OwnedUserId) -> ListSettings {
    ListSettings {
        name: list.name.clone(),
        user_id,
        display_name: list.display_name.clone(),
        avatar: list.avatar.clone(),
        version: 0,
        policy: Arc::new(list.policy.clone()),
        ack_reactions: list.ack_reactions.clone(),
        place_reaction: list.place_reaction,
        templates: list.templates.clone(),
    }
}
