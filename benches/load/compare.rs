//! Two builds of matrixbot in turns, A B A B …: how much they differ, and how certain that is.
//!
//! A pair is a run of one build and, right after it, the same run of the other. What changes slowly on the machine
//! changes both, so that the ratio of a pair says more than two medians do. Each build has a database of its own.

use crate::database::Database;
use crate::figures::{count, interval, median, percentile};
use crate::intake::hammer;
use crate::load_average;
use crate::paging::{self, Rooms};
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
            run.push((
                format!("webhooks accepted per second, {on}"),
                count(latencies.len()) / time.as_secs_f64(),
            ));
            run.push((format!("… their p99, ms, {on}"), percentile(&latencies, 0.99)));
        }
        memory(&mut run, idle, bot.memory()?.1);
        bot.stop()?;
        Ok(run)
    })
}

/// From an alert to the event in its room, on a real Synapse; start and memory.
pub(crate) fn paging(settings: &Settings) -> anyhow::Result<()> {
    let rooms = Rooms::create(settings)?;
    for build in [settings.clone(), settings.against()] {
        // The first start creates the virtual users, joins them and migrates the database.
        build.start("/readyz")?.stop()?;
    }
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
            let pages = settings.sized(80, 16);
            let name = format!("Pair{pair}r{used}n");
            let rooms = rooms.ids.get(..used).unwrap_or_default();
            run.push((
                format!("messages per second, {used} room(s)"),
                paging::throughput(settings, &mut database, rooms, pages, &name)?,
            ));
        }
        let took = paging::transactions(settings, &rooms, &format!("pair{pair}"), settings.sized(10, 5))?;
        run.push(("homeserver transaction of 100 events, ms".to_owned(), median(&took)));
        memory(&mut run, idle, bot.memory()?.1);
        bot.stop()?;
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
