//! A few places for many who ask: none of them can take what the others need.
use domain::quota::has_share;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub struct Places<K> {
    most: usize,
    /// How many each may have; none: a share of all, as [`has_share`] has it.
    each: Option<usize>,
    taken: Mutex<HashMap<K, usize>>,
}

impl<K: Copy + Eq + Hash> Places<K> {
    pub fn new(most: usize) -> Self {
        Self { most, each: None, taken: Mutex::default() }
    }

    /// As many for each, whoever else has some.
    pub fn each(each: usize) -> Self {
        Self { most: usize::MAX, each: Some(each), taken: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(self: &Arc<Self>, who: K) -> Option<Place<K>> {
        let mut taken = self.lock();
        let own = taken.get(&who).copied().unwrap_or_default();
        let is_free = match self.each {
            Some(each) => own < each,
            None => has_share(own, taken.values().sum(), self.most),
        };
        is_free.then(|| {
            taken.insert(who, own + 1);
            Place { places: self.clone(), who }
        })
    }
}

/// It is free again when this is dropped.
pub struct Place<K: Copy + Eq + Hash> {
    places: Arc<Places<K>>,
    who: K,
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.who) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(places: &Arc<Places<u8>>, who: u8) -> Vec<Place<u8>> {
        std::iter::from_fn(|| places.take(who)).collect()
    }

    #[test]
    fn whoever_comes_next_finds_a_place() {
        let places = Arc::new(Places::new(64));
        let first = all(&places, 1);
        let second = all(&places, 2);
        let third = all(&places, 3);
        assert_eq!((first.len(), second.len(), third.len()), (32, 16, 8));
        drop(first);
        assert_eq!(all(&places, 4).len(), 20);
        assert_eq!(places.lock().len(), 2, "what is not taken is not kept");
    }

    #[test]
    fn each_may_have_so_many() {
        let places = Arc::new(Places::each(3));
        let (one, two) = (all(&places, 1), all(&places, 2));
        assert_eq!((one.len(), two.len()), (3, 3));
    }
}
