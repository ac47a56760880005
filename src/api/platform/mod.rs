//! The platform in the API. Platform administrators only.

pub mod moves;
pub mod mutations;
mod query;
pub mod sales;
mod tenant;

pub use mutations::{
    ActivateTenantInput, ChangeTenantPlanInput, CreateTenantInput, DeleteTenantInput, ImpersonateInput,
    ImpersonatedSession, InviteAdministratorInput, PlatformLoginInput, PlatformMutation, PlatformSession,
    RestoreTenantInput, SetFeatureInput, SuspendTenantInput, UpdateTenantAsPlatformInput,
};
pub use query::{
    PlanCount, Platform, PlatformEvent, PlatformQuery, PlatformStatistics, TenantFilterInput, TenantOrder,
    TenantStatusCount,
};
pub use tenant::{PlatformTenant, tenant};
