//! Hooks on their way, by URL and by tenant.
use super::standings::Place;
use domain::Tenant;
use std::{collections::HashMap, hash::Hash};

#[derive(Default)]
pub struct Flying {
    to: HashMap<Place, usize>,
    of: HashMap<Tenant, usize>,
}

impl Flying {
    pub fn to(&self, place: &Place) -> usize {
        self.to.get(place).copied().unwrap_or_default()
    }

    pub fn of(&self, tenant: Tenant) -> usize {
        self.of.get(&tenant).copied().unwrap_or_default()
    }

    pub fn all(&self) -> usize {
        self.of.values().sum()
    }

    pub fn start(&mut self, place: Place, tenant: Tenant) {
        *self.to.entry(place).or_default() += 1;
        *self.of.entry(tenant).or_default() += 1;
    }

    pub fn land(&mut self, place: &Place, tenant: Tenant) {
        less(&mut self.to, place);
        less(&mut self.of, &tenant);
    }
}

/// What is not on its way is not kept.
fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
