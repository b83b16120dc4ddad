//! Owns the order of work: starts each step of a plan as soon as it may start, the most urgent first.

use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::thread::Scope;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use schema::id::PackageId;

use crate::estimate::Estimate;
use crate::executor::{Done, Executor, StepError};
use crate::interrupt::{Interrupt, Urgency};
use crate::job_server::{JobServer, Token};
use crate::observer::{Event, Observer};
use crate::plan::{Plan, Step};

/// How many steps fetch their sources at once; fetching waits for servers, not for CPUs.
const FETCHES: usize = 4;

/// How often the scheduler looks up from waiting, to see interrupts and free job tokens.
const TICK: Duration = Duration::from_millis(10);

/// What a run does after a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Lets running steps finish and starts no more.
    Stop,
    /// Goes on with what does not depend on the failed step.
    KeepGoing,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Built {
    /// Steps that were done, in the order in which they ended.
    pub done: Vec<(PackageId, Done)>,
    /// Steps that failed, each with its reason.
    pub failed: Vec<(PackageId, StepError)>,
    /// Steps that were never started, because of a failure or an interrupt.
    pub skipped: Vec<PackageId>,
    /// Whether a person stopped the run.
    pub interrupted: bool,
}

/// How to run a plan.
pub struct Run<'a> {
    /// What does the work of a step.
    pub executor: &'a dyn Executor,
    /// The tokens that running builds share.
    pub job_server: &'a JobServer,
    /// How many steps may run at once.
    pub jobs: NonZeroUsize,
    /// What to do after a failure.
    pub on_failure: OnFailure,
    /// How a person stops it.
    pub interrupt: &'a Interrupt,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
}

/// What a worker reports to the scheduler.
enum Report {
    Fetched(usize, Result<(), StepError>),
    Built(usize, Result<Done, StepError>),
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    /// How many steps must be done before it.
    needs: usize,
    /// Whether its sources are there.
    fetched: bool,
}

/// How far one step is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting(Waiting),
    Ready,
    Running(Instant),
    Done,
    Failed,
    Skipped,
}

impl Run<'_> {
    /// Runs `plan` to its end, to the first failure, or to an interrupt.
    pub fn plan(&self, plan: &Plan) -> Built {
        let (reports, inbox) = unbounded();
        let (fetches, orders) = unbounded();
        std::thread::scope(|scope| {
            let mut board = Board::new(plan, self, orders);
            for at in board.to_fetch() {
                // Cannot fail: the board holds a receiving end.
                let _ = fetches.send(at);
            }
            drop(fetches);
            for _ in 0..FETCHES.min(plan.steps().len()) {
                let (orders, reports) = (board.orders.clone(), reports.clone());
                scope.spawn(move || self.fetch_all(plan, &orders, &reports));
            }
            board.drive(scope, &reports, &inbox);
            board.built
        })
    }

    fn fetch_all(&self, plan: &Plan, orders: &Receiver<usize>, reports: &Sender<Report>) {
        for at in orders {
            let fetched = self.executor.fetch(&plan.steps()[at]);
            if reports.send(Report::Fetched(at, fetched)).is_err() {
                return;
            }
        }
    }
}

/// The scheduler's picture of a run.
struct Board<'a> {
    plan: &'a Plan,
    run: &'a Run<'a>,
    estimate: Estimate,
    states: Vec<State>,
    /// For each step, the steps that wait for it.
    dependents: Vec<Vec<usize>>,
    /// Ready steps; the longest remaining path comes first, then the earlier step.
    ready: BinaryHeap<(Duration, std::cmp::Reverse<usize>)>,
    /// Steps whose sources nobody has begun to fetch.
    orders: Receiver<usize>,
    running: usize,
    fetching: usize,
    stopping: bool,
    built: Built,
}

impl<'a> Board<'a> {
    fn new(plan: &'a Plan, run: &'a Run<'a>, orders: Receiver<usize>) -> Self {
        let steps = plan.steps();
        let mut dependents = vec![Vec::new(); steps.len()];
        for (at, step) in steps.iter().enumerate() {
            for &need in &step.needs {
                dependents[need].push(at);
            }
        }
        let waiting = |step: &Step| Waiting {
            needs: step.needs.len(),
            fetched: !has_sources(step),
        };
        let mut board = Self {
            plan,
            run,
            estimate: Estimate::new(steps),
            states: steps.iter().map(waiting).map(State::Waiting).collect(),
            dependents,
            ready: BinaryHeap::new(),
            orders,
            running: 0,
            fetching: steps.iter().filter(|step| has_sources(step)).count(),
            stopping: false,
            built: Built::default(),
        };
        for at in 0..steps.len() {
            if let State::Waiting(waiting) = board.states[at] {
                board.wait(at, waiting);
            }
        }
        board
    }

    /// The steps that have sources to fetch, the most urgent first.
    fn to_fetch(&self) -> Vec<usize> {
        let steps = self.plan.steps();
        let mut order: Vec<usize> = (0..steps.len()).filter(|&at| has_sources(&steps[at])).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(self.estimate.remaining_path(at)), at));
        order
    }

    fn drive<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        reports: &Sender<Report>,
        inbox: &Receiver<Report>,
    ) where
        'a: 'scope,
    {
        loop {
            self.heed_interrupt();
            self.start_what_may(scope, reports);
            if self.running == 0 && self.fetching == 0 && (self.stopping || self.ready.is_empty()) {
                break;
            }
            match inbox.recv_timeout(TICK) {
                Ok(Report::Fetched(at, result)) => self.on_fetched(at, result),
                Ok(Report::Built(at, result)) => self.on_built(at, result),
                // The board itself holds a sender, so this is a time-out: look up, then wait on.
                Err(_) => self.tell_progress(),
            }
        }
        self.skip_the_rest();
    }

    fn heed_interrupt(&mut self) {
        if self.run.interrupt.urgency() != Urgency::GoOn && !self.built.interrupted {
            self.built.interrupted = true;
            self.run.observer.event(Event::Stopping {
                running: self.running,
            });
            self.stop();
        }
    }

    /// Starts nothing more from here on.
    fn stop(&mut self) {
        self.stopping = true;
        while self.orders.try_recv().is_ok() {
            self.fetching -= 1;
        }
    }

    fn start_what_may<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, reports: &Sender<Report>)
    where
        'a: 'scope,
    {
        while !self.stopping && self.running < self.run.jobs.get() && !self.ready.is_empty() {
            if self.running == 0 {
                // A token lost with a killed build must not slow the rest of the run. A pipe that fails here
                // fails below, too, where a build goes on without a token rather than never.
                let _ = self.run.job_server.refill();
            }
            let Some(token) = self.token() else { return };
            let Some((_, std::cmp::Reverse(at))) = self.ready.pop() else {
                return;
            };
            self.start(scope, at, token, reports.clone());
        }
    }

    /// A token for one more build: `None` when all are taken, `Some(None)` when there is no telling.
    fn token(&self) -> Option<Option<Token<'a>>> {
        match self.run.job_server.try_acquire() {
            Ok(Some(token)) => Some(Some(token)),
            Ok(None) if self.running > 0 => None,
            Ok(None) | Err(_) => Some(None),
        }
    }

    fn start<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        at: usize,
        token: Option<Token<'a>>,
        reports: Sender<Report>,
    ) where
        'a: 'scope,
    {
        self.states[at] = State::Running(Instant::now());
        self.running += 1;
        let step = &self.plan.steps()[at];
        self.run.observer.event(Event::Started { id: &step.package.id });
        let executor = self.run.executor;
        scope.spawn(move || {
            let result = executor.build(step);
            drop(token);
            // The scheduler ends only after the last report.
            let _ = reports.send(Report::Built(at, result));
        });
    }

    fn on_fetched(&mut self, at: usize, result: Result<(), StepError>) {
        self.fetching -= 1;
        match (result, self.states[at]) {
            (Ok(()), State::Waiting(waiting)) => self.wait(
                at,
                Waiting {
                    fetched: true,
                    ..waiting
                },
            ),
            (Err(error), State::Waiting(_)) => self.fail(at, error),
            _ => {}
        }
    }

    fn on_built(&mut self, at: usize, result: Result<Done, StepError>) {
        self.running -= 1;
        match result {
            Err(error) => self.fail(at, error),
            Ok(done) => {
                self.states[at] = State::Done;
                let id = &self.plan.steps()[at].package.id;
                self.run.observer.event(Event::Done { id, done: &done });
                self.built.done.push((id.clone(), done));
                for dependent in self.dependents[at].clone() {
                    if let State::Waiting(Waiting { needs, fetched }) = self.states[dependent] {
                        let needs = needs - 1;
                        self.wait(dependent, Waiting { needs, fetched });
                    }
                }
            }
        }
        self.tell_progress();
    }

    /// Makes a step ready unless there is something left to wait for.
    fn wait(&mut self, at: usize, waiting: Waiting) {
        if waiting.needs > 0 || !waiting.fetched {
            self.states[at] = State::Waiting(waiting);
            return;
        }
        self.states[at] = State::Ready;
        self.ready
            .push((self.estimate.remaining_path(at), std::cmp::Reverse(at)));
    }

    fn fail(&mut self, at: usize, error: StepError) {
        self.states[at] = State::Failed;
        let id = &self.plan.steps()[at].package.id;
        self.run.observer.event(Event::Failed { id, error: &error });
        self.built.failed.push((id.clone(), error));
        self.skip_dependents(at);
        if self.run.on_failure == OnFailure::Stop {
            self.stop();
        }
    }

    fn skip_dependents(&mut self, failed: usize) {
        let mut open = self.dependents[failed].clone();
        while let Some(at) = open.pop() {
            if self.states[at] != State::Skipped {
                self.states[at] = State::Skipped;
                open.extend(&self.dependents[at]);
            }
        }
    }

    fn skip_the_rest(&mut self) {
        for (step, state) in self.plan.steps().iter().zip(&self.states) {
            if matches!(state, State::Waiting(_) | State::Ready | State::Skipped) {
                self.built.skipped.push(step.package.id.clone());
            }
        }
    }

    fn tell_progress(&self) {
        let open = self
            .states
            .iter()
            .enumerate()
            .filter_map(|(at, state)| match state {
                State::Waiting(_) | State::Ready => Some((at, None)),
                State::Running(since) => Some((at, Some(since.elapsed()))),
                State::Done | State::Failed | State::Skipped => None,
            });
        self.run.observer.event(Event::Progress {
            done: self.built.done.len(),
            total: self.states.len(),
            running: self.running,
            remaining: self.estimate.remaining(open, self.run.jobs.get()),
        });
    }
}

fn has_sources(step: &Step) -> bool {
    !step.package.recipe.sources.is_empty()
}

#[cfg(test)]
mod tests;
