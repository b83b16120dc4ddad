//! Owns how a run is shown while it goes on: bars on a terminal, plain lines in a log.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use builder::executor::{Done, StepError};
use builder::observer::{Event, Observer};
use builder::vary::Variation;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use schema::id::PackageId;

use super::{Loudness, Output, text};

/// How often a log gets a line that says how far the run is.
const LOG_EVERY: Duration = Duration::from_secs(15);

/// Shows a run to whoever watches.
pub struct Progress {
    output: Output,
    bars: MultiProgress,
    total: ProgressBar,
    state: Mutex<State>,
}

struct State {
    begun: Instant,
    said: Instant,
    running: HashMap<PackageId, (Instant, ProgressBar)>,
    fetching: HashMap<String, ProgressBar>,
}

impl Progress {
    /// Begins to watch.
    pub fn new(output: Output) -> Self {
        let bars = MultiProgress::with_draw_target(output.bar_target());
        let total = bars.add(ProgressBar::no_length());
        total.set_style(style("{elapsed_precise} {bar:30} {pos}/{len} {msg}"));
        let now = Instant::now();
        Self {
            output,
            bars,
            total,
            state: Mutex::new(State {
                begun: now,
                said: now,
                running: HashMap::new(),
                fetching: HashMap::new(),
            }),
        }
    }

    /// Takes the bars off the screen.
    pub fn finish(&self) {
        self.total.finish_and_clear();
        let _ = self.bars.clear();
    }

    fn say(&self, line: &str) {
        if self.output.loudness < Loudness::Normal {
            return;
        }
        self.bars.suspend(|| self.output.note(line));
    }

    /// The state; a thread that panicked while holding it left nothing half-done in it.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn on_started(&self, id: &PackageId) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {msg} {elapsed}"));
        bar.set_message(id.name().to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.state().running.insert(id.clone(), (Instant::now(), bar));
        if !self.output.draws || self.output.loudness >= Loudness::Verbose {
            self.say(&format!("building  {id}"));
        }
    }

    fn end(&self, id: &PackageId) -> Duration {
        match self.state().running.remove(id) {
            Some((since, bar)) => {
                bar.finish_and_clear();
                since.elapsed()
            }
            None => Duration::ZERO,
        }
    }

    fn on_done(&self, id: &PackageId, done: &Done) {
        let took = text::time(self.end(id));
        match done {
            Done::Built(_) => self.say(&format!("built     {id}  {took}")),
            Done::FoundPresent => self.say(&format!("present   {id}  built by another process")),
            Done::Reproduced(_) => self.say(&format!("the same  {id}  {took}")),
        }
    }

    fn on_failed(&self, id: &PackageId, _: &StepError) {
        let took = text::time(self.end(id));
        self.say(&format!("FAILED    {id}  {took}"));
    }

    fn on_progress(&self, done: usize, total: usize, running: usize, remaining: Duration) {
        self.total.set_length(total as u64);
        self.total.set_position(done as u64);
        let rest = text::time(remaining);
        self.total.set_message(format!("built, about {rest} to go"));
        let mut state = self.state();
        if !self.output.draws && state.said.elapsed() >= LOG_EVERY {
            state.said = Instant::now();
            let names: Vec<_> = state.running.keys().map(|id| id.name().to_string()).collect();
            let begun = text::time(state.begun.elapsed());
            drop(state);
            self.say(&format!(
                "progress  {done} of {total} built after {begun}, about {rest} to go; {running} running: {}",
                names.join(" ")
            ));
        }
    }

    fn on_fetching(&self, source: String, bytes: u64, total: Option<u64>) {
        let mut state = self.state();
        let bar = state.fetching.entry(source.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.set_style(style("  fetching {msg} {bytes}/{total_bytes} {bytes_per_sec}"));
            bar.set_message(source);
            bar
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(bytes);
    }

    fn on_fetched(&self, source: &str) {
        if let Some(bar) = self.state().fetching.remove(source) {
            bar.finish_and_clear();
        }
        if !self.output.draws || self.output.loudness >= Loudness::Verbose {
            self.say(&format!("fetched   {source}"));
        }
    }

    fn on_again(&self, id: &PackageId, varied: Variation) {
        let what = match varied.is_empty() {
            true => "nothing".to_owned(),
            false => varied.to_string(),
        };
        self.say(&format!("again     {id}  varied: {what}"));
    }

    fn on_output(&self, bytes: &[u8]) {
        if self.output.loudness >= Loudness::Everything {
            self.say(String::from_utf8_lossy(bytes).trim_end());
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Fetching { id, source, from } => {
                if self.output.loudness >= Loudness::Verbose {
                    self.say(&format!("fetching  {} from {from}", full_name(id, source)));
                }
            }
            Event::FetchProgress {
                id,
                source,
                bytes,
                total,
            } => self.on_fetching(full_name(id, source), bytes, total),
            Event::Fetched { id, source } => self.on_fetched(&full_name(id, source)),
            Event::Retrying { id, source, why } => {
                self.say(&format!("retrying  {}: {why}", full_name(id, source)));
            }
            Event::Started { id } => self.on_started(id),
            Event::Awaiting { id } => self.say(&format!("waiting   {id}  another process builds it")),
            Event::BuiltAgain { id, varied } => self.on_again(id, varied),
            Event::Output { bytes, .. } => self.on_output(bytes),
            Event::Done { id, done } => self.on_done(id, done),
            Event::Failed { id, error } => self.on_failed(id, error),
            Event::Stopping { running: 0 } => self.say("stopping  nothing more is started"),
            Event::Stopping { running } => self.say(&format!(
                "stopping  what is running ({running}) may finish; ctrl-C again ends it"
            )),
            Event::Progress {
                done,
                total,
                running,
                remaining,
            } => self.on_progress(done, total, running, remaining),
        }
    }
}

fn full_name(id: &PackageId, source: &schema::name::SourceName) -> String {
    if id.name().as_str() == source.as_str() {
        return source.to_string();
    }
    format!("{}/{source}", id.name())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
