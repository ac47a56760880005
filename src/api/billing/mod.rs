//! Billing in the API: queries and mutations for a tenant's administrators.

pub mod mutations;
mod objects;
mod query;

pub use mutations::{
    BillingMutation, CancelSubscriptionInput, ChangePlanInput, ChangePlanPayload, CreateBillingPortalSessionInput,
    CreateCheckoutSessionInput, CreateCheckoutSessionPayload, PayInvoiceInput, RecordUsageInput,
    UpdateBillingProfileInput, UsageEventInput, UsageEventResult, UsageEventStatus, UsageRejection,
};
pub use objects::{
    BillingProfile, CheckoutSession, CreditNote, Invoice, InvoiceLine, InvoiceLineKind, InvoicePreview, InvoiceStatus,
    LineExplanation, PaymentAttempt, PaymentStatus, PlanSubscription, RatingStep, SubscriptionStatus, Usage, UsageDay,
};
pub use query::{Billing, BillingQuery, ChangeTiming};
