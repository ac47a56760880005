//! The audit log as a file. It is streamed, so that a long log needs little memory.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{App, REQUEST_ID, actor::actor, app::RequestOrigin, cookies};
use crate::{
    core::{
        audit::{self, AuditError, Entry},
        identity::{Actor, Caller, Origin, Role, Viewer},
    },
    db::{Access, DbError},
    features::entitlements,
    graphql::{ApiError, MUTATION_COST},
};

/// Events per transaction. Each part has its own transaction, so that a slow reader holds no connection, and the
/// stream ends with the session.
const PART: i64 = 500;
/// The feature that the plan needs for the export.
const FEATURE: &str = "audit_export";

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

/// `GET /audit-events.csv` (RFC 4180, with a header line).
pub(super) async fn csv(state: State<App>, origin: RequestOrigin, headers: HeaderMap) -> Response {
    export(state, origin, &headers, Format::Csv).await
}

/// `GET /audit-events.jsonl`: one JSON object per line.
pub(super) async fn json_lines(state: State<App>, origin: RequestOrigin, headers: HeaderMap) -> Response {
    export(state, origin, &headers, Format::JsonLines).await
}

async fn export(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    headers: &HeaderMap,
    format: Format,
) -> Response {
    let (actor, impersonator) = actor(&app, headers, cookies::read(headers).as_ref());
    let request_id = HeaderValue::from_str(&origin.request_id.to_string());
    let refused = |status: StatusCode, why: &'static str| (status, why).into_response();
    let mut response = match actor {
        Actor::Person(viewer) => {
            let exporter = Exporter { app, viewer, origin: Origin { impersonator, ..origin }, format };
            match exporter.pay_and_begin().await {
                Ok(()) => exporter.respond(),
                Err(Refusal::Unauthenticated) => refused(StatusCode::UNAUTHORIZED, "Sign in first.\n"),
                Err(Refusal::Forbidden) => {
                    refused(StatusCode::FORBIDDEN, "Only administrators can export the audit log.\n")
                }
                Err(Refusal::NoFeature) => refused(StatusCode::FORBIDDEN, "The plan does not include audit_export.\n"),
                Err(Refusal::TooFast(seconds)) => {
                    let wait = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
                    (StatusCode::TOO_MANY_REQUESTS, wait, "Too many requests. Try again later.\n").into_response()
                }
                Err(Refusal::Db(error)) => {
                    tracing::error!(%error, "the audit log could not be exported");
                    refused(StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n")
                }
            }
        }
        Actor::Platform(_) => {
            refused(StatusCode::FORBIDDEN, "Only administrators of the tenant can export its audit log.\n")
        }
        Actor::Anonymous | Actor::Unverified => refused(StatusCode::UNAUTHORIZED, "Sign in first.\n"),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = request_id {
        headers.insert(REQUEST_ID, id);
    }
    response
}

enum Refusal {
    Unauthenticated,
    Forbidden,
    NoFeature,
    /// Seconds to wait.
    TooFast(i64),
    Db(DbError),
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match error {
            DbError::SessionEnded | DbError::RoleChanged | DbError::TenantNotHere => Self::Unauthenticated,
            DbError::TenantSuspended => Self::Forbidden,
            other => Self::Db(other),
        }
    }
}

struct Exporter {
    app: App,
    viewer: Viewer,
    origin: Origin,
    format: Format,
}

impl Exporter {
    /// Charges the same budgets as every other request, before anything is written.
    async fn pay_and_begin(&self) -> Result<(), Refusal> {
        let (actor, address) = (Actor::Person(self.viewer), self.origin.address.as_deref());
        match self.app.services.rates.charge(&actor, address, MUTATION_COST).await.map_err(ApiError::from) {
            Ok(_) => self.begin().await,
            Err(ApiError::Refused { retry_after, .. }) => Err(Refusal::TooFast(retry_after.unwrap_or(1))),
            Err(ApiError::Internal(cause)) => Err(Refusal::Db(DbError::Other(cause))),
        }
    }

    /// Checks whether the caller may export, and records the attempt in the log itself.
    async fn begin(&self) -> Result<(), Refusal> {
        let tx = self.app.services.gate.tenant(self.viewer.scope(), Access::Write);
        let caller = Caller { tx: &tx, viewer: self.viewer, clock: &self.app.services.clock, origin: &self.origin };
        let may = caller.is_at_least(Role::Admin);
        let has = entitlements::is_enabled(&tx, FEATURE, self.app.services.clock.now()).await?;
        match may && has {
            true => audit::record(&caller, "audit.export", "audit_log", None, audit::Changes::default()).await?,
            false => {
                let refusals = &self.app.services.refusals;
                let now = self.app.services.clock.now();
                if let Some(times) = refusals.count(self.viewer.tenant, self.viewer.user, "audit_log", 1, now) {
                    let changes = audit::Changes::default().field("times", serde_json::Value::Null, times);
                    audit::record(&caller, "access.refused", "audit_log", None, changes).await?;
                }
            }
        }
        tx.commit().await?;
        match (may, has) {
            (false, _) => Err(Refusal::Forbidden),
            (true, false) => Err(Refusal::NoFeature),
            (true, true) => Ok(()),
        }
    }

    async fn part(&self, past: i64) -> Result<Vec<Entry>, AuditError> {
        let tx = Arc::new(self.app.services.gate.tenant(self.viewer.scope(), Access::Read));
        let caller = Caller { tx: &tx, viewer: self.viewer, clock: &self.app.services.clock, origin: &self.origin };
        let part = audit::part(&caller, past, PART).await?;
        tx.end_read();
        Ok(part)
    }

    fn respond(self) -> Response {
        let (media_type, name) = match self.format {
            Format::Csv => ("text/csv; charset=utf-8; header=present", "audit-events.csv"),
            Format::JsonLines => ("application/jsonl", "audit-events.jsonl"),
        };
        let disposition = format!("attachment; filename=\"{name}\"");
        let parts = stream::unfold((self, Some(0)), |(exporter, past)| async move {
            let past = past?;
            let entries = match exporter.part(past).await {
                Ok(entries) => entries,
                Err(error) => {
                    // Cut off without an end, so that every client can tell it from a complete file.
                    tracing::warn!(?error, "an export of the audit log was cut off");
                    return Some((Err(std::io::Error::other("cut off")), (exporter, None)));
                }
            };
            let next = entries.last().map(|it| it.seq);
            let first = past == 0;
            if entries.is_empty() && !first {
                return None;
            }
            let bytes = exporter.format.write(&entries, first).map(Bytes::from);
            Some((bytes, (exporter, next)))
        });
        let headers = [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
        (headers, Body::from_stream(parts)).into_response()
    }
}

const HEADING: [&str; 11] = [
    "sequence",
    "at",
    "actor_id",
    "actor_role",
    "impersonator",
    "action",
    "object_type",
    "object_id",
    "changes",
    "request_id",
    "address",
];

impl Format {
    fn write(self, entries: &[Entry], with_heading: bool) -> std::io::Result<Vec<u8>> {
        match self {
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for entry in entries {
                    let cells = cells(entry);
                    let mut object: serde_json::Map<String, serde_json::Value> = HEADING
                        .iter()
                        .zip(cells)
                        .filter_map(|(name, cell)| Some(((*name).to_owned(), cell?.into())))
                        .collect();
                    object.insert("sequence".into(), entry.seq.into());
                    object.insert("changes".into(), entry.changes.clone().into());
                    serde_json::to_writer(&mut bytes, &object)?;
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
            Self::Csv => {
                let mut writer =
                    ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
                if with_heading {
                    writer.write_record(HEADING)?;
                }
                for entry in entries {
                    writer.write_record(cells(entry).map(|it| harmless(it.unwrap_or_default())))?;
                }
                writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
            }
        }
    }
}

fn cells(entry: &Entry) -> [Option<String>; 11] {
    [
        Some(entry.seq.to_string()),
        Some(entry.at.to_string()),
        entry.actor.map(|it| it.to_string()),
        Some(entry.actor_role.clone()),
        entry.impersonator.clone(),
        Some(entry.action.clone()),
        Some(entry.object_type.clone()),
        entry.object_id(),
        Some(serde_json::Value::Object(entry.changes.clone()).to_string()),
        entry.request.map(|it| it.to_string()),
        entry.address.clone(),
    ]
}

/// Escapes a cell that a spreadsheet would treat as a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(harmless("=1+1".into()), "'=1+1");
        assert_eq!(harmless("acme".into()), "acme");
    }
}
