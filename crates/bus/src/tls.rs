use std::error::Error as _;
use std::io;
use std::path::Path;

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{AlertDescription, CertificateError, Error, crypto};
use async_nats::{ConnectErrorKind, ConnectOptions};

use super::connect::{ConnectError, read};
use super::{SettingsError, Tls};

const CA: &str = "nats.tls.ca";
const CERT: &str = "nats.tls.cert";
const KEY: &str = "nats.tls.key";

/// mistral.rs brings a second provider of cryptography into the build, and where there are two rustls takes neither:
/// it panics.
pub(super) fn choose_provider() {
    // An error tells that one is chosen.
    let _ = crypto::aws_lc_rs::default_provider().install_default();
}

impl Tls {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        match (&self.cert, &self.key) {
            (Some(_), None) => Err(SettingsError::Half { one: CERT, other: KEY }),
            (None, Some(_)) => Err(SettingsError::Half { one: KEY, other: CERT }),
            _ => Ok(()),
        }
    }

    /// A server without TLS cannot be told from another, so whoever names an authority wants none.
    fn is_wanted(&self) -> bool {
        self.required || self.first || self.ca.is_some() || self.cert.is_some()
    }

    pub(super) async fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions, ConnectError> {
        let mut options = options.require_tls(self.is_wanted());
        if self.first {
            options = options.tls_first();
        }
        if let Some(ca) = &self.ca {
            holds_cert(CA, ca).await?;
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            holds_cert(CERT, cert).await?;
            holds_key(key).await?;
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options)
    }

    /// What to do about a handshake that would fail again.
    pub(super) fn advice(&self, error: &async_nats::ConnectError) -> Option<&'static str> {
        if error.kind() == ConnectErrorKind::Tls {
            return Some("nats.tls.ca must hold certificates, and nats.tls.key the key of nats.tls.cert");
        }
        match cause(error)? {
            Error::InvalidCertificate(reason) => Some(on_server_cert(reason)),
            Error::AlertReceived(alert) if is_on_cert(*alert) && self.cert.is_none() => {
                Some("the server asks for a certificate: set nats.tls.cert and nats.tls.key")
            }
            Error::AlertReceived(alert) if is_on_cert(*alert) => {
                Some("set nats.tls.cert to a certificate that the server trusts")
            }
            Error::InvalidMessage(_) => Some(
                "the server speaks none: leave out nats.tls.required, nats.tls.ca, nats.tls.cert and tls:// in nats.url",
            ),
            _ => None,
        }
    }
}

fn cause(error: &async_nats::ConnectError) -> Option<&Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn on_server_cert(reason: &CertificateError) -> &'static str {
    use CertificateError as C;
    match reason {
        C::NotValidForName | C::NotValidForNameContext { .. } => "name the host in nats.url as its certificate does",
        // A bad signature: an authority of the same name, with another key.
        C::UnknownIssuer | C::BadSignature => "set nats.tls.ca to the authority that signed the server's certificate",
        _ => "give the server another certificate",
    }
}

fn is_on_cert(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::CertificateRequired
            | A::BadCertificate
            | A::UnknownCA
            | A::CertificateUnknown
            | A::CertificateExpired
            | A::CertificateRevoked
            | A::UnsupportedCertificate
    )
}

async fn holds_cert(field: &'static str, path: &Path) -> Result<(), ConnectError> {
    let text = read(field, path).await?;
    let cert = CertificateDer::from_pem_slice(text.as_bytes());
    cert.map(drop).map_err(|_| ConnectError::content(field, path, "certificate in PEM"))
}

async fn holds_key(path: &Path) -> Result<(), ConnectError> {
    let text = read(KEY, path).await?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
    key.map(drop).map_err(|_| ConnectError::content(KEY, path, "private key in PEM"))
}
