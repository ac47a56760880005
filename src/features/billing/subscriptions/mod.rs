//! A tenant's subscription, and how its time is divided into periods.
//!
//! A period ends wherever the charges change: at the end of a cycle, a change of plan, the end of a trial, a pause.
//! Database constraints enforce that periods tile. Every caller that changes something here first takes the [`lock`]
//! and then calls [`advance`], so that it acts on the current state and no period is missing after any downtime.

mod lifecycle;
mod model;
mod queries;

pub use lifecycle::{
    advance, agreed, begin, cancel_at_end, cancel_now, change_at_end, change_now, changed, following, in_micros,
    is_other_currency, last_period, new, note_billed, pause, resume, set_past_due,
};
pub use model::{Advanced, Agreed, BillingPeriod, Mode, NeedsReview, Status, Subscription};
pub use queries::{current, forget_fee, keep_terms, lock, period, unbilled};
