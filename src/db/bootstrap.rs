//! Creates the database and the roles of a private server.

use tokio_postgres::NoTls;

use super::roles;

/// Creates the database and the roles. Every start repeats it, because a kill can come between any two steps.
///
/// `server` connects the superuser to the server, `own` to the database called `name`.
///
/// # Errors
/// When a statement fails.
pub async fn bootstrap(server: &str, own: &str, name: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await?;
    let task = tokio::spawn(connection);
    if client.query("select from pg_database where datname = $1", &[&name]).await?.is_empty() {
        client.batch_execute("create database tenantry").await?;
    }
    drop(client);
    let _ = task.await;

    let (client, connection) = tokio_postgres::connect(own, NoTls).await?;
    let task = tokio::spawn(connection);
    client.batch_execute(roles::BOOTSTRAP_ROLES).await?;
    client.batch_execute(roles::BOOTSTRAP_DATABASE).await?;
    drop(client);
    let _ = task.await;
    Ok(())
}
