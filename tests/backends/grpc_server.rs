//! A gRPC receiver that answers as the test says.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};

/// One answer.
pub type Answer = Result<ExportMetricsServiceResponse, Status>;

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<(MetadataMap, ExportMetricsServiceRequest)>>,
    delay: Mutex<Option<Duration>>,
}

/// A running receiver. Answers with success when the script is at its end.
#[derive(Clone)]
pub struct GrpcServer {
    pub address: SocketAddr,
    script: Arc<Script>,
}

struct Service(Arc<Script>);

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.0.seen.lock().unwrap().push((metadata, message));
        let delay = self.0.delay.lock().unwrap().take();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let answer = self.0.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| Ok(ExportMetricsServiceResponse::default())).map(Response::new)
    }
}

impl GrpcServer {
    /// Listens; without TLS when `tls` is `None`.
    pub async fn start(answers: Vec<Answer>, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
        let service = MetricsServiceServer::new(Service(script.clone()))
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let incoming = TcpIncoming::from(listener);
        tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
        Self { address, script }
    }

    /// The next answer comes late.
    pub fn delay(&self, time: Duration) {
        *self.script.delay.lock().unwrap() = Some(time);
    }

    /// Requests so far, with their metadata.
    pub fn seen(&self) -> Vec<(MetadataMap, ExportMetricsServiceRequest)> {
        self.script.seen.lock().unwrap().clone()
    }
}
