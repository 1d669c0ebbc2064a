//! The parts that listeners and workers share, built from a configuration.

use super::{alertmanagers, readiness};
use crate::alertmanager::CurrentAlertmanagers;
use crate::alertmanager::webhook::{self, WebhookState};
use crate::appservice::http::{self, AppserviceState};
use crate::clock::{ComparedClock, SharedClock};
use crate::config::{Config, Listener, RoomListConfig};
use crate::domain::lists::{ListSettings, Lists, Webhooks};
use crate::domain::on_call::Schedules;
use crate::engine::{CurrentLists, Engine, Wakers};
use crate::health::Health;
use crate::http::{Binding, MainRuntime, Probes, Services, Tls};
use crate::matrix::{Client, RequestObserver, Timeouts};
use crate::outbox::{Outbox, OutboxSettings};
use crate::rooms::{Rooms, user_id};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::timers::{ClockCheck, DatabaseClock};
use crate::worker::{Beats, Gate};
use actix_web::web;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;

/// The parts that listeners and workers share.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: SharedClock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The current room lists.
    pub lists: CurrentLists,
    /// The notifications that wake the workers.
    pub wakers: Wakers,
    /// Handles inputs.
    pub engine: Engine,
    /// The current Alertmanagers.
    pub alertmanagers: CurrentAlertmanagers,
    /// Rooms and virtual users.
    pub rooms: Rooms,
    /// The clock that ours is compared with.
    pub database_clock: Arc<dyn DatabaseClock>,
    pub(super) compared_clock: Arc<ComparedClock>,
    pub(super) client: Client,
    pub(super) health: Health,
    /// What the probes know about the workers.
    pub beats: Beats,
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
    /// Builds all parts without using the database. Until `configure` is called there are no room lists, and every
    /// report is answered 503.
    pub fn build(config: &Config, store: Store, clock: SharedClock) -> anyhow::Result<Self> {
        let runtime = MainRuntime::current();
        let compared_clock = Arc::new(ComparedClock::new(clock));
        let clock: SharedClock = compared_clock.clone();
        let database_clock = Arc::new(store.clone());
        let metrics = Arc::new(Metrics::new()?);
        for endpoint in crate::matrix::Endpoint::ALL {
            metrics.introduce_endpoint(endpoint.as_str());
        }
        let client =
            Client::new(&config.homeserver.url, config.registration.as_token.clone(), Timeouts::default())?
                .observed_by(Arc::new(Observed(Arc::clone(&metrics))));
        let rooms = Rooms::new(client.clone(), store.clone());
        let (lists, wakers) =
            (CurrentLists::new(Lists::default().with_webhooks(webhooks(config))), Wakers::default());
        let engine =
            Engine::new(store.clone(), clock.clone(), metrics.clone(), lists.clone(), wakers.clone());
        let webhook = web::Data::new(WebhookState::new(
            engine.clone(),
            lists.clone(),
            runtime.clone(),
            clock.clone(),
            metrics.clone(),
            config.database.max_connections,
        ));
        let health = Health::default();
        Ok(Self {
            store,
            clock,
            metrics,
            lists,
            wakers,
            engine,
            alertmanagers: CurrentAlertmanagers::default(),
            rooms,
            database_clock,
            compared_clock,
            client,
            health,
            beats: Beats::default(),
            webhook,
            runtime,
        })
    }

    /// What compares our clock with the database's. The workers pause until it has, and nothing has a time of ours before.
    pub fn clock_check(&self) -> ClockCheck {
        let Self { database_clock, compared_clock, metrics, wakers, .. } = self;
        ClockCheck::new(database_clock.clone(), compared_clock.clone(), metrics.clone(), wakers.clone())
    }

    /// Open while our clock agrees with the database's.
    pub(super) fn clock_gate(&self) -> Gate {
        let clock = self.compared_clock.clone();
        Gate::new(move || clock.is_right())
    }

    /// An outbox that sends as the virtual users of `rooms`.
    pub fn outbox(&self, rooms: Rooms, settings: OutboxSettings) -> Outbox {
        let Self { engine, store, clock, metrics, lists, wakers, .. } = self;
        let (store, clock, metrics) = (store.clone(), clock.clone(), metrics.clone());
        Outbox::new(engine.clone(), store, clock, metrics, lists.clone(), rooms, settings)
            .woken_by(wakers.outbox.clone())
            .only_while(self.clock_gate())
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
            self.lists.clone(),
            self.rooms.users().clone(),
            self.runtime.clone(),
            &config.registration.hs_token,
            self.metrics.clone(),
        ));
        Arc::new(move |config| http::configure(config, state.clone()))
    }

    /// Writes the configured room lists to the database, and applies them with their tokens and paths. Requires an
    /// up-to-date schema. Open incidents keep the policy of their run.
    pub async fn configure(&self, config: &Config) -> anyhow::Result<()> {
        for list in &config.room_lists {
            self.metrics.introduce_room_list(&list.name, list.policy.levels.len());
        }
        let lists = config.room_lists.iter().map(|list| settings(config, list)).collect::<Result<_, _>>()?;
        let lists = self.store.configure(lists, self.clock.now()).await?;
        self.poll(config)?;
        // One snapshot: no request sees half of a reload.
        self.lists.replace(lists.with_webhooks(webhooks(config)).with_schedules(schedules(config)));
        self.engine.refresh_lists().await?;
        for (name, open) in self.store.former_lists().await? {
            tracing::warn!(
                room_list = name,
                open,
                "{name} is no longer configured and has {open} open incidents: Alertmanager cannot resolve them any more"
            );
        }
        self.wakers.attendance.notify_one();
        Ok(())
    }

    /// Polls the configured Alertmanagers from now on.
    fn poll(&self, config: &Config) -> anyhow::Result<()> {
        let alertmanagers = alertmanagers::named(config)?;
        for one in &alertmanagers {
            self.metrics.introduce_alertmanager(&one.name);
        }
        self.health.keep_alertmanagers(&alertmanagers.iter().map(|one| one.name.clone()).collect());
        self.engine.asking().turn(!alertmanagers.is_empty());
        self.alertmanagers.replace(alertmanagers);
        self.wakers.poll.notify_one();
        Ok(())
    }

    fn probes(&self) -> Probes {
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Probes {
            live: readiness::live(&self.beats),
            ready: readiness::checks(
                &self.store,
                &self.compared_clock,
                &self.health,
                &self.beats,
                &self.runtime,
                &self.lists,
            ),
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

fn schedules(config: &Config) -> Schedules {
    let schedules =
        config.on_call.iter().map(|schedule| (schedule.name.clone(), Arc::new(schedule.schedule())));
    schedules.collect()
}

fn binding(name: &'static str, listener: &Listener, services: Services) -> Binding {
    let tls = listener
        .tls
        .as_ref()
        .map(|files| Tls { certificate: files.certificate.clone(), key: files.key.clone() });
    Binding { name, address: listener.address, tls, services }
}

fn settings(config: &Config, list: &RoomListConfig) -> anyhow::Result<ListSettings> {
    let user_id = user_id::user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name)
        .with_context(|| format!("naming the virtual user of {}", list.name))?;
    Ok(ListSettings {
        display_name: list.display_name.clone(),
        avatar: list.avatar.clone(),
        ack_reactions: list.ack_reactions.clone(),
        place_reaction: list.place_reaction,
        follow_aliases: list.follow_aliases,
        digest: list.digest,
        templates: list.templates.clone(),
        time_zone: list.time_zone.clone(),
        ..ListSettings::new(list.name.clone(), user_id, list.policy.clone())
    })
}
