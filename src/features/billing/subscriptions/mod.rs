//! What a tenant has of a plan, and how its time is cut into periods.
//!
//! A period ends wherever what is charged changes: at the end of a cycle, a change of plan, the end of a trial, a pause. The
//! table's constraints have the last word that periods tile. Whoever changes anything here has taken [`lock`] and then
//! [`advance`]d, so that he acts on the present and no period is left out, however long nobody looked.

mod lifecycle;
mod model;
mod queries;

pub use lifecycle::{
    advance, agreed, begin, cancel_at_end, cancel_now, change_at_end, change_now, changed, following, in_micros,
    is_other_currency, last_period, new, note_billed, pause, resume, set_past_due,
};
pub use model::{Advanced, Agreed, BillingPeriod, Mode, NeedsReview, Status, Subscription};
pub use queries::{current, forget_fee, keep_terms, lock, period, unbilled};
