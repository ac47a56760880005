//! A tenant's subscription, and how its time is divided into periods.
//!
//! A period ends wherever the charges change: at the end of a cycle, a change of plan, the end of a trial, a pause.
//! Database constraints enforce that periods tile. Every caller that changes something here first takes the [`lock`]
//! and then calls [`advance`], so that it acts on the current state and no period is missing after any downtime.

mod lifecycle;
mod model;
mod queries;

pub use lifecycle::{
    advance, agreed, begin, cancel_at_end, cancel_now, change_at_end, change_now, changed, current, following,
    forget_fee, in_micros, is_other_currency, keep_terms, last_period, lock, new, note_billed, pause, period, resume,
    set_past_due, unbilled,
};
pub use model::{Advanced, Agreed, BillingPeriod, Mode, NeedsReview, Status, Subscription};
