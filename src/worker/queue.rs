//! The queue of tenants with work.

use std::collections::{HashSet, VecDeque};

use crate::base::ids::TenantId;

/// The tenants that wait for a turn, in order and each once, and those that have one.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<TenantId>,
    known: HashSet<TenantId>,
    served: HashSet<TenantId>,
    /// Signalled during their turn, so new work may have arrived after it was read.
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

    /// Ends the tenant's turn.
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
