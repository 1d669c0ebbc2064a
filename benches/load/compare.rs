//! Two builds of matrixbot in turns, A B A B …: how much they differ, and how certain that is.
//!
//! A pair is a run of one build and, right after it, the same run of the other. What changes slowly on the machine
//! changes both, so that the ratio of a pair says more than two medians do. Each build has a database of its own.

use crate::database::Database;
use crate::figures::{count, interval, median, percentile};
use crate::intake::hammer;
use crate::load_average;
use crate::many::{self, AT_ONCE};
use crate::neighbours::{OPENING, commits_per_second};
use crate::paging::{self, Rooms};
use crate::storms;
use crate::{Settings, progress};
use std::time::Duration;

/// The figures of one run, always in the same order.
type Run = Vec<(String, f64)>;

/// Webhooks, with the homeserver unreachable; start and memory.
pub(crate) fn intake(settings: &Settings) -> anyhow::Result<()> {
    in_turns(settings, "Webhooks", |settings, pair| {
        let time = Duration::from_secs(settings.sized(3, 1));
        let bot = settings.start("/livez")?;
        std::thread::sleep(Duration::from_secs(2));
        let (idle, _) = bot.memory()?;
        let mut run = vec![("start to alive, s".to_owned(), bot.start.as_secs_f64())];
        for connections in [1, 8, 32] {
            let latencies = hammer(settings, connections, time, &format!("p{pair}c{connections}"))?;
            let on = if connections == 1 {
                "1 connection".to_owned()
            } else {
                format!("{connections} connections")
            };
            let rate = count(latencies.len()) / time.as_secs_f64();
            run.push((format!("webhooks accepted per second, {on}"), rate));
            run.push((format!("… their p99, ms, {on}"), percentile(&latencies, 0.99)));
            if connections == 8 {
                let (pgbench, database) = (settings.get("pgbench")?, settings.get("database")?);
                let alone = commits_per_second(pgbench, database, OPENING, connections, time)?;
                run.push((format!("the same writes alone per second, {on}"), alone));
                run.push(("… the ratio of both".to_owned(), rate / alone));
            }
        }
        memory(&mut run, idle, bot.memory()?.1);
        bot.stop()?;
        Ok(run)
    })
}

/// From an alert to the event in its room, on a real Synapse; start and memory.
pub(crate) fn paging(settings: &Settings) -> anyhow::Result<()> {
    let mut rooms = Rooms::create(settings)?;
    for build in [settings.clone(), settings.against()] {
        // The first start creates the virtual users, joins them and migrates the database.
        build.start("/readyz")?.stop()?;
    }
    let mut database = Database::open(settings.get("database")?)?;
    rooms.identify(settings, &mut database)?;
    let bot = settings.start("/readyz")?;
    let page = paging::first_page(settings, &mut database)?;
    bot.stop()?;
    in_turns(settings, "Alert → event on Synapse", |settings, pair| {
        let mut database = Database::open(settings.get("database")?)?;
        let bot = settings.start("/readyz")?;
        std::thread::sleep(Duration::from_secs(2));
        let (idle, _) = bot.memory()?;
        let mut run = vec![("start to ready, s".to_owned(), bot.start.as_secs_f64())];
        let each = settings.sized(20, 5);
        let path = paging::path(settings, &mut database, &format!("Pair{pair}n"), each)?;
        run.push(("webhook → its 200, ms".to_owned(), median(&path.accepted)));
        run.push(("webhook → event id, ms".to_owned(), median(&path.event)));
        for used in [1, rooms.ids.len()] {
            let pages = settings.sized(200, 16);
            let rate =
                many::throughput(settings, &mut database, used, pages, &format!("Pair{pair}r{used}n"))?;
            run.push((format!("pages per second, {pages} in {used} room(s)"), rate));
            for at_once in [1, AT_ONCE / used] {
                let name = format!("{:.0}", paging::now() * 1000.0);
                let bare = many::bare_throughput(&rooms, settings, (used, at_once), (pages, &page), &name)?;
                run.push((
                    format!("bare requests per second, {at_once} at once in each of {used} room(s)"),
                    bare,
                ));
                run.push(("… the ratio of both".to_owned(), rate / bare));
                if used > 1 {
                    break;
                }
            }
        }
        let took = paging::transactions(settings, &rooms, &format!("pair{pair}"), settings.sized(10, 5))?;
        run.push(("homeserver transaction of 100 events, ms".to_owned(), median(&took)));
        let groups = settings.sized(500, 40);
        let storm = storms::storm(settings, &mut database, groups, &format!("Storm{pair}n"))?;
        run.push((format!("{groups} groups at once: every incident is posted after, s"), storm.seconds));
        run.push(("… messages that are no edits".to_owned(), storm.messages));
        memory(&mut run, idle, bot.memory()?.1);
        bot.stop()?;
        storms::forget(&mut database)?;
        Ok(run)
    })
}

fn memory(run: &mut Run, idle: f64, most: f64) {
    run.push(("resident memory with nothing to do (VmRSS), MiB".to_owned(), idle));
    run.push(("resident memory at most (VmHWM), MiB".to_owned(), most));
}

/// Measures both builds in turns and prints a table: `this` is the build of this tree.
fn in_turns(
    settings: &Settings,
    title: &str,
    measure: impl Fn(&Settings, usize) -> anyhow::Result<Run>,
) -> anyhow::Result<()> {
    let load = load_average();
    let (mut this, mut other): (Vec<Run>, Vec<Run>) = (vec![], vec![]);
    let pairs: usize = settings.get("pairs")?.parse()?;
    for pair in 0..pairs {
        progress(&format!("{title}: pair {} of {pairs}", pair + 1));
        this.push(measure(settings, pair)?);
        other.push(measure(&settings.against(), pair)?);
    }
    println!("\n### {title}: {pairs} pairs (load before: {load})\n");
    println!(
        "| What | This tree | {} | Ratio | 95 % interval | Ratios pair by pair |",
        settings.get("against")?
    );
    println!("|---|---|---|---|---|---|");
    let names: Vec<&String> = this.iter().take(1).flatten().map(|(name, _)| name).collect();
    for (figure, name) in names.into_iter().enumerate() {
        let of = |runs: &[Run]| -> Vec<f64> {
            runs.iter().filter_map(|run| run.get(figure).map(|(_, value)| *value)).collect()
        };
        let (this, other) = (of(&this), of(&other));
        let ratios: Vec<f64> = this.iter().zip(&other).map(|(this, other)| this / other).collect();
        let interval = interval(&ratios).map_or_else(
            || "needs 6 pairs".to_owned(),
            |(low, high)| {
                let verdict = if low <= 1.0 && 1.0 <= high { "" } else { " **without 1**" };
                format!("{low:.3} … {high:.3}{verdict}")
            },
        );
        let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        println!(
            "| {name} | {} | {} | **{:.3}** | {interval} | {} |",
            plain(median(&this)),
            plain(median(&other)),
            median(&ratios),
            all.join(" ")
        );
    }
    Ok(())
}

/// Three significant digits, which is what such a measurement has.
fn plain(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}
