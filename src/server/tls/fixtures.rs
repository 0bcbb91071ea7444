//! Certificates for tests, made anew for each.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::config::ClientCertificate;

/// An authority, and a directory with PEM files of what it issued; removed with it.
pub(in crate::server) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub(in crate::server) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pgveil-tls-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Self { issuer, directory };
        authority.write("root.pem", &authority.issuer.pem());
        authority
    }

    pub(in crate::server) fn root(&self) -> PathBuf {
        self.directory.join("root.pem")
    }

    pub(in crate::server) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A certificate with this common name and these alternative names, and its key.
    pub(in crate::server) fn files(&self, common_name: &str, alternative_names: &[&str]) -> ClientCertificate {
        let names: Vec<String> = alternative_names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.issue(&params, common_name)
    }

    pub(in crate::server) fn issue(&self, params: &CertificateParams, file: &str) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = file.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        self.pair(&file, &certificate.pem(), &key)
    }

    /// A certificate that signs itself and calls itself an authority, as `openssl req -x509` makes them.
    pub(in crate::server) fn self_signed(&self, file: &str, names: &[&str]) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        self.pair(file, &certificate.pem(), &key)
    }

    fn pair(&self, file: &str, certificate: &str, key: &KeyPair) -> ClientCertificate {
        ClientCertificate {
            certificate: self.write(&format!("{file}.pem"), certificate),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let directory: &Path = &self.directory;
        let _left_behind = std::fs::remove_dir_all(directory);
    }
}
