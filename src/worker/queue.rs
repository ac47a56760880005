//! Tenants in line.

use std::collections::{HashSet, VecDeque};

use crate::base::ids::TenantId;

/// Tenants that wait for a turn, in their order, each once; and those that have one.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<TenantId>,
    known: HashSet<TenantId>,
    served: HashSet<TenantId>,
    /// Rang while they had their turn, so something may have come after it.
    again: HashSet<TenantId>,
}

impl Line {
    fn join(&mut self, tenant: TenantId) {
        if self.served.contains(&tenant) {
            self.again.insert(tenant);
        } else if self.known.insert(tenant) {
            self.waiting.push_back(tenant);
        }
    }

    pub(super) fn next(&mut self) -> Option<TenantId> {
        let tenant = self.waiting.pop_front()?;
        self.known.remove(&tenant);
        self.served.insert(tenant);
        Some(tenant)
    }

    /// Its turn is over.
    pub(super) fn leave(&mut self, tenant: TenantId, more: bool) {
        self.served.remove(&tenant);
        if self.again.remove(&tenant) || more {
            self.join(tenant);
        }
    }
}

pub(super) fn join_all(lines: &mut [Line; 2], tenants: impl IntoIterator<Item = TenantId>) {
    for tenant in tenants {
        lines.iter_mut().for_each(|it| it.join(tenant));
    }
}
