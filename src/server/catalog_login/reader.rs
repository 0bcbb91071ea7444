//! What is asked of the catalog often.

use tokio_postgres::{Client, Statement};

use super::{CatalogReadError, Connected, OwnLogin, READING, server};
use crate::catalog::load_rows::{MOMENT_QUERY, look_query};
use crate::config::CatalogConfig;
use crate::server::Upstream;

/// A connection with what is asked often.
pub(in crate::server) struct Reader {
    pub(super) connected: Connected,
    moment: Statement,
    look: Statement,
}

/// What was there at some moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Answer to [`MOMENT_QUERY`].
    pub(super) moment: String,
    /// Second answer to [`look_query`].
    look: String,
}

/// Looks at whether the catalog is as it was read.
#[derive(Default)]
pub(in crate::server) struct Looks {
    /// The newest moment when it was.
    same: Option<String>,
    /// The moment was another when it was asked for last: the look, which is needed then, says it too.
    busy: bool,
}

impl Reader {
    /// Connect as who reads the catalog.
    ///
    /// # Errors
    /// The server can not be reached, refuses the login, or does not prepare what is to be asked.
    pub(in crate::server) async fn connect(
        upstream: &Upstream,
        login: &CatalogConfig,
    ) -> Result<Self, CatalogReadError> {
        let CatalogConfig { user, password, database, refresh_interval: _, check: _, check_interval: _ } = login;
        let setting = "pgveil's own login (catalog.user) failed";
        let connected =
            super::connect(upstream, &OwnLogin { user, password: password.as_ref(), database, setting }).await?;
        let failed = |error| server(READING, &error);
        let look = look_query();
        let (moment, look) = (connected.client.prepare(MOMENT_QUERY), connected.client.prepare(&look));
        let (moment, look) = tokio::try_join!(moment, look).map_err(failed)?;
        Ok(Self { connected, moment, look })
    }

    pub(in crate::server) fn client(&self) -> &Client {
        &self.connected.client
    }

    pub(super) async fn moment(&self) -> Result<String, CatalogReadError> {
        let failed = |error| server(READING, &error);
        let row = self.client().query_one(&self.moment, &[]).await.map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    pub(super) async fn look(&self) -> Result<Seen, CatalogReadError> {
        let failed = |error| server(READING, &error);
        let row = self.client().query_one(&self.look, &[]).await.map_err(failed)?;
        Ok(Seen { moment: row.try_get(0).map_err(failed)?, look: row.try_get(1).map_err(failed)? })
    }
}

impl Looks {
    /// Whether nothing that is not temporary and that users have made is another than it was seen.
    ///
    /// # Errors
    /// The server does not say.
    pub(in crate::server) async fn is_same(&mut self, reader: &Reader, known: &Seen) -> Result<bool, CatalogReadError> {
        if !self.busy {
            let now = reader.moment().await?;
            if now == known.moment || self.same.as_ref() == Some(&now) {
                return Ok(true);
            }
        }
        let now = reader.look().await?;
        let same = now.look == known.look;
        self.busy = self.same.as_ref() != Some(&now.moment);
        self.same = same.then_some(now.moment);
        Ok(same)
    }
}
