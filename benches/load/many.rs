//! Many pages at once, beside as many bare requests.

use crate::alerts::webhook;
use crate::database::Database;
use crate::figures::{Figure, count, median, runs};
use crate::http::Connection;
use crate::paging::{Rooms, now, put};
use crate::{Settings, progress};
use anyhow::ensure;
use std::time::Instant;

/// How many requests are on their way in each room that bare requests are sent to as matrixbot does.
pub(crate) const AT_ONCE: usize = 8;

/// Many pages at once, over so many rooms, beside bare requests.
pub(crate) fn throughputs(
    settings: &Settings,
    database: &mut Database,
    rooms: &Rooms,
    used: usize,
    page: &str,
) -> anyhow::Result<()> {
    let pages = settings.sized(200, 16);
    let (mut bare, mut ours) = (vec![], vec![]);
    for round in 0..settings.sized(5, 2) {
        progress(&format!("throughput over {used} rooms, round {round}"));
        bare.push(bare_throughput(
            rooms,
            settings,
            (used, AT_ONCE / used),
            (pages, page),
            &format!("r{round}"),
        )?);
        ours.push(throughput(settings, database, used, pages, &format!("Throughput{used}r{round}n"))?);
    }
    let ratios: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
    Figure::new(format!("pages per second, {pages} alerts over {used} rooms"), runs(&ours, 1))
        .beside(format!("bare PUT /send {}: ratio **{:.2}**", runs(&bare, 1), median(&ratios)))
        .aim("ratio ≥ 0.85", median(&ratios) >= 0.85)
        .print();
    Ok(())
}

/// Pages per second in so many rooms, from the first webhook to the last event id. Ends once the placed reactions are sent.
pub(crate) fn throughput(
    settings: &Settings,
    database: &mut Database,
    rooms: usize,
    pages: usize,
    prefix: &str,
) -> anyhow::Result<f64> {
    let began = now();
    post_all(settings, 8, pages, |n| (format!("bench{}", n % rooms), format!("{prefix}{n}")))?;
    database.wait_until_sent()?;
    let sent = database.sent(prefix)?;
    ensure!(sent.pages.len() == pages, "{} pages of {pages}", sent.pages.len());
    let last = sent.pages.iter().map(|(_, at)| *at).fold(0.0, f64::max);
    Ok(count(pages) / (last - began))
}

/// Posts so many groups by so many connections at once. `group`: the list and the name of each.
pub(crate) fn post_all(
    settings: &Settings,
    connections: usize,
    groups: usize,
    group: impl Fn(usize) -> (String, String) + Sync,
) -> anyhow::Result<()> {
    let group = &group;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|thread| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut connection =
                        Connection::new(settings.get("webhook")?, settings.get("webhook-token")?);
                    for n in (thread..groups).step_by(connections) {
                        let (list, name) = group(n);
                        connection.ask("POST", &format!("/webhook/{list}"), &webhook(&name, 1))?;
                    }
                    Ok(())
                })
            })
            .collect();
        joined(threads)
    })
}

/// Bare requests per second in so many rooms, so many at once in each, with the body of a page.
pub(crate) fn bare_throughput(
    rooms: &Rooms,
    settings: &Settings,
    (used, at_once): (usize, usize),
    (pages, page): (usize, &str),
    name: &str,
) -> anyhow::Result<f64> {
    let (to, threads) = (rooms.first(used), used * at_once);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .zip(to.iter().cycle())
            .map(|(thread, to)| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut connection =
                        Connection::new(settings.get("homeserver")?, settings.get("as-token")?);
                    for n in (thread..pages).step_by(threads) {
                        put(
                            &mut connection,
                            *to,
                            "m.room.message",
                            &format!("t{name}u{used}x{at_once}n{n}"),
                            page,
                        )?;
                    }
                    Ok(())
                })
            })
            .collect();
        joined(threads)
    })?;
    Ok(count(pages) / began.elapsed().as_secs_f64())
}

fn joined(threads: Vec<std::thread::ScopedJoinHandle<'_, anyhow::Result<()>>>) -> anyhow::Result<()> {
    for thread in threads {
        thread.join().map_err(|_panic| anyhow::anyhow!("a thread failed"))??;
    }
    Ok(())
}
