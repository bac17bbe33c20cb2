//! TLS of the door: a certificate and its key, read again when their files change, so that a renewed one needs no new start.
use crate::config::HttpTls;
use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};
use tokio_util::sync::CancellationToken;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no key in PEM")]
    NoKey { path: PathBuf },
    #[error("the key in http.tls.key is not the one of the certificate in http.tls.cert")]
    Unfit(#[source] rustls::Error),
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

pub struct Tls {
    files: HttpTls,
    read: Pair,
    current: RwLock<Arc<ServerConfig>>,
}

impl Pair {
    async fn read(files: &HttpTls) -> Result<Self, Error> {
        let read = async |path: &PathBuf| {
            tokio::fs::read(path).await.map_err(|source| Error::Read { path: path.clone(), source })
        };
        Ok(Self { cert: read(&files.cert).await?, key: read(&files.key).await? })
    }

    fn config(&self, files: &HttpTls) -> Result<ServerConfig, Error> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&self.cert).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(Error::NoCertificate { path: files.cert.clone() });
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|_| Error::NoKey { path: files.key.clone() })?;
        // Named, since there may be two in the build.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config =
            builder.map_err(Error::Unfit)?.with_no_client_auth().with_single_cert(chain, key).map_err(Error::Unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Tls {
    pub async fn open(files: &HttpTls) -> Result<Self, Error> {
        let read = Pair::read(files).await?;
        let current = RwLock::new(Arc::new(read.config(files)?));
        Ok(Self { files: files.clone(), read, current })
    }

    /// Follows the files until `stop`. One that cannot be used changes nothing: both are written one after the other.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut seen = Pair { cert: self.read.cert.clone(), key: self.read.key.clone() };
        while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            let found = match Pair::read(&self.files).await {
                Ok(found) if found != seen => found,
                _ => continue,
            };
            match found.config(&self.files) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!(cert = %self.files.cert.display(), "the door has another certificate");
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the files of http.tls changed and cannot be used; the certificate stays");
                }
            }
            seen = found;
        }
    }

    /// With a handshake that is done in that time.
    pub async fn accept<S>(&self, socket: S, within: Duration) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        timeout(within, TlsAcceptor::from(config).accept(socket)).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{
        ClientConfig,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{ServerName, UnixTime},
    };
    use std::path::Path;
    use tokio_rustls::TlsConnector;

    /// Takes any certificate: the test looks at it itself.
    #[derive(Debug)]
    struct Any;

    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let provider = aws_lc_rs::default_provider();
            verify_tls12_signature(message, cert, signed, &provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let provider = aws_lc_rs::default_provider();
            verify_tls13_signature(message, cert, signed, &provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    fn write(dir: &Path, cert: &str, key: &str) {
        std::fs::write(dir.join("cert.pem"), cert).unwrap();
        std::fs::write(dir.join("key.pem"), key).unwrap();
    }

    fn made() -> (String, String, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().to_vec())
    }

    /// The certificate that a client is shown.
    async fn shown(tls: &Tls) -> Vec<u8> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let name = ServerName::try_from("localhost").unwrap();
        let (_, client) =
            tokio::join!(tls.accept(ours, LOOK_EVERY), TlsConnector::from(Arc::new(client)).connect(name, theirs));
        client.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_without_a_new_start() {
        let dir = tempfile::TempDir::new().unwrap();
        let files = HttpTls { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let (first, second) = (made(), made());
        write(dir.path(), &first.0, &second.1);
        assert!(matches!(Tls::open(&files).await, Err(Error::Unfit(_))));
        write(dir.path(), "", &first.1);
        assert!(matches!(Tls::open(&files).await, Err(Error::NoCertificate { .. })));
        write(dir.path(), &first.0, &first.1);
        let (tls, stop) = (Arc::new(Tls::open(&files).await.unwrap()), CancellationToken::new());
        assert_eq!(shown(&tls).await, first.2);
        let (follows, until) = (tls.clone(), stop.clone());
        let following = tokio::spawn(async move { follows.follow(until).await });
        write(dir.path(), &second.0, &first.1);
        sleep(3 * LOOK_EVERY).await;
        assert_eq!(shown(&tls).await, first.2, "half a change is none");
        write(dir.path(), &second.0, &second.1);
        while shown(&tls).await != second.2 {
            sleep(LOOK_EVERY).await;
        }
        stop.cancel();
        following.await.unwrap();
    }
}
