//! An authority of our own, and what it signs.
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::file;

pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub ca: PathBuf,
}

/// A certificate and its key, as PEM files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
        let ca = file(&dir, "ca.pem", &params.self_signed(&key).unwrap().pem());
        Self { dir, issuer: Issuer::new(params, key), ca }
    }

    /// A certificate for a host name or address.
    pub fn sign(&self, host: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert: file(&self.dir, &format!("{host}.pem"), &cert.pem()),
            key: file(&self.dir, &format!("{host}.key"), &key.serialize_pem()),
        }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        file(&self.dir, name, text)
    }
}
