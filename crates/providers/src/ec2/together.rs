//! Looks that are asked for at the same time go together, in one request.
//!
//! While a look is under way, others of its kind wait; when it is over they are asked for at once. Nobody is given an
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
pub(crate) struct Looks(RefCell<BTreeMap<Kind, Rc<Line>>>);

/// Those who wait for looks of one kind.
#[derive(Debug, Default)]
struct Line {
    turn: tokio::sync::Mutex<()>,
    entered: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    value: String,
    answer: Option<Found>,
}

/// A place in a line; who goes away gives it up.
struct Place<'a> {
    line: &'a Line,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.waiting.borrow_mut().remove(&self.number);
    }
}

impl Line {
    fn enter(&self, value: &str) -> Place<'_> {
        // Never a number of before: whoever had it may have gone while its request was under way.
        let number = self.entered.get();
        self.entered.set(number + 1);
        self.waiting.borrow_mut().insert(number, Waiting { value: value.to_owned(), answer: None });
        Place { line: self, number }
    }

    /// Who is to be answered by the next request: this one, and as many others as it can ask for.
    fn next(&self, first: u64) -> (BTreeSet<String>, Vec<u64>) {
        let waiting = self.waiting.borrow();
        let mut values: BTreeSet<String> =
            waiting.get(&first).map(|own| own.value.clone()).into_iter().collect();
        let mut numbers = Vec::new();
        for (number, own) in waiting.iter().filter(|(_, own)| own.answer.is_none()) {
            if values.contains(&own.value) || values.len() < VALUES {
                values.insert(own.value.clone());
                numbers.push(*number);
            }
        }
        (values, numbers)
    }
}

impl Client {
    /// All things of this kind and value, perhaps among others.
    pub(crate) async fn look(&self, kind: Kind, value: &str) -> Found {
        let line = self.looks.0.borrow_mut().entry(kind.clone()).or_default().clone();
        let place = line.enter(value);
        let _turn = line.turn.lock().await;
        let answered = line.waiting.borrow_mut().get_mut(&place.number).and_then(|own| own.answer.take());
        if let Some(answer) = answered {
            return answer;
        }
        // Those who begin together are heard before the first of them asks.
        tokio::task::yield_now().await;
        let (values, numbers) = line.next(place.number);
        let found = self.of_kind(&kind, &values).await.map(Rc::new);
        let mut waiting = line.waiting.borrow_mut();
        for number in numbers {
            if let Some(own) = waiting.get_mut(&number) {
                own.answer = Some(found.clone());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[&str]) -> (Rc<Line>, Vec<u64>) {
        let line = Rc::new(Line::default());
        let numbers = values.iter().map(|value| {
            let place = line.enter(value);
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
        let (values, answered) = line.next(numbers[0]);
        assert_eq!(values, ["a", "b"].map(str::to_owned).into());
        assert_eq!(answered, numbers);
    }

    #[test]
    fn who_asks_is_among_those_that_fit() {
        let many: Vec<String> = (0..VALUES + 50).map(|number| number.to_string()).collect();
        let (line, numbers) = line(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let last = numbers[numbers.len() - 1];
        let (values, answered) = line.next(last);
        assert_eq!((values.len(), answered.len()), (VALUES, VALUES));
        assert!(answered.contains(&last));
    }

    #[test]
    fn who_goes_away_is_not_asked_for() {
        let line = Line::default();
        let stays = line.enter("a");
        drop(line.enter("b"));
        assert_eq!(line.next(stays.number), (["a".to_owned()].into(), vec![stays.number]));
    }
}
