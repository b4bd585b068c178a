//! TLS towards a receiver of another make: authorities, names, client certificates.

use std::{fs, path::PathBuf, process::Command};

use shipwake::export::otlp::{Protocol, Settings};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{data::*, grpc_server::GrpcServer};

/// Certificates in a folder of their own, made by `openssl`.
struct Authority {
    folder: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("shipwake-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let authority = Self { folder };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            &format!("/CN=test authority {name}"),
        ]);
        authority
    }

    /// Signs a certificate for `names` (`DNS:…`, `IP:…`).
    fn sign(&self, file: &str, names: &str) {
        let (key, csr, pem) = (format!("{file}.key"), format!("{file}.csr"), format!("{file}.pem"));
        fs::write(self.folder.join("ext"), format!("subjectAltName={names}\n")).unwrap();
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &csr,
            "-subj",
            "/CN=test",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &pem,
            "-days",
            "2",
            "-extfile",
            "ext",
        ]);
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn server(&self) -> ServerTlsConfig {
        let identity = Identity::from_pem(self.read("server.pem"), self.read("server.key"));
        ServerTlsConfig::new().identity(identity)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output =
            Command::new("openssl").args(arguments).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `said` is part of what the exporter says when it does not work.
async fn check(server: &GrpcServer, settings: Settings, said: Option<&str>) {
    let exporters = start(settings);
    exporters.push(&report(10, vec![calls("web", 1.0)]));
    match said {
        None => eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await,
        Some(said) => {
            let trouble = eventually("the trouble", || status(&exporters).trouble).await;
            assert!(trouble.contains(said), "{trouble}");
            assert!(server.seen().is_empty());
        }
    }
}

fn https(server: &GrpcServer) -> Settings {
    settings(Protocol::Grpc, &format!("https://{}", server.address))
}

#[test]
fn only_the_right_authority_is_trusted() {
    run(async {
        let (own, other) = (Authority::new("own"), Authority::new("other"));
        own.sign("server", "IP:127.0.0.1");
        let server = GrpcServer::start(vec![], Some(own.server())).await;
        let unknown = "set otlp.certificate to the authority";
        check(&server, https(&server), Some(unknown)).await;
        let wrong = Settings { certificate: other.path("ca.pem"), ..https(&server) };
        check(&server, wrong, Some(unknown)).await;
        let right = Settings { certificate: own.path("ca.pem"), ..https(&server) };
        check(&server, right, None).await;
    });
}

#[test]
fn the_name_must_fit() {
    run(async {
        let authority = Authority::new("name");
        authority.sign("server", "DNS:elsewhere.example");
        let server = GrpcServer::start(vec![], Some(authority.server())).await;
        let settings = Settings { certificate: authority.path("ca.pem"), ..https(&server) };
        check(&server, settings, Some("must use a name that the receiver's certificate holds"))
            .await;
    });
}

#[test]
fn client_certificates_are_shown() {
    run(async {
        let authority = Authority::new("client");
        authority.sign("server", "IP:127.0.0.1");
        authority.sign("client", "DNS:agent");
        let tls =
            authority.server().client_ca_root(Certificate::from_pem(authority.read("ca.pem")));
        let server = GrpcServer::start(vec![], Some(tls)).await;
        let without = Settings { certificate: authority.path("ca.pem"), ..https(&server) };
        check(&server, without.clone(), Some("otlp.client_certificate")).await;
        let with = Settings {
            client_certificate: authority.path("client.pem"),
            client_key: authority.path("client.key"),
            ..without
        };
        check(&server, with, None).await;
    });
}

#[test]
fn plain_text_is_told_apart() {
    run(async {
        let server = GrpcServer::start(vec![], None).await;
        check(&server, https(&server), Some("does not speak TLS")).await;
    });
}

#[test]
fn unusable_files_are_named_at_the_start() {
    let authority = Authority::new("files");
    fs::write(authority.folder.join("empty.pem"), "").unwrap();
    let base = settings(Protocol::Grpc, "https://127.0.0.1:1");
    for (settings, said) in [
        (
            Settings { certificate: "/nowhere".to_owned(), ..base.clone() },
            "otlp.certificate: cannot read /nowhere",
        ),
        (
            Settings { certificate: authority.path("empty.pem"), ..base.clone() },
            "holds no certificate",
        ),
        (
            Settings { client_key: authority.path("ca.key"), ..base.clone() },
            "otlp.client_certificate is not",
        ),
        (
            Settings {
                client_certificate: authority.path("ca.pem"),
                client_key: authority.path("ca.pem"),
                ..base.clone()
            },
            "holds no private key",
        ),
    ] {
        let config = shipwake::config::Config { otlp: settings, ..Default::default() };
        run(async {
            let (exporters, errors) = shipwake::export::Exporters::start(&config);
            assert!(exporters.is_empty());
            assert!(errors[0].to_string().contains(said), "{}", errors[0]);
        });
    }
}
