//! What is asked for at the same time goes together, in one request.
//!
//! While a request is under way, others of its sort wait; when it is over they are asked for at once. Nobody is given an
//! answer to a request that was sent before they asked: a fresh look stays one. No clock has a part in it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::actions::Action;
use super::client::Client;
use super::element::Element;
use super::failure::Failure;
use super::see::VALUES;

/// What is looked for: things whose filter of this name has one of some values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// How they are listed.
    pub(crate) listed: Action,
    /// What the values are of.
    pub(crate) filter: String,
    /// What else must hold of all of them.
    pub(crate) and: Vec<(String, String)>,
}

/// All things of one request. Who asked picks out what is theirs.
pub(crate) type Found = Result<Rc<Vec<Element>>, Failure>;

/// Looks under way and waiting, by kind.
#[derive(Debug, Default)]
pub(crate) struct Looks(RefCell<BTreeMap<Kind, Rc<Line<String, Found>>>>);

/// Those who wait for the same sort of request. One of them at a time asks, for itself and for as many others as it can.
#[derive(Debug)]
pub(crate) struct Line<Q, A> {
    turn: tokio::sync::Mutex<()>,
    entered: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, (Q, Option<A>)>>,
}

impl<Q, A> Default for Line<Q, A> {
    fn default() -> Line<Q, A> {
        Line { turn: tokio::sync::Mutex::default(), entered: Cell::default(), waiting: RefCell::default() }
    }
}

/// A place in a line; who goes away gives it up.
struct Place<'a, Q, A> {
    line: &'a Line<Q, A>,
    number: u64,
}

impl<Q, A> Drop for Place<'_, Q, A> {
    fn drop(&mut self) {
        self.line.waiting.borrow_mut().remove(&self.number);
    }
}

impl<Q: Clone, A> Line<Q, A> {
    fn enter(&self, asked: Q) -> Place<'_, Q, A> {
        // Never a number of before: whoever had it may have gone while its request was under way.
        let number = self.entered.get();
        self.entered.set(number + 1);
        self.waiting.borrow_mut().insert(number, (asked, None));
        Place { line: self, number }
    }

    /// Whoever waits and has no answer, by number, `first` before all others.
    fn unanswered(&self, first: u64) -> Vec<(u64, Q)> {
        let waiting = self.waiting.borrow();
        let open = waiting.iter().filter(|(_, (_, answer))| answer.is_none());
        let mut open: Vec<(u64, Q)> = open.map(|(number, (asked, _))| (*number, asked.clone())).collect();
        open.sort_by_key(|(number, _)| (*number != first, *number));
        open
    }

    /// The answer to what is asked. When it is this one's turn, `answer` is given all that wait, this one first, and says
    /// the answers of as many as it likes, this one among them. None: it did not.
    pub(crate) async fn join<F>(&self, asked: Q, answer: impl FnOnce(Vec<(u64, Q)>) -> F) -> Option<A>
    where
        F: Future<Output = Vec<(u64, A)>>,
    {
        let place = self.enter(asked);
        let _turn = self.turn.lock().await;
        let take = || self.waiting.borrow_mut().get_mut(&place.number).and_then(|(_, answer)| answer.take());
        if let Some(answered) = take() {
            return Some(answered);
        }
        // Those who begin together are heard before the first of them asks.
        tokio::task::yield_now().await;
        let answers = answer(self.unanswered(place.number)).await;
        for (number, answer) in answers {
            if let Some((_, own)) = self.waiting.borrow_mut().get_mut(&number) {
                *own = Some(answer);
            }
        }
        take()
    }
}

/// The values of one request: that of the first, and as many others as it can ask for. Also who is answered by it.
fn fitting(asked: &[(u64, String)]) -> (BTreeSet<String>, Vec<u64>) {
    let (mut values, mut numbers) = (BTreeSet::new(), Vec::new());
    for (number, value) in asked {
        if values.contains(value) || values.len() < VALUES {
            values.insert(value.clone());
            numbers.push(*number);
        }
    }
    (values, numbers)
}

impl Client {
    /// All things of this kind and value, perhaps among others.
    pub(crate) async fn look(&self, kind: Kind, value: &str) -> Found {
        let line = self.looks.0.borrow_mut().entry(kind.clone()).or_default().clone();
        let answer = async |asked: Vec<(u64, String)>| {
            let (values, numbers) = fitting(&asked);
            let found = self.of_kind(&kind, &values).await.map(Rc::new);
            numbers.into_iter().map(|number| (number, found.clone())).collect()
        };
        let found = line.join(value.to_owned(), answer).await;
        found.unwrap_or_else(|| Ok(Rc::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[&str]) -> (Line<String, ()>, Vec<u64>) {
        let line = Line::default();
        let numbers = values.iter().map(|value| {
            let place = line.enter((*value).to_owned());
            let number = place.number;
            std::mem::forget(place);
            number
        });
        let numbers = numbers.collect();
        (line, numbers)
    }

    #[test]
    fn one_request_asks_for_all_that_wait() {
        let (line, numbers) = line(&["b", "a", "b"]);
        let (values, answered) = fitting(&line.unanswered(numbers[0]));
        assert_eq!(values, ["a", "b"].map(str::to_owned).into());
        assert_eq!(answered, numbers);
    }

    #[test]
    fn who_asks_is_among_those_that_fit() {
        let many: Vec<String> = (0..VALUES + 50).map(|number| number.to_string()).collect();
        let (line, numbers) = line(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let last = numbers[numbers.len() - 1];
        let (values, answered) = fitting(&line.unanswered(last));
        assert_eq!((values.len(), answered.len()), (VALUES, VALUES));
        assert!(answered.contains(&last));
    }

    #[test]
    fn who_goes_away_is_not_asked_for() {
        let line: Line<&str, ()> = Line::default();
        let stays = line.enter("a");
        drop(line.enter("b"));
        assert_eq!(line.unanswered(stays.number), [(stays.number, "a")]);
    }

    #[tokio::test]
    async fn whoever_is_not_answered_asks_next() {
        let line: Line<u32, u32> = Line::default();
        let asked = Cell::new(0);
        // Two at a time, so five take three turns.
        let answer = async |some: Vec<(u64, u32)>| {
            asked.set(asked.get() + 1);
            tokio::task::yield_now().await;
            some.into_iter().take(2).map(|(number, of)| (number, of * 10)).collect()
        };
        let all = (1..=5).map(|own| line.join(own, answer));
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(answers, [10, 20, 30, 40, 50].map(Some));
        assert_eq!((asked.get(), line.waiting.borrow().len()), (3, 0));
    }
}
