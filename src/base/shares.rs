//! How much of something each holder may have at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// Amounts that are held, by holder. Bounded by what is held: a holder of nothing takes no room.
#[derive(Clone, Debug)]
pub struct Shares {
    each: usize,
    all: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_holder: HashMap<String, usize>,
}

/// An amount that is held until this is dropped.
#[derive(Debug)]
pub struct Share {
    held: Arc<Mutex<Held>>,
    holder: String,
    amount: usize,
}

impl Shares {
    /// At most so much for each holder, and for all of them together.
    pub fn new(each: usize, all: usize) -> Self {
        Self { each, all, held: Arc::default() }
    }

    /// Takes an amount; `None` when the holder, or all together, would have more than they may.
    pub fn take(&self, holder: String, amount: usize) -> Option<Share> {
        let mut held = self.held.lock();
        let own = held.by_holder.get(&holder).copied().unwrap_or(0);
        if own + amount > self.each || held.all + amount > self.all {
            return None;
        }
        held.all += amount;
        held.by_holder.insert(holder.clone(), own + amount);
        Some(Share { held: self.held.clone(), holder, amount })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        held.all -= self.amount;
        if let Some(own) = held.by_holder.get_mut(&self.holder) {
            *own -= self.amount;
            if *own == 0 {
                held.by_holder.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_what_is_given_back_can_be_had() {
        let shares = Shares::new(3, 5);
        let take = |holder: &str, amount| shares.take(holder.to_owned(), amount);
        let first = take("a", 3).unwrap();
        assert!(take("a", 1).is_none(), "its own share is full");
        let second = take("b", 2).unwrap();
        assert!(take("c", 1).is_none(), "all together have as much as they may");
        drop(first);
        assert!(take("b", 2).is_none() && take("c", 3).is_some());
        drop(second);
        assert!(shares.held.lock().by_holder.is_empty());
        assert_eq!(shares.held.lock().all, 0);
    }
}
