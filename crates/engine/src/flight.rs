//! Steps under way: so many at once, their outcomes in groups.

use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ideal_core::plan::{Act, Step};
use ideal_core::time::Span;

use crate::act::{self, Common, Ended, Task};
use crate::outside::{Clock, Soon};
use crate::progress::Event;

/// Outcomes are committed together, at most this many.
const GROUP: usize = 500;
/// Objects whose demands are mirrored in one call.
const MIRROR_AT_ONCE: usize = 200;

/// A step, how it ended, and after how long.
pub(crate) type Done = (Step, Ended, Span);

/// Steps under way, and those that wait for room.
pub(crate) struct Flight<'a> {
    common: &'a Common,
    room: usize,
    waiting: VecDeque<Vec<Task>>,
    running: FuturesUnordered<Soon<'a, Vec<Done>>>,
}

impl<'a> Flight<'a> {
    pub(crate) fn new(common: &'a Common, room: usize) -> Flight<'a> {
        Flight { common, room, waiting: VecDeque::new(), running: FuturesUnordered::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Nothing runs any more; what has not begun yet need not.
    pub(crate) fn only_waiting(&mut self) -> bool {
        self.waiting.clear();
        self.running.is_empty()
    }

    pub(crate) fn add(&mut self, tasks: Vec<Task>) {
        let (mirrors, others): (Vec<Task>, Vec<Task>) =
            tasks.into_iter().partition(|task| matches!(task.step.act, Act::Mirror { .. }));
        let (machines, others): (Vec<Task>, Vec<Task>) = others.into_iter().partition(|task| {
            matches!(task.step.act, Act::CreateMachine { .. }) && task.provider.character().at_once > 1
        });
        // Mirrors go together: one call for many objects of one provider. So do new machines, where many are made at
        // once.
        self.together(mirrors, |_| MIRROR_AT_ONCE);
        self.together(machines, |task| task.provider.character().at_once);
        self.waiting.extend(others.into_iter().map(|task| vec![task]));
        self.fill();
    }

    fn together(&mut self, tasks: Vec<Task>, most: impl Fn(&Task) -> usize) {
        let mut batch: Vec<Task> = Vec::new();
        for task in tasks {
            let same = batch.last().is_none_or(|last| Rc::ptr_eq(&last.provider, &task.provider));
            if !same || batch.len() >= most(&task) {
                self.waiting.push_back(std::mem::take(&mut batch));
            }
            batch.push(task);
        }
        if !batch.is_empty() {
            self.waiting.push_back(batch);
        }
    }

    fn fill(&mut self) {
        while self.running.len() < self.room
            && let Some(tasks) = self.waiting.pop_front()
        {
            let common = self.common;
            self.running.push(Box::pin(run(common, tasks)));
        }
    }

    /// The next outcomes: as soon as there is one, with all that come within 10 ms, 500 at most.
    pub(crate) async fn group(&mut self, clock: &dyn Clock) -> Vec<Done> {
        let mut group = Vec::new();
        let Some(first) = self.running.next().await else { return group };
        group.extend(first);
        self.fill();
        let mut end = clock.sleep_until(clock.now() + Span::millis(10));
        while group.len() < GROUP && !self.running.is_empty() {
            let next = futures_util::future::select(self.running.next(), &mut end).await;
            match next {
                futures_util::future::Either::Left((Some(done), _)) => group.extend(done),
                _ => break,
            }
            self.fill();
        }
        group
    }
}

async fn run(common: &Common, tasks: Vec<Task>) -> Vec<Done> {
    let clock = &common.outside.clock;
    let began = clock.now();
    for task in &tasks {
        common.outside.progress.tell(&Event::Began(task.step.clone()));
    }
    let ended = match tasks.as_slice() {
        [task] if !matches!(task.step.act, Act::Mirror { .. }) => vec![act::act(common, task).await],
        [first, ..] if matches!(first.step.act, Act::CreateMachine { .. }) => {
            act::together::create(common, &tasks).await
        }
        mirrors => act::together::mirror(common, mirrors).await,
    };
    let took = clock.now().since(began);
    tasks.into_iter().map(|task| task.step).zip(ended).map(|(step, ended)| (step, ended, took)).collect()
}
