//! The processes around a measurement: matrixbot itself, `pgbench`, and what the kernel says of them.

use crate::http::Connection;
use anyhow::{Context as _, bail, ensure};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running matrixbot. Ends with the value.
#[derive(Debug)]
pub(crate) struct Matrixbot {
    child: Child,
    /// How long it took until it was ready.
    pub(crate) start: Duration,
}

impl Matrixbot {
    /// Starts it and waits until `probe` answers 200.
    pub(crate) fn start(binary: &str, config: &str, admin: &str, probe: &str) -> anyhow::Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(format!("{config}.log"))?;
        let began = Instant::now();
        let child = Command::new(binary)
            .args(["run", "--config", config])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting matrixbot")?;
        let mut running = Self { child, start: Duration::ZERO };
        loop {
            if let Ok(answer) = Connection::new(admin, "").call("GET", probe, "")
                && answer.status == 200
            {
                running.start = began.elapsed();
                return Ok(running);
            }
            if let Some(status) = running.child.try_wait()? {
                bail!("matrixbot ended while starting: {status}; see {config}.log");
            }
            ensure!(
                began.elapsed() < Duration::from_mins(1),
                "matrixbot does not get ready; see {config}.log"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory in MiB: now, and the most there ever was.
    pub(crate) fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
            let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
            Ok(kib / 1024.0)
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(self.child.wait()?.success(), "matrixbot did not stop as it should");
        Ok(())
    }
}

impl Drop for Matrixbot {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// One row, committed.
pub(crate) const ONE_ROW: &str = "INSERT INTO bench_row (what) VALUES ('committed');\n";
/// What a report that opens an incident writes.
pub(crate) const OPENING: &str = include_str!("opening.sql");

/// How often per second `pgbench` can commit a script when each of its connections does nothing else.
pub(crate) fn commits_per_second(
    pgbench: &str,
    url: &str,
    script_text: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let script = std::env::temp_dir().join(format!("matrixbot-commit-{}.sql", std::process::id()));
    std::fs::write(&script, script_text)?;
    let output = Command::new(pgbench)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={connections}"))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .arg(format!("--file={}", script.display()))
        .arg(url)
        .output()
        .context("starting pgbench")?;
    std::fs::remove_file(&script)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.starts_with("tps = ")).with_context(|| {
        format!("pgbench says no figure: {said}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(line.split_whitespace().nth(2).context("no number")?.parse()?)
}

/// How busy the machine was in the last 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}
