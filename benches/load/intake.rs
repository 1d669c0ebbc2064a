//! How much comes in: webhooks beside what the same cluster can commit.

use crate::alerts::webhook;
use crate::figures::{Figure, count, head, median, ms, percentile, runs};
use crate::http::Connection;
use crate::neighbours::{Matrixbot, ONE_ROW, OPENING, commits_per_second, load_average};
use crate::{Settings, progress};
use anyhow::ensure;
use std::time::{Duration, Instant};

/// Measures with the homeserver away: what is sent is measured by `paging`, and Synapse would take the processor.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let rounds = settings.sized(3, 2);
    let time = Duration::from_secs(settings.sized(6, 1));
    let bot = settings.start("/livez")?;
    std::thread::sleep(Duration::from_secs(3));
    let (idle, _) = bot.memory()?;
    head(&format!("Webhooks (load before: {})", load_average()));
    for connections in [1, 8, 32] {
        let (mut commits, mut openings, mut rates) = (vec![], vec![], vec![]);
        let (mut p50, mut p99) = (vec![], vec![]);
        for round in 0..rounds {
            progress(&format!("webhooks on {connections} connections, round {round}"));
            let (pgbench, database) = (settings.get("pgbench")?, settings.get("database")?);
            commits.push(commits_per_second(pgbench, database, ONE_ROW, connections, time)?);
            openings.push(commits_per_second(pgbench, database, OPENING, connections, time)?);
            let latencies = hammer(settings, connections, time, &format!("c{connections}r{round}"))?;
            rates.push(count(latencies.len()) / time.as_secs_f64());
            p50.push(percentile(&latencies, 0.5));
            p99.push(percentile(&latencies, 0.99));
        }
        let ratio =
            |to: &[f64]| median(&rates.iter().zip(to).map(|(rate, to)| rate / to).collect::<Vec<_>>());
        Figure::new(format!("webhooks accepted per second, {connections} connections"), runs(&rates, 0))
            .beside(format!("pgbench commits {} rows/s: ratio **{:.2}**", runs(&commits, 0), ratio(&commits)))
            .aim("ratio ≥ 0.5", ratio(&commits) >= 0.5)
            .print();
        Figure::new("… beside the same writes alone", "")
            .beside(format!("pgbench commits {}/s: ratio {:.2}", runs(&openings, 0), ratio(&openings)))
            .print();
        Figure::new(
            format!("… median and p99 of their latency, {connections} connections"),
            format!("{:.1} ms, {:.1} ms", median(&p50), median(&p99)),
        )
        .print();
    }
    let alerts = settings.sized(500, 500);
    let mut batches = vec![];
    let mut again = vec![];
    let mut connection = Connection::new(settings.get("webhook")?, settings.get("webhook-token")?);
    for round in 0..settings.sized(9, 3) {
        let body = webhook(&format!("Batch{round}"), alerts);
        batches.push(ms(timed(&mut connection, &body)?));
        again.push(ms(timed(&mut connection, &body)?));
    }
    Figure::new(format!("{alerts} alerts in one body"), format!("{} ms", runs(&batches, 0)))
        .aim("≤ 100 ms", median(&batches) <= 100.0)
        .print();
    Figure::new("… the same body again", format!("{} ms", runs(&again, 0))).print();
    let (_, most) = bot.memory()?;
    memory("no homeserver, nothing to do", "these webhooks", idle, most);
    bot.stop()
}

/// Prints what it took to hold.
pub(crate) fn memory(idle_name: &str, load_name: &str, idle: f64, most: f64) {
    Figure::new(format!("resident memory, {idle_name}"), format!("{idle:.1} MiB"))
        .aim("≤ 30 MiB", idle <= 30.0)
        .print();
    Figure::new(format!("resident memory at most, {load_name}"), format!("{most:.1} MiB"))
        .aim("≤ 60 MiB", most <= 60.0)
        .print();
}

fn timed(connection: &mut Connection, body: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    connection.ask("POST", "/webhook/bench0", body)?;
    Ok(began.elapsed())
}

/// Posts one alert after another on each connection, each of a group of its own. Returns the latencies in milliseconds.
pub(crate) fn hammer(
    settings: &Settings,
    connections: usize,
    time: Duration,
    name: &str,
) -> anyhow::Result<Vec<f64>> {
    let (address, token) = (settings.get("webhook")?, settings.get("webhook-token")?);
    let end = Instant::now() + time;
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|thread| {
                scope.spawn(move || -> anyhow::Result<Vec<f64>> {
                    let mut connection = Connection::new(address, token);
                    let mut latencies = vec![];
                    while Instant::now() < end {
                        let body = webhook(&format!("{name}t{thread}n{}", latencies.len()), 1);
                        latencies.push(ms(timed(&mut connection, &body)?));
                    }
                    Ok(latencies)
                })
            })
            .collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut all = vec![];
    for of_thread in latencies {
        all.extend(of_thread.map_err(|_panic| anyhow::anyhow!("a thread failed"))??);
    }
    ensure!(!all.is_empty(), "nothing was accepted");
    Ok(all)
}

impl Settings {
    /// Starts matrixbot with the configuration at hand.
    pub(crate) fn start(&self, probe: &str) -> anyhow::Result<Matrixbot> {
        Matrixbot::start(self.get("binary")?, self.get("config")?, self.get("admin")?, probe)
    }
}
