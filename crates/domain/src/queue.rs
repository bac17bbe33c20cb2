//! Which of the inputs that wait is validated next: the most urgent, and small ones never behind large ones.
use crate::{Timestamp, event::Priority};
use std::collections::BTreeMap;

/// The order among those that wait: by class, by deadline, and as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    pub priority: Priority,
    pub deadline: Timestamp,
    /// Of the submission in its stream.
    pub seq: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Small,
    Large,
}

/// Where a validation runs, to be given back at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Open to all.
    Any,
    /// Kept for small inputs.
    Small,
}

#[derive(Debug)]
pub struct Queue<T> {
    small: BTreeMap<Turn, T>,
    large: BTreeMap<Turn, T>,
    /// Places that are free.
    any: usize,
    kept: usize,
}

impl<T> Queue<T> {
    /// So many places for all, and so many more for small inputs alone.
    pub const fn new(any: usize, kept: usize) -> Self {
        Self { small: BTreeMap::new(), large: BTreeMap::new(), any, kept }
    }

    pub fn push(&mut self, turn: Turn, size: Size, item: T) {
        match size {
            Size::Small => self.small.insert(turn, item),
            Size::Large => self.large.insert(turn, item),
        };
    }

    /// The next to begin, if there is a place for it.
    pub fn begin(&mut self) -> Option<(Place, T)> {
        if self.kept > 0
            && let Some((_, item)) = self.small.pop_first()
        {
            self.kept -= 1;
            return Some((Place::Small, item));
        }
        if self.any == 0 {
            return None;
        }
        let (small, large) = (self.small.keys().next(), self.large.keys().next());
        let is_small = small.is_some_and(|small| large.is_none_or(|large| small < large));
        let (_, item) = if is_small { self.small.pop_first() } else { self.large.pop_first() }?;
        self.any -= 1;
        Some((Place::Any, item))
    }

    /// Gives a place back.
    pub const fn free(&mut self, place: Place) {
        match place {
            Place::Any => self.any += 1,
            Place::Small => self.kept += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Queue<&'static str>, name: &'static str, priority: Priority, deadline: u64, size: Size) {
        let seq = (queue.small.len() + queue.large.len()) as u64;
        queue.push(Turn { priority, deadline: Timestamp::new(deadline), seq }, size, name);
    }

    fn begin(queue: &mut Queue<&'static str>) -> Vec<(Place, &'static str)> {
        std::iter::from_fn(|| queue.begin()).collect()
    }

    #[test]
    fn the_most_urgent_is_first_and_the_first_of_equals() {
        let mut queue = Queue::new(9, 0);
        push(&mut queue, "low", Priority::Low, 1, Size::Small);
        push(&mut queue, "late", Priority::Normal, 9, Size::Large);
        push(&mut queue, "first", Priority::Normal, 5, Size::Small);
        push(&mut queue, "second", Priority::Normal, 5, Size::Small);
        push(&mut queue, "high", Priority::High, 99, Size::Large);
        let order = begin(&mut queue).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(order, ["high", "first", "second", "late", "low"]);
    }

    #[test]
    fn small_ones_do_not_wait_behind_large_ones() {
        let mut queue = Queue::new(1, 1);
        push(&mut queue, "large", Priority::High, 1, Size::Large);
        push(&mut queue, "larger", Priority::High, 2, Size::Large);
        assert_eq!(begin(&mut queue), [(Place::Any, "large")]);
        push(&mut queue, "small", Priority::Low, 9, Size::Small);
        push(&mut queue, "urgent", Priority::High, 9, Size::Small);
        assert_eq!(begin(&mut queue), [(Place::Small, "urgent")]);
        queue.free(Place::Small);
        assert_eq!(begin(&mut queue), [(Place::Small, "small")]);
        queue.free(Place::Any);
        assert_eq!(begin(&mut queue), [(Place::Any, "larger")]);
        assert_eq!(queue.begin(), None);
    }

    #[test]
    fn a_place_for_all_goes_to_the_most_urgent_of_all() {
        let mut queue = Queue::new(1, 0);
        push(&mut queue, "large", Priority::Normal, 1, Size::Large);
        push(&mut queue, "small", Priority::High, 9, Size::Small);
        assert_eq!(begin(&mut queue), [(Place::Any, "small")]);
        queue.free(Place::Any);
        assert_eq!(begin(&mut queue), [(Place::Any, "large")]);
    }
}
