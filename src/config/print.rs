//! The settings in force, as a settings file again.

use std::fmt::Write as _;
use std::path::Path;

use super::value::RootCertificates;
use super::{
    AlertsConfig, CatalogConfig, ClientCertificate, ClientTlsConfig, Config, LoginConfig, StateConfig, StateDatabase,
    TcpConfig, UpstreamConfig,
};

impl Config {
    /// The settings in force as a settings file, secrets left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        self.write_toml(&mut text).unwrap_or_default(); // writing to a String does not fail
        text
    }

    fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        let path = |path: &Path| quoted(&path.display().to_string());
        let policies: Vec<_> = self.policies.iter().map(|policy| path(policy)).collect();
        writeln!(out, "listen = \"{}\"\nadmin_listen = \"{}\"", self.listen, self.admin_listen)?;
        writeln!(out, "policies = [{}]", policies.join(", "))?;
        if let Some(keys) = &self.mask_keys_file {
            writeln!(out, "mask_keys_file = {}", path(keys))?;
        }
        for (name, file) in [("actor_keys_file", &self.actor_keys_file), ("totp_file", &self.totp_file)] {
            if let Some(file) = file {
                writeln!(out, "{name} = {}", path(file))?;
            }
        }
        writeln!(out, "reveal_state_file = {}", path(&self.reveal_state_file))?;
        writeln!(out, "workers = {}\nmax_connections = {}", self.workers, self.max_connections)?;
        writeln!(out, "startup_timeout_ms = {}", self.startup_timeout.as_millis())?;
        writeln!(out, "drain_timeout_ms = {}", self.drain_timeout.as_millis())?;
        writeln!(out, "reuse_port = {}", self.reuse_port)?;
        let TcpConfig { keepalives_idle, keepalives_interval, keepalives_count, user_timeout } = &self.tcp;
        writeln!(out, "\n[tcp]\nkeepalives_idle = {}", keepalives_idle.as_secs())?;
        writeln!(out, "keepalives_interval = {}", keepalives_interval.as_secs())?;
        writeln!(out, "keepalives_count = {keepalives_count}")?;
        writeln!(out, "user_timeout = {}", user_timeout.unwrap_or_default().as_millis())?;
        let UpstreamConfig { host, port, sslmode, sslrootcert, client_certificate, connect_timeout, tcp: _ } =
            &self.upstream;
        writeln!(out, "\n[upstream]\nhost = {}\nport = {port}\nsslmode = \"{}\"", quoted(host), named(sslmode))?;
        match sslrootcert {
            Some(RootCertificates::System) => writeln!(out, "sslrootcert = \"system\"")?,
            Some(RootCertificates::File(file)) => writeln!(out, "sslrootcert = {}", path(file))?,
            None => {}
        }
        if let Some(ClientCertificate { certificate, key }) = client_certificate {
            writeln!(out, "sslcert = {}\nsslkey = {}", path(certificate), path(key))?;
        }
        writeln!(out, "connect_timeout_ms = {}", connect_timeout.as_millis())?;
        let CatalogConfig { user, password, database, refresh_interval, check, check_interval } = &self.catalog;
        writeln!(out, "\n[catalog]\ndatabase = {}\nuser = {}", quoted(database), quoted(user))?;
        if password.is_some() {
            writeln!(out, "# password = <redacted>")?;
        }
        writeln!(out, "refresh_seconds = {}", refresh_interval.as_secs())?;
        writeln!(out, "check = \"{}\"\ncheck_ms = {}", named(check), check_interval.as_millis())?;
        let LoginConfig { hba_file, ident_file, verifier_query, user, password } = &self.login;
        writeln!(out, "\n[login]")?;
        for (name, file) in [("hba_file", hba_file), ("ident_file", ident_file)] {
            if let Some(file) = file {
                writeln!(out, "{name} = {}", path(file))?;
            }
        }
        writeln!(out, "verifier_query = {}\nuser = {}", quoted(verifier_query), quoted(user))?;
        if password.is_some() {
            writeln!(out, "# password = <redacted>")?;
        }
        if let Some(ClientTlsConfig { certificate, key, client_ca, required }) = &self.tls {
            writeln!(out, "\n[tls]\ncertificate = {}\nkey = {}", path(certificate), path(key))?;
            if let Some(authorities) = client_ca {
                writeln!(out, "client_ca = {}", path(authorities))?;
            }
            writeln!(out, "required = {required}")?;
        }
        if let Some(keys) = &self.keys {
            writeln!(out, "\n[keys]")?;
            for (name, value) in keys.lines() {
                match value {
                    Some(value) => writeln!(out, "{name} = {}", quoted(&value))?,
                    None => writeln!(out, "# {name} = <redacted>")?,
                }
            }
        }
        match &self.state {
            StateConfig::Memory => writeln!(out, "\n[state]\nengine = \"memory\"")?,
            StateConfig::Embedded(file) => writeln!(out, "\n[state]\nengine = \"embedded\"\npath = {}", path(file))?,
            StateConfig::Postgresql(database) => write_state(database, out)?,
        }
        if let Some(AlertsConfig { url, secret: _, roots }) = &self.alerts {
            writeln!(out, "\n[alerts]\nurl = {}\n# secret = <redacted>", quoted(url))?;
            if let RootCertificates::File(file) = roots {
                writeln!(out, "ca_file = {}", path(file))?;
            }
        }
        writeln!(out, "\n[access_log]\npath = {}", path(&self.access_log.path))?;
        writeln!(out, "durability = \"{}\"", named(&self.access_log.durability))?;
        for (name, file) in
            [("signing_key", &self.access_log.signing_key), ("checkpoint_file", &self.access_log.checkpoint_file)]
        {
            if let Some(file) = file {
                writeln!(out, "{name} = {}", path(file))?;
            }
        }
        writeln!(out, "checkpoint_seconds = {}", self.access_log.checkpoint_interval.as_secs())?;
        writeln!(out, "segment_mib = {}", self.access_log.segment_bytes >> 20)?;
        writeln!(out, "segment_hours = {}", self.access_log.segment_age.as_secs() / 3600)?;
        writeln!(out, "retention = \"{}\"", self.access_log.retention)?;
        self.ship.iter().try_for_each(|sink| sink.write_toml(out))?;
        writeln!(out, "\n[log]\nlevel = {}\nformat = \"{}\"", quoted(&self.log.level), named(&self.log.format))
    }
}

fn write_state(database: &StateDatabase, out: &mut String) -> std::fmt::Result {
    let StateDatabase { upstream, database, user, password } = database;
    let mode = if upstream.sslrootcert.is_some() { "require" } else { &named(&upstream.sslmode) };
    let timeout = upstream.connect_timeout.as_secs();
    let escaped = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let dsn = format!(
        "host={} port={} dbname={} user={} sslmode={mode} connect_timeout={timeout}",
        escaped(&upstream.host),
        upstream.port,
        escaped(database),
        escaped(user)
    );
    writeln!(out, "\n[state]\nengine = \"postgresql\"\ndsn = {}", quoted(&dsn))?;
    match &upstream.sslrootcert {
        Some(RootCertificates::System) => writeln!(out, "sslrootcert = \"system\"")?,
        Some(RootCertificates::File(file)) => writeln!(out, "sslrootcert = {}", quoted(&file.display().to_string()))?,
        None => {}
    }
    if password.is_some() {
        writeln!(out, "# password = <redacted>")?;
    }
    Ok(())
}

/// As a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

pub(super) fn named<T: clap::ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Settings};

    fn complete(text: &str) -> Config {
        Config::complete(toml::from_str::<Settings>(text).unwrap()).unwrap()
    }

    #[test]
    fn the_printed_settings_make_the_same_settings_and_hold_no_secret() {
        let text = "policies = []\ncatalog.database = \"shop\"\nworkers = 3\n\
             upstream.sslmode = \"verify-ca\"\nupstream.sslrootcert = \"/ca.pem\"\n\
             catalog.password = \"hunter2\"\ntls.certificate = \"/c\"\ntls.key = \"/k\"\naccess_log.durability = \"fsync\"\n";
        let config = complete(text);
        let printed = config.to_toml();
        assert!(!printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        assert_eq!(complete(&printed).to_toml(), printed.replace("# password = <redacted>\n", ""));
    }
}
