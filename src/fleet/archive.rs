//! A tenant as one file: exported from a snapshot of its store, and imported into any deployment.
//!
//! The file is a tar archive. `manifest.json` comes first ([`Manifest`]): format, tenant, migration of the store, and
//! for each table its columns, row count, the checksum of its rows as PostgreSQL computes it, and the SHA-256 of its
//! part. Then come `tables/<name>.tsv` in foreign-key order, each as `copy … to stdout` writes it: one line per row,
//! columns separated by tabs, `\N` for null, backslash escapes.
//!
//! During the export the parts are in a folder beside the file, `<file>.partial`. Repeating the call continues an
//! interrupted export, and reuses each part whose rows are still the same in the new snapshot.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    pin::pin,
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use regex::bytes::{Captures, Regex};
use serde::{Deserialize, Serialize};
use tokio_postgres::{GenericClient, IsolationLevel, Transaction};
use uuid::Uuid;

use super::{
    Fleet, FleetError,
    copying::{self, STATE, Sum, Table},
    link::Link,
    stores::leave,
};
use crate::base::ids::uuid_v7;
use crate::db::schemas;
use crate::{
    base::{fault, ids::TenantId},
    db::{Placement, migrations},
};

/// The version of the format that this program writes, and the only one that it reads.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// How long the store of an interrupted import stays before it is removed.
const LEFT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How many bytes of a part are sent at a time.
const CHUNK: usize = 1 << 16;
/// Tables that a tenant under a new id does not copy: existing access, and pending outside effects, which the original
/// carries out.
const NOT_COPIED: [&str; 12] = [
    "sessions",
    "refresh_tokens",
    "one_time_links",
    "one_time_link_tokens",
    "registrations",
    "idempotency_keys",
    "outbox",
    "calendar_feeds",
    "webhook_endpoints",
    "webhook_secrets",
    "webhook_deliveries",
    "handled_payment_events",
];

/// The manifest of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format.
    pub format: u32,
    /// When its snapshot was taken.
    pub exported_at: Timestamp,
    /// The newest migration of the exported store.
    pub store_version: i32,
    /// The tenant's entry in the directory.
    pub tenant: DirectoryEntry,
    /// The tables, in the order in which they must be read.
    pub tables: Vec<Part>,
}

/// A tenant in the directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Its id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// Its state in the directory, which says whether it is served.
    pub state: String,
    /// Why it is suspended; `None` when it is not.
    pub suspended_reason: Option<String>,
    /// The plan that it has subscribed to.
    pub plan: Option<Uuid>,
    /// The version of that plan.
    pub plan_version: Option<Uuid>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who can sign in: email, user, and whether the mailbox is verified.
    pub logins: Vec<(String, Uuid, bool)>,
    /// The tenant's customers at payment providers: provider and reference.
    pub payment_customers: Vec<(String, String)>,
}

/// A table in an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The columns of its lines, in this order.
    pub columns: Vec<String>,
    /// How many lines it has.
    pub rows: i64,
    /// The checksum of its rows.
    pub checksum: String,
    /// The SHA-256 of its lines as written, in hexadecimal.
    pub sha256: String,
}

/// How a tenant is imported.
#[derive(Clone, Debug)]
pub struct Import {
    /// The target placement.
    pub placement: Placement,
    /// A slug to use instead of the archive's.
    pub slug: Option<String>,
    /// The new id of the tenant, with new ids for everything in it; `None` keeps all ids.
    pub anew: Option<TenantId>,
}

impl Part {
    fn table(&self) -> Table {
        Table { name: self.name.clone(), columns: self.columns.clone() }
    }

    fn file(&self) -> String {
        format!("tables/{}.tsv", self.name)
    }
}

impl Fleet {
    /// Exports a tenant into a file while it is served. `told` is called for each table.
    ///
    /// # Errors
    /// `Refused` when there is no such tenant; errors of a server or the file system. The finished parts stay for the
    /// next call.
    pub async fn export(
        &self,
        tenant: TenantId,
        file: &Path,
        mut told: impl FnMut(&Part),
    ) -> Result<Manifest, FleetError> {
        let partial = beside(file, ".partial");
        fs::create_dir_all(partial.join("tables"))?;
        let entry = self.entry(tenant).await?;
        let placement = self.gate.placement(tenant).await?;
        let (config, schema) = self.at(&self.logins.platform, &placement);
        let mut source = Link::connect(&config, Some(schema)).await?;
        let exported_at = self.now();
        let snapshot =
            source.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        let store_version = snapshot.query_one("select max(version) from refinery_schema_history", &[]).await?.get(0);
        let mut parts = Vec::new();
        for table in copying::tables(&snapshot).await? {
            let part = export_table(&snapshot, &table, tenant, &partial).await?;
            told(&part);
            parts.push(part);
            fault::point("export.table");
        }
        if parts.iter().find(|it| it.name == STATE).is_none_or(|it| it.rows != 1) {
            return Err(FleetError::Refused("the tenant is not where the directory says; try again".into()));
        }
        snapshot.commit().await?;
        let manifest = Manifest { format: FORMAT, exported_at, store_version, tenant: entry, tables: parts };
        pack(&manifest, &partial, file)?;
        fs::remove_dir_all(&partial)?;
        Ok(manifest)
    }

    async fn entry(&self, tenant: TenantId) -> Result<DirectoryEntry, FleetError> {
        let directory = Link::connect(&self.logins.platform, Some(schemas::DIRECTORY_SCHEMA)).await?;
        let row = directory
            .query_opt(
                "select slug, name, state, suspended_reason, plan_id, plan_version_id, created_at from tenants
                  where id = $1 and state not in ('CREATING', 'DELETED')",
                &[&tenant.0],
            )
            .await?;
        let row = row.ok_or_else(|| FleetError::Refused("there is no such tenant".into()))?;
        let logins = "select email, user_id, verified from logins where tenant_id = $1 order by email";
        let logins = directory.query(logins, &[&tenant.0]).await?;
        let customers = "select provider, customer_ref from payment_customers where tenant_id = $1 order by 1, 2";
        let customers = directory.query(customers, &[&tenant.0]).await?;
        directory.close().await;
        Ok(DirectoryEntry {
            id: tenant.0,
            slug: row.get(0),
            name: row.get(1),
            state: row.get(2),
            suspended_reason: row.get(3),
            plan: row.get(4),
            plan_version: row.get(5),
            created_at: row.get(6),
            logins: logins.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
            payment_customers: customers.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    /// Imports a tenant from a file. All others stay unchanged. An interrupted import leaves nothing visible and can be
    /// repeated.
    ///
    /// # Errors
    /// `Refused` when the file is not an archive or is damaged, comes from another version of the program, names a plan
    /// that this deployment does not have, or when the tenant or its slug already exists here.
    pub async fn import(&self, file: &Path, how: &Import) -> Result<DirectoryEntry, FleetError> {
        let manifest = read_manifest(file)?;
        let entry = DirectoryEntry {
            id: how.anew.map_or(manifest.tenant.id, |it| it.0),
            slug: how.slug.clone().unwrap_or_else(|| manifest.tenant.slug.clone()),
            payment_customers: if how.anew.is_some() { Vec::new() } else { manifest.tenant.payment_customers.clone() },
            ..manifest.tenant.clone()
        };
        let mut directory = Link::connect(&self.logins.platform, Some(schemas::DIRECTORY_SCHEMA)).await?;
        let alone = "select pg_advisory_lock(hashtextextended('import of ' || $1::uuid, 0))";
        directory.execute(alone, &[&entry.id]).await?;
        refuse_unfit(&directory, &manifest, &entry).await?;
        // If this is interrupted, the store is removed after a while.
        let leftover = uuid_v7(Timestamp::now());
        if how.placement.location().is_some() {
            leave(&*directory, leftover, TenantId(entry.id), &how.placement, self.now() + LEFT_FOR).await?;
        }
        self.make_store(&how.placement).await?;
        fault::point("import.made");

        let remap = match how.anew {
            None => None,
            Some(_) => Some(Remap::of(file, &manifest, entry.id)?),
        };
        let (config, schema) = self.at(&self.logins.platform, &how.placement);
        let mut target = Link::connect(&config, Some(schema)).await?;
        let copy = target.transaction().await?;
        let known = copying::tables(&copy).await?;
        let expected: Vec<Table> = known.iter().map(|it| Table { columns: it.movable(), ..it.clone() }).collect();
        if manifest.tables.iter().map(Part::table).ne(expected) {
            return Err(FleetError::Refused("the archive's tables differ from this program's".into()));
        }
        // The directory does not know the tenant, so any rows of it here were left by an interrupted import.
        copy.execute(&format!("delete from {STATE} where tenant_id = $1"), &[&entry.id]).await?;
        let mut archive = tar::Archive::new(File::open(file)?);
        let mut parts = manifest.tables.iter();
        for part in archive.entries()?.skip(1) {
            let (mut lines, part) = (part?, parts.next());
            let part = part.filter(|it| lines.path().is_ok_and(|path| path.as_os_str() == it.file().as_str()));
            let part =
                part.ok_or_else(|| FleetError::Refused("the archive has a file that its manifest lacks".into()))?;
            import_table(&copy, part, &mut lines, remap.as_ref()).await?;
            fault::point("import.table");
        }
        if parts.next().is_some() {
            return Err(FleetError::Refused("the archive ends before its last table".into()));
        }
        finish_store(&copy, &entry, how).await?;
        if how.anew.is_none() && how.slug.is_none() {
            for part in manifest.tables.iter().filter(|it| it.name != STATE) {
                let found = part.table().sum(&copy, TenantId(entry.id)).await?;
                let expected = Sum { rows: part.rows, checksum: part.checksum.clone() };
                if found != expected {
                    let (expected, found) = (expected.to_string(), found.to_string());
                    return Err(FleetError::Differs { table: part.name.clone(), expected, found });
                }
            }
        }
        copy.commit().await?;
        fault::point("import.copied");
        let logins = entry
            .logins
            .iter()
            .map(|(email, user, verified)| (email.clone(), remap.as_ref().map_or(*user, |it| it.id(*user)), *verified));
        let entry = DirectoryEntry { logins: logins.collect(), ..entry.clone() };
        register(&mut directory, &entry, &how.placement, leftover, self.now()).await?;
        directory.close().await;
        Ok(entry)
    }
}

async fn export_table(
    snapshot: &Transaction<'_>,
    table: &Table,
    tenant: TenantId,
    partial: &Path,
) -> Result<Part, FleetError> {
    let Sum { rows, checksum } = table.sum(snapshot, tenant).await?;
    let part =
        |sha256| Part { name: table.name.clone(), columns: table.movable(), rows, checksum: checksum.clone(), sha256 };
    let (path, noted) = (partial.join(part(String::new()).file()), partial.join(format!("tables/{}.json", table.name)));
    // A part of an interrupted export: the same rows, as they were written.
    if let Ok(text) = fs::read(&noted)
        && let Ok(before) = serde_json::from_slice::<Part>(&text)
        && before == part(before.sha256.clone())
        && sha256_of(&mut File::open(&path)?)? == before.sha256
    {
        return Ok(before);
    }
    let (mut file, mut digest) = (File::create(&path)?, Context::new(&SHA256));
    let mut lines = pin!(snapshot.copy_out(table.copy_out(tenant).as_str()).await?);
    while let Some(chunk) = lines.try_next().await? {
        digest.update(&chunk);
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    let part = part(hex(digest));
    fs::write(&noted, serde_json::to_vec(&part).map_err(std::io::Error::other)?)?;
    Ok(part)
}

fn pack(manifest: &Manifest, partial: &Path, file: &Path) -> Result<(), FleetError> {
    let unfinished = beside(file, ".unfinished");
    let mut archive = tar::Builder::new(File::create(&unfinished)?);
    let text = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, MANIFEST, text.as_slice())?;
    for part in &manifest.tables {
        archive.append_path_with_name(partial.join(part.file()), part.file())?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(fs::rename(&unfinished, file)?)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn hex(digest: Context) -> String {
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256_of(file: &mut impl Read) -> Result<String, FleetError> {
    let (mut digest, mut chunk) = (Context::new(&SHA256), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(digest)),
            read => digest.update(&chunk[..read]),
        }
    }
}

/// Reads the manifest of an archive.
///
/// # Errors
/// `Refused` when the file is not an archive of this format.
pub fn read_manifest(file: &Path) -> Result<Manifest, FleetError> {
    let refused = || FleetError::Refused("this file is not a tenant archive".into());
    let mut archive = tar::Archive::new(File::open(file)?);
    let first = archive.entries()?.next().ok_or_else(refused)?.map_err(|_| refused())?;
    if first.path()?.as_os_str() != MANIFEST {
        return Err(refused());
    }
    let manifest: Manifest = serde_json::from_reader(first).map_err(|_| refused())?;
    match manifest.format {
        FORMAT => Ok(manifest),
        other => Err(FleetError::Refused(format!("the archive has format {other}, but this program reads {FORMAT}"))),
    }
}

async fn refuse_unfit(directory: &Link, manifest: &Manifest, entry: &DirectoryEntry) -> Result<(), FleetError> {
    let newest = migrations::newest_of_stores();
    if manifest.store_version != newest {
        return Err(FleetError::Refused(format!(
            "the archive comes from migration {}, but this program is at {newest}: import it with the program that wrote it, \
             then migrate",
            manifest.store_version
        )));
    }
    if directory.query_opt("select from tenants where id = $1", &[&entry.id]).await?.is_some() {
        return Err(FleetError::Refused(
            "the tenant already exists here: erase it first, or import it with new ids".into(),
        ));
    }
    if directory.query_opt("select from tenants where slug = $1", &[&entry.slug]).await?.is_some() {
        return Err(FleetError::Refused(format!("the slug {} is already in use: choose another", entry.slug)));
    }
    let plan = "select from plan_versions where id = $1";
    if let Some(version) = entry.plan_version
        && directory.query_opt(plan, &[&version]).await?.is_none()
    {
        return Err(FleetError::Refused("this deployment does not have the tenant's plan".into()));
    }
    Ok(())
}

async fn import_table(
    copy: &Transaction<'_>,
    part: &Part,
    lines: &mut impl Read,
    remap: Option<&Remap>,
) -> Result<(), FleetError> {
    let is_copied = remap.is_none() || !NOT_COPIED.contains(&part.name.as_str());
    let mut sink = pin!(copy.copy_in::<_, Bytes>(part.table().copy_in().as_str()).await?);
    let (mut digest, mut lines, mut line) = (Context::new(&SHA256), BufReader::with_capacity(CHUNK, lines), Vec::new());
    let mut waiting = Vec::with_capacity(CHUNK);
    while lines.read_until(b'\n', &mut line)? > 0 {
        digest.update(&line);
        if is_copied {
            match remap {
                None => waiting.extend_from_slice(&line),
                Some(remap) => waiting.extend_from_slice(&remap.line(&line)),
            }
        }
        line.clear();
        if waiting.len() >= CHUNK {
            sink.feed(Bytes::from(std::mem::take(&mut waiting))).await?;
        }
    }
    if hex(digest) != part.sha256 {
        return Err(FleetError::Refused(format!("the archive is damaged: {}", part.file())));
    }
    sink.feed(Bytes::from(waiting)).await?;
    sink.as_mut().finish().await?;
    Ok(())
}

/// Updates what differs from the archive: placement and slug. Under new ids it also removes what stays with the
/// original.
async fn finish_store(copy: &impl GenericClient, entry: &DirectoryEntry, how: &Import) -> Result<(), FleetError> {
    let set = format!("update {STATE} set fence = null, isolation = $2, slug = $3 where tenant_id = $1");
    copy.execute(&set, &[&entry.id, &how.placement.isolation().as_str(), &entry.slug]).await?;
    if how.anew.is_none() {
        return Ok(());
    }
    // The payment method of the original does not pay for the copy.
    let unlink =
        "update billing_accounts set provider = null, customer_ref = null, method_ref = null, method_known_at = null
        where tenant_id = $1";
    copy.execute(unlink, &[&entry.id]).await?;
    copy.batch_execute(&REHASH.replace("{tenant}", &entry.id.to_string())).await?;
    Ok(())
}

/// The audit log contains ids, so its chain is computed again.
const REHASH: &str = "do $$
declare
  v_event audit_events;
  v_hash  bytea := decode(repeat('00', 32), 'hex');
begin
  for v_event in select * from audit_events where tenant_id = '{tenant}' order by seq loop
    v_hash := audit_event_hash(v_hash, v_event.seq, v_event.id, v_event.at, v_event.actor_id, v_event.actor_role,
      v_event.impersonator, v_event.action, v_event.object_type, v_event.object_id, v_event.changes,
      v_event.request_id, v_event.address);
    update audit_events set hash = v_hash where tenant_id = v_event.tenant_id and id = v_event.id;
  end loop;
  update audit_heads set hash = v_hash where tenant_id = '{tenant}';
end
$$";

/// Adds the tenant to the directory; from then on it is served.
async fn register(
    directory: &mut Link,
    entry: &DirectoryEntry,
    placement: &Placement,
    leftover: Uuid,
    now: Timestamp,
) -> Result<(), FleetError> {
    let tx = directory.transaction().await?;
    let ready_at = placement.location().map(|_| now);
    tx.execute(
        "insert into tenants (id, slug, name, state, suspended_reason, plan_id, plan_version_id, created_at, isolation, url, store_ready_at)
         values ($1, $2, $3, case $4 when 'MOVING' then 'ACTIVE' else $4 end, $5, $6, $7, $8, $9, $10, $11)",
        &[
            &entry.id,
            &entry.slug,
            &entry.name,
            &entry.state,
            &entry.suspended_reason,
            &entry.plan,
            &entry.plan_version,
            &entry.created_at,
            &placement.isolation().as_str(),
            &placement.url(),
            &ready_at,
        ],
    )
    .await?;
    for (email, user, verified) in &entry.logins {
        let add = "insert into logins (email, tenant_id, user_id, verified) values ($1, $2, $3, $4)";
        tx.execute(add, &[email, &entry.id, user, verified]).await?;
    }
    for (provider, customer) in &entry.payment_customers {
        let add = "insert into payment_customers (provider, customer_ref, tenant_id) values ($1, $2, $3)";
        tx.execute(add, &[provider, customer, &entry.id]).await?;
    }
    tx.execute("delete from store_leftovers where id = $1", &[&leftover]).await?;
    Ok(tx.commit().await?)
}

/// New ids for everything that a tenant owns. Ids of what it does not own, such as its plan's, stay.
struct Remap {
    ids: HashMap<Uuid, Uuid>,
    pattern: Regex,
}

impl Remap {
    /// Every value of a column `id` gets a new one that contains the same time, so that sorting by it gives the same
    /// order.
    fn of(file: &Path, manifest: &Manifest, tenant: Uuid) -> Result<Self, FleetError> {
        let columns: BTreeMap<String, Option<usize>> =
            manifest.tables.iter().map(|part| (part.file(), part.columns.iter().position(|it| it == "id"))).collect();
        let mut found = HashSet::new();
        for part in tar::Archive::new(File::open(file)?).entries()?.skip(1) {
            let part = part?;
            let path = part.path()?.to_string_lossy().into_owned();
            let Some(Some(column)) = columns.get(&path) else { continue };
            for line in BufReader::new(part).lines() {
                let value = line?.split('\t').nth(*column).and_then(|it| it.parse::<Uuid>().ok());
                found.extend(value);
            }
        }
        let mut ids: HashMap<Uuid, Uuid> = found.into_iter().map(|it| (it, renewed(it))).collect();
        ids.insert(manifest.tenant.id, tenant);
        // Unwrap safety: a constant, which a test compiles.
        #[expect(clippy::unwrap_used, reason = "a constant")]
        let pattern = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
        Ok(Self { ids, pattern })
    }

    fn id(&self, id: Uuid) -> Uuid {
        self.ids.get(&id).copied().unwrap_or(id)
    }

    /// Replaces ids in columns, texts and JSON.
    fn line(&self, line: &[u8]) -> Vec<u8> {
        let renew = |found: &Captures<'_>| {
            let id = std::str::from_utf8(&found[0]).ok().and_then(|it| it.parse::<Uuid>().ok());
            id.and_then(|it| self.ids.get(&it)).map_or_else(|| found[0].to_vec(), |it| it.to_string().into_bytes())
        };
        self.pattern.replace_all(line, renew).into_owned()
    }
}

/// A new id of the same kind: a version 7 id keeps its time, and every id its version.
fn renewed(id: Uuid) -> Uuid {
    let (mut bytes, random): ([u8; 16], [u8; 16]) = (*id.as_bytes(), crate::base::random::bytes());
    let first = if id.get_version_num() == 7 { 6 } else { 0 };
    for place in first..16 {
        // Version and variant stay.
        let mask = match place {
            6 => 0x0f,
            8 => 0x3f,
            _ => 0xff,
        };
        bytes[place] = (bytes[place] & !mask) | (random[place] & mask);
    }
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_keep_their_kind_and_time() {
        let old = Uuid::now_v7();
        let new = renewed(old);
        assert_ne!(old, new);
        assert_eq!((new.get_version_num(), new.get_variant()), (7, old.get_variant()));
        assert_eq!(old.as_bytes()[..6], new.as_bytes()[..6]);
        let named = Uuid::new_v5(&old, b"x");
        assert_eq!(renewed(named).get_version_num(), 5);
    }

    #[test]
    fn ids_are_renewed_wherever_they_stand() {
        let (own, plan, new) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let pattern = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
        let remap = Remap { ids: HashMap::from([(own, new)]), pattern };
        let line = format!("{own}\tbooking:{own}\t{{\"id\": \"{own}\"}}\t{plan}\n");
        let expected = format!("{new}\tbooking:{new}\t{{\"id\": \"{new}\"}}\t{plan}\n");
        assert_eq!(remap.line(line.as_bytes()), expected.as_bytes());
    }
}
