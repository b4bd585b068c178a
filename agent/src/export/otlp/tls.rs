//! TLS of the exporter: which authorities are trusted, and who the agent says it is.

use std::{fs, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use hyper_rustls::ConfigBuilderExt as _;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::Settings;

pub(super) fn client(settings: &Settings) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?;
    let builder = if settings.certificate.is_empty() {
        builder.with_native_roots().context(
            "the system's certificate authorities cannot be read; install the package ca-certificates or set otlp.certificate",
        )?
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("otlp.certificate", &settings.certificate)? {
            roots.add(certificate).with_context(|| {
                format!("otlp.certificate: {} holds no authority to trust", settings.certificate)
            })?;
        }
        builder.with_root_certificates(roots)
    };
    match (settings.client_certificate.as_str(), settings.client_key.as_str()) {
        ("", "") => Ok(builder.with_no_client_auth()),
        ("", _) => bail!("otlp.client_key is set and otlp.client_certificate is not; set both"),
        (_, "") => bail!("otlp.client_certificate is set and otlp.client_key is not; set both"),
        (certificate, key) => {
            let chain = certificates("otlp.client_certificate", certificate)?;
            let pem =
                fs::read(key).with_context(|| format!("otlp.client_key: cannot read {key}"))?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
                anyhow::anyhow!("otlp.client_key: {key} holds no private key in PEM form")
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .context("otlp.client_certificate and otlp.client_key do not belong together")
        }
    }
}

fn certificates(setting: &str, path: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).with_context(|| format!("{setting}: cannot read {path}"))?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| anyhow::anyhow!("{setting}: {path} is not valid PEM: {error}"))?;
    ensure!(!found.is_empty(), "{setting}: {path} holds no certificate in PEM form");
    Ok(found)
}

/// For endpoints without TLS: trusts nobody, so that the system's authorities need not be loaded.
pub(super) fn unused() -> anyhow::Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
